"""Batches of prepared slices as tensors; their order depends only on the seed and the epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gliomaseg.config import Preprocessing, Recipe, Training
from gliomaseg.data.augmentation import AUGMENTATIONS, augmentation_draws
from gliomaseg.data.augmentation.acquisition import (
    AcquisitionChanges,
    draw_acquisition_changes,
    scale_outside,
    scaled_histograms,
)
from gliomaseg.data.cache import Cache
from gliomaseg.data.case import Case
from gliomaseg.preprocessing import context_indices, level_scales
from gliomaseg.types import SliceIndices

NO_HISTOGRAMS = np.zeros((1, 1, 256), np.int64)
SLICE, REPEAT = range(2)  # the columns of an epoch's samples
MEMORY_SHARE = 0.4  # of the free GPU memory; the network and its feature maps need the rest


@dataclass(frozen=True, kw_only=True)
class DeviceCache(Cache):
    """A cache with a copy of its slices on the training device: batches are selected there, without a transfer.

    Attributes:
        device_images: copy of `images` on the device, uint8, shape (n, c, size, size).
        device_masks: copy of `masks` on the device, bool, shape (n, size, size).
        device_brain: copy of `brain` on the device; None if the cache has none.
    """

    device_images: Tensor
    device_masks: Tensor
    device_brain: Tensor | None


def on_device(cache: Cache, device: torch.device) -> Cache:
    """Return a cache with its slices on a GPU if they fit beside a network; on a CPU, return the cache unchanged."""
    needed_bytes = sum(array.nbytes for array in (cache.images, cache.masks, cache.brain) if array is not None)
    if device.type != "cuda" or needed_bytes > MEMORY_SHARE * _free_bytes(device):
        return cache
    return _copy_to_device(cache, device)


def _free_bytes(device: torch.device) -> int:
    return int(torch.cuda.mem_get_info(device)[0])


def _copy_to_device(cache: Cache, device: torch.device) -> DeviceCache:
    def copy(array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.array(array)).to(device, non_blocking=True)

    return DeviceCache(
        cache.digest,
        cache.names,
        cache.images,
        cache.masks,
        cache.brain,
        device_images=copy(cache.images),
        device_masks=copy(cache.masks),
        device_brain=None if cache.brain is None else copy(cache.brain),
    )


def epoch_samples(cache: Cache, positions: SliceIndices, training: Training, epoch: int) -> SliceIndices:
    """Return the samples of an epoch, shuffled with a generator of (seed, epoch): int64, shape (samples, 2).

    Each slice without tumour is one sample; each slice with tumour is `tumour_oversampling` samples on average.
    The columns are SLICE, the position of the slice in the cache, and REPEAT, the number of earlier samples of the
    same slice.

    Args:
        cache: the prepared slices.
        positions: the training slices: int64, shape (n,).
        training: seed and oversampling.
        epoch: number of the epoch, from 0.
    """
    generator = np.random.default_rng([training.seed, epoch, 0])
    if training.tumour_oversampling > 1:
        tumour = positions[cache.has_tumour[positions]]
        whole, fraction = divmod(training.tumour_oversampling - 1, 1)
        extra = generator.choice(tumour, round(fraction * len(tumour)), replace=False)
        positions = np.concatenate([positions, np.repeat(tumour, int(whole)), extra])
    shuffled = generator.permutation(positions)
    return np.stack([shuffled, _repeats(shuffled)], axis=1)


def _repeats(positions: SliceIndices) -> SliceIndices:
    """Return for each entry the number of equal entries before it: int64, shape (n,).

    >>> _repeats(np.array([7, 3, 7, 7])).tolist()
    [0, 0, 1, 2]
    """
    by_value = np.argsort(positions, kind="stable")
    _, first, counts = np.unique(positions[by_value], return_index=True, return_counts=True)
    repeats = np.empty(len(positions), np.int64)
    repeats[by_value] = np.arange(len(positions)) - np.repeat(first, counts)
    return repeats


def batches(samples: SliceIndices, size: int) -> Iterator[SliceIndices]:
    """Yield `size` consecutive rows at a time; the last batch may be shorter."""
    for start in range(0, len(samples), size):
        yield samples[start : start + size]


def load_batch(
    cache: Cache, positions: SliceIndices, preprocessing: Preprocessing, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return slices as network input, and their masks.

    Returns:
        Images, float32, normalised, shape (n, inputs, y, x), channels last in memory, and masks, bool,
        shape (n, y, x), on `device`.
    """
    images, masks = _normalised_slices(cache, positions, preprocessing, device)
    return _network_input(images, preprocessing), masks


