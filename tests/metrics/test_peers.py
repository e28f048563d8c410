"""Comparison with MONAI and surface-distance: equal values, and bounds if the definitions differ.

MONAI defines the surface in the same way: mask voxels with one of six neighbours outside. It calculates distances and
the rank of a quantile in float32. It differs if a mask is empty (see the last section).

surface-distance measures from elements between voxels: corners that eight voxels share, of which some are in the mask
and some are not. It weights each corner by its area of surface. Each such corner is half a voxel diagonal from the
centre of a surface voxel: of eight unequal voxels, two that share a face differ, and the inner one is on the surface.
Likewise, each surface voxel is half a diagonal from a corner. Therefore the largest distances differ by at most one
voxel diagonal, half at each end, and so do the smallest. Percentiles and means have no such bound, because elements
and voxels have different weights: one example below is 0 here and over 20 there. Release 0.1 fails on empty masks with
NumPy 2 (it uses `np.Inf` and `np.NaN`), so empty masks are not compared.
"""

from __future__ import annotations

import math
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from gliomaseg.metrics.overlap import count_slices, dice, iou
from gliomaseg.metrics.surface import (
    average_symmetric_surface_distance,
    hausdorff_95,
    normalised_surface_dice,
    surface_distances,
)

Bools = NDArray[np.bool_]
Triple = tuple[float, float, float]

pytestmark = [
    # MONAI 1.6.1 passes an argument of its own that it has deprecated.
    pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning"),
    # surface-distance 0.1 calls scipy.ndimage.filters and .morphology.
    pytest.mark.filterwarnings("ignore:Please import .* from the `scipy.ndimage` namespace:DeprecationWarning"),
]

SHAPE = (7, 18, 20)
SPACINGS: list[Triple] = [(1.0, 1.0, 1.0), (5.5, 0.9, 0.9), (2.0, 1.0, 0.5), (6.0, 0.73, 0.73), (1.0, 1.0, 1.0)]
KINDS = ["blobs", "tiny", "border", "disjoint", "nested", "one slice", "shifted", "noise"]


def blob(generator: np.random.Generator, share: float) -> Bools:
    smooth = ndimage.gaussian_filter(generator.random(SHAPE), (1, 2, 2), mode="constant")
    return smooth > np.quantile(smooth, 1 - share)


def points(generator: np.random.Generator, number: int) -> Bools:
    mask = np.zeros(SHAPE, bool)
    mask.flat[generator.choice(mask.size, number, replace=False)] = True
    return mask


def masks(kind: str, generator: np.random.Generator) -> tuple[Bools, Bools]:
    first, second = blob(generator, 0.1), blob(generator, 0.15)
    match kind:
        case "tiny":
            return points(generator, int(generator.integers(1, 3))), points(generator, 1)
        case "border":
            first[0, :5], second[-1, :, -4:] = True, True
        case "disjoint":
            first[:, :, 9:], second[:, :, :11] = False, False
            first[3, 8, 2], second[3, 9, 15] = True, True
        case "nested":
            second = ndimage.binary_dilation(first, iterations=2)
        case "one slice":
            first[:3], first[4:], second[:3], second[4:] = False, False, False, False
            first[3, 4:9, 5:9], second[3, 6:10, 6:12] = True, True
        case "shifted":
            second = np.roll(first, (1, 2, -1), axis=(0, 1, 2))
        case "noise":
            return points(generator, 150), points(generator, 90)
    return first, second


def make_mask_pairs() -> list[tuple[Bools, Bools, Triple]]:
    """Return 200 pairs of masks that are not empty, 25 of each kind, and a spacing for each."""
    generator = np.random.default_rng(20240607)
    drawn = [(*masks(KINDS[k % len(KINDS)], generator), SPACINGS[k % len(SPACINGS)]) for k in range(200)]
    return [(first, second, spacing) for first, second, spacing in drawn if first.any() and second.any()]


PAIRS = make_mask_pairs()


