"""Masks and label maps among scans: an array that was given as a scan and is not one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LABEL_MAP = "looks like a mask or label map, not like a scan"

SAME_SHARE = 0.5  # at most 0.34 in the scans of docs/results/plausibility.md; 0.77 or more in label maps
INTERPOLATED_SAME_SHARE, EMPTY_SHARE = 0.2, 0.95  # of masks that were resampled to 8 bits
MOST_LABELS, DIM_RANGE = 5, 100
SAMPLED_SLICES = 32
TOP_SHARE, BRIGHT_FRACTION = 0.995, 0.1


def is_label_map(volume: NDArray[Any], *, sampled_slices: int = SAMPLED_SLICES) -> bool:
    """Return whether an array looks like a mask or label map: few values, or neighbouring voxels that mostly are equal.

    Pairs of background voxels (the most frequent value) and of dark ones do not count.

    Args:
        volume: of one sequence, before preprocessing, any real type, shape (z, y, x).
        sampled_slices: how many slices are compared, at least; they are spread over the volume.
    """
    sample = volume[:: max(1, len(volume) // sampled_slices)]
    sample = sample.view(np.uint8) if sample.dtype == np.bool_ else sample
    values, counts = _count_values(sample)
    if len(values) < 2:
        return False
    if len(values) <= MOST_LABELS:
        return True
    low, high = values[0], values[np.searchsorted(counts.cumsum(), TOP_SHARE * sample.size)]
    if sample.dtype == np.uint8 and high - low < DIM_RANGE:  # neighbours in a dim image are equal by rounding
        return False
    first, second = sample[..., :-1], sample[..., 1:]
    background = values[counts.argmax()]
    counted = (first != background) | (second != background)
    counted &= np.maximum(first, second) > low + BRIGHT_FRACTION * (high - low)
    if not counted.any():
        return False
    same_share = (first == second)[counted].mean()
    is_interpolated = same_share > INTERPOLATED_SAME_SHARE and counts.max() > EMPTY_SHARE * sample.size
    return bool(same_share > SAME_SHARE or is_interpolated)


def _count_values(sample: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the values of an array as float64, ascending, and how often each occurs."""
    if sample.dtype == np.uint8:  # ten times as fast as sorting
        counts = np.bincount(sample.ravel(), minlength=256)
        values = np.flatnonzero(counts)
        return values.astype(np.float64), counts[values]
    values, counts = np.unique(sample, return_counts=True)
    return values.astype(np.float64), counts
