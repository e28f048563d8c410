"""A run in memory: everything that the training loop works with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import torch
from accelerate import Accelerator
from torch import nn

from gliomaseg.config import Recipe
from gliomaseg.data.cache import Cache
from gliomaseg.data.case import Case
from gliomaseg.errors import Interrupted
from gliomaseg.losses import Loss
from gliomaseg.training.accelerator import StopFlag
from gliomaseg.training.checkpoint import Progress, save_checkpoint
from gliomaseg.training.progress import ProgressDisplay
from gliomaseg.training.trackers import Trackers


@dataclass(frozen=True)
class Run:
    """The parts of a run. Only the network, its average, the optimiser and `progress` change during training.

    Attributes:
        folder: the run's folder.
        recipe: all settings.
        cache: the prepared slices.
        train: cases to train on.
        validation: cases to validate on.
        accelerator: device, precision and processes.
        network: the network that is trained.
        loss: the loss of the recipe.
        optimiser: over the weights of `network`.
        progress: the position in the run, and its log.
        display: shows the progress to the user.
        trackers: get the records of the epochs; None in all processes except the main one.
        stop: set when the user interrupts the run.
        average: the moving average of the weights; None if `training.ema` is 0.
    """

    folder: Path
    recipe: Recipe
    cache: Cache
    train: tuple[Case, ...]
    validation: tuple[Case, ...]
    accelerator: Accelerator
    network: nn.Module
    loss: Loss
    optimiser: torch.optim.Optimizer
    progress: Progress
    display: ProgressDisplay
    trackers: Trackers | None
    stop: StopFlag
    average: nn.Module | None = None

    @property
    def eval_network(self) -> nn.Module:
        """The network that is validated and exported: the average of the weights if there is one."""
        return self.network if self.average is None else self.average

    @property
    def last(self) -> Path:
        """The checkpoint from which the run resumes."""
        return self.folder / "checkpoint" / "last.safetensors"

    @property
    def best(self) -> Path:
        """The checkpoint of the epoch with the highest validation Dice."""
        return self.folder / "checkpoint" / "best.safetensors"

    def save(self, path: Path) -> None:
        """Write the state of the run; only the main process writes."""
        if self.accelerator.is_main_process:
            average = self.average and self.accelerator.unwrap_model(self.average)
            network = self.accelerator.unwrap_model(self.network)
            last = path == self.last
            save_checkpoint(path, network, self.optimiser, self.progress, average=average, keep_previous=last)

    def raise_if_stopped(self, activity: str) -> None:
        """Raise if the user has interrupted the run. It saves nothing: the last checkpoint is up to date.

        Raises:
            Interrupted: the user has interrupted the run.
        """
        if self.stop.requested:
            raise Interrupted(f"stopped {activity}")

    def is_stop_requested(self) -> bool:
        """Return whether the user has interrupted any process; all processes get the same answer."""
        if self.accelerator.num_processes == 1:
            return self.stop.requested
        # The signal reaches each process at a different time.
        flag = torch.tensor(float(self.stop.requested), device=self.accelerator.device)
        return bool(self.accelerator.reduce(flag, reduction="sum") > 0)

    def save_and_stop(self, when: str) -> NoReturn:
        """Save the state and stop all processes.

        Raises:
            Interrupted: always.
        """
        self.save(self.last)
        self.accelerator.wait_for_everyone()  # torchrun kills all processes as soon as one exits
        raise Interrupted(f"stopped {when}")
