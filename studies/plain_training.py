"""The peer of `time_to_accuracy.py`: a plain training script, as a good engineer writes one in an afternoon.

    python studies/plain_training.py --data lgg --splits five.json --fold 3 --out plain
    python studies/time_to_accuracy.py --run plain --run quick

Fair: what is known to work on this data set (FLAIR of three slices at 128 x 128, z-scores of each volume, a residual
U-Net of 4 million weights, BCE and Dice, AdamW, one cycle to 2e-3, batches of 16, 2,500 steps, averaged weights,
tumours twice as often), all slices in memory before the clock starts, bf16, and torch's own tools for each part. The
network is built by ours, so that it is the same. Its log is a run's: seconds are of training steps, augmentation
included, and each line is a validation after an epoch's worth of slices.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

from gliomaseg.config import Preprocessing
from gliomaseg.config.network import ResidualUnet
from gliomaseg.data.batches import load_batch
from gliomaseg.data.cache import Cache, open_cache
from gliomaseg.data.case import Case
from gliomaseg.data.layouts import read_cases
from gliomaseg.data.split import choose_fold, read_splits, select
from gliomaseg.networks import build_network

PREPARATION = Preprocessing(size_px=128, input="flair", context_slices=1, normalisation="zscore")
STEPS, BATCH, RATE, KEPT = 2500, 16, 2e-3, 0.995


@dataclass
class Stacks:
    """Slices in memory, float32 (n, 3, y, x), their masks (n, y, x), and the number of slices of each case."""

    images: Tensor
    masks: Tensor
    lengths: list[int]


def stacks(cache: Cache, cases: tuple[Case, ...]) -> Stacks:
    """Return all slices of cases."""
    parts = [load_batch(cache, cache.positions((case,)), PREPARATION, torch.device("cpu")) for case in cases]
    images, masks = (torch.cat(some).contiguous() for some in zip(*parts, strict=True))
    return Stacks(images, masks, [len(part[0]) for part in parts])


def augmented(images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Return slices mirrored, turned, scaled, shifted, lighter or darker, and noisier."""
    count = len(images)
    angle = (torch.rand(count) * 2 - 1) * math.radians(20)
    scale = torch.exp((torch.rand(count) * 2 - 1) * 0.25)
    flip = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    shift = (torch.rand(count, 2) * 2 - 1) * 0.2
    rows = [torch.stack([flip * angle.cos() * scale, -angle.sin() * scale, shift[:, 0]], dim=1)]
    rows.append(torch.stack([flip * angle.sin() * scale, angle.cos() * scale, shift[:, 1]], dim=1))
    grid = functional.affine_grid(torch.stack(rows, dim=1), [*images.shape], align_corners=False)
    images = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    moved = functional.grid_sample(masks.float()[:, None], grid, align_corners=False)[:, 0]
    gain = torch.exp((torch.rand(count, 1, 1, 1) * 2 - 1) * 0.2)
    offset = (torch.rand(count, 1, 1, 1) * 2 - 1) * 0.2
    return images * gain + offset + torch.randn_like(images) * 0.1, moved > 0.5


def loss_of(logits: Tensor, masks: Tensor) -> Tensor:
    """Return BCE and the Dice of the batch."""
    difference, target = logits[:, 1].float() - logits[:, 0].float(), masks.float()
    probability = difference.sigmoid()
    overlap = (2 * (probability * target).sum() + 1) / (probability.sum() + target.sum() + 1)
    return functional.binary_cross_entropy_with_logits(difference, target) + 1 - overlap


def dice_volume(network: nn.Module, side: Stacks) -> float:
    """Return the mean over cases of the Dice over each one's stack."""
    network.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        predicted = torch.cat([network(some).argmax(dim=1) == 1 for some in side.images.split(BATCH)])
    pairs = zip(predicted.split(side.lengths), side.masks.split(side.lengths), strict=True)
    return float(np.mean([2 * (a & b).sum().item() / max(1, (a.sum() + b.sum()).item()) for a, b in pairs]))


def train(training: Stacks, validation: Stacks, log: Path, *, steps: int) -> None:
    """Train, and append a line to the log after each epoch."""
    torch.manual_seed(0)
    network = build_network(ResidualUnet(), PREPARATION.inputs)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(KEPT), use_buffers=True)
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    weights = 1.0 + training.masks.flatten(1).any(dim=1).double()
    sampler = WeightedRandomSampler([*weights.tolist()], steps * BATCH)
    loader = DataLoader(TensorDataset(training.images, training.masks), BATCH, sampler=sampler)
    per_epoch, spent, epoch = math.ceil(len(training.images) / BATCH), 0.0, 0
    network.train()
    tick = time.perf_counter()
    for step, (images, masks) in enumerate(loader, start=1):
        given, target = augmented(images, masks)
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(given)
        loss = loss_of(logits, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        average.update_parameters(network)
        if step % per_epoch and step < steps:
            continue
        spent, epoch = time.perf_counter() - tick, epoch + 1
        images_seen = BATCH * ((step - 1) % per_epoch + 1)
        line = {"epoch": epoch, "dice_volume": dice_volume(average, validation), "images": images_seen}
        line |= {"train_seconds": round(spent, 3), "images_per_s": round(images_seen / spent, 1)}
        with log.open("a") as handle:
            handle.write(json.dumps(line) + "\n")
        sys.stderr.write(f"{line}\n")
        tick = time.perf_counter()


def main() -> None:
    """Train on the training cases of a fold, and validate on its validation cases."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in ("--data", "--splits", "--out"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS)
    arguments = parser.parse_args()
    if arguments.out.exists():
        parser.error(f"{arguments.out} exists: name another folder")
    index = read_cases(arguments.data)
    fold = choose_fold(read_splits(arguments.splits), arguments.fold)
    cache = open_cache(index, PREPARATION)
    training, validation = (stacks(cache, select(index, side)) for side in (fold.train, fold.validation))
    arguments.out.mkdir(parents=True)
    train(training, validation, arguments.out / "log.jsonl", steps=arguments.steps)


if __name__ == "__main__":
    main()
