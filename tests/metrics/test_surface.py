"""Surface distances: values calculated by hand, the definition in plain Python, and invariances."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from gliomaseg.errors import GeometryError
from gliomaseg.metrics.surface import (
    SurfaceDistances,
    average_symmetric_surface_distance,
    hausdorff_95,
    normalised_surface_dice,
    surface,
    surface_distances,
)

Bools = NDArray[np.bool_]
Pair = tuple[Bools, Bools]
Triple = tuple[float, float, float]

quick = settings(max_examples=80, deadline=None, derandomize=True, database=None)
two_masks = st.tuples(*[st.integers(1, 4)] * 3).flatmap(lambda shape: st.tuples(*[arrays(np.bool_, shape)] * 2))
spacings = st.tuples(*[st.sampled_from([0.5, 1.0, 0.9, 2.75, 6.0])] * 3)


def distances_in_python(reference: Bools, predicted: Bools, spacing: Triple) -> tuple[list[float], list[float]]:
    """Both directions' distances in plain Python, from the definition, without a crop or a transform."""

    def surface_voxels(mask: Bools) -> list[tuple[int, ...]]:
        voxels = {tuple(voxel) for voxel in np.argwhere(mask).tolist()}
        steps = [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)]
        return sorted(v for v in voxels if any((v[0] + a, v[1] + b, v[2] + c) not in voxels for a, b, c in steps))

    def nearest(voxel: tuple[int, ...], others: list[tuple[int, ...]]) -> float:
        lengths = [
            math.hypot(*((p - q) * s for p, q, s in zip(voxel, other, spacing, strict=True))) for other in others
        ]
        return min(lengths, default=math.inf)

    first, second = surface_voxels(reference), surface_voxels(predicted)
    return [nearest(voxel, second) for voxel in first], [nearest(voxel, first) for voxel in second]


def measure(reference: Bools, predicted: Bools, spacing: Triple = (1, 1, 1)) -> tuple[float, float, float]:
    distances = surface_distances(reference=reference, predicted=predicted, spacing=spacing)
    return (
        hausdorff_95(distances),
        average_symmetric_surface_distance(distances),
        normalised_surface_dice(distances, tolerance=1),
    )


def all_distances(distances: SurfaceDistances) -> list[float]:
    return [*distances.from_reference.tolist(), *distances.from_predicted.tolist()]


def row_mask(*positions: int, length: int = 12) -> Bools:
    """Return a mask of one row with these voxels."""
    mask = np.zeros((1, 1, length), bool)
    mask[0, 0, list(positions)] = True
    return mask


# --- the surface


def test_surface_of_a_cube_is_its_outer_voxel_layer() -> None:
    mask = np.zeros((5, 5, 5), bool)
    mask[1:4, 1:4, 1:4] = True
    inner = surface(mask) ^ mask
    assert np.argwhere(inner).tolist() == [[2, 2, 2]]


def test_voxel_with_only_a_corner_neighbour_outside_is_not_on_the_surface() -> None:
    mask = np.ones((3, 3, 3), bool)
    mask[0, 0, 0] = False
    assert not surface(mask)[1, 1, 1]


def test_mask_voxels_at_the_border_of_the_grid_are_on_the_surface() -> None:
    assert surface(np.ones((3, 3, 3), bool)).sum() == 26


def test_every_mask_voxel_of_a_single_slice_is_on_the_surface() -> None:
    assert surface(np.ones((1, 4, 5), bool)).all()


# --- worked by hand


def test_distances_of_two_voxels_are_the_distance_of_their_centres() -> None:
    reference, predicted = np.zeros((2, 2, 4, 5), bool)
    reference[0, 0, 0] = predicted[1, 3, 4] = True
    distances = surface_distances(reference=reference, predicted=predicted, spacing=(12, 1, 1))
    # 12 mm, 3 mm and 4 mm: sqrt(144 + 9 + 16) = 13, both ways
    assert all_distances(distances) == [13, 13]
    assert (hausdorff_95(distances), average_symmetric_surface_distance(distances)) == (13, 13)


def test_hausdorff_distance_is_the_larger_of_both_directions() -> None:
    # From the one voxel 0; from the eleven 0 to 10, whose 95th percentile is .95 of the way: 9.5.
    distances = surface_distances(reference=row_mask(0), predicted=row_mask(*range(11)))
    assert distances.from_reference.tolist() == [0]
    assert hausdorff_95(distances) == pytest.approx(9.5)


def test_average_distance_pools_both_directions() -> None:
    # 0 one way, 0 to 10 the other: 55 / 12, and not the mean of 0 and 5.
    distances = surface_distances(reference=row_mask(0), predicted=row_mask(*range(11)))
    assert average_symmetric_surface_distance(distances) == pytest.approx(55 / 12)


