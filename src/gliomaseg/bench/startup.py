"""Start: from the shell to the answer, in a process of its own each time; files may lie in the system's memory."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from gliomaseg.atomic import remove
from gliomaseg.bench.fixtures import Fixtures
from gliomaseg.bench.hardware import GLIOMASEG, run
from gliomaseg.bench.timing import SECONDS, BenchRow, Timing, Turn, alternate
from gliomaseg.errors import GliomasegError, MissingExtraError

SCRIPT = Path(__file__).parent / "baselines" / "script.py"
HELP, MASK = "--help", "a volume to the mask on disk"
PEER = "a plain script with PyTorch"


def measure(material: Fixtures) -> list[BenchRow]:
    """Return two rows: what `--help` takes, and what one volume takes to its mask."""
    folder = material.folder / "start"
    folder.mkdir()
    material.log("cold starts")
    rows = [_row(material, HELP, lambda: _help(folder))]
    return [*rows, _row(material, f"{material.plan.volume_slices} slices, {MASK}", lambda: _mask(material, folder))]


def _row(material: Fixtures, figure: str, turns: Callable[[], tuple[Turn, Turn]]) -> BenchRow:
    try:
        ours, peer = turns()
        if find_spec("torch") is None:
            own_s = tuple(ours() for _ in range(material.plan.starts))
            return BenchRow(
                figure, SECONDS, Timing("gliomaseg", own_s), status="left out", reason="torch is not installed"
            )
        own_s, peer_s = alternate(ours, peer, pairs=material.plan.starts, budget_s=material.plan.budget_s)
    except MissingExtraError as fault:
        return BenchRow(figure, SECONDS, status="left out", reason=fault.line())
    except GliomasegError as fault:
        return BenchRow(figure, SECONDS, status="failed", reason=fault.line())
    # The script resizes where we turn, cut and resample: the masks are no equals, and are not compared.
    return BenchRow(figure, SECONDS, Timing("gliomaseg", own_s), Timing(PEER, peer_s))


def _help(folder: Path) -> tuple[Turn, Turn]:
    return (
        lambda: run(*GLIOMASEG, "--help", folder=folder)[1],
        lambda: run(sys.executable, str(SCRIPT), "--help", folder=folder)[1],
    )


def _mask(material: Fixtures, folder: Path) -> tuple[Turn, Turn]:
    model = material.small_for_both.resolve()
    model = model / "model" if (model / "model").is_dir() else model
    volume, out, mask = material.volume, folder / "masks", folder / "mask.nii.gz"

    def ours() -> float:
        remove(out)
        return run(*GLIOMASEG, "predict", str(volume), "--out", str(out), "--model", str(model), folder=folder)[1]

    def peer() -> float:
        mask.unlink(missing_ok=True)
        files = ("--model", str(model), "--volume", str(volume), "--mask", str(mask))
        return run(sys.executable, str(SCRIPT), *files, folder=folder)[1]

    return ours, peer