@pytest.fixture(scope="module")
def monai() -> ModuleType:
    return pytest.importorskip("monai.metrics")


@pytest.fixture(scope="module")
def surface_distance() -> ModuleType:
    return pytest.importorskip("surface_distance")


def tensors(*arrays: Bools) -> list:
    torch = pytest.importorskip("torch")
    return [torch.from_numpy(array)[None, None] for array in arrays]


def our_distances(first: Bools, second: Bools, spacing: Triple = (1, 1, 1)):
    return surface_distances(reference=first, predicted=second, spacing=spacing)


def test_200_mask_pairs_cover_overlap_small_masks_and_borders() -> None:
    assert len(PAIRS) == 200
    overlapping = sum(bool((first & second).any()) for first, second, _ in PAIRS)
    assert 50 < overlapping < 180
    assert sum(first.sum() <= 2 for first, _, _ in PAIRS) == 25
    assert sum(bool(first[0].any()) for first, _, _ in PAIRS) > 25


# --- MONAI


def test_dice_and_iou_equal_monai(monai: ModuleType) -> None:
    reference, predicted = (np.stack([pair[k] for pair in PAIRS]) for k in (0, 1))
    batch = [tensor[0, 0][:, None] for tensor in tensors(predicted, reference)]
    theirs_dice = monai.DiceMetric(include_background=True, reduction="none")(*batch)
    theirs_iou = monai.compute_iou(*batch, include_background=True)
    for k, (first, second, _) in enumerate(PAIRS):
        assert dice(reference=first, predicted=second) == pytest.approx(theirs_dice[k].item(), abs=1e-6)
        counts = count_slices(reference=first, predicted=second)
        assert iou(counts) == pytest.approx(theirs_iou[k].item(), abs=1e-6)


def test_distances_equal_monai(monai: ModuleType) -> None:
    from monai.metrics.utils import get_edge_surface_distance

    for first, second, spacing in PAIRS:
        edges = [tensor[0, 0] for tensor in tensors(second, first)]
        _, (from_predicted, from_reference), _ = get_edge_surface_distance(*edges, spacing=spacing, symmetric=True)
        distances = our_distances(first, second, spacing)
        np.testing.assert_allclose(distances.from_reference, from_reference.numpy(), rtol=1e-6)
        np.testing.assert_allclose(distances.from_predicted, from_predicted.numpy(), rtol=1e-6)


def test_average_distance_equals_monai(monai: ModuleType) -> None:
    for first, second, spacing in PAIRS:
        theirs = monai.compute_average_surface_distance(
            *tensors(second, first), include_background=True, symmetric=True, spacing=spacing
        )
        value = average_symmetric_surface_distance(our_distances(first, second, spacing))
        assert value == pytest.approx(theirs.item(), rel=1e-6, abs=1e-6)


def test_hausdorff_95_equals_monai(monai: ModuleType) -> None:
    for first, second, spacing in PAIRS:
        theirs = monai.compute_hausdorff_distance(
            *tensors(second, first), include_background=True, percentile=95, spacing=spacing
        )
        distances = our_distances(first, second, spacing)
        # float32 finds rank .95 (n - 1) to within n / 2^23, and a rank is worth one step of the sorted distances.
        sorted_distances = [np.sort(direction) for direction in (distances.from_reference, distances.from_predicted)]
        rounding = max(
            len(direction) * 2**-23 * np.diff(direction, prepend=direction[0]).max() for direction in sorted_distances
        )
        assert rounding < 1e-3
        assert hausdorff_95(distances) == pytest.approx(theirs.item(), rel=1e-6, abs=1e-6 + rounding)


@pytest.mark.parametrize("tolerance", [0, 1, 2.5])
def test_surface_dice_equals_monai(monai: ModuleType, tolerance: float) -> None:
    for first, second, spacing in PAIRS:
        theirs = monai.compute_surface_dice(
            *tensors(second, first), class_thresholds=[tolerance], include_background=True, spacing=spacing
        )
        value = normalised_surface_dice(our_distances(first, second, spacing), tolerance=tolerance)
        assert value == pytest.approx(theirs.item(), abs=1e-6)


