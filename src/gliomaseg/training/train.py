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

import torch
from accelerate import Accelerator
from torch import nn

from gliomaseg.atomic import locked
from gliomaseg.config import read_recipe
from gliomaseg.data.batches import on_device
from gliomaseg.data.cache import Cache, open_cache
from gliomaseg.data.index import Case, DataIndex, read_index, require_outside
from gliomaseg.data.split import Fold, Splits, choose_fold, read_splits, select, split_data
from gliomaseg.errors import ConfigError, DataError
from gliomaseg.networks import build_network
from gliomaseg.training.accelerator import deterministic, handle_signals, open_accelerator
from gliomaseg.training.artifacts import write_artifacts
from gliomaseg.training.checkpoint import Progress, load_checkpoint
from gliomaseg.training.loop import Run, train_epochs
from gliomaseg.training.optimiser import build_optimiser
from gliomaseg.training.progress import ProgressDisplay, open_display
from gliomaseg.training.run_folder import CONFIG, TrainOptions, require_out_folder, start_folder, write_settings
from gliomaseg.training.tensorboard import TensorBoard


def train(order: TrainOptions, *, say: Callable[[str], None]) -> Path:
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
    accelerator = open_accelerator(order.device, order.recipe.training.precision)
    resuming = order.resume and (order.out / CONFIG).is_file()
    if accelerator.is_main_process:
        require_out_folder(order, resuming=resuming)
        _require_enough(order.recipe.training.batch, accelerator.num_processes)
    else:
        say = _say_nothing
    index = read_index(order.data)
    require_outside(index, order.out)
    splits = _splits(order, index, resuming=resuming)
    fold = choose_fold(splits, order.fold)
    _require_whole_stacks(order, splits)
    if splits.warning:
        say(f"warning: {splits.warning}")
    with accelerator.main_process_first():
        cache = open_cache(index, order.recipe.preprocessing, folder=order.cache, progress=say)
    sides = split_cases(index, fold, cache)
    _train(order, accelerator, sides, splits, resuming=resuming, say=say)
    return order.out / "model"


def _train(
    order: TrainOptions,
    accelerator: Accelerator,
    sides: CaseSplit,
    splits: Splits,
    *,
    resuming: bool,
    say: Callable[[str], None],
) -> None:
    """Train and finish; only the first process reads and writes the run's folder, the others just learn."""
    leads = accelerator.is_main_process
    with deterministic(), ExitStack() as stack:
        if leads:
            stack.enter_context(locked(order.out))
            if not resuming:
                start_folder(order, splits)
        accelerator.wait_for_everyone()
        run = build_run(order, accelerator, stack, sides, say)
        if leads and read_recipe(str(order.out / CONFIG)) != order.recipe:
            write_settings(order)
        train_epochs(run)
        if leads:
            write_artifacts(run, _setting(order, splits))
        accelerator.wait_for_everyone()


def _require_enough(batch: int, processes: int) -> None:
    if batch < processes:
        raise ConfigError(
            f"a batch of {batch} is too small for {processes} processes",
            where="training.batch",
            cure="make it larger, or start fewer",
        )


@dataclass(frozen=True)
class CaseSplit:
    """Prepared slices, and whose train and validate; `digest` tells one such split from another."""

    cache: Cache
    train: tuple[Case, ...]
    validation: tuple[Case, ...]
    digest: str


def split_cases(index: DataIndex, fold: Fold, cache: Cache) -> CaseSplit:
    """Return the sides of a fold.

    Raises:
        DataError: one of them is empty.
    """
    train, validation = select(index, fold.train), select(index, fold.validation)
    if not train or not validation:
        raise DataError("a side of the split is empty", where=index.root, cure="draw another split")
    return CaseSplit(cache, train, validation, hashlib.sha256(json.dumps(fold.model_dump()).encode()).hexdigest())


