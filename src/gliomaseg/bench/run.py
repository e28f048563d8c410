"""Run the sections of a benchmark one after the other, in a temporary folder that is always removed."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from gliomaseg.atomic import sigterm_as_interrupt
from gliomaseg.bench.fixtures import Fixtures, Sizes
from gliomaseg.bench.report import BenchReport, Section, describe_machine
from gliomaseg.bench.timing import SECONDS, BenchRow, unmeasured_row
from gliomaseg.errors import GliomasegError, ResourceError, UsageError

# Each section and its module: the modules are imported late, because some of them import a whole workflow.
MODULES = {
    "loading": "gliomaseg.bench.loading",
    "training": "gliomaseg.bench.training",
    "prediction": "gliomaseg.bench.prediction",
    "roofline": "gliomaseg.bench.prediction",
    "startup": "gliomaseg.bench.startup",
    "scaling": "gliomaseg.bench.scaling",
}
SECTIONS = tuple(MODULES)

MeasureSection = Callable[[Fixtures], list[BenchRow]]


def chosen_sections(text: str | None) -> tuple[str, ...]:
    """Return the sections in a comma-separated list, in the order of `SECTIONS`; all sections for None.

    Raises:
        UsageError: the list is empty, or a section does not exist.

    >>> chosen_sections("startup,loading")
    ('loading', 'startup')
    """
    if text is None:
        return SECTIONS
    names = {name.strip() for name in text.split(",")} - {""}
    unknown = sorted(names - set(SECTIONS))
    if unknown or not names:
        value = ", ".join(map(repr, unknown)) or "empty"
        what = f"section is {value}, expected one of {', '.join(SECTIONS)}"
        raise UsageError(what, where="--only", cure="separate sections by commas")
    return tuple(name for name in SECTIONS if name in names)


def run_benchmark(
    sizes: Sizes, *, sections: Sequence[str] = SECTIONS, model: Path | None = None, log: Callable[[str], None]
) -> BenchReport:
    """Measure some sections and return the report. A figure that cannot be measured is a row with its reason.

    Args:
        sizes: numbers of patients, slices and turns.
        sections: names from `SECTIONS`.
        model: a run or a model folder that replaces the small network.
        log: is called with one line of progress for each step.

    Raises:
        ResourceError: the disk is full.
        ModelError: `model` is not a usable model.
    """
    start = time.perf_counter()
    machine = describe_machine()
    results = {}
    with sigterm_as_interrupt(), _temporary_folder() as folder:
        if model is not None:
            from gliomaseg.model import load_model

            model = load_model(model).folder
        fixtures = Fixtures(folder, sizes, model=model, log=log)
        for name in sections:
            log(f"== {name}")
            section_start = time.perf_counter()
            rows = _measure_section(name, fixtures)
            results[name] = Section(round(time.perf_counter() - section_start, 3), tuple(rows))
    return BenchReport(sizes.name, machine, results, round(time.perf_counter() - start, 3))


def _measure_section(name: str, fixtures: Fixtures) -> list[BenchRow]:
    try:
        return _section_function(name)(fixtures)
    except ResourceError:
        raise
    except GliomasegError as error:
        return [unmeasured_row(name, SECONDS, error)]


def _section_function(name: str) -> MeasureSection:
    function: MeasureSection = getattr(import_module(MODULES[name]), f"measure_{name}")
    return function


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """Create a folder and remove it at the end. Temporary files of libraries and child processes are inside it, too."""
    with tempfile.TemporaryDirectory(prefix="gliomaseg-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name, "temporary")
        folder.mkdir()
        old_folder, old_variable = tempfile.tempdir, os.environ.get("TMPDIR")
        tempfile.tempdir = os.environ["TMPDIR"] = str(folder)  # torch's ONNX exporter leaves caches there
        try:
            yield Path(name)
        finally:
            tempfile.tempdir = old_folder
            os.environ.pop("TMPDIR")
            if old_variable is not None:
                os.environ["TMPDIR"] = old_variable
