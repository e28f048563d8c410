"""Our side of training: the loop that `gliomaseg train` runs, on a run that it assembles, epoch by epoch."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

import torch

from gliomaseg.bench.fixtures import Fixtures
from gliomaseg.bench.training import chosen_slices
from gliomaseg.data.cache import open_cache
from gliomaseg.data.split import Fold
from gliomaseg.training.accelerator import StopFlag, deterministic, open_accelerator
from gliomaseg.training.loop import train_one_epoch
from gliomaseg.training.progress import ProgressDisplay
from gliomaseg.training.run_folder import TrainOptions
from gliomaseg.training.train import build_run, split_cases

STEPS_ON_GPU = 25  # a step takes milliseconds there, and a clock wants more


def image_count(material: Fixtures) -> int:
    """Return how many images a turn trains on: whole batches, where there are as many slices."""
    steps = material.plan.steps * (STEPS_ON_GPU if torch.cuda.is_available() else 1)
    return min(steps * material.plan.reference.training.batch, material.index.slice_count)


class OurTraining:
    """A run of the reference recipe on a few slices."""

    def __init__(self, material: Fixtures, count: int) -> None:
        recipe = material.plan.reference.with_settings(["training.epochs=1000"])
        names = tuple(sorted(chosen_slices(material, count)))
        cache = open_cache(material.index, recipe.preprocessing, folder=material.folder / "cache")
        order = TrainOptions(recipe, material.index.root, Path(mkdtemp(prefix="run-", dir=material.folder)))
        with ExitStack() as stack:  # its Ctrl-C would wait for a checkpoint: here it acts at once
            fold = Fold(train=names, validation=names)
            accelerator = open_accelerator(order.device, recipe.training.precision)
            run = build_run(order, accelerator, stack, split_cases(material.index, fold, cache), lambda _line: None)
        self._run = replace(run, display=ProgressDisplay(lambda _line: None, None), stop=StopFlag())
        self.what = f"our loop, {'bf16' if run.accelerator.mixed_precision == 'bf16' else 'fp32'}"
        self.loss = float("nan")

    def epoch(self) -> float:
        """Go through the slices once, and return the seconds; `loss` is then the epoch's mean."""
        progress = self._run.progress
        start = time.perf_counter()
        with deterministic():
            train_one_epoch(self._run)
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # the last step is still under way
        seconds = time.perf_counter() - start
        self.loss = progress.loss_sum / progress.images
        progress.epoch, progress.step = progress.epoch + 1, 0
        progress.loss_sum, progress.images, progress.seconds = 0.0, 0, 0.0
        return seconds
