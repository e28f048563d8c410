"""The training loop.

The loop has no state except that of a checkpoint. The order of slices depends on (seed, epoch), augmentation on
(seed, epoch, slice), dropout on (seed, epoch, step), and the learning rate on the progress of the run. A run that was
interrupted and resumed therefore ends with the same bits as an uninterrupted one.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from gliomaseg.atomic import write_text
from gliomaseg.data.batches import SLICE, batches, epoch_samples, load_batch, training_batch
from gliomaseg.errors import TrainingError
from gliomaseg.evaluation.measures import HEADLINE
from gliomaseg.evaluation.summaries import mean_scores
from gliomaseg.metrics.overlap import Counts
from gliomaseg.training.checkpoint import EpochRecord
from gliomaseg.training.optimiser import ema_decay, learning_rate, update_ema
from gliomaseg.training.run import Run
from gliomaseg.types import SliceIndices


@dataclass(frozen=True)
class Step:
    """A training step; its loss may still be in computation on a GPU.

    Attributes:
        number: of the batch in its epoch, from 0.
        picks: the rows of `epoch_samples` that this process trained on.
        images: slices of the batch, over all processes.
        loss: a scalar on the run's device.
    """

    number: int
    picks: SliceIndices
    images: int
    loss: Tensor


def train_epochs(run: Run) -> None:
    """Train from the current position of the run to the end of its last epoch.

    Raises:
        TrainingError: a loss is not finite; the last checkpoint has the last good weights.
        Interrupted: the user has interrupted the run; its state is saved.
        ResourceError: the disk is full; the last checkpoint is complete.
    """
    progress = run.progress
    while progress.epoch < run.recipe.training.epochs:
        train_one_epoch(run)
        record = finish_epoch(run)
        score = record.scores[HEADLINE] or 0.0
        if progress.best is None or score > progress.best:
            progress.best = score
            run.save(run.best)
        run.save(run.last)
        if run.trackers is not None:
            text = "".join(json.dumps(entry.document()) + "\n" for entry in progress.history)
            write_text(run.folder / "log.jsonl", text)
            run.trackers.write(progress.history)
        if run.is_stop_requested():
            run.save_and_stop(f"after epoch {progress.epoch}")
        run.accelerator.wait_for_everyone()


def train_one_epoch(run: Run) -> None:
    """Train on the rest of the current epoch's batches."""
    training, progress, accelerator = run.recipe.training, run.progress, run.accelerator
    picks = epoch_samples(run.cache, run.cache.positions(run.train), training, progress.epoch)
    # A last batch with fewer slices than processes is dropped: a process without a slice would block the others.
    steps = [batch for batch in batches(picks, training.batch) if len(batch) >= accelerator.num_processes]
    run.network.train()
    saved, tick = time.monotonic(), time.monotonic()
    pending: Step | None = None  # the step before, not counted yet; None whenever a checkpoint is written
    for step in range(progress.step, len(steps)):
        own = steps[step][accelerator.process_index :: accelerator.num_processes]
        latest = Step(step, own, len(steps[step]), _train_step(run, own, step=step, steps=len(steps)))
        if pending is not None:
            tick = _count(run, pending, steps=len(steps), tick=tick)
        stop, due = run.is_stop_requested(), time.monotonic() - saved > 60 * training.checkpoint_minutes
        if stop or due or step + 1 == len(steps) or not defers_loss(accelerator):
            tick, pending = _count(run, latest, steps=len(steps), tick=tick), None
        else:
            pending = latest
        if stop:
            run.save_and_stop(f"after batch {step + 1} of epoch {progress.epoch + 1}")
        if due:
            run.save(run.last)
            saved = time.monotonic()


def defers_loss(accelerator: Accelerator) -> bool:
    """Return whether a step's loss is read only after the next step has started, so that a GPU never waits."""
    return bool(accelerator.device.type == "cuda")


