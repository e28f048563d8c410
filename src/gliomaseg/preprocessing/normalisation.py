"""8-bit slices to the network's floating-point input."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.config import Preprocessing
from gliomaseg.types import Batch, PreparedSlices

TOP_SHARE, HEAD_FRACTION = 0.995, 0.1


def level_counts(stack: PreparedSlices) -> NDArray[np.int64]:
    """Return the histogram of each channel of one stack, over all its slices: int64, shape (c, 256)."""
    return np.stack([np.bincount(stack[:, k].ravel(), minlength=256) for k in range(stack.shape[1])])


def head_levels(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the levels above which pixels belong to the head, a tenth of the 99.5 percentile: shape (n, c)."""
    bright = np.cumsum(np.where(np.arange(256) > 0, counts, 0), axis=-1)
    top: NDArray[np.float64] = (bright < TOP_SHARE * bright[..., -1:]).sum(axis=-1) * HEAD_FRACTION
    return top


def level_scales(settings: Preprocessing, counts: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the scale and the shift of v * scale - shift: float32, shape (n, channels, 1, 1) each.

    "zscore" gives the head's pixels of a stack mean 0 and standard deviation 1. The head is brighter than a tenth of
    the stack's 99.5 percentile; a black stack has no head, and its scale is finite.

    Args:
        settings: which normalisation, and how many context slices repeat the channels.
        counts: histogram of each slice's whole stack, shape (n, c, 256), as `level_counts` returns it. "fixed" does
            not use it.
    """
    if settings.normalisation == "fixed":
        scale, shift = np.float32(1 / (255 * settings.std)), np.float32(settings.mean / settings.std)
        return np.full((1, 1, 1, 1), scale), np.full((1, 1, 1, 1), shift)
    levels = np.arange(256)
    head = np.where(levels > head_levels(counts)[..., None], counts, 0)
    pixels = np.maximum(head.sum(axis=-1, keepdims=True), 1)
    mean = (head * levels).sum(axis=-1, keepdims=True) / pixels
    variance = (head * (levels - mean) ** 2).sum(axis=-1, keepdims=True) / pixels
    std = np.maximum(np.sqrt(variance), 1.0)  # a constant image has the standard deviation of one level
    scale, shift = ((1 / std)[..., None], (mean / std)[..., None])
    repeats = (1, 2 * settings.context_slices + 1, 1, 1)
    return np.tile(scale, repeats).astype(np.float32), np.tile(shift, repeats).astype(np.float32)


def normalise(slices: PreparedSlices, settings: Preprocessing, counts: NDArray[np.int64] | None = None) -> Batch:
    """Return 8-bit slices as network input: float32, shape (n, inputs, y, x), at most `max_zscore`.

    "fixed" returns (v / 255 - mean) / std. A single channel is repeated three times, as the reference notebook does.

    Args:
        slices: of one stack, with their context slices, shape (n, channels, y, x).
        settings: how to normalise.
        counts: histogram of the whole stack, shape (c, 256); that of `slices` if None.
    """
    counts = level_counts(slices) if counts is None else counts
    scale, shift = level_scales(settings, counts[None])
    values = slices.astype(np.float32) * scale - shift
    if settings.max_zscore is not None:
        np.minimum(values, settings.max_zscore, out=values)
    return np.repeat(values, 3, axis=1) if values.shape[1] == 1 else values
