"""Overlap of a reference mask and a predicted mask, and the five conventions of Dice on this data set.

All functions but `dice` take counts: int64, shape (z, 3), one row for each slice, with the number of pixels in both
masks, in the reference, and in the prediction. Counts are small, so a data set is measured one patient at a time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gliomaseg.metrics.mask_checks import require_masks
from gliomaseg.types import Mask

Counts = NDArray[np.int64]
BATCH = 4
SMOOTH = 1e-6


def dice(*, reference: Mask, predicted: Mask) -> float:
    """Return `2 |A and B| / (|A| + |B|)`: no unit, 0 (apart) to 1 (equal).

    Args:
        reference: the expert's mask, bool, any shape.
        predicted: the model's mask, bool, same shape.

    Returns:
        The overlap, or NaN if both masks are empty.

    Raises:
        TypeError: a mask is not a NumPy array of bool.
        GeometryError: the shapes differ.

    Source: L. R. Dice, Ecology 26 (1945) 297, doi:10.2307/1932409.

    >>> dice(reference=np.array([True, True, False]), predicted=np.array([True, False, False]))
    0.6666666666666666
    """
    require_masks(reference=reference, predicted=predicted)
    return dice_volume(count_slices(reference=reference[None], predicted=predicted[None]))


def count_slices(*, reference: Mask, predicted: Mask) -> Counts:
    """Return pixels in both, in the reference and in the prediction of each slice: int64, shape (z, 3).

    Raises:
        TypeError: a mask is not a NumPy array of bool.
        GeometryError: the shapes differ.

    >>> count_slices(reference=np.ones((1, 2, 2), bool), predicted=np.eye(2, dtype=bool)[None]).tolist()
    [[2, 4, 2]]
    """
    require_masks(reference=reference, predicted=predicted)
    axes = tuple(range(1, reference.ndim))
    sums = [np.count_nonzero(mask, axis=axes) for mask in (reference & predicted, reference, predicted)]
    return np.stack(sums, axis=1).astype(np.int64)


def dice_volume(counts: Counts) -> float:
    """Return the Dice of all slices as one volume, 0 to 1; NaN if both masks are empty.

    >>> dice_volume(np.array([[2, 4, 2], [0, 0, 2]]))
    0.5
    """
    both, reference, predicted = counts.sum(axis=0)
    return float(2 * both / (reference + predicted)) if reference + predicted else float("nan")


def iou(counts: Counts) -> float:
    """Return `|A and B| / |A or B|` of all slices as one volume (Jaccard): no unit, 0 (apart) to 1 (equal).

    NaN if both masks are empty.

    Source: P. Jaccard, New Phytologist 11 (1912) 37, doi:10.1111/j.1469-8137.1912.tb05611.x.

    >>> iou(np.array([[2, 4, 2], [0, 0, 2]]))
    0.3333333333333333
    """
    both, reference, predicted = counts.sum(axis=0)
    return _share(both, reference + predicted - both)


def precision(counts: Counts) -> float:
    """Return the share of predicted voxels that are tumour in the reference: no unit, 0 to 1.

    NaN if the prediction is empty. Also called positive predictive value.

    Source: D. G. Altman, J. M. Bland, BMJ 309 (1994) 102, doi:10.1136/bmj.309.6947.102.

    >>> precision(np.array([[2, 4, 2], [0, 0, 2]]))
    0.5
    """
    both, _, predicted = counts.sum(axis=0)
    return _share(both, predicted)


def sensitivity(counts: Counts) -> float:
    """Return the share of the reference's voxels that are predicted: no unit, 0 to 1.

    NaN if the reference is empty. Also called recall.

    Source: D. G. Altman, J. M. Bland, BMJ 308 (1994) 1552, doi:10.1136/bmj.308.6943.1552.

    >>> sensitivity(np.array([[2, 4, 2], [0, 0, 2]]))
    0.5
    """
    both, reference, _ = counts.sum(axis=0)
    return _share(both, reference)


def specificity(counts: Counts, *, voxels: int) -> float:
    """Return the share of the reference's background that is not predicted: no unit, 0 to 1.

    Most of a head is background, so this is near 1 for nearly every model.

    Args:
        counts: int64, shape (z, 3).
        voxels: number of voxels of all counted slices, `z * y * x`.

    Returns:
        The share, or NaN if the reference fills every voxel.

    Raises:
        ValueError: `voxels` is smaller than the union of both masks.

    Source: D. G. Altman, J. M. Bland, BMJ 308 (1994) 1552, doi:10.1136/bmj.308.6943.1552.

    >>> specificity(np.array([[2, 4, 2], [0, 0, 2]]), voxels=24)
    0.9
    """
    both, reference, predicted = counts.sum(axis=0)
    filled = reference + predicted - both
    if voxels < filled:
        raise ValueError(f"voxels is {voxels}, expected at least {filled}, the size of the union of both masks")
    return _share(voxels - filled, voxels - reference)


def _share(part: np.int64 | int, whole: np.int64 | int) -> float:
    return float(part / whole) if whole else float("nan")


def dice_tumour_slices(counts: Counts) -> NDArray[np.float64]:
    """Return the Dice of each slice whose reference is not empty, 0 to 1: shape (tumour slices,), maybe empty.

    >>> dice_tumour_slices(np.array([[2, 4, 2], [0, 0, 2], [0, 3, 0]])).round(3).tolist()
    [0.667, 0.0]
    """
    tumour = counts[counts[:, 1] > 0]
    return np.asarray(2 * tumour[:, 0] / (tumour[:, 1] + tumour[:, 2]), np.float64)


def dice_slices_empty_one(counts: Counts) -> NDArray[np.float64]:
    """Return the Dice of every slice, 1 where both masks are empty: shape (slices,).

    >>> dice_slices_empty_one(np.array([[2, 4, 2], [0, 0, 2], [0, 0, 0]])).round(3).tolist()
    [0.667, 0.0, 1.0]
    """
    total = counts[:, 1] + counts[:, 2]
    return np.asarray(np.where(total == 0, 1.0, 2 * counts[:, 0] / np.maximum(total, 1)), np.float64)


def dice_batch(counts: Counts, *, batch: int = BATCH, smooth: float = SMOOTH) -> NDArray[np.float64]:
    """Return the smoothed Dice of each run of `batch` slices, pixels pooled: shape (batches,), maybe empty.

    >>> dice_batch(np.array([[2, 4, 2], [0, 0, 2]])).round(3).tolist()
    [0.5]
    """
    starts = np.arange(0, len(counts), batch)
    pooled: Counts = np.add.reduceat(counts, starts, axis=0) if len(counts) else counts
    return np.asarray((2 * pooled[:, 0] + smooth) / (pooled[:, 1] + pooled[:, 2] + smooth), np.float64)


def empty_slice_false_positives(counts: Counts) -> NDArray[np.float64]:
    """Return 1 for each tumour-free slice with any predicted pixel, else 0: shape (tumour-free slices,).

    >>> empty_slice_false_positives(np.array([[2, 4, 2], [0, 0, 2], [0, 0, 0]])).tolist()
    [1.0, 0.0]
    """
    empty = counts[counts[:, 1] == 0]
    return np.asarray(empty[:, 2] > 0, np.float64)
