"""The verb: sections one after the other, in a folder that goes away whatever happens."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from gliomaseg.bench.fixtures import Fixtures, Sizes
from gliomaseg.bench.hardware import describe_machine
from gliomaseg.bench.timing import BenchRow
from gliomaseg.errors import GliomasegError, MissingExtraError, ResourceError, UsageError

SECTIONS = ("loading", "training", "prediction", "roofline", "startup", "scaling")
FORMAT = 1


def chosen_sections(text: str | None) -> tuple[str, ...]:
    """Return the sections that a list with commas names, in our order; all if None.

    Raises:
        UsageError: there is no such section, or none is named.

    >>> chosen_sections("startup,loading")
    ('loading', 'startup')
    """
    if text is None:
        return SECTIONS
    asked = {name.strip() for name in text.split(",")} - {""}
    if not asked or asked - set(SECTIONS):
        what = f"there is no section {', '.join(sorted(asked - set(SECTIONS)))}" if asked else "names no section"
        raise UsageError(what, where="--only", cure=f"sections are {', '.join(SECTIONS)}")
    return tuple(name for name in SECTIONS if name in asked)


def run_benchmark(
    plan: Sizes, *, sections: Sequence[str] = SECTIONS, model: Path | None = None, log: Callable[[str], None]
) -> dict[str, Any]:
    """Measure, and return the document: machine, and the rows of each section.

    Args:
        plan: how much.
        sections: which, of `SECTIONS`.
        model: a run or a model folder in place of the small network.
        log: called with one line for each step.

    Returns:
        What `--json` prints. A figure that cannot be measured is a row with its reason.

    Raises:
        ResourceError: the disk is full.
        ModelError: the model that is named cannot be used.
    """
    start = time.perf_counter()
    document: dict[str, Any] = {"format": FORMAT, "plan": plan.name, "machine": describe_machine(), "sections": {}}
    with _stopped_cleanly(), _own_folder() as folder:
        if model is not None:
            from gliomaseg.model import load_model

            model = load_model(model).folder
        material = Fixtures(folder, plan, model=model, log=log)
        for name in sections:
            log(f"== {name}")
            begun = time.perf_counter()
            rows = _measured(name, material)
            seconds = round(time.perf_counter() - begun, 3)
            document["sections"][name] = {"seconds": seconds, "rows": [row.document() for row in rows]}
    document["seconds"] = round(time.perf_counter() - start, 3)
    return document


def _measured(name: str, material: Fixtures) -> list[BenchRow]:
    try:
        rows: list[BenchRow] = import_module(f"gliomaseg.bench.{name}").measure(material)
    except ResourceError:
        raise
    except MissingExtraError as fault:
        return [BenchRow(name, status="left out", reason=fault.line())]
    except GliomasegError as fault:
        return [BenchRow(name, status="failed", reason=fault.line())]
    return rows


@contextmanager
def _own_folder() -> Iterator[Path]:
    """Give a folder that goes away; what libraries and processes keep in temporary files lies in it too."""
    with tempfile.TemporaryDirectory(prefix="gliomaseg-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name, "temporary")
        folder.mkdir()
        before, variable = tempfile.tempdir, os.environ.get("TMPDIR")
        tempfile.tempdir = os.environ["TMPDIR"] = str(folder)  # torch's exporter leaves caches there
        try:
            yield Path(name)
        finally:
            tempfile.tempdir = before
            os.environ.pop("TMPDIR")
            if variable is not None:
                os.environ["TMPDIR"] = variable


@contextmanager
def _stopped_cleanly() -> Iterator[None]:
    """Let SIGTERM end the work as Ctrl-C does, so that the folder is removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def benchmark_text(document: Mapping[str, Any]) -> str:
    """Return the machine, and for each figure both medians, the ratio with its spread, and the agreement."""
    machine = document["machine"]
    counts = f"{machine['processors']} processors, {machine['threads']} threads, load {machine['load_before']}"
    lines = [f"{machine['processor']}, {counts}; {' '.join(machine['flags'])}"]
    for name, section in document["sections"].items():
        lines += ["", f"{name} ({section['seconds']:.0f} s)"]
        for row in section["rows"]:
            lines += _row_lines(row)
    lines += ["", f"times over 1: ours is faster. {document['plan']} plan, {document['seconds']:.0f} s in all"]
    return "\n".join(lines)


def _row_lines(row: Mapping[str, Any]) -> list[str]:
    lines = [f"  {row['figure']}"]
    for side in ("ours", "peer"):
        if (found := row[side]) is not None:
            spread = f"({_short(found['low'])} to {_short(found['high'])})"
            lines.append(f"    {side}  {_short(found['median']):>9} {row['unit']:<10} {spread:<22} {found['what']}")
    if row["ratio"] is not None:
        low, high = row["ratio_spread"]
        lines.append(f"    times {_short(row['ratio']):>9} {'':<10} ({_short(low)} to {_short(high)})")
    if row["agreement"]:
        lines.append("    " + ", ".join(f"{key} {_short(value)}" for key, value in row["agreement"].items()))
    if row["reason"]:
        lines.append(f"    {row['status']}: {row['reason']}")
    return lines


def _short(value: Any) -> str:
    """Return a number in a few digits.

    >>> [_short(value) for value in (1234.5, 12.345, 0.01234, 3, None)]
    ['1,234', '12.3', '0.0123', '3', 'unknown']
    """
    if value is None:
        return "unknown"
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
