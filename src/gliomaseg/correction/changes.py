"""What a person changed in a mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gliomaseg.types import Mask


@dataclass(frozen=True)
class CorrectionSummary:
    """The difference between a mask before and after a correction.

    Attributes:
        added_voxels: voxels that are tumour only after it.
        removed_voxels: voxels that are tumour only before it.
        added_ml: their volume; None if the spacing is unknown.
        removed_ml: likewise.
        dice: between both masks, 0 to 1; 1 if both are empty.
        changed_slices: number of slices along z with a difference.
    """

    added_voxels: int
    removed_voxels: int
    added_ml: float | None
    removed_ml: float | None
    dice: float
    changed_slices: int


def correction_summary(before: Mask, after: Mask, *, voxel_ml: float | None) -> CorrectionSummary:
    """Return what changed between two masks of one scan.

    Args:
        before: bool, shape (z, y, x).
        after: bool, same shape.
        voxel_ml: volume of a voxel; None if it is unknown.
    """
    added, removed = int(np.count_nonzero(after & ~before)), int(np.count_nonzero(before & ~after))
    total = int(np.count_nonzero(before)) + int(np.count_nonzero(after))
    return CorrectionSummary(
        added_voxels=added,
        removed_voxels=removed,
        added_ml=None if voxel_ml is None else round(added * voxel_ml, 4),
        removed_ml=None if voxel_ml is None else round(removed * voxel_ml, 4),
        dice=round(1 - (added + removed) / total, 4) if total else 1.0,
        changed_slices=int(np.count_nonzero((before != after).any(axis=(1, 2)))),
    )