def test_surface_dice_counts_voxels_of_both_surfaces() -> None:
    # Of twelve distances, 0 0 1 2 lie within 2.
    distances = surface_distances(reference=row_mask(0), predicted=row_mask(*range(11)))
    assert normalised_surface_dice(distances, tolerance=2) == pytest.approx(4 / 12)


def test_distant_false_positives_change_hausdorff_95_only_above_5_percent() -> None:
    # A plate of 100 voxels is right; specks 10 slices off are 5 of 105 voxels (under 5 %), then 7 of 107.
    reference = np.zeros((11, 10, 10), bool)
    reference[0] = True
    few, many = reference.copy(), reference.copy()
    few[10, 0, :5] = many[10, 0, :7] = True
    assert hausdorff_95(surface_distances(reference=reference, predicted=few)) == 0
    assert hausdorff_95(surface_distances(reference=reference, predicted=many)) == 10


def test_distance_equal_to_the_tolerance_is_within_it() -> None:
    # 3 x 0.1 is 0.30000000000000004 in floating point.
    distances = surface_distances(reference=row_mask(0), predicted=row_mask(3), spacing=(1, 1, 0.1))
    assert normalised_surface_dice(distances, tolerance=0.3) == 1
    assert normalised_surface_dice(distances, tolerance=0.29999) == 0


def test_tolerance_zero_counts_only_identical_surface_voxels() -> None:
    distances = surface_distances(reference=row_mask(0, 1), predicted=row_mask(1, 2))
    assert normalised_surface_dice(distances, tolerance=0) == 0.5


# --- empty masks


def test_measures_are_nan_if_both_masks_are_empty() -> None:
    assert all(math.isnan(value) for value in measure(row_mask(), row_mask()))


@pytest.mark.parametrize("swapped", [False, True])
def test_one_empty_mask_gives_the_grid_diagonal_and_surface_dice_zero(swapped: bool) -> None:
    full, empty = np.zeros((2, 3, 4, 5), bool)
    full[1, 1:3, 2] = True
    masks = (empty, full) if swapped else (full, empty)
    # 2 x 6, 3 x 1, 4 x 1: sqrt(144 + 9 + 16) = 13
    assert measure(*masks, spacing=(6, 1, 1)) == (13, 13, 0)


def test_distance_to_an_empty_mask_is_infinite() -> None:
    distances = surface_distances(reference=row_mask(3, 4), predicted=row_mask())
    assert distances.from_reference.tolist() == [math.inf, math.inf]
    assert distances.from_predicted.shape == (0,)


def test_distances_of_a_grid_without_voxels_are_empty() -> None:
    empty = np.zeros((0, 4, 5), bool)
    assert all(math.isnan(value) for value in measure(empty, empty))


# --- refused


def test_two_dimensional_masks_are_refused() -> None:
    with pytest.raises(GeometryError, match="give one slice as"):
        surface_distances(reference=np.ones((4, 5), bool), predicted=np.ones((4, 5), bool))


def test_masks_of_different_shapes_are_refused() -> None:
    with pytest.raises(GeometryError, match="predicted mask has"):
        surface_distances(reference=row_mask(0), predicted=row_mask(0, length=9))


def test_spacing_of_zero_is_refused() -> None:
    with pytest.raises(GeometryError, match="three positive lengths"):
        surface_distances(reference=row_mask(0), predicted=row_mask(0), spacing=(0, 1, 1))


@pytest.mark.parametrize("tolerance", [-1, math.nan, math.inf])
def test_negative_or_nonfinite_tolerance_is_refused(tolerance: float) -> None:
    distances = surface_distances(reference=row_mask(0), predicted=row_mask(0))
    with pytest.raises(ValueError, match="tolerance is"):
        normalised_surface_dice(distances, tolerance=tolerance)


# --- what holds for all masks


@quick
@given(two_masks, spacings)
def test_distances_equal_the_definition_in_plain_python(masks: Pair, spacing: Triple) -> None:
    # The definition knows no crop: cropped equals uncropped.
    distances = surface_distances(reference=masks[0], predicted=masks[1], spacing=spacing)
    expected = distances_in_python(*masks, spacing)
    assert distances.from_reference.tolist() == pytest.approx(expected[0])
    assert distances.from_predicted.tolist() == pytest.approx(expected[1])


@quick
@given(two_masks, spacings)
def test_measures_are_symmetric(masks: Pair, spacing: Triple) -> None:
    assert measure(*masks, spacing) == pytest.approx(measure(masks[1], masks[0], spacing), nan_ok=True)


@quick
@given(two_masks)
def test_distances_of_equal_masks_are_zero(masks: Pair) -> None:
    if masks[0].any():
        assert measure(masks[0], masks[0]) == (0, 0, 1)


