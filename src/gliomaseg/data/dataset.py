"""Batches of prepared slices as tensors, in an order that depends on (seed, epoch) only."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gliomaseg.config import Preparation, Training
from gliomaseg.data.augment import AUGMENTATIONS, augmentation_draws
from gliomaseg.data.cache import Cache


def epoch_order(positions: NDArray[np.int64], seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the positions as an epoch visits them: each once, shuffled from (seed, epoch)."""
    return np.random.default_rng([seed, epoch, 0]).permutation(positions)


def batches(order: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    """Yield runs of `size` positions; the last one may be shorter."""
    for start in range(0, len(order), size):
        yield order[start : start + size]


def load_batch(
    cache: Cache, positions: NDArray[np.int64], preparation: Preparation, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return slices as a network takes them, and their masks.

    Returns:
        Images, float32, normalised, shape (n, 3, y, x), channels last in memory, and masks, bool,
        shape (n, y, x), on `device`.
    """
    stored = torch.from_numpy(cache.images[positions]).to(device)
    masks = torch.from_numpy(cache.masks[positions]).to(device)
    scale = 1 / (255 * preparation.std)
    images = stored.to(torch.float32).mul_(scale).sub_(preparation.mean / preparation.std)
    images = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
    return images.contiguous(memory_format=torch.channels_last), masks


def training_batch(
    cache: Cache,
    positions: NDArray[np.int64],
    preparation: Preparation,
    training: Training,
    *,
    epoch: int,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """Return one batch of an epoch, augmented as the settings say."""
    images, masks = load_batch(cache, positions, preparation, device)
    draws = augmentation_draws(training.seed, epoch, positions)
    return AUGMENTATIONS[training.augment](images, masks, draws)