# --- surface-distance


def their_distances(surface_distance: ModuleType, first: Bools, second: Bools, spacing: Triple = (1, 1, 1)) -> dict:
    return surface_distance.compute_surface_distances(first, second, spacing)


def test_dice_equals_surface_distance(surface_distance: ModuleType) -> None:
    for first, second, _ in PAIRS:
        assert dice(reference=first, predicted=second) == surface_distance.compute_dice_coefficient(first, second)


def test_largest_and_smallest_distances_differ_by_at_most_a_voxel_diagonal(surface_distance: ModuleType) -> None:
    differences = []
    for first, second, spacing in PAIRS:
        theirs = their_distances(surface_distance, first, second, spacing)
        distances, diagonal = our_distances(first, second, spacing), math.hypot(*spacing)
        from_reference, from_predicted = distances.from_reference, distances.from_predicted
        for ours, other in (
            (from_reference, theirs["distances_gt_to_pred"]),
            (from_predicted, theirs["distances_pred_to_gt"]),
        ):
            differences += [abs(ours.max() - other.max()) / diagonal, abs(ours.min() - other.min()) / diagonal]
        hausdorff = surface_distance.compute_robust_hausdorff(theirs, 100)
        differences.append(abs(max(from_reference.max(), from_predicted.max()) - hausdorff) / diagonal)
    assert max(differences) <= 1 + 1e-9
    assert max(differences) > 0.5  # some masks come close to the bound


def test_surface_dice_is_one_for_both_if_the_tolerance_is_a_diagonal_larger(surface_distance: ModuleType) -> None:
    for first, second, spacing in PAIRS:
        distances, theirs = (
            our_distances(first, second, spacing),
            their_distances(surface_distance, first, second, spacing),
        )
        largest = max(distances.from_reference.max(), distances.from_predicted.max())
        assert normalised_surface_dice(distances, tolerance=largest) == 1
        assert surface_distance.compute_surface_dice_at_tolerance(
            theirs, largest + math.hypot(*spacing) + 1e-9
        ) == pytest.approx(1)


def test_surface_dice_is_zero_for_both_if_the_tolerance_is_a_diagonal_smaller(surface_distance: ModuleType) -> None:
    compared_pairs = 0
    for first, second, spacing in PAIRS:
        distances = our_distances(first, second, spacing)
        smallest = min(distances.from_reference.min(), distances.from_predicted.min())
        tolerance = smallest - math.hypot(*spacing) - 1e-9
        if tolerance > 0:
            compared_pairs += 1
            assert normalised_surface_dice(distances, tolerance=tolerance) == 0
            theirs = their_distances(surface_distance, first, second, spacing)
            assert surface_distance.compute_surface_dice_at_tolerance(theirs, tolerance) == 0
    assert compared_pairs > 10


@pytest.mark.parametrize("spacing", [(1, 1, 1), (5.5, 0.9, 0.9)])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_distance_of_a_shifted_box_equals_surface_distance(
    surface_distance: ModuleType, spacing: Triple, axis: int, steps: int
) -> None:
    box = np.zeros((24, 24, 24), bool)
    box[2:14, 2:14, 2:14] = True
    shifted = np.roll(box, steps, axis=axis)
    distances, theirs = our_distances(box, shifted, spacing), their_distances(surface_distance, box, shifted, spacing)
    length = steps * spacing[axis]
    assert max(distances.from_reference.max(), distances.from_predicted.max()) == pytest.approx(length)
    assert hausdorff_95(distances) == pytest.approx(length)
    assert surface_distance.compute_robust_hausdorff(theirs, 100) == pytest.approx(length)
    assert surface_distance.compute_robust_hausdorff(theirs, 95) == pytest.approx(length)


