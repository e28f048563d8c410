"""The loop, top to bottom.

Nothing in it depends on what happened before but the state that a checkpoint holds: the order comes
from (seed, epoch), augmentation from (seed, epoch, slice), dropout from (seed, epoch, step), and the rate
from the place in the run. A run that is stopped anywhere and resumed ends with the same bits as one that was not.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from gliomaseg.atomic import write_text
from gliomaseg.config import Recipe
from gliomaseg.data.batches import SLICE, batches, epoch_picks, load_batch, training_batch
from gliomaseg.data.cache import Cache
from gliomaseg.data.index import Case
from gliomaseg.errors import Interrupted, TrainingError
from gliomaseg.evaluation import summarise
from gliomaseg.losses import build_loss
from gliomaseg.metrics.overlap import Counts
from gliomaseg.training.accelerator import StopFlag
from gliomaseg.training.checkpoint import Progress, save_checkpoint
from gliomaseg.training.optimiser import ema_decay, learning_rate, update_ema
from gliomaseg.training.progress import ProgressDisplay
from gliomaseg.training.tensorboard import TensorBoard
from gliomaseg.types import SliceIndices


@dataclass(frozen=True)
class Run:
    """What a run is made of; only the network, its average, the optimiser and `progress` change.

    `average` is that of the weights, step after step; None where the settings ask for none.
    """

    folder: Path
    recipe: Recipe
    cache: Cache
    train: tuple[Case, ...]
    validation: tuple[Case, ...]
    accelerator: Accelerator
    network: nn.Module
    optimiser: torch.optim.Optimizer
    progress: Progress
    display: ProgressDisplay
    board: TensorBoard | None  # in the one process that writes
    stop: StopFlag
    average: nn.Module | None = None

    @property
    def eval_network(self) -> nn.Module:
        """What is validated and exported: the average of the weights, where there is one."""
        return self.network if self.average is None else self.average

    @property
    def last(self) -> Path:
        """The checkpoint that the run resumes from."""
        return self.folder / "checkpoint" / "last.safetensors"

    @property
    def best(self) -> Path:
        """The checkpoint of the epoch that scored best on the validation side."""
        return self.folder / "checkpoint" / "best.safetensors"

    def save(self, path: Path) -> None:
        """Write the state of the run, from one process only."""
        if self.accelerator.is_main_process:
            average = self.average and self.accelerator.unwrap_model(self.average)
            network = self.accelerator.unwrap_model(self.network)
            save_checkpoint(path, network, self.optimiser, self.progress, average=average)

    def raise_if_stopped(self, place: str) -> None:
        """Leave if the user has asked to; what is to be resumed is saved already.

        Raises:
            Interrupted: the user has asked.
        """
        if self.stop.asked:
            raise Interrupted(f"stopped {place}")

    def is_stop_requested(self) -> bool:
        """Return whether any process was asked to stop: the same answer in all of them, at the same place."""
        if self.accelerator.num_processes == 1:
            return self.stop.asked
        # A signal reaches each process at its own time.
        flag = torch.tensor(float(self.stop.asked), device=self.accelerator.device)
        return bool(self.accelerator.reduce(flag, reduction="sum") > 0)

    def leave(self, place: str) -> NoReturn:
        """Save and leave, all processes together.

        Raises:
            Interrupted: always.
        """
        self.save(self.last)
        self.accelerator.wait_for_everyone()  # torchrun ends all when one has left
        raise Interrupted(f"stopped {place}")


@dataclass(frozen=True)
class Step:
    """A batch that was learned from; a GPU may still be working on its loss."""

    number: int
    picks: SliceIndices
    images: int
    loss: Tensor


def train_epochs(run: Run) -> None:
    """Train from where the run stands to its last epoch.

    Raises:
        TrainingError: a loss is not a number; the last checkpoint keeps the last good weights.
        Interrupted: the user asked to stop; the state is saved.
        ResourceError: the disk is full; the last checkpoint is whole.
    """
    progress = run.progress
    while progress.epoch < run.recipe.training.epochs:
        train_one_epoch(run)
        line = finish_epoch(run)
        if progress.best is None or (line["dice_volume"] or 0.0) > progress.best:
            progress.best = line["dice_volume"] or 0.0
            run.save(run.best)
        run.save(run.last)
        if run.board is not None:
            write_text(run.folder / "log.jsonl", "".join(json.dumps(entry) + "\n" for entry in progress.history))
            run.board.write(line)
        if run.is_stop_requested():
            run.leave(f"after epoch {progress.epoch}")
        run.accelerator.wait_for_everyone()


def train_one_epoch(run: Run) -> None:
    """Go through the training slices once, from the batch where the run stands."""
    training, progress, accelerator = run.recipe.training, run.progress, run.accelerator
    picks = epoch_picks(run.cache, run.cache.positions(run.train), training, progress.epoch)
    # A rest that is too small for all processes is left out: one without a slice would keep the others waiting.
    steps = [some for some in batches(picks, training.batch) if len(some) >= accelerator.num_processes]
    run.network.train()
    saved, tick = time.monotonic(), time.monotonic()
    before: Step | None = None  # not counted yet while this one is worked on; before anything is saved, there is none
    for step in range(progress.step, len(steps)):
        mine = steps[step][accelerator.process_index :: accelerator.num_processes]
        latest = Step(step, mine, len(steps[step]), _learn(run, mine, step=step, steps=len(steps)))
        if before is not None:
            tick = _count(run, before, steps=len(steps), tick=tick)
        stop, due = run.is_stop_requested(), time.monotonic() - saved > 60 * training.checkpoint_minutes
        if stop or due or step + 1 == len(steps) or not runs_ahead(accelerator):
            tick, before = _count(run, latest, steps=len(steps), tick=tick), None
        else:
            before = latest
        if stop:
            run.leave(f"after batch {step + 1} of epoch {progress.epoch + 1}")
        if due:
            run.save(run.last)
            saved = time.monotonic()


def runs_ahead(accelerator: Accelerator) -> bool:
    """Return whether a step's loss is asked for after the next one has begun: a GPU would have to be waited for."""
    return bool(accelerator.device.type == "cuda")


