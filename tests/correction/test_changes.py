"""What a person changed is counted, on examples worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from gliomaseg.correction import CorrectionSummary, correction_summary
from gliomaseg.errors import GeometryError


def mask(*voxels: tuple[int, int, int]) -> np.ndarray:
    """Return a mask of 3 slices of 4 x 5 with these voxels."""
    found = np.zeros((3, 4, 5), bool)
    for voxel in voxels:
        found[voxel] = True
    return found


BEFORE = mask((0, 0, 0), (0, 0, 1), (1, 2, 2), (2, 3, 4))
AFTER = mask((0, 0, 1), (1, 2, 2), (1, 2, 3), (1, 2, 4), (2, 3, 4))


def test_the_difference_of_two_masks() -> None:
    # Added: two voxels of slice 1. Removed: one of slice 0. Common: 3, so the Dice is 2 x 3 / (4 + 5).
    assert correction_summary(BEFORE, AFTER, voxel_ml=0.25) == CorrectionSummary(
        added_voxels=2, removed_voxels=1, added_ml=0.5, removed_ml=0.25, dice=pytest.approx(6 / 9), changed_slices=2
    )


def test_volumes_are_none_without_a_spacing() -> None:
    summary = correction_summary(BEFORE, AFTER, voxel_ml=None)
    assert (summary.added_ml, summary.removed_ml, summary.added_voxels) == (None, None, 2)


def test_added_and_removed_change_places_if_the_masks_do() -> None:
    forth, back = (correction_summary(*pair, voxel_ml=1.0) for pair in ((BEFORE, AFTER), (AFTER, BEFORE)))
    assert (forth.added_ml, forth.removed_ml) == (back.removed_ml, back.added_ml) == (2.0, 1.0)
    assert forth.dice == back.dice


@pytest.mark.parametrize(
    ("before", "after", "dice", "slices"),
    [(mask(), mask(), 1.0, 0), (BEFORE, BEFORE, 1.0, 0), (mask(), BEFORE, 0.0, 3), (BEFORE, mask(), 0.0, 3)],
    ids=["both empty", "equal", "empty before", "empty after"],
)
def test_empty_and_equal_masks(before, after, dice, slices) -> None:
    summary = correction_summary(before, after, voxel_ml=1.0)
    assert (summary.dice, summary.changed_slices) == (dice, slices)


def test_another_shape_or_type_is_refused() -> None:
    with pytest.raises(GeometryError, match="shape"):
        correction_summary(BEFORE, AFTER[:2], voxel_ml=None)
    with pytest.raises(GeometryError, match="expected"):
        correction_summary(BEFORE[0], AFTER[0], voxel_ml=None)
    with pytest.raises(TypeError, match="bool"):
        correction_summary(BEFORE.astype(np.uint8), AFTER, voxel_ml=None)