def build_run(
    order: TrainOptions, accelerator: Accelerator, stack: ExitStack, sides: CaseSplit, say: Callable[[str], None]
) -> Run:
    """Build network and optimiser, bring back the state of a checkpoint, and hand all of it to the loop."""
    recipe = order.recipe
    torch.manual_seed(recipe.training.seed)
    # Channels last: a step of the reference on two cores took 2.4 s so, and 2.8 s in torch's own order.
    network: nn.Module = build_network(recipe.network, recipe.preprocessing.inputs).to(accelerator.device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(network).requires_grad_(requires_grad=False) if recipe.training.ema else None
    optimiser = build_optimiser(network, recipe.training)
    last = order.out / "checkpoint" / "last.safetensors"
    progress = Progress(digest=sides.cache.digest, sides=sides.digest)
    if last.is_file():
        loaded = load_checkpoint(last, network, optimiser, average=average)
        _require_same_sides(order, progress, loaded)
        progress = loaded
    prepared: tuple[nn.Module, torch.optim.Optimizer] = accelerator.prepare(network, optimiser)
    processes = f", {accelerator.num_processes} processes" if accelerator.num_processes > 1 else ""
    say(
        f"training {recipe.network.name} on {_count(sides.train)} slices, validating on {_count(sides.validation)}, "
        f"{accelerator.device.type}, {'bf16' if accelerator.mixed_precision == 'bf16' else 'fp32'}{processes}"
    )
    if progress.epoch or progress.step:
        say(f"picking up at batch {progress.step + 1} of epoch {progress.epoch + 1}")
    return Run(
        folder=order.out,
        recipe=recipe,
        cache=on_device(sides.cache, accelerator.device),
        train=sides.train,
        validation=sides.validation,
        accelerator=accelerator,
        network=prepared[0],
        average=average and accelerator.prepare_model(average, evaluation_mode=True),
        optimiser=prepared[1],
        progress=progress,
        display=stack.enter_context(open_display(say)) if accelerator.is_main_process else ProgressDisplay(say, None),
        board=_board(order, accelerator, stack, first_epoch=progress.epoch),
        stop=stack.enter_context(handle_signals()),
    )


def _board(order: TrainOptions, accelerator: Accelerator, stack: ExitStack, *, first_epoch: int) -> TensorBoard | None:
    """Open TensorBoard's log in the one process that writes."""
    if not accelerator.is_main_process:
        return None
    board = TensorBoard(order.out / "tensorboard", first_epoch=first_epoch)
    stack.callback(board.close)
    return board


def _say_nothing(text: str) -> None:
    """One process speaks for all."""


def _require_same_sides(order: TrainOptions, now: Progress, before: Progress) -> None:
    if before.digest != now.digest:
        raise DataError("is not the data set that the run was started with", where=order.data)
    if before.sides not in ("", now.sides):  # else it would validate on patients that it has trained on
        raise ConfigError(
            "the run was started with another fold or split", where=order.out, cure="resume with the same"
        )


def _count(cases: tuple[Case, ...]) -> int:
    return sum(len(case.slices) for case in cases)


def _splits(order: TrainOptions, index: DataIndex, *, resuming: bool) -> Splits:
    own = order.out / "splits.json"
    if resuming and own.is_file():
        splits = read_splits(own)
        if order.splits and read_splits(order.splits) != splits:
            raise ConfigError(
                "are not those that the run was started with", where=order.splits, cure=f"resume with {own}"
            )
        return splits
    return read_splits(order.splits) if order.splits else split_data(index, order.recipe.split)


def _require_whole_stacks(order: TrainOptions, splits: Splits) -> None:
    """Refuse neighbours where a split by slice parts them: scoring would take others for them than training did."""
    if splits.by == "slice" and order.recipe.preprocessing.context_slices:
        raise ConfigError(
            "a split by slice parts neighbours",
            where=order.splits or order.out,
            cure="split by patient, or use --set preprocessing.context_slices=0",
        )


def _setting(order: TrainOptions, splits: Splits) -> dict[str, Any]:
    return {
        "data": order.data.resolve().name,
        "split": splits.by,
        "seed": splits.seed,
        "subset": "validation",
        "fold": order.fold,
        "warning": splits.warning,
    }