@quick
@given(two_masks, spacings)
def test_measures_are_in_range(masks: Pair, spacing: Triple) -> None:
    distances = surface_distances(reference=masks[0], predicted=masks[1], spacing=spacing)
    if masks[0].any() and masks[1].any():
        longest = max(all_distances(distances))
        assert 0 <= hausdorff_95(distances) <= longest <= distances.grid_diagonal * (1 + 1e-12)
        assert 0 <= average_symmetric_surface_distance(distances) <= longest * (1 + 1e-12)
        assert normalised_surface_dice(distances, tolerance=longest) == 1


@quick
@given(two_masks, st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=3, max_size=3))
def test_padding_and_translation_do_not_change_the_distances(masks: Pair, margins: list[tuple[int, int]]) -> None:
    # Different margins on the two sides of an axis move the masks within the grid, and off its border.
    if masks[0].any() and masks[1].any():
        padded = tuple(np.pad(mask, margins) for mask in masks)
        assert measure(*padded) == measure(*masks)


@quick
@given(two_masks, spacings, st.sampled_from([0.25, 2.0, 3.0]))
def test_distances_scale_with_the_spacing(masks: Pair, spacing: Triple, scale: float) -> None:
    larger = (spacing[0] * scale, spacing[1] * scale, spacing[2] * scale)
    once = surface_distances(reference=masks[0], predicted=masks[1], spacing=spacing)
    scaled = surface_distances(reference=masks[0], predicted=masks[1], spacing=larger)
    for length in (hausdorff_95, average_symmetric_surface_distance):
        assert length(scaled) == pytest.approx(scale * length(once), nan_ok=True)
    dice = normalised_surface_dice(once, tolerance=1.3)
    assert normalised_surface_dice(scaled, tolerance=1.3 * scale) == pytest.approx(dice, nan_ok=True)


@quick
@given(two_masks, st.permutations([0, 1, 2]), spacings)
def test_permuting_the_axes_does_not_change_the_distances(masks: Pair, axes: list[int], spacing: Triple) -> None:
    turned = tuple(np.transpose(mask, axes) for mask in masks)
    lengths = (spacing[axes[0]], spacing[axes[1]], spacing[axes[2]])
    assert measure(*turned, lengths) == pytest.approx(measure(*masks, spacing), nan_ok=True)


def test_all_mask_pairs_on_a_grid_of_three_voxels() -> None:
    masks = [np.array(bits).reshape(1, 1, 3) for bits in product([False, True], repeat=3)]
    for reference, predicted in product(masks, masks):
        distances = surface_distances(reference=reference, predicted=predicted)
        expected = distances_in_python(reference, predicted, (1, 1, 1))
        assert all_distances(distances) == expected[0] + expected[1]


# --- affines

# x 1 mm, y 2 mm, z (2, 0, 5) mm
SHEARED = np.array([[1.0, 0, 2, 0], [0, 2, 0, 0], [0, 0, 5, 0], [0, 0, 0, 1]])


def test_distances_on_a_sheared_grid_are_those_of_the_positions() -> None:
    reference, predicted = np.zeros((2, 3, 4, 8), bool)
    reference[0, 1, 2], predicted[1, 1, 0] = True, True  # at (2, 2, 0) and (2, 2, 5): 5 mm apart, not sqrt(29 + 4)
    distances = surface_distances(reference=reference, predicted=predicted, affine=SHEARED)
    assert (distances.from_reference.tolist(), distances.from_predicted.tolist()) == ([5], [5])
    # z 2, y 3, x 7 steps: (7 + 4, 6, 10) mm
    assert distances.grid_diagonal == pytest.approx(math.sqrt(121 + 36 + 100))


def test_an_empty_mask_on_a_sheared_grid_costs_the_diagonal() -> None:
    mask = row_mask(3, 4)
    distances = surface_distances(reference=mask, predicted=row_mask(), affine=SHEARED)
    assert hausdorff_95(distances) == distances.grid_diagonal
    assert math.isnan(hausdorff_95(surface_distances(reference=row_mask(), predicted=row_mask(), affine=SHEARED)))


@quick
@given(two_masks, spacings)
def test_an_affine_at_right_angles_gives_the_distances_of_its_spacing(masks: Pair, spacing: Triple) -> None:
    affine = np.diag([-spacing[2], -spacing[1], spacing[0], 1.0])
    first = surface_distances(reference=masks[0], predicted=masks[1], spacing=spacing)
    second = surface_distances(reference=masks[0], predicted=masks[1], affine=affine)
    assert np.array_equal(first.from_reference, second.from_reference)
    assert first.grid_diagonal == second.grid_diagonal