def _count(run: Run, step: Step, *, steps: int, tick: float) -> float:
    """Add a step to the run's progress, and return the time.

    Raises:
        TrainingError: its loss is not a number; weights that learned from it are saved nowhere.
    """
    progress, value = run.progress, float(step.loss)
    if not math.isfinite(value):
        raise _not_finite(run, step.number, step.picks[:, SLICE], value)
    now = time.monotonic()
    progress.step = step.number + 1
    progress.loss_sum += value * step.images
    progress.images += step.images
    progress.seconds += now - tick
    run.display.step(
        f"epoch {progress.epoch + 1}/{run.recipe.training.epochs}",
        progress.step,
        steps,
        loss=progress.loss_sum / progress.images,
        images_per_s=progress.images / progress.seconds,
    )
    return now


def _learn(run: Run, picks: SliceIndices, *, step: int, steps: int) -> Tensor:
    """Learn from one batch and return its loss, a scalar on the run's device; that it is a number is seen later."""
    training, progress, accelerator = run.recipe.training, run.progress, run.accelerator
    before = progress.epoch * steps + step
    # Else all processes would drop the same features out.
    own = (accelerator.process_index,) if accelerator.process_index else ()
    torch.manual_seed(_seed(training.seed, progress.epoch, step, *own))
    images, masks = training_batch(run.cache, picks, run.recipe, epoch=progress.epoch, device=accelerator.device)
    loss = build_loss(training.loss)(run.network(images), masks)
    # From the place in the run alone, so that there is no state to resume.
    for group in run.optimiser.param_groups:
        group["lr"] = learning_rate(training, before / (training.epochs * steps))
    run.optimiser.zero_grad(set_to_none=True)
    accelerator.backward(loss)
    if training.clip_norm:
        accelerator.clip_grad_norm_(run.network.parameters(), training.clip_norm)
    run.optimiser.step()
    if run.average is not None:
        update_ema(run.average, run.network, ema_decay(training.ema, before))
    return loss.detach()


def finish_epoch(run: Run) -> dict[str, Any]:
    """Measure the validation side, append the epoch's line to the history, and step to the next epoch."""
    progress = run.progress
    start = time.monotonic()
    loss, counts = validate(run)
    summary = summarise(counts)
    line = {
        "epoch": progress.epoch + 1,
        "train_loss": progress.loss_sum / max(1, progress.images),
        "validation_loss": loss,
        "dice_volume": summary.measures["dice_volume"].mean,
        "dice_tumour_slices": summary.measures["dice_tumour_slices"].mean,
        "dice_slices_empty_one": summary.measures["dice_slices_empty_one"].mean,
        "dice_batch": summary.measures["dice_batch"].mean,
        "empty_slice_false_positive_rate": summary.measures["empty_slice_false_positive_rate"].mean,
        "images": progress.images,
        "train_seconds": round(progress.seconds, 3),
        "validation_seconds": round(time.monotonic() - start, 3),
        "images_per_s": round(progress.images / max(progress.seconds, 1e-9), 3),
    }
    progress.history.append(line)
    progress.epoch, progress.step = progress.epoch + 1, 0
    progress.loss_sum, progress.images, progress.seconds = 0.0, 0, 0.0
    run.display.say(
        f"epoch {line['epoch']} of {run.recipe.training.epochs}: loss {line['train_loss']:.4f}, "
        f"validation loss {loss:.4f}, dice_volume {_three(line['dice_volume'])}, "
        f"dice_tumour_slices {_three(line['dice_tumour_slices'])}, {line['images_per_s']:.1f} images/s"
    )
    return line


def validate(run: Run) -> tuple[float, dict[str, Counts]]:
    """Return the mean loss of the validation slices and their counts by case, on the prepared grid."""
    preprocessing, training = run.recipe.preprocessing, run.recipe.training
    loss_function = build_loss(training.loss)
    network = run.eval_network
    network.eval()
    total = images_seen = 0.0
    counts: dict[str, Counts] = {}
    with torch.no_grad():
        for case in run.validation:
            parts = []
            for positions in batches(run.cache.positions((case,)), training.batch):
                images, masks = load_batch(run.cache, positions, preprocessing, run.accelerator.device)
                logits = network(images).float()
                total += float(loss_function(logits, masks)) * len(positions)
                images_seen += len(positions)
                predicted = logits.softmax(dim=1)[:, 1] > run.recipe.postprocessing.threshold
                planes = torch.stack([predicted & masks, masks, predicted])
                parts.append(planes.flatten(2).sum(dim=2).T.cpu().numpy())
            counts[case.name] = np.concatenate(parts)
    return total / max(1, images_seen), counts


def _seed(*numbers: int) -> int:
    """Mix numbers into one 64-bit seed."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


def _not_finite(run: Run, step: int, positions: SliceIndices, value: float) -> TrainingError:
    names = ", ".join(run.cache.names[int(k)] for k in positions)
    kept = f"the last good weights are in {run.last}" if run.last.is_file() else "no epoch had finished"
    return TrainingError(
        f"the loss became {value} in batch {step + 1} of epoch {run.progress.epoch + 1} ({names}); {kept}",
        where=run.folder,
        cure="look at these slices, or lower training.learning_rate, or use --set training.precision=fp32",
    )


def _three(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