@pytest.mark.parametrize("spacing", [(1, 1, 1), (5.5, 0.9, 0.9)])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_average_distance_of_plates_differs_by_half_a_voxel(
    surface_distance: ModuleType, spacing: Triple, steps: int
) -> None:
    # A plate of one slice is one surface here. In surface-distance it has two sides, of which the facing ones are a
    # slice nearer.
    plate, other = np.zeros((2, 8, 10, 12), bool)
    plate[1], other[1 + steps] = True, True
    distances, theirs = our_distances(plate, other, spacing), their_distances(surface_distance, plate, other, spacing)
    assert hausdorff_95(distances) == surface_distance.compute_robust_hausdorff(theirs, 95) == steps * spacing[0]
    assert average_symmetric_surface_distance(distances) == pytest.approx(steps * spacing[0])
    assert surface_distance.compute_average_surface_distance(theirs) == pytest.approx([(steps - 0.5) * spacing[0]] * 2)


def test_hausdorff_95_can_differ_strongly_from_surface_distance(
    surface_distance: ModuleType, monai: ModuleType
) -> None:
    # Seven specks beside a cube of 152 surface voxels: 7 of 159 voxels (4.4 %), but 5.9 % of the area, since a
    # lone voxel is surface on all sides.
    cube = np.zeros((40, 8, 20), bool)
    cube[1:7, 1:7, 1:7] = True
    specks = cube.copy()
    specks[30, 4, 4:18:2] = True
    theirs = their_distances(surface_distance, cube, specks)
    area = theirs["surfel_areas_pred"][theirs["distances_pred_to_gt"] > 0].sum() / theirs["surfel_areas_pred"].sum()
    assert area == pytest.approx(0.059, abs=0.001)
    assert hausdorff_95(our_distances(cube, specks)) == 0
    assert monai.compute_hausdorff_distance(*tensors(specks, cube), include_background=True, percentile=95) == 0
    assert surface_distance.compute_robust_hausdorff(theirs, 95) > 20


# --- empty masks: differences from MONAI


@pytest.mark.filterwarnings("ignore:.* all 0, this may result in nan/inf distance:UserWarning")
@pytest.mark.parametrize("missing", ["reference", "predicted", "both"])
def test_empty_masks_give_other_values_than_monai(monai: ModuleType, missing: str) -> None:
    tumour, empty = np.zeros((2, *SHAPE), bool)
    tumour[2:4, 5:9, 5:9] = True
    reference, predicted = (empty if missing in (name, "both") else tumour for name in ("reference", "predicted"))
    both_tensors, distances = tensors(predicted, reference), our_distances(reference, predicted)
    hausdorff = monai.compute_hausdorff_distance(*both_tensors, include_background=True, percentile=95)
    average = monai.compute_average_surface_distance(*both_tensors, include_background=True, symmetric=True)
    surface_dice = monai.compute_surface_dice(*both_tensors, class_thresholds=[1], include_background=True)
    ours = [hausdorff_95(distances), average_symmetric_surface_distance(distances)]
    ours.append(normalised_surface_dice(distances, tolerance=1))
    theirs = [hausdorff.item(), average.item(), surface_dice.item()]
    if missing == "both":
        assert np.isnan(ours).all()
        assert np.isnan(theirs).all()
    else:
        assert ours == [math.hypot(6, 17, 19)] * 2 + [0]
        assert math.isnan(theirs[0])
        assert theirs[1:] == [math.inf, 0]


def test_false_positive_has_dice_zero_here_and_nan_in_monai(monai: ModuleType) -> None:
    empty, false_positive = np.zeros(SHAPE, bool), np.ones(SHAPE, bool)
    assert dice(reference=empty, predicted=false_positive) == 0
    assert math.isnan(monai.DiceMetric(include_background=True, reduction="none")(*tensors(false_positive, empty)))
    assert math.isnan(monai.compute_iou(*tensors(false_positive, empty), include_background=True))