def random_slices(
    cache: Cache, cases: tuple[Case, ...], recipe: Recipe, device: torch.device, *, count: int = 240, size: int = 16
) -> Iterator[Tensor]:
    """Yield `count` slices of cases in batches of `size` as network input, without augmentation.

    They are drawn uniformly, without repetition, with the seed of the training; all slices if there are fewer.
    """
    positions = cache.positions(cases)
    chosen = np.random.default_rng(recipe.training.seed).permutation(positions)[:count]
    for batch in batches(chosen, size):
        yield load_batch(cache, batch, recipe.preprocessing, device)[0]


def training_batch(
    cache: Cache, samples: SliceIndices, recipe: Recipe, *, epoch: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return one augmented batch of an epoch.

    Args:
        cache: the prepared slices.
        samples: rows of `epoch_samples`: int64, shape (n, 2).
        recipe: preprocessing, augmentation and seed.
        epoch: number of the epoch, from 0.
        device: the device of the result.

    Returns:
        Images and masks, as from `load_batch`.
    """
    draws = augmentation_draws(recipe.training.seed, epoch, samples)
    changes = draw_acquisition_changes(draws, recipe.augmentation)
    images, masks = _normalised_slices(cache, samples[:, SLICE], recipe.preprocessing, device, changes)
    # A single channel is repeated after augmentation: otherwise each copy would get its own noise.
    images, masks = AUGMENTATIONS[recipe.augmentation.preset](images, masks, draws, recipe)
    return _network_input(images, recipe.preprocessing), masks


def _normalised_slices(
    cache: Cache,
    positions: SliceIndices,
    preprocessing: Preprocessing,
    device: torch.device,
    changes: AcquisitionChanges | None = None,
) -> tuple[Tensor, Tensor]:
    """Return normalised slices with their context slices, and the masks of the slices themselves, on `device`.

    Returns:
        Images, float32, shape (n, c * (1 + 2 * context_slices), y, x), and masks, bool, shape (n, y, x). A single
        channel is not yet repeated.
    """
    case_numbers = cache.case_numbers[positions]
    first, last = cache.case_limits
    # Context slices come from the same case even if the split is by slice: their images are used, their masks are not.
    context = context_indices(
        positions, first[case_numbers], last[case_numbers], context_slices=preprocessing.context_slices
    )
    stored = _rows(cache, "images", context, device).flatten(1, 2)
    masks = _rows(cache, "masks", positions, device)
    if changes is not None and cache.brain is not None:
        brain, tumour = (_rows(cache, name, context, device) for name in ("brain", "masks"))
        stored = scale_outside(stored, brain, tumour, changes)
    histograms = _histograms(cache, positions, changes) if preprocessing.normalisation == "zscore" else NO_HISTOGRAMS
    scale, shift = (
        torch.from_numpy(array).to(device, non_blocking=True) for array in level_scales(preprocessing, histograms)
    )
    return stored.to(torch.float32).mul_(scale).sub_(shift), masks


def _histograms(cache: Cache, positions: SliceIndices, changes: AcquisitionChanges | None) -> NDArray[np.int64]:
    """Return the histogram that normalises each slice, that of its whole stack: int64, shape (n, c, 256)."""
    case_numbers = cache.case_numbers[positions]
    whole = cache.level_histograms[case_numbers]
    if changes is None or cache.brain is None:
        return whole
    return scaled_histograms(whole, cache.brain_histograms[case_numbers], changes.outside)


def _rows(
    cache: Cache, name: Literal["images", "masks", "brain"], positions: SliceIndices, device: torch.device
) -> Tensor:
    """Return slices of an array of the cache on `device`: shape of `positions`, then that of a slice."""
    if isinstance(cache, DeviceCache):
        on_cache_device: Tensor = getattr(cache, f"device_{name}")
        rows = torch.from_numpy(positions).to(on_cache_device.device, non_blocking=True)
        return on_cache_device[rows].to(device)
    return torch.from_numpy(getattr(cache, name)[positions]).to(device, non_blocking=True)


def _network_input(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Return images of at most `max_zscore` in channels-last memory; a single channel is repeated to three."""
    if preprocessing.max_zscore is not None:
        images = images.clamp(max=preprocessing.max_zscore)
    images = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
    return images.contiguous(memory_format=torch.channels_last)
