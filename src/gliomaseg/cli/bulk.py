"""The command bulk."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gliomaseg.cli.options import Json, Model, Out, Overwrite
from gliomaseg.cli.output import log, print_result
from gliomaseg.errors import GliomasegError, InputError, PartlyDoneError, counted

if TYPE_CHECKING:
    from gliomaseg.bulk import BulkSummary

Archive = Annotated[
    Path, typer.Argument(metavar="INPUT", help="A folder of scans, a manifest (CSV, TSV, JSON), or a Parquet table.")
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, metavar="N", help="Processes with one engine each (default: one for each core)."),
]
Address = Annotated[
    str | None,
    typer.Option("--address", metavar="RAY", help="auto or HOST:PORT of a Ray cluster (default: this machine)."),
]
LINE_SECONDS = 10
TERMINAL_SECONDS = 1


def bulk(
    source: Archive,
    out: Out,
    model: Model = None,
    workers: Workers = None,
    address: Address = None,
    as_json: Json = False,
    overwrite: Overwrite = False,
) -> None:
    """Predict an archive on all cores or on a cluster. The same command continues an interrupted run."""
    from gliomaseg.bulk import BulkOptions, predict_archive

    options = BulkOptions(model, workers, address, overwrite)
    try:
        summary = predict_archive(source, out, options, say=log, progress=show_progress)
    except KeyboardInterrupt:
        log("interrupted; the same command continues the run")
        raise
    print_result(summary.document(), _text(summary), as_json=as_json)
    if summary.failed:
        raise _failure(summary)


def _text(summary: BulkSummary) -> str:
    done = f"{counted(summary.cases, 'case')}: {summary.cases - summary.failed:,} done, {summary.failed:,} failed"
    return f"{done}\n{summary.results}"


def _failure(summary: BulkSummary) -> GliomasegError:
    cure = f"see the column error of {summary.results}; the same command tries them again"
    if summary.failed == summary.cases:
        what = "the only case failed" if summary.cases == 1 else f"all {summary.cases:,} cases failed"
        return InputError(what, cure=cure)
    what = f"{summary.failed:,} of {counted(summary.cases, 'case')} failed or lack an output"
    return PartlyDoneError(what, cure=cure)


@contextmanager
def show_progress(count: Callable[[], int], total: int) -> Iterator[None]:
    """Print a progress line to stderr: each second over the last one on a terminal, else every ten seconds."""
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    stopped = threading.Event()

    def show() -> None:
        started = time.perf_counter()
        while not stopped.wait(TERMINAL_SECONDS if is_terminal else LINE_SECONDS):
            line = progress_line(count(), total, time.perf_counter() - started)
            if is_terminal:
                sys.stderr.write(f"\r\x1b[K{line}")
                sys.stderr.flush()
            else:
                log(line)

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
        if is_terminal:
            sys.stderr.write("\r\x1b[K")


def progress_line(done: int, total: int, seconds: float) -> str:
    """Return the progress as a line.

    >>> progress_line(300, 1200, 60)
    '300 of 1,200 cases, 5.0 a second, about 3 min left'
    >>> progress_line(0, 1200, 10)
    '0 of 1,200 cases'
    """
    if done <= 0:
        return f"0 of {counted(total, 'case')}"
    rate = done / seconds
    return f"{done:,} of {counted(total, 'case')}, {rate:.1f} a second, about {_duration((total - done) / rate)} left"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.0f} h"
