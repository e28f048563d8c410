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
from gliomaseg.preprocessing import level_scales, neighbour_places, with_neighbours

NO_COUNTS = np.zeros((1, 1, 256), np.int64)


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
        Images, float32, normalised, shape (n, inputs, y, x), channels last in memory, and masks, bool,
        shape (n, y, x), on `device`.
    """
    images, masks = _pictures(cache, positions, preparation, device)
    return _network_input(images), masks


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
    images, masks = _pictures(cache, positions, preparation, device)
    draws = augmentation_draws(training.seed, epoch, positions)
    images, masks = AUGMENTATIONS[training.augment](images, masks, draws)
    return _network_input(images), masks


def _pictures(
    cache: Cache, positions: NDArray[np.int64], preparation: Preparation, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return normalised slices with their neighbours, a single channel not yet repeated, and their masks."""
    stacks = cache.stacks[positions]
    first, last = cache.ends
    # Of the same case whatever the split: a neighbour's picture is context, its mask is not looked at.
    places = neighbour_places(positions, first[stacks], last[stacks], neighbours=preparation.neighbours)
    stored = torch.from_numpy(with_neighbours(cache.images, places)).to(device)
    masks = torch.from_numpy(cache.masks[positions]).to(device)
    counts = cache.counts[stacks] if preparation.normalise == "volume" else NO_COUNTS
    scale, shift = (torch.from_numpy(array).to(device) for array in level_scales(preparation, counts))
    return stored.to(torch.float32).mul_(scale).sub_(shift), masks


def _network_input(images: Tensor) -> Tensor:
    images = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
    return images.contiguous(memory_format=torch.channels_last)
