"""A run from its recipe to its model folder: set up or picked up again, trained, finished."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
import torch
from torch import nn

from gliomaseg.atomic import LOCK, locked, remove, require_free, require_own, write_text
from gliomaseg.config import Recipe, read_recipe
from gliomaseg.data.cache import Cache, open_cache
from gliomaseg.data.index import Case, Index, read_index, require_outside
from gliomaseg.data.split import Fold, Splits, choose_fold, read_splits, select, split_data, write_splits
from gliomaseg.errors import ConfigError, DataError
from gliomaseg.networks import build_network
from gliomaseg.training.board import Board
from gliomaseg.training.checkpoint import Progress, load_checkpoint
from gliomaseg.training.display import display
from gliomaseg.training.finish import finish
from gliomaseg.training.loop import Run, train_epochs
from gliomaseg.training.machine import open_accelerator, polite_stop, repeatable
from gliomaseg.training.optimisation import build_optimiser

# What may differ when a run is picked up again: none of it changes the arithmetic of an epoch.
_FREE = ("epochs", "checkpoint_minutes", "export", "arithmetic")
CONFIG, CURVES = "config.toml", "curves.png"
# What a run writes into its folder: --overwrite removes nothing else.
OURS = (
    LOCK, "checkpoint", CONFIG, CURVES, "log.jsonl", "model", "samples.png", "splits.json", "tensorboard",
)  # fmt: skip


@dataclass(frozen=True)
class Order:
    """What the user asks for.

    Attributes:
        recipe: all settings.
        data: a folder in the Kaggle layout.
        out: the run's folder.
        splits: a splits file; drawn as the recipe says if None.
        fold: which of its folds.
        device: auto, cpu or cuda.
        resume: whether to pick up a run that is there.
        overwrite: whether to remove what is there.
        cache: where prepared slices are kept; the user's cache folder if None.
    """

    recipe: Recipe
    data: Path
    out: Path
    splits: Path | None = None
    fold: int = 0
    device: str = "auto"
    resume: bool = False
    overwrite: bool = False
    cache: Path | None = None


def train(order: Order, *, say: Callable[[str], None]) -> Path:
    """Train a network and leave `model/`, curves and samples in the run's folder.

    Args:
        order: what to train on what.
        say: told what goes on, a line at a time.

    Returns:
        The model folder.

    Raises:
        OutputExistsError: the run's folder holds something, and neither resume nor overwrite is set, or
            something that no run wrote.
        UsageError: another run is at work in the folder, or the folder lies inside the data.
        ConfigError: the run that is there was started with other settings.
        DataError: the data set has problems, or is not the one that the run was started with.
        TrainingError: the loss is no longer a number.
        Interrupted: the user asked to stop; the run can be resumed.
    """
    resuming = order.resume and (order.out / CONFIG).is_file()
    if resuming:
        _require_same_recipe(order)
    else:
        require_free(order.out, overwrite=order.overwrite)
        require_own(order.out, OURS)
    index = read_index(order.data)
    require_outside(index, order.out)
    splits = _splits(order, index, resuming=resuming)
    fold = choose_fold(splits, order.fold)
    _require_whole_stacks(order, splits)
    if splits.warning:
        say(f"warning: {splits.warning}")
    cache = open_cache(index, order.recipe.preparation, folder=order.cache, progress=say)
    with repeatable(), ExitStack() as stack:
        stack.enter_context(locked(order.out))
        if not resuming:
            _start_folder(order, splits)
        run = assemble(order, stack, index, fold, cache, say)
        if read_recipe(str(order.out / CONFIG)) != order.recipe:
            _write_down(order)
        train_epochs(run)
        if run.accelerator.is_main_process:
            finish(run, _setting(order, splits))
        run.accelerator.wait_for_everyone()
    return order.out / "model"


def is_finished(order: Order) -> bool:
    """Return whether a run of exactly this order is there and done: curves are what it draws last.

    Raises:
        ConfigError: a run is there that was started with other settings, be it a number of epochs.
    """
    if not (order.out / CONFIG).is_file():
        return False
    _require_same_recipe(order, free=("checkpoint_minutes",))
    return (order.out / CURVES).is_file()


def assemble(order: Order, stack: ExitStack, index: Index, fold: Fold, cache: Cache, say: Callable[[str], None]) -> Run:
    """Build network and optimiser, bring back the state of a checkpoint, and hand all of it to the loop."""
    recipe = order.recipe
    accelerator = open_accelerator(order.device, recipe.training.precision)
    torch.manual_seed(recipe.training.seed)
    # Channels last: a step of the reference on two cores took 2.4 s so, and 2.8 s in torch's own order.
    network: nn.Module = build_network(recipe.network, recipe.preparation.inputs).to(accelerator.device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(network).requires_grad_(requires_grad=False) if recipe.training.ema else None
    optimiser = build_optimiser(network, recipe.training)
    last = order.out / "checkpoint" / "last.safetensors"
    progress = _started(cache, fold)
    if last.is_file():
        loaded = load_checkpoint(last, network, optimiser, average=average)
        _require_same_sides(order, progress, loaded)
        progress = loaded
    prepared: tuple[nn.Module, torch.optim.Optimizer] = accelerator.prepare(network, optimiser)
    train_cases, validation_cases = _sides(index, fold)
    say(
        f"training {recipe.network.name} on {_count(train_cases)} slices, validating on {_count(validation_cases)}, "
        f"{accelerator.device.type}, {'bf16' if accelerator.mixed_precision == 'bf16' else 'fp32'}"
    )
    if progress.epoch or progress.step:
        say(f"picking up at batch {progress.step + 1} of epoch {progress.epoch + 1}")
    board = Board(order.out / "tensorboard", first_epoch=progress.epoch)
    stack.callback(board.close)
    return Run(
        folder=order.out,
        recipe=recipe,
        cache=cache,
        train=train_cases,
        validation=validation_cases,
        accelerator=accelerator,
        network=prepared[0],
        average=average and accelerator.prepare_model(average, evaluation_mode=True),
        optimiser=prepared[1],
        progress=progress,
        display=stack.enter_context(display(say)),
        board=board,
        stop=stack.enter_context(polite_stop()),
    )


def _started(cache: Cache, fold: Fold) -> Progress:
    sides = hashlib.sha256(json.dumps(fold.model_dump()).encode()).hexdigest()
    return Progress(digest=cache.digest, sides=sides)


def _require_same_sides(order: Order, now: Progress, before: Progress) -> None:
    if before.digest != now.digest:
        raise DataError("is not the data set that the run was started with", where=order.data)
    if before.sides not in ("", now.sides):  # else it would validate on patients that it has trained on
        raise ConfigError(
            "the run was started with another fold or split", where=order.out, cure="resume with the same"
        )


def _sides(index: Index, fold: Fold) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    train, validation = select(index, fold.train), select(index, fold.validation)
    if not train or not validation:
        raise DataError("a side of the split is empty", where=index.root, cure="draw another split")
    return train, validation


def _count(cases: tuple[Case, ...]) -> int:
    return sum(len(case.slices) for case in cases)


def _splits(order: Order, index: Index, *, resuming: bool) -> Splits:
    own = order.out / "splits.json"
    if resuming and own.is_file():
        splits = read_splits(own)
        if order.splits and read_splits(order.splits) != splits:
            raise ConfigError(
                "are not those that the run was started with", where=order.splits, cure=f"resume with {own}"
            )
        return splits
    return read_splits(order.splits) if order.splits else split_data(index, order.recipe.split)


def _require_whole_stacks(order: Order, splits: Splits) -> None:
    """Refuse neighbours where a split by slice parts them: scoring would take others for them than training did."""
    if splits.by == "slice" and order.recipe.preparation.neighbours:
        raise ConfigError(
            "a split by slice parts neighbours",
            where=order.splits or order.out,
            cure="split by patient, or use --set preparation.neighbours=0",
        )


def _start_folder(order: Order, splits: Splits) -> None:
    """Empty the run's folder and write what it was started with; `config.toml` last, as the mark of a run."""
    # The entries and not the folder: it may be the current one, or a volume's.
    for entry in order.out.iterdir():
        if entry.name != LOCK:
            remove(entry)
    write_splits(splits, order.out / "splits.json")
    _write_down(order)


