"""The progress of `predict`: a bar on a terminal, and a row as soon as a scan is finished."""

from __future__ import annotations

import shutil
import sys
import time

from gliomaseg.cli.output import log
from gliomaseg.errors import printable
from gliomaseg.prediction import Input, PredictRow
from gliomaseg.report.skipped_text import skipped_lines
from gliomaseg.report.terminal import row_text

_BAR = 20


class ScanProgress:
    """Prints rows to stdout, or under `--json` to stderr, and everything else to stderr."""

    def __init__(self, total: int, *, as_json: bool) -> None:
        """Start the clock for a number of scans."""
        self._total = total
        self._as_json = as_json
        self._started = time.perf_counter()
        self._is_terminal = sys.stderr is not None and sys.stderr.isatty()

    def start(self, done: int, entry: Input) -> None:
        """Show the scan that is predicted now: as a bar on a terminal, else as a line if there are several scans."""
        if self._is_terminal:
            filled = _BAR * done // self._total
            bar = f"[{'#' * filled}{'.' * (_BAR - filled)}] {done}/{self._total}"
            text = f"{bar} {self._remaining(done)}{printable(entry.name)}"
            sys.stderr.write("\r\x1b[K" + text[: shutil.get_terminal_size().columns - 1])
            sys.stderr.flush()
        elif self._total > 1:
            log(f"scan {done + 1} of {self._total}: {printable(str(entry.path))}")

    def finish(self, row: PredictRow) -> None:
        """Print the row of a scan, its warnings, and the files beside it that were not used."""
        self.clear()
        if self._as_json:
            log(row_text(row))
        else:
            print(row_text(row), flush=True)
        for warning in row.warnings:
            log(printable(f"warning: {row.input}: {warning}"))
        pairs = [(name, reason) for name, _, reason in (text.partition(": ") for text in row.skipped)]
        for line in skipped_lines(pairs):
            log(f"skipped beside {printable(row.input)}: {line}")

    def clear(self) -> None:
        """Remove the bar."""
        if self._is_terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def _remaining(self, done: int) -> str:
        if not done:
            return ""
        seconds = (time.perf_counter() - self._started) / done * (self._total - done)
        return f"about {seconds:.0f} s left, "
