"""Checks of two masks: refused masks, diagonal of the grid, and the joint bounding box."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from gliomaseg.errors import GeometryError
from gliomaseg.metrics.mask_checks import diagonal, joint_box, require_pair, require_spacing

quick = settings(max_examples=60, deadline=None, derandomize=True, database=None)
two_masks = st.integers(1, 4).flatmap(lambda z: st.tuples(*[arrays(np.bool_, (z, 3, 4))] * 2))


def test_valid_masks_are_accepted() -> None:
    require_pair(reference=np.zeros((2, 3, 4), bool), predicted=np.ones((2, 3, 4), bool))


@pytest.mark.parametrize("name", ["reference", "predicted"])
@pytest.mark.parametrize("shape", [(3, 4), (1, 2, 3, 4), ()])
def test_mask_that_is_not_3d_is_refused(name: str, shape: tuple[int, ...]) -> None:
    masks = {
        "reference": np.zeros((2, 3, 4), bool),
        "predicted": np.zeros((2, 3, 4), bool),
        name: np.zeros(shape, bool),
    }
    with pytest.raises(
        GeometryError, match=f"{name} mask has .*expected \\(z, y, x\\); give one slice as mask\\[None\\]"
    ):
        require_pair(**masks)


@pytest.mark.parametrize("name", ["reference", "predicted"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_mask_that_is_not_bool_is_refused(name: str, dtype: type) -> None:
    masks = {"reference": np.zeros((2, 3, 4), bool), "predicted": np.zeros((2, 3, 4), bool)}
    masks[name] = masks[name].astype(dtype)
    with pytest.raises(TypeError, match=f"{name} mask has .*expected bool"):
        require_pair(**masks)


def test_masks_of_different_shapes_are_refused() -> None:
    with pytest.raises(GeometryError, match=r"reference mask has shape \(2, 3, 4\), predicted mask has \(2, 4, 3\)"):
        require_pair(reference=np.zeros((2, 3, 4), bool), predicted=np.zeros((2, 4, 3), bool))


@pytest.mark.parametrize(
    "spacing",
    [
        (1, 1), (1, 1, 1, 1), (0, 1, 1), (1, -1, 1), (1, 1, math.nan), (math.inf, 1, 1),
        None, 1.0, "111", ("1", "1", "1"), (1, 1, 1j),
    ],
)  # fmt: skip
def test_spacing_that_is_not_three_positive_lengths_is_refused(spacing: Any) -> None:
    with pytest.raises(GeometryError, match=r"spacing is .*, expected three positive lengths \(z, y, x\)"):
        require_spacing(spacing)


def test_diagonal_is_the_distance_of_opposite_corner_voxel_centres() -> None:
    # 2 x 5, 3 x 4, 4 x 0.5: sqrt(100 + 144 + 4)
    assert diagonal((3, 4, 5), (5, 4, 0.5)) == pytest.approx(math.sqrt(248))


@pytest.mark.parametrize("shape", [(1, 1, 1), (0, 1, 1)])
def test_diagonal_of_a_grid_with_at_most_one_voxel_is_zero(shape: tuple[int, ...]) -> None:
    assert diagonal(shape, (5, 4, 3)) == 0


def test_box_of_empty_masks_is_the_whole_grid() -> None:
    empty = np.zeros((2, 3, 4), bool)
    assert empty[joint_box(reference=empty, predicted=empty)].shape == (2, 3, 4)


def test_box_of_a_full_mask_is_the_whole_grid() -> None:
    full = np.ones((2, 3, 4), bool)
    assert full[joint_box(reference=full, predicted=~full)].shape == (2, 3, 4)


@quick
@given(two_masks)
def test_box_contains_both_masks_and_has_no_empty_side(masks: tuple[NDArray[np.bool_], NDArray[np.bool_]]) -> None:
    either = masks[0] | masks[1]
    inside = either[joint_box(reference=masks[0], predicted=masks[1])]
    assert inside.sum() == either.sum()
    if either.any():
        sides = [inside.take(end, axis=axis).any() for axis in range(3) for end in (0, -1)]
        assert all(sides)