def _write_down(order: Order) -> None:
    """Write the recipe; what was exported by another one is no longer the end of this run."""
    (order.out / CURVES).unlink(missing_ok=True)
    write_text(order.out / CONFIG, tomli_w.dumps(_without_none(order.recipe.model_dump())))


def _without_none(tree: dict[str, Any]) -> dict[str, Any]:
    """TOML has no null: a setting that is None is left out, and comes back as its default."""
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in tree.items()
        if value is not None
    }


def _require_same_recipe(order: Order, *, free: tuple[str, ...] = _FREE) -> None:
    config = order.out / CONFIG
    before, now = read_recipe(str(config)).model_dump(), order.recipe.model_dump()
    training = order.recipe.training
    scheduled = (
        training.schedule != "constant" or training.warmup > 0
    )  # the rate of each step then depends on the length
    last = before["training"]["export"] == now["training"]["export"] == "last"
    for tree in (before, now):
        for key in free:
            if key != "epochs" or not scheduled:
                tree["training"].pop(key)
        if order.splits:  # the file decides, not the recipe's section
            tree.pop("split")
        # How masks are made of probabilities changes no weight, but may change which epoch was best.
        if "export" in free and last:
            tree.pop("decision")
    if before != now:
        changed = next(f"{s}.{k}" for s in now for k in _keys(now[s], before[s]))
        raise ConfigError(
            f"the run was started with another {changed}", where=config, cure="resume with the same recipe and settings"
        )


def _keys(now: Any, before: Any) -> list[str]:
    if not isinstance(now, dict):
        return ["title"] if now != before else []
    return [key for key in {**now, **before} if now.get(key) != before.get(key)]


def _setting(order: Order, splits: Splits) -> dict[str, Any]:
    return {
        "data": order.data.resolve().name,
        "split": splits.by,
        "seed": splits.seed,
        "subset": "validation",
        "fold": order.fold,
        "warning": splits.warning,
    }
