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
from gliomaseg.errors import ResourceError, TrainingError
from gliomaseg.evaluation.measures import HEADLINE
from gliomaseg.evaluation.summaries import mean_scores
from gliomaseg.losses import shared_batch
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
        samples: the rows of `epoch_samples` of the batch, over all processes.
        loss: mean over the batch, over all processes: a scalar on the run's device.
    """

    number: int
    samples: SliceIndices
    loss: Tensor


def train_epochs(run: Run) -> None:
    """Train from the current position of the run to the end of its last epoch.

    Raises:
        TrainingError: a loss is not finite; the last checkpoint has the last good weights.
        Interrupted: the user has interrupted the run; its state is saved.
        ResourceError: the disk is full, or the device has too little memory; the last checkpoint is complete.
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
    samples = epoch_samples(run.cache, run.cache.positions(run.train), training, progress.epoch)
    steps = list(batches(samples, training.batch))
    run.network.train()
    saved, tick = time.monotonic(), time.monotonic()
    pending: Step | None = None  # the step before, not counted yet; None whenever a checkpoint is written
    for step in range(progress.step, len(steps)):
        latest = Step(step, steps[step], _train_step(run, steps[step], step=step, steps=len(steps)))
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
        raise _not_finite(run, step.number, step.samples[:, SLICE], value)
    now = time.monotonic()
    progress.step = step.number + 1
    progress.loss_sum += value * len(step.samples)
    progress.images += len(step.samples)
    progress.seconds += now - tick
    run.display.step(
        f"epoch {progress.epoch + 1}/{run.recipe.training.epochs}",
        progress.step,
        steps,
        loss=progress.loss_sum / progress.images,
        images_per_s=progress.images / progress.seconds,
    )
    return now


def _train_step(run: Run, samples: SliceIndices, *, step: int, steps: int) -> Tensor:
    """Train on one batch and return its loss, a scalar on the run's device; `_count` checks that it is finite.

    Raises:
        ResourceError: the device has too little memory, even for half of the batch at a time.
    """
    training, progress, accelerator = run.recipe.training, run.progress, run.accelerator
    done = progress.epoch * steps + step
    # The rate depends on the progress only: a scheduler's state would have to be saved.
    for group in run.optimiser.param_groups:
        group["lr"] = learning_rate(training, done / (training.epochs * steps))
    loss = _add_gradients(run, samples, step=step)
    if loss is None:
        _halve_batches(run, len(samples))
        if (loss := _add_gradients(run, samples, step=step)) is None:
            raise _out_of_memory(run)
    if training.clip_norm:
        accelerator.clip_grad_norm_(run.network.parameters(), training.clip_norm)
    run.optimiser.step()
    if run.average is not None:
        update_ema(run.average, run.network, ema_decay(training.ema, done))
    return loss


def _add_gradients(run: Run, samples: SliceIndices, *, step: int) -> Tensor | None:
    """Compute the gradients of a batch and return its loss; None if the device has too little memory."""
    progress, accelerator = run.progress, run.accelerator
    # Without the process number, dropout would be the same in all processes.
    process = (accelerator.process_index,) if accelerator.process_index else ()
    torch.manual_seed(_seed(run.recipe.training.seed, progress.epoch, step, *process))
    run.optimiser.zero_grad(set_to_none=True)
    losses: list[Tensor] = []
    try:
        for part in np.array_split(samples, min(progress.batch_parts, len(samples))):
            share = share_of(part, accelerator)
            images, masks = training_batch(
                run.cache, share.samples, run.recipe, epoch=progress.epoch, device=accelerator.device
            )
            with shared_batch(is_shared=share.is_shared):
                loss = run.loss(run.network(images), masks) * (share.weight * len(part) / len(samples))
                accelerator.backward(loss)
            losses.append(loss.detach())
    except torch.OutOfMemoryError:  # the caller tries again outside of this block, which keeps the tensors alive
        return None
    total: Tensor = torch.stack(losses).sum()
    return accelerator.reduce(total, reduction="mean") if accelerator.num_processes > 1 else total


@dataclass(frozen=True)
class Share:
    """The part of a batch that a process trains on.

    Attributes:
        samples: rows of `epoch_samples`.
        weight: of the process's mean loss. The mean over the processes of the weighted losses, and of their gradients,
            is that of the batch.
        is_shared: whether the processes have different samples.
    """

    samples: SliceIndices
    weight: float
    is_shared: bool


def share_of(samples: SliceIndices, accelerator: Accelerator) -> Share:
    """Return the part of this process: every sample is in one part.

    A batch with fewer samples than processes is not shared: each process trains on the whole batch, with equal results.
    """
    processes = accelerator.num_processes
    if processes == 1 or len(samples) < processes:
        return Share(samples, 1.0, is_shared=False)
    own = samples[accelerator.process_index :: processes]
    return Share(own, processes * len(own) / len(samples), is_shared=True)


def _halve_batches(run: Run, slices: int) -> None:
    """Let the rest of the run compute the gradients of each batch in two halves.

    Raises:
        ResourceError: it does so already, the batch is a single slice, or other processes wait for this one.
    """
    if run.progress.batch_parts > 1 or slices == 1 or run.accelerator.num_processes > 1:
        raise _out_of_memory(run)
    run.progress.batch_parts = 2
    if run.accelerator.device.type == "cuda":
        torch.cuda.empty_cache()
    run.display.log(
        f"warning: out of memory on the device with {slices} slices at a time; from now on, the gradients of each "
        "batch are added up from two halves, and batch normalisation uses the statistics of each half"
    )


def _out_of_memory(run: Run) -> ResourceError:
    training = run.recipe.training
    parts = " in two halves" if run.progress.batch_parts > 1 else ""
    return ResourceError(
        f"out of memory on the device with batches of {training.batch} slices{parts}",
        where=run.folder,
        cure="end other programs on the device and use --resume, or start a run with a smaller training.batch",
    )


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
