"""The difference of two masks equals hand counts."""

from __future__ import annotations

import numpy as np

from gliomaseg.correction import CorrectionSummary, correction_summary


def test_added_and_removed_voxels_are_counted() -> None:
    before, after = np.zeros((3, 4, 4), bool), np.zeros((3, 4, 4), bool)
    before[0, 0, 0:3] = True  # 3 voxels, of which one stays
    after[0, 0, 2] = after[2, 1, 1] = True
    # 2 of both masks' 5 voxels are common: Dice 2 x 1 / 5
    assert correction_summary(before, after, voxel_ml=0.5) == CorrectionSummary(1, 2, 0.5, 1.0, 0.4, 2)


def test_without_spacing_there_are_no_volumes() -> None:
    empty = np.zeros((1, 2, 2), bool)
    assert correction_summary(empty, empty, voxel_ml=None) == CorrectionSummary(0, 0, None, None, 1.0, 0)
