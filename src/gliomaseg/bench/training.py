"""The section `training`: the reference recipe in gliomaseg's loop, a notebook's loop and Lightning's Trainer."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Protocol

from gliomaseg.bench.fixtures import Fixtures, import_train_extra
from gliomaseg.bench.timing import BenchRow, Timing, alternate, rates, unmeasured_row
from gliomaseg.data.cache import open_cache
from gliomaseg.data.split import Fold
from gliomaseg.errors import MissingExtraError

UNIT = "images/s"
NOTEBOOK, LIGHTNING = "against a notebook's loop", "against Lightning's Trainer"
GPU_STEPS_FACTOR = 25  # a step on a GPU takes milliseconds: more steps make the time measurable


class TrainingLoop(Protocol):
    """The interface of the three loops.

    Attributes:
        label: the loop and its precision.
        loss: mean loss of the last epoch.
    """

    label: str
    loss: float

    def epoch(self) -> float:
        """Train on all slices once, and return the duration in seconds."""


def measure_training(fixtures: Fixtures) -> list[BenchRow]:
    """Return one row for each baseline: images a second, with few training steps a turn."""
    baselines = ((NOTEBOOK, _notebook_loop), (LIGHTNING, _lightning_loop))
    return [_measure_loops(fixtures, name, open_baseline) for name, open_baseline in baselines]


def _measure_loops(fixtures: Fixtures, name: str, open_baseline: Callable[[Fixtures, int], TrainingLoop]) -> BenchRow:
    figure = f"{fixtures.sizes.reference_recipe.network.name}, {name}"
    try:
        import_train_extra("gliomaseg.training.train")
        count = _images_per_turn(fixtures)
        baseline = open_baseline(fixtures, count)
    except MissingExtraError as error:
        return unmeasured_row(figure, UNIT, error)
    fixtures.log(f"training {name}")
    ours = GliomasegLoop(fixtures, count)  # a new loop for each baseline, so that both take the same steps
    ours_s, baseline_s = alternate(
        ours.epoch, baseline.epoch, turns=fixtures.sizes.turns, budget_s=fixtures.sizes.budget_s
    )
    return BenchRow(
        figure,
        UNIT,
        Timing(ours.label, rates(ours_s, count)),
        Timing(baseline.label, rates(baseline_s, count)),
        {"loss_ours": ours.loss, "loss_peer": baseline.loss, "images_a_turn": count},
    )


def _images_per_turn(fixtures: Fixtures) -> int:
    """Return the number of images of a turn: whole batches, but at most all slices."""
    import torch

    steps = fixtures.sizes.training_steps * (GPU_STEPS_FACTOR if torch.cuda.is_available() else 1)
    return min(
        steps * fixtures.sizes.reference_recipe.training.batch, sum(len(case.slices) for case in fixtures.index.cases)
    )


class GliomasegLoop:
    """The loop of `gliomaseg train`, on the first slices of the data set."""

    def __init__(self, fixtures: Fixtures, count: int) -> None:
        """Build a run of the reference recipe that trains on the first `count` slices."""
        from gliomaseg.training.accelerator import StopFlag, open_accelerator
        from gliomaseg.training.progress import ProgressDisplay
        from gliomaseg.training.run_folder import TrainOptions
        from gliomaseg.training.train import build_run, split_cases

        recipe = fixtures.sizes.reference_recipe.with_settings(["training.epochs=1000"])
        names = tuple(sorted(_first_slice_names(fixtures, count)))
        cache = open_cache(fixtures.index, recipe.preprocessing, folder=fixtures.folder / "cache")
        options = TrainOptions(recipe, fixtures.index.root, Path(mkdtemp(prefix="run-", dir=fixtures.folder)))
        with ExitStack() as stack:  # removes the run's signal handlers: Ctrl-C must not wait for a checkpoint here
            fold = Fold(train=names, validation=names)
            accelerator = open_accelerator(options.device, recipe.training.precision)
            cases = split_cases(fixtures.index, fold, cache)
            run = build_run(options, accelerator, stack, cases, lambda _line: None)
        self._run = replace(run, display=ProgressDisplay(lambda _line: None, None), stop=StopFlag())
        self.label = f"our loop, {'bf16' if run.accelerator.mixed_precision == 'bf16' else 'fp32'}"
        self.loss = float("nan")

    def epoch(self) -> float:
        """Train on all slices once, and return the duration in seconds. `loss` becomes the mean of the epoch."""
        import torch

        from gliomaseg.training.accelerator import deterministic
        from gliomaseg.training.loop import train_one_epoch

        progress = self._run.progress
        start = time.perf_counter()
        with deterministic():
            train_one_epoch(self._run)
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # the GPU may still compute the last step
        seconds = time.perf_counter() - start
        self.loss = progress.loss_sum / progress.images
        progress.epoch, progress.step = progress.epoch + 1, 0
        progress.loss_sum, progress.images, progress.seconds = 0.0, 0, 0.0
        return seconds


def _first_slice_names(fixtures: Fixtures, count: int) -> tuple[str, ...]:
    return tuple(name for case in fixtures.index.cases for name in case.slice_names)[:count]


def _notebook_loop(fixtures: Fixtures, count: int) -> TrainingLoop:
    from gliomaseg.bench.baselines.training_loops import NotebookLoop

    return _open_baseline(NotebookLoop, fixtures, count)


def _lightning_loop(fixtures: Fixtures, count: int) -> TrainingLoop:
    from gliomaseg.bench.baselines.training_loops import LightningLoop, import_lightning

    import_lightning()  # before a network is built: the import may fail
    return _open_baseline(LightningLoop, fixtures, count)


def _open_baseline(loop: Callable[..., TrainingLoop], fixtures: Fixtures, count: int) -> TrainingLoop:
    """Return a baseline with the same initial weights, slices, batch size and learning rate as `GliomasegLoop`."""
    import torch

    from gliomaseg.networks import build_network

    recipe = fixtures.sizes.reference_recipe
    torch.manual_seed(recipe.training.seed)
    return loop(
        build_network(recipe.network, recipe.preprocessing.inputs),
        fixtures.image_files[:count],
        size_px=recipe.preprocessing.size_px,
        batch=recipe.training.batch,
        learning_rate=recipe.training.learning_rate,
    )