def _count(run: Run, step: Step, *, steps: int, tick: float) -> float:
    """Add a step to the run's progress, and return the current time in s.

    Raises:
        TrainingError: its loss is not finite; no checkpoint has the weights after it.
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


def _train_step(run: Run, picks: SliceIndices, *, step: int, steps: int) -> Tensor:
    """Train on one batch and return its loss, a scalar on the run's device; `_count` checks that it is finite."""
    training, progress, accelerator = run.recipe.training, run.progress, run.accelerator
    done = progress.epoch * steps + step
    # Without the process number, dropout would be the same in all processes.
    process = (accelerator.process_index,) if accelerator.process_index else ()
    torch.manual_seed(_seed(training.seed, progress.epoch, step, *process))
    images, masks = training_batch(run.cache, picks, run.recipe, epoch=progress.epoch, device=accelerator.device)
    loss: Tensor = run.loss(run.network(images), masks)
    # The rate depends on the progress only: a scheduler's state would have to be saved.
    for group in run.optimiser.param_groups:
        group["lr"] = learning_rate(training, done / (training.epochs * steps))
    run.optimiser.zero_grad(set_to_none=True)
    accelerator.backward(loss)
    if training.clip_norm:
        accelerator.clip_grad_norm_(run.network.parameters(), training.clip_norm)
    run.optimiser.step()
    if run.average is not None:
        update_ema(run.average, run.network, ema_decay(training.ema, done))
    return loss.detach()


def finish_epoch(run: Run) -> EpochRecord:
    """Validate, append the epoch's record to the history, and advance to the next epoch."""
    progress = run.progress
    start = time.monotonic()
    loss, counts = validate(run)
    record = EpochRecord(
        epoch=progress.epoch + 1,
        train_loss=progress.loss_sum / max(1, progress.images),
        validation_loss=loss,
        scores=mean_scores(counts),
        images=progress.images,
        train_seconds=round(progress.seconds, 3),
        validation_seconds=round(time.monotonic() - start, 3),
        images_per_s=round(progress.images / max(progress.seconds, 1e-9), 3),
    )
    progress.history.append(record)
    progress.epoch, progress.step = progress.epoch + 1, 0
    progress.loss_sum, progress.images, progress.seconds = 0.0, 0, 0.0
    run.display.finish_epoch(record, epochs=run.recipe.training.epochs)
    return record


def validate(run: Run) -> tuple[float, dict[str, Counts]]:
    """Return the mean loss of the validation slices, and the pixel counts of each case on the prepared grid."""
    preprocessing, network = run.recipe.preprocessing, run.eval_network
    network.eval()
    total = images_seen = 0.0
    counts: dict[str, Counts] = {}
    with torch.no_grad():
        for case in run.validation:
            parts = []
            for positions in batches(run.cache.positions((case,)), run.recipe.training.batch):
                images, masks = load_batch(run.cache, positions, preprocessing, run.accelerator.device)
                logits = network(images).float()
                total += float(run.loss(logits, masks)) * len(positions)
                images_seen += len(positions)
                predicted = logits.softmax(dim=1)[:, 1] > run.recipe.postprocessing.threshold
                planes = torch.stack([predicted & masks, masks, predicted])
                parts.append(planes.flatten(2).sum(dim=2).T.cpu().numpy())
            counts[case.name] = np.concatenate(parts)
    return total / max(1, images_seen), counts


def _seed(*numbers: int) -> int:
    """Return one 64-bit seed of several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


def _not_finite(run: Run, step: int, positions: SliceIndices, value: float) -> TrainingError:
    names = ", ".join(run.cache.names[int(k)] for k in positions)
    weights = f"the last good weights are in {run.last}" if run.last.is_file() else "no epoch was finished"
    return TrainingError(
        f"loss is {value} in batch {step + 1} of epoch {run.progress.epoch + 1} ({names}), expected a finite number; "
        f"{weights}",
        where=run.folder,
        cure="check these slices, lower training.learning_rate, or use --set training.precision=fp32",
    )
