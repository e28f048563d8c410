"""Batches of prepared slices as tensors, in an order that depends on (seed, epoch) only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gliomaseg.config import Preprocessing, Recipe, Training
from gliomaseg.data.augmentation import AUGMENTATIONS, Draws, augmentation_draws, pipeline
from gliomaseg.data.augmentation.carvemix import Slices, graft_tumours
from gliomaseg.data.cache import Cache
from gliomaseg.preprocessing import context_indices, head_levels, level_scales, with_context
from gliomaseg.scan import flair_channel
from gliomaseg.types import SliceIndices

NO_COUNTS = np.zeros((1, 1, 256), np.int64)
SLICE, VISIT, DONOR = range(3)  # the columns of picks
DONORS_TO_CHOOSE_FROM = 12
MEMORY_SHARE = 0.4  # of what a GPU has left: network and features want the rest


@dataclass(frozen=True)
class DeviceCache(Cache):
    """A cache whose slices are also on the training device: batches are selected there, without a transfer.

    Attributes:
        device_images: as `images`, on the device.
        device_masks: as `masks`, on the device.
    """

    device_images: Tensor
    device_masks: Tensor


def on_device(cache: Cache, device: torch.device) -> Cache:
    """Return a cache with its slices on a GPU, if they fit beside a network; for a processor, the cache as it is."""
    if device.type != "cuda" or cache.images.nbytes + cache.masks.nbytes > MEMORY_SHARE * _free_bytes(device):
        return cache
    return _copied(cache, device)


def _free_bytes(device: torch.device) -> int:
    return int(torch.cuda.mem_get_info(device)[0])


def _copied(cache: Cache, device: torch.device) -> DeviceCache:
    images, masks = (
        torch.from_numpy(np.array(some)).to(device, non_blocking=True) for some in (cache.images, cache.masks)
    )
    return DeviceCache(cache.digest, cache.names, cache.images, cache.masks, images, masks)


def epoch_picks(cache: Cache, positions: SliceIndices, training: Training, epoch: int) -> SliceIndices:
    """Return what an epoch visits, shuffled from (seed, epoch): int64, shape (picks, 3).

    Every slice comes once; slices with tumour come `tumour_oversampling` times on average. Each pick is a position,
    how often it came before, and the position of its donor: a slice whose tumour may be put into it.
    """
    generator = np.random.default_rng([training.seed, epoch, 0])
    if training.tumour_oversampling > 1:
        tumour = positions[cache.tumour[positions]]
        whole, part = divmod(training.tumour_oversampling - 1, 1)
        some = generator.choice(tumour, round(part * len(tumour)), replace=False)
        positions = np.concatenate([positions, np.repeat(tumour, int(whole)), some])
    order = generator.permutation(positions)
    return np.stack([order, _visits(order), _donors(cache, positions, order, [training.seed, epoch, 2])], axis=1)


def _donors(cache: Cache, positions: SliceIndices, order: SliceIndices, entropy: Sequence[int]) -> SliceIndices:
    """Return a slice with tumour of another case for each pick, at about the same height in its stack: shape (n,).

    All donors are in `positions`, so validation patients are excluded. A slice without a donor is its own donor and
    stays as it is.
    """
    tumour = np.unique(positions[cache.tumour[positions]])
    if not len(tumour):
        return order
    candidates = np.random.default_rng(entropy).choice(tumour, (len(order), DONORS_TO_CHOOSE_FROM))
    own = cache.stacks[candidates] == cache.stacks[order][:, None]
    apart = np.where(own, np.inf, np.abs(_heights(cache, candidates) - _heights(cache, order)[:, None]))
    nearest = candidates[np.arange(len(order)), apart.argmin(axis=1)]
    donors: SliceIndices = np.where(own.all(axis=1), order, nearest)
    return donors


def _heights(cache: Cache, positions: SliceIndices) -> NDArray[np.float64]:
    """Return where slices lie in their stacks, from 0 (the first) to 1 (the last)."""
    first, last = (ends[cache.stacks[positions]] for ends in cache.ends)
    heights: NDArray[np.float64] = (positions - first) / np.maximum(1, last - first)
    return heights


def _visits(order: SliceIndices) -> SliceIndices:
    """Return how often each value came before.

    >>> _visits(np.array([7, 3, 7, 7])).tolist()
    [0, 0, 1, 2]
    """
    by_value = np.argsort(order, kind="stable")
    _, first, counts = np.unique(order[by_value], return_index=True, return_counts=True)
    visits = np.empty(len(order), np.int64)
    visits[by_value] = np.arange(len(order)) - np.repeat(first, counts)
    return visits


def batches(order: SliceIndices, size: int) -> Iterator[SliceIndices]:
    """Yield runs of `size` entries; the last one may be shorter."""
    for start in range(0, len(order), size):
        yield order[start : start + size]


def load_batch(
    cache: Cache, positions: SliceIndices, preprocessing: Preprocessing, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return slices as a network takes them, and their masks.

    Returns:
        Images, float32, normalised, shape (n, inputs, y, x), channels last in memory, and masks, bool,
        shape (n, y, x), on `device`.
    """
    images, masks = _pictures(cache, positions, preprocessing, device)
    return _network_input(images), masks


