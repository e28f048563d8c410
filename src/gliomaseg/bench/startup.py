"""The section `startup`: cold starts, from the shell to the result. Each turn is a new process.

Files that a turn has read may stay in the system's file cache.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from gliomaseg.atomic import remove
from gliomaseg.bench.fixtures import Fixtures
from gliomaseg.bench.timing import (
    GLIOMASEG_COMMAND,
    SECONDS,
    BenchRow,
    Timing,
    Turn,
    alternate,
    run_process,
    try_measurement,
)

SCRIPT = Path(__file__).parent / "baselines" / "script.py"
HELP, MASK = "--help", "a volume to the mask on disk"
BASELINE = "a plain script with PyTorch"


def measure_startup(fixtures: Fixtures) -> list[BenchRow]:
    """Return two rows: seconds until the end of `--help`, and until the mask of one volume is written."""
    folder = fixtures.folder / "start"
    folder.mkdir()
    fixtures.log("cold starts")
    measurements: dict[str, Callable[[], tuple[Turn, Turn]]] = {
        HELP: partial(_help_turns, folder),
        f"{fixtures.sizes.volume_slices} slices, {MASK}": partial(_mask_turns, fixtures, folder),
    }
    return [
        try_measurement(figure, SECONDS, partial(_measure_starts, fixtures, open_turns))
        for figure, open_turns in measurements.items()
    ]


def _measure_starts(fixtures: Fixtures, open_turns: Callable[[], tuple[Turn, Turn]], figure: str) -> BenchRow:
    ours, baseline = open_turns()
    sizes = fixtures.sizes
    if find_spec("torch") is None:
        timing = Timing("gliomaseg", tuple(ours() for _ in range(sizes.startup_turns)))
        return BenchRow(figure, SECONDS, timing, status="left out", reason="torch is not installed")
    ours_s, baseline_s = alternate(ours, baseline, turns=sizes.startup_turns, budget_s=sizes.budget_s)
    # The masks are not compared: the script only resizes, gliomaseg also rotates, crops and resamples.
    return BenchRow(figure, SECONDS, Timing("gliomaseg", ours_s), Timing(BASELINE, baseline_s))


def _help_turns(folder: Path) -> tuple[Turn, Turn]:
    return (
        lambda: run_process(*GLIOMASEG_COMMAND, "--help", folder=folder)[1],
        lambda: run_process(sys.executable, str(SCRIPT), "--help", folder=folder)[1],
    )


def _mask_turns(fixtures: Fixtures, folder: Path) -> tuple[Turn, Turn]:
    model = fixtures.small_fp32_model.resolve()
    model = model / "model" if (model / "model").is_dir() else model
    volume, out, mask = fixtures.volume, folder / "masks", folder / "mask.nii.gz"

    def ours() -> float:
        remove(out)
        arguments = ("predict", str(volume), "--out", str(out), "--model", str(model))
        return run_process(*GLIOMASEG_COMMAND, *arguments, folder=folder)[1]

    def baseline() -> float:
        mask.unlink(missing_ok=True)
        arguments = ("--model", str(model), "--volume", str(volume), "--mask", str(mask))
        return run_process(sys.executable, str(SCRIPT), *arguments, folder=folder)[1]

    return ours, baseline
