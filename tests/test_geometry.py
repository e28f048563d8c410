"""Orientations, affines and resampling: every change is undone exactly, or within what interpolation costs."""

from __future__ import annotations

import itertools
import math

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from gliomaseg.errors import GeometryError
from gliomaseg.geometry import (
    AXIAL,
    FieldOfView,
    Orientation,
    axis_codes,
    field_of_view,
    from_lps,
    is_sheared,
    line_weights,
    orientation_to,
    pixel_area_mm2,
    pixel_centres,
    require_affine,
    spacing_of,
    voxel_volume_mm3,
)
from orientation_cases import ALL_48, turn_affine, turn_back

# An axial volume as the network wants it: x to the left, y to the back, z upwards; 0.9 x 0.8 x 5 mm.
LPS = np.array([[-0.9, 0, 0, 100], [0, -0.8, 0, 90], [0, 0, 5, -40], [0, 0, 0, 1.0]])
VOLUME = np.random.default_rng(0).integers(0, 1000, (4, 5, 6), np.int16)


def places(affine: NDArray[np.float64], voxel: tuple[int, int, int]) -> NDArray[np.float64]:
    """Return the millimetres of a voxel given as (z, y, x)."""
    return affine[:3, :3] @ voxel[::-1] + affine[:3, 3]


# --- orientations


@pytest.mark.parametrize("orientation", ALL_48)
def test_turning_back_gives_the_same_voxels(orientation: Orientation) -> None:
    assert np.array_equal(turn_back(orientation, orientation.turn(VOLUME)), VOLUME)


@pytest.mark.parametrize("orientation", ALL_48)
def test_turning_copies_nothing_and_writing_into_it_reaches_the_array(orientation: Orientation) -> None:
    own = np.zeros((4, 5, 6), np.float32)
    orientation.turn(own)[1, 2, 3] = 1
    assert own.sum() == 1
    assert turn_back(orientation, orientation.turn(own)).base is not None


@pytest.mark.parametrize("orientation", ALL_48)
def test_every_orientation_of_an_axial_volume_is_turned_to_that_volume(orientation: Orientation) -> None:
    stored = orientation.turn(VOLUME)
    affine = turn_affine(orientation, LPS, VOLUME.shape)
    found = orientation_to(affine)
    assert np.array_equal(found.turn(stored), VOLUME)
    assert np.allclose(turn_affine(found, affine, stored.shape), LPS, atol=1e-12)
    assert found.turn_spacing(spacing_of(affine)) == pytest.approx((5, 0.8, 0.9))


@pytest.mark.parametrize("orientation", ALL_48)
def test_voxels_stay_where_they_lie_in_the_patient(orientation: Orientation) -> None:
    marked = np.zeros((4, 5, 6), bool)
    marked[3, 1, 2] = True
    (turned,) = np.argwhere(orientation.turn(marked))
    affine = turn_affine(orientation, LPS, marked.shape)
    assert np.allclose(places(affine, tuple(turned)), places(LPS, (3, 1, 2)))


@pytest.mark.parametrize("orientation", ALL_48)
def test_codes_are_those_that_nibabel_finds(orientation: Orientation) -> None:
    affine = turn_affine(orientation, LPS, VOLUME.shape)
    assert axis_codes(affine) == "".join(nibabel.aff2axcodes(affine))


def test_a_fourth_axis_stays_the_fourth() -> None:
    colours = np.stack([VOLUME, VOLUME + 1], axis=3)
    turned = Orientation((2, 0, 1), (True, False, True)).turn(colours)
    assert turned.shape == (6, 4, 5, 2)
    assert np.array_equal(turned[..., 1], turned[..., 0] + 1)


def test_axial_slices_ascend_from_front_to_back_and_right_to_left() -> None:
    assert AXIAL == "SPL"
    assert orientation_to(LPS) == Orientation()
    assert axis_codes(LPS) == "LPS"