def training_batch(
    cache: Cache, picks: SliceIndices, recipe: Recipe, *, epoch: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return one batch of an epoch, augmented by the recipe; `picks` are rows of `epoch_picks`."""
    training = recipe.training
    images, masks = _pictures(cache, picks[:, SLICE], recipe.preprocessing, device)
    draws = augmentation_draws(training.seed, epoch, picks[:, [SLICE, VISIT]])
    if recipe.augmentation.preset == "strong" and recipe.augmentation.graft:
        images, masks = _grafted(cache, images, masks, picks, draws, recipe)
    # Before a single channel is repeated: else its copies would get noise of their own.
    images, masks = AUGMENTATIONS[recipe.augmentation.preset](images, masks, draws, recipe)
    return _network_input(images), masks


def _grafted(
    cache: Cache, images: Tensor, masks: Tensor, picks: SliceIndices, draws: Draws, recipe: Recipe
) -> tuple[Tensor, Tensor]:
    """Return slices of which some have the tumours of their donors."""
    hosts, donors = picks[:, SLICE], picks[:, DONOR]
    chosen = np.flatnonzero((draws[:, pipeline.GRAFT] < recipe.augmentation.graft) & (hosts != donors))
    if not len(chosen):
        return images, masks
    preprocessing, device = recipe.preprocessing, images.device
    given = Slices(*_pictures(cache, donors[chosen], preprocessing, device))
    places = torch.from_numpy(chosen).to(device, non_blocking=True)
    levels = torch.from_numpy(_normalised_head_levels(cache, hosts[chosen], preprocessing)).to(
        device, non_blocking=True
    )
    how = draws[chosen][:, [pipeline.GRAFT_REACH, pipeline.GRAFT_MIRROR]]
    some = graft_tumours(Slices(images[places], masks[places]), given, levels, how, sequences=preprocessing.sequences)
    return images.index_copy(0, places, some.images), masks.index_copy(0, places, some.masks)


def _normalised_head_levels(cache: Cache, positions: SliceIndices, preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Return above what FLAIR of each slice shows a head, normalised: shape (n,)."""
    counts = cache.counts[cache.stacks[positions]]
    channel = flair_channel(preprocessing.sequences)
    scale, shift = (part.reshape(len(part), -1) for part in level_scales(preprocessing, counts))
    column = channel % scale.shape[1]  # "fixed" has one for all
    levels = head_levels(counts)[:, channel] * scale[:, column] - shift[:, column]
    return np.asarray(levels, np.float32)


def _pictures(
    cache: Cache, positions: SliceIndices, preprocessing: Preprocessing, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return normalised slices with their neighbours, a single channel not yet repeated, and their masks."""
    stacks = cache.stacks[positions]
    first, last = cache.ends
    # Of the same case whatever the split: a neighbour's picture is context, its mask is not looked at.
    places = context_indices(positions, first[stacks], last[stacks], context_slices=preprocessing.context_slices)
    if isinstance(cache, DeviceCache):
        at, rows = (torch.from_numpy(k).to(cache.device_images.device, non_blocking=True) for k in (places, positions))
        stored, masks = cache.device_images[at].flatten(1, 2).to(device), cache.device_masks[rows].to(device)
    else:
        stored = torch.from_numpy(with_context(cache.images, places)).to(device, non_blocking=True)
        masks = torch.from_numpy(cache.masks[positions]).to(device, non_blocking=True)
    counts = cache.counts[stacks] if preprocessing.normalisation == "zscore" else NO_COUNTS
    scale, shift = (
        torch.from_numpy(array).to(device, non_blocking=True) for array in level_scales(preprocessing, counts)
    )
    return stored.to(torch.float32).mul_(scale).sub_(shift), masks


def _network_input(images: Tensor) -> Tensor:
    images = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
    return images.contiguous(memory_format=torch.channels_last)
