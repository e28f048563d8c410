"""Our side of training: the loop that `gliomaseg train` runs, on a run that it assembles, epoch by epoch."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from gliomaseg.benchmark.material import Material
from gliomaseg.benchmark.training import chosen_slices
from gliomaseg.data.cache import open_cache
from gliomaseg.data.split import Fold
from gliomaseg.training.display import Display
from gliomaseg.training.loop import train_one_epoch
from gliomaseg.training.machine import StopRequest, repeatable
from gliomaseg.training.run import Order, assemble


class OwnTraining:
    """A run of the reference recipe on a few slices."""

    def __init__(self, material: Material, count: int) -> None:
        recipe = material.plan.reference.with_settings(["training.epochs=1000"])
        names = tuple(sorted(chosen_slices(material, count)))
        cache = open_cache(material.index, recipe.preparation, folder=material.folder / "cache")
        order = Order(recipe, material.index.root, material.folder / "run")
        with ExitStack() as stack:  # its Ctrl-C would wait for a checkpoint: here it acts at once
            fold = Fold(train=names, validation=names)
            run = assemble(order, stack, material.index, fold, cache, lambda _line: None)
        self._run = replace(run, display=Display(lambda _line: None, None), stop=StopRequest())
        self.precision = "bf16" if run.accelerator.mixed_precision == "bf16" else "fp32"
        self.images = count
        self.loss = float("nan")

    def epoch(self) -> None:
        """Go through the slices once; `loss` is then the epoch's mean."""
        progress = self._run.progress
        with repeatable():
            train_one_epoch(self._run)
        self.loss = progress.loss_sum / progress.images
        progress.epoch, progress.step = progress.epoch + 1, 0
        progress.loss_sum, progress.images, progress.seconds = 0.0, 0, 0.0