def test_a_sagittal_volume_gives_axial_slices() -> None:
    # x to the back, y downwards, z to the left, as sagittal series are stored.
    affine = np.array([[0, 0, -1.2, 90], [-0.5, 0, 0, 100], [0, -0.5, 0, 120], [0, 0, 0, 1.0]])
    assert axis_codes(affine) == "PIL"
    assert orientation_to(affine) == Orientation((1, 2, 0), (True, False, False))


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    angles=st.tuples(*[st.floats(-30, 30)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 7)] * 3),
    orientation=st.sampled_from(ALL_48),
)
def test_an_oblique_axis_counts_as_the_nearest(
    angles: tuple[float, ...], spacing: tuple[float, ...], orientation: Orientation
) -> None:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ np.diag(spacing)
    affine = turn_affine(orientation, affine, (4, 5, 6))
    found = orientation_to(affine)
    cosines = np.abs(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    best = max(sum(cosines[place, k] for k, place in enumerate(order)) for order in itertools.permutations(range(3)))
    chosen = sum(cosines[2 - new, 2 - old] for new, old in enumerate(found.axes))
    assert chosen == pytest.approx(best, abs=1e-5)
    turned = turn_affine(found, affine, (4, 5, 6))
    assert (np.sign(np.diag(turned)[:3]) == [-1, -1, 1]).all()
    assert np.array_equal(turn_back(found, found.turn(VOLUME)), VOLUME)


# --- affines


def test_spacing_is_z_y_x() -> None:
    assert spacing_of(LPS) == pytest.approx((5, 0.8, 0.9))


def test_lps_and_ras_differ_in_two_signs() -> None:
    assert from_lps(np.eye(4)).diagonal().tolist() == [-1, -1, 1, 1]
    assert np.array_equal(from_lps(from_lps(LPS)), LPS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a.__setitem__((0, 3), np.nan), "affine is not a 4 x 4 matrix"),
        (lambda a: a.__setitem__((0, 0), -1e200), "affine is not a 4 x 4 matrix"),
        (lambda a: a.__setitem__((0, 0), np.inf), "affine is not a 4 x 4 matrix"),
        (lambda a: a.__setitem__((3, 0), 1), "affine is not a 4 x 4 matrix"),
        (lambda a: a.__setitem__((0, 0), 0), "0 x 0.8 x 5 mm"),
        (lambda a: a.__setitem__((2, 2), 500), "expected 0.01 to 100 mm"),
        (lambda a: a.__setitem__((slice(0, 3), 0), a[:3, 1]), "two axes in one direction"),
    ],
)
def test_an_affine_that_places_no_voxels_is_refused(change, words: str) -> None:
    affine = LPS.copy()
    change(affine)
    with pytest.raises(GeometryError, match=words):
        require_affine(affine, where="here")


# --- the field


def test_the_field_lies_around_the_middle_of_the_slice() -> None:
    # 100 mm are 50 rows of 2 mm and 200 columns of 0.5 mm.
    assert field_of_view((60, 180), (2, 0.5), fov_mm=100) == FieldOfView(top=5, left=-10, height=50, width=200)


def test_the_field_moves_no_further_than_the_head_needs() -> None:
    head = (slice(30, 60), slice(0, 30))
    assert field_of_view((100, 100), (1, 1), fov_mm=50, head=head) == FieldOfView(top=25, left=0, height=50, width=50)


def test_a_head_larger_than_the_field_is_centred() -> None:
    assert field_of_view((100, 100), (1, 1), fov_mm=50, head=(slice(0, 80), slice(25, 75))).top == 15


# --- lines


def test_new_pixels_of_the_same_size_are_the_old_ones() -> None:
    assert np.array_equal(line_weights(5, pixel_centres(5, 0, 1)), np.eye(5))


def test_halving_weighs_four_points_one_three_three_one() -> None:
    weights = line_weights(8, pixel_centres(4, 0, 2), reach=2)
    assert weights[1].tolist() == [0, 0.125, 0.375, 0.375, 0.125, 0, 0, 0]


def test_beyond_the_ends_is_nothing_or_the_last_point() -> None:
    wanted = np.array([-0.6, -0.4, 1.4, 1.6])
    assert line_weights(2, wanted).tolist() == [[0, 0], [1, 0], [0, 1], [0, 0]]
    assert line_weights(2, wanted, repeated=True).tolist() == [[1, 0], [1, 0], [0, 1], [0, 1]]


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(count=st.integers(1, 40), new=st.integers(1, 40), start=st.floats(-20, 20), step=st.floats(0.05, 20))
def test_weights_of_places_inside_add_up_to_one(count: int, new: int, start: float, step: float) -> None:
    wanted = pixel_centres(new, start, step)
    sums = line_weights(count, wanted, reach=max(1, step)).sum(axis=1)
    inside = (wanted >= -0.5) & (wanted <= count - 0.5)
    assert np.allclose(sums, inside, atol=1e-5)
    assert np.allclose(line_weights(count, wanted, reach=max(1, step), repeated=True).sum(axis=1), 1, atol=1e-5)


# --- sheared affines: x 1 mm, y 2 mm, z (2, 0, 5) mm

SHEARED = np.array([[1.0, 0, 2, 0], [0, 2, 0, 0], [0, 0, 5, 0], [0, 0, 0, 1]])


def test_the_volume_of_a_sheared_voxel_is_the_determinant() -> None:
    # 1 x 2 x 5; the lengths would give 1 x 2 x sqrt(29) = 10.77
    assert voxel_volume_mm3(SHEARED) == pytest.approx(10)


def test_the_area_of_a_pixel_is_the_parallelogram_of_its_sides() -> None:
    assert pixel_area_mm2(SHEARED, 0) == pytest.approx(2)  # x and y: 1 x 2
    assert pixel_area_mm2(SHEARED, 1) == pytest.approx(5)  # x and z: base 1, height 5, not 1 x sqrt(29)
    assert pixel_area_mm2(SHEARED, 2) == pytest.approx(2 * math.sqrt(29))  # y and z are at right angles


def test_shear_is_detected_and_rotation_is_not_shear() -> None:
    rotated = np.eye(4)
    rotated[:3, :3] = Rotation.from_euler("xyz", [10, 25, 40], degrees=True).as_matrix() @ np.diag([0.9, 0.8, 5])
    assert is_sheared(SHEARED)
    assert not is_sheared(rotated.astype(np.float32).astype(np.float64))
    assert not is_sheared(LPS)
