"""The difference between a mask before and after a correction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gliomaseg.metrics.mask_checks import require_pair
from gliomaseg.types import Mask


@dataclass(frozen=True)
class CorrectionSummary:
    """The difference between a mask before and after a correction.

    Attributes:
        added_voxels: voxels that are tumour only after it.
        removed_voxels: voxels that are tumour only before it.
        added_ml: their volume; None if the volume of a voxel is unknown.
        removed_ml: likewise.
        dice: of both masks, 0 (apart) to 1 (equal); 1 if both are empty.
        changed_slices: slices along z with a difference.
    """

    added_voxels: int
    removed_voxels: int
    added_ml: float | None
    removed_ml: float | None
    dice: float
    changed_slices: int


def correction_summary(before: Mask, after: Mask, *, voxel_ml: float | None) -> CorrectionSummary:
    """Return the difference between two masks of one scan.

    Args:
        before: bool, shape (z, y, x).
        after: bool, same shape.
        voxel_ml: volume of a voxel, in ml; None if it is unknown.

    Raises:
        TypeError: a mask is not a NumPy array of bool.
        GeometryError: a mask is not 3D, or the shapes differ.

    >>> before, after = np.array([[[True, True, False]]]), np.array([[[False, True, True]]])
    >>> correction_summary(before, after, voxel_ml=0.5)
    CorrectionSummary(added_voxels=1, removed_voxels=1, added_ml=0.5, removed_ml=0.5, dice=0.5, changed_slices=1)
    """
    require_pair(reference=before, predicted=after)
    added, removed = int(np.count_nonzero(after & ~before)), int(np.count_nonzero(before & ~after))
    total = int(np.count_nonzero(before)) + int(np.count_nonzero(after))
    return CorrectionSummary(
        added_voxels=added,
        removed_voxels=removed,
        added_ml=None if voxel_ml is None else round(added * voxel_ml, 4),
        removed_ml=None if voxel_ml is None else round(removed * voxel_ml, 4),
        dice=1 - (added + removed) / total if total else 1.0,
        changed_slices=int(np.count_nonzero((before != after).any(axis=(1, 2)))),
    )
