"""Resuming a run: its last sound checkpoint, and what must be as it was when the run was started."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from torch import nn

import gliomaseg
from gliomaseg.atomic import link
from gliomaseg.errors import ConfigError, DataError
from gliomaseg.training.checkpoint import PREVIOUS, Progress, load_checkpoint
from gliomaseg.training.run_folder import LAST, TrainOptions, require_same_digest

# The source files on which the weights of a run depend, beside its recipe and its prepared slices.
_SOURCES = (
    "data/augmentation", "data/batches.py", "losses.py", "networks", "preprocessing",
    "training/accelerator.py", "training/loop.py", "training/optimiser.py", "training/synchronised.py",
)  # fmt: skip


def has_checkpoint(run: Path) -> bool:
    """Return whether a run's folder has a checkpoint, sound or damaged."""
    last = run / LAST
    return last.is_file() or last.with_name(PREVIOUS).is_file()


def load_last_checkpoint(
    run: Path,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    *,
    average: nn.Module | None,
    say: Callable[[str], None],
) -> Progress:
    """Load the last checkpoint of a run; if it is damaged or missing, load the one before, which becomes the last.

    Raises:
        DataError: neither file is a checkpoint of this network.
    """
    last = run / LAST
    try:
        return load_checkpoint(last, network, optimiser, average=average)
    except DataError as fault:
        previous = last.with_name(PREVIOUS)
        if not previous.is_file():
            raise
        try:
            progress = load_checkpoint(previous, network, optimiser, average=average)
        except DataError:
            raise fault from None
        link(previous, last)  # otherwise the next save would give the damaged file the name of the sound one
        say(f"warning: {fault.where}: {fault.what}; going on from the checkpoint before it, {previous.name}")
        return progress


def require_same_run(options: TrainOptions, now: Progress, before: Progress) -> None:
    """Check that data, split and code are as when the run was started. A run without open epochs may have other code.

    Raises:
        DataError: the data set differs.
        ConfigError: the split or the code differs.
    """
    require_same_digest(options, now.digest, before.digest)
    # With another split, the run would validate on patients that it was trained on.
    if before.sides not in ("", now.sides):
        raise ConfigError(
            "the fold or split differs from the one that the run was started with",
            where=options.out,
            cure="resume with the same splits file and fold",
        )
    if before.code not in ("", now.code) and before.epoch < options.recipe.training.epochs:
        raise ConfigError(
            f"code of the training is {before.code}, expected {now.code} as in this installation",
            where=options.out / LAST,
            cure="install that version again, or name another --out",
        )


@cache
def code_version() -> str:
    """Return the versions of gliomaseg and torch, with the start of the SHA-256 of the source files that train."""
    package = Path(gliomaseg.__file__).parent
    digest = hashlib.sha256()
    for name in _SOURCES:
        source = package / name
        for file in sorted(source.rglob("*.py")) if source.is_dir() else [source]:
            digest.update(file.relative_to(package).as_posix().encode() + b"\0" + file.read_bytes())
    return f"gliomaseg {gliomaseg.__version__} ({digest.hexdigest()[:12]}) with torch {torch.__version__}"
