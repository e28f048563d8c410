"""A volume is resampled to the grid of another one by their affines: the same places give the same values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from gliomaseg.geometry import Affine, Orientation
from gliomaseg.phantoms import phantom_patient
from gliomaseg.resampling import VolumeGrid, covered_share, head_of, resample
from orientation_cases import ALL_48, turn_affine

SHAPE = (4, 6, 5)
AFFINE = np.array([[-0.9, 0, 0, 100], [0, -0.8, 0, 90], [0, 0, 5, -40], [0, 0, 0, 1.0]])
GRID = VolumeGrid(SHAPE, AFFINE)
NOISE = np.random.default_rng(0).integers(-50, 900, SHAPE).astype(np.int16)


def turned(orientation: Orientation, volume: NDArray[np.int16], affine: Affine) -> tuple[NDArray[np.int16], VolumeGrid]:
    stored = orientation.turn(volume)
    z, y, x = stored.shape
    return stored, VolumeGrid((z, y, x), turn_affine(orientation, affine, volume.shape))


def moved(affine: Affine, voxels: tuple[float, float, float]) -> Affine:
    """Return the affine of a volume that begins at other indices (x, y, z) of a grid."""
    shift = np.eye(4)
    shift[:3, 3] = voxels
    return np.asarray(affine @ shift)


def rotated(affine: Affine, angles: tuple[float, float, float]) -> Affine:
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    return np.asarray(turn @ affine)


def blob(grid: VolumeGrid, centre_mm: NDArray[np.float64], width_mm: float = 8) -> NDArray[np.float32]:
    """Return a bright blob, a function of the place in the patient only."""
    z, y, x = np.indices(grid.shape)
    places = np.stack([x, y, z, np.ones(grid.shape)], axis=-1) @ grid.affine.T
    squared = ((places[..., :3] - centre_mm) ** 2).sum(axis=-1)
    return np.asarray(1000 * np.exp(-squared / (2 * width_mm**2)), np.float32)


# --- the same voxels in another order


@pytest.mark.parametrize("orientation", ALL_48)
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_a_reoriented_copy_gives_the_same_values_exactly(orientation: Orientation, dtype: type) -> None:
    noise = NOISE.astype(dtype) * dtype(1.1 if dtype is np.float32 else 1)
    affine = rotated(AFFINE, (12, -7, 31))
    stored, source = turned(orientation, noise, affine)
    result = resample(stored, source, VolumeGrid(SHAPE, affine))
    assert result.dtype == dtype
    assert np.array_equal(result, noise)


@pytest.mark.parametrize("orientation", ALL_48)
def test_a_shift_by_whole_voxels_gives_shifted_values(orientation: Orientation) -> None:
    # The volume begins at index (1, 0, 2) of the grid and ends beyond it.
    stored, source = turned(orientation, NOISE, moved(AFFINE, (1, 0, 2)))
    expected = np.full(SHAPE, NOISE.min())
    expected[2:, :, 1:] = NOISE[:2, :, :4]
    assert np.array_equal(resample(stored, source, GRID), expected)


@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.floats(-180, 180)] * 3), st.tuples(*[st.integers(-2, 2)] * 3))
def test_oblique_grids_with_common_voxels_agree_exactly(
    angles: tuple[float, float, float], shift: tuple[int, int, int]
) -> None:
    affine = rotated(AFFINE, angles)
    result = resample(NOISE, VolumeGrid(SHAPE, moved(affine, shift)), VolumeGrid(SHAPE, affine))
    padded = np.full([length + 4 for length in SHAPE], NOISE.min())
    x, y, z = (2 + step for step in shift)
    padded[z : z + 4, y : y + 6, x : x + 5] = NOISE
    assert np.array_equal(result, padded[2:-2, 2:-2, 2:-2])


def test_an_affine_that_was_rounded_to_float32_is_the_same_grid() -> None:
    source = VolumeGrid(SHAPE, rotated(AFFINE, (3, 4, 5)).astype(np.float32).astype(np.float64))
    assert np.array_equal(resample(NOISE, source, VolumeGrid(SHAPE, rotated(AFFINE, (3, 4, 5)))), NOISE)


# --- other voxels


def test_values_between_voxels_are_interpolated_and_integers_rounded() -> None:
    line = np.array([0, 10, 21], np.int16).reshape(1, 1, 3)
    grid = VolumeGrid((1, 1, 2), moved(np.eye(4), (0.5, 0, 0)))
    # (0 + 10) / 2 and (10 + 21) / 2 = 15.5, rounded to even.
    assert resample(line, VolumeGrid((1, 1, 3), np.eye(4)), grid).ravel().tolist() == [5, 16]
    assert resample(line.astype(np.float32), VolumeGrid((1, 1, 3), np.eye(4)), grid).ravel().tolist() == [5, 15.5]


def test_a_voxel_reaches_half_its_width_beyond_its_centre() -> None:
    grid = VolumeGrid((1, 1, 8), np.diag([0.4, 1, 1, 1]))
    pair = np.array([3, 7], np.int16).reshape(1, 1, 2)
    source = VolumeGrid((1, 1, 2), moved(np.eye(4), (1, 0, 0)))
    # Centres at 0, 0.4 ... 2.8: the volume reaches from 0.5 to 2.5; at 1.2 it is 3.8, at 1.6 it is 5.4.
    assert resample(pair, source, grid).ravel().tolist() == [0, 0, 3, 4, 5, 7, 7, 0]


def test_large_voxels_get_the_means_of_small_ones() -> None:
    stripes = np.tile(np.array([0, 100], np.int16), 6).reshape(1, 1, 12)
    grid = VolumeGrid((1, 1, 3), moved(np.diag([4.0, 1, 1, 1]), (3 / 8, 0, 0)))
    # Centres at 1.5, 5.5 and 9.5: each voxel covers four stripes, two of them bright.
    assert resample(stripes, VolumeGrid((1, 1, 12), np.eye(4)), grid).ravel().tolist() == [50, 50, 50]


def test_a_last_block_of_fewer_voxels_has_their_mean() -> None:
    ramp = np.arange(5, dtype=np.float32).reshape(1, 1, 5)
    grid = VolumeGrid((1, 1, 3), moved(np.diag([2.0, 1, 1, 1]), (0.25, 0, 0)))
    # Blocks (0, 1), (2, 3) and (4), at 0.5, 2.5 and 4.5.
    assert resample(ramp, VolumeGrid((1, 1, 5), np.eye(4)), grid).ravel().tolist() == [0.5, 2.5, 4]


@pytest.mark.parametrize("spacing", [(2, 2, 2), (0.5, 0.5, 0.5), (0.9, 1.1, 3), (0.4, 1, 1)])
@pytest.mark.parametrize("angles", [(0, 0, 0), (10, -20, 30)])
def test_a_blob_lies_at_the_same_place_on_any_grid(
    spacing: tuple[float, float, float], angles: tuple[float, float, float]
) -> None:
    grid = VolumeGrid((40, 42, 44), np.diag([-1.0, -1, 1, 1]))
    centre = (grid.affine @ [22, 20, 19, 1])[:3]
    z, y, x = (round(70 / length) for length in spacing[::-1])
    affine = rotated(np.diag([-spacing[0], -spacing[1], spacing[2], 1.0]), angles)
    affine[:3, 3] = centre - affine[:3, :3] @ [x / 2, y / 2, z / 2]  # its field of view is around the blob
    source = VolumeGrid((z, y, x), affine)
    assert np.abs(resample(blob(source, centre), source, grid) - blob(grid, centre)).max() < 30  # of 1,000


def test_a_phantom_at_half_resolution_is_near_and_nowhere_nearer() -> None:
    t1 = phantom_patient(0, side_px=64, slices=16).image[..., 0].astype(np.float32)
    halves = t1.reshape(16, 32, 2, 32, 2).mean(axis=(2, 4))
    grid = VolumeGrid((16, 64, 64), np.diag([-2.0, -2, 5, 1]))

    def correlation(shift_px: float) -> float:
        # The first large voxel covers the first two of the grid: its centre lies at index 0.5 of the grid.
        affine = moved(grid.affine, (0.5 + shift_px, 0.5 + shift_px, 0)) @ np.diag([2.0, 2, 1, 1])
        result = resample(halves, VolumeGrid((16, 32, 32), affine), grid)
        return float(np.corrcoef(result.ravel(), t1.ravel())[0, 1])

    assert correlation(0) > 0.9
    assert correlation(0) > max(correlation(-0.5), correlation(0.5)) + 0.005


def test_the_background_is_0_or_the_smallest_value_below_it() -> None:
    far = VolumeGrid(SHAPE, moved(AFFINE, (100, 0, 0)))
    assert set(resample(NOISE + np.int16(60), far, GRID).ravel()) == {0}  # its smallest value is above 0
    assert set(resample(NOISE, far, GRID).ravel()) == {NOISE.min()}


# --- what a volume covers


def test_the_covered_share_counts_the_wanted_voxels_only() -> None:
    head = np.zeros(SHAPE, bool)
    head[:, 2, 2] = True
    above = VolumeGrid(SHAPE, moved(AFFINE, (0, 0, 1)))  # lacks the lowest of four slices
    assert covered_share(head, GRID, above) == 0.75
    assert covered_share(head, GRID, GRID) == 1
    assert covered_share(head, GRID, VolumeGrid(SHAPE, moved(AFFINE, (0, 0, 9)))) == 0
    assert covered_share(np.zeros(SHAPE, bool), GRID, GRID) == 0


@pytest.mark.parametrize("background", [0, 40, -3])
def test_the_head_differs_from_the_corners(background: int) -> None:
    volume = np.full((5, 8, 8), background, np.float32)
    volume[1:4, 2:6, 2:6] = background + 300
    volume[0, 0, 1] += 5  # noise
    assert np.array_equal(head_of(volume), volume > background + 5)
