"""The same numbers as MONAI and surface-distance, and where definitions part, by how much.

MONAI's surface is ours: mask voxels with one of six neighbours outside. It works in float32, and its
quantile finds the rank in float32 too. It parts from us where a mask is empty (see the last section).

surface-distance measures elements between voxels: the corners that voxels share, where a corner counts if
some of its eight voxels are in the mask and some are not, weighted by the area of surface there. Each such
corner lies half a voxel's diagonal from a surface voxel's centre (of eight voxels that are not alike, some
two that share a face differ, and the inner one is surface), and each surface voxel as far from a corner.
From our surface to its, across, and back is half a diagonal more at each end: the largest and the smallest
distance differ by one voxel's diagonal at most. Percentiles and means have no such bound, since an element
weighs otherwise than a voxel: one example below is 0 here and over 20 there. Release 0.1 fails on empty
masks with NumPy 2 (it asks for `np.Inf` and `np.NaN`), so those are not compared.
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


def pairs() -> list[tuple[Bools, Bools, Triple]]:
    """Return 200 pairs of masks that are not empty, 25 of each kind, and a spacing for each."""
    generator = np.random.default_rng(20240607)
    drawn = [(*masks(KINDS[k % len(KINDS)], generator), SPACINGS[k % len(SPACINGS)]) for k in range(200)]
    return [(first, second, spacing) for first, second, spacing in drawn if first.any() and second.any()]


PAIRS = pairs()


@pytest.fixture(scope="module")
def monai() -> ModuleType:
    return pytest.importorskip("monai.metrics")


@pytest.fixture(scope="module")
def peer() -> ModuleType:
    return pytest.importorskip("surface_distance")


def tensors(*arrays: Bools) -> list:
    torch = pytest.importorskip("torch")
    return [torch.from_numpy(array)[None, None] for array in arrays]


def ours(first: Bools, second: Bools, spacing: Triple = (1, 1, 1)):
    return surface_distances(reference=first, predicted=second, spacing=spacing)


def test_pairs_are_two_hundred_and_cover_what_they_should() -> None:
    assert len(PAIRS) == 200
    overlapping = sum(bool((first & second).any()) for first, second, _ in PAIRS)
    assert 50 < overlapping < 180
    assert sum(first.sum() <= 2 for first, _, _ in PAIRS) == 25
    assert sum(bool(first[0].any()) for first, _, _ in PAIRS) > 25


# --- MONAI


def test_overlaps_are_monais(monai: ModuleType) -> None:
    reference, predicted = (np.stack([pair[k] for pair in PAIRS]) for k in (0, 1))
    batch = [tensor[0, 0][:, None] for tensor in tensors(predicted, reference)]
    theirs_dice = monai.DiceMetric(include_background=True, reduction="none")(*batch)
    theirs_iou = monai.compute_iou(*batch, include_background=True)
    for k, (first, second, _) in enumerate(PAIRS):
        assert dice(reference=first, predicted=second) == pytest.approx(theirs_dice[k].item(), abs=1e-6)
        counts = count_slices(reference=first, predicted=second)
        assert iou(counts) == pytest.approx(theirs_iou[k].item(), abs=1e-6)


def test_distances_are_monais(monai: ModuleType) -> None:
    from monai.metrics.utils import get_edge_surface_distance

    for first, second, spacing in PAIRS:
        edges = [tensor[0, 0] for tensor in tensors(second, first)]
        _, (back, there), _ = get_edge_surface_distance(*edges, spacing=spacing, symmetric=True)
        distances = ours(first, second, spacing)
        np.testing.assert_allclose(distances.from_reference, there.numpy(), rtol=1e-6)
        np.testing.assert_allclose(distances.from_predicted, back.numpy(), rtol=1e-6)


def test_average_distance_is_monais(monai: ModuleType) -> None:
    for first, second, spacing in PAIRS:
        theirs = monai.compute_average_surface_distance(
            *tensors(second, first), include_background=True, symmetric=True, spacing=spacing
        )
        value = average_symmetric_surface_distance(ours(first, second, spacing))
        assert value == pytest.approx(theirs.item(), rel=1e-6, abs=1e-6)


def test_hausdorff_95_is_monais(monai: ModuleType) -> None:
    for first, second, spacing in PAIRS:
        theirs = monai.compute_hausdorff_distance(
            *tensors(second, first), include_background=True, percentile=95, spacing=spacing
        )
        distances = ours(first, second, spacing)
        # float32 finds rank .95 (n - 1) to within n / 2^23, and a rank is worth one step of the sorted distances.
        ways = [np.sort(way) for way in (distances.from_reference, distances.from_predicted)]
        rounding = max(len(way) * 2**-23 * np.diff(way, prepend=way[0]).max() for way in ways)
        assert rounding < 1e-3
        assert hausdorff_95(distances) == pytest.approx(theirs.item(), rel=1e-6, abs=1e-6 + rounding)


@pytest.mark.parametrize("tolerance", [0, 1, 2.5])
def test_surface_dice_is_monais(monai: ModuleType, tolerance: float) -> None:
    for first, second, spacing in PAIRS:
        theirs = monai.compute_surface_dice(
            *tensors(second, first), class_thresholds=[tolerance], include_background=True, spacing=spacing
        )
        value = normalised_surface_dice(ours(first, second, spacing), tolerance=tolerance)
        assert value == pytest.approx(theirs.item(), abs=1e-6)


# --- surface-distance


def elements(peer: ModuleType, first: Bools, second: Bools, spacing: Triple = (1, 1, 1)) -> dict:
    return peer.compute_surface_distances(first, second, spacing)


def test_dice_is_surface_distances(peer: ModuleType) -> None:
    for first, second, _ in PAIRS:
        assert dice(reference=first, predicted=second) == peer.compute_dice_coefficient(first, second)


def test_largest_and_smallest_distances_differ_by_a_diagonal_at_most(peer: ModuleType) -> None:
    apart = []
    for first, second, spacing in PAIRS:
        theirs = elements(peer, first, second, spacing)
        distances, diagonal = ours(first, second, spacing), math.hypot(*spacing)
        there, back = distances.from_reference, distances.from_predicted
        for mine, other in ((there, theirs["distances_gt_to_pred"]), (back, theirs["distances_pred_to_gt"])):
            apart += [abs(mine.max() - other.max()) / diagonal, abs(mine.min() - other.min()) / diagonal]
        hausdorff = peer.compute_robust_hausdorff(theirs, 100)
        apart.append(abs(max(there.max(), back.max()) - hausdorff) / diagonal)
    assert max(apart) <= 1 + 1e-9
    assert max(apart) > 0.5  # masks that come near the bound are among them


def test_surface_dice_is_one_for_both_with_a_diagonal_more_tolerance(peer: ModuleType) -> None:
    for first, second, spacing in PAIRS:
        distances, theirs = ours(first, second, spacing), elements(peer, first, second, spacing)
        largest = max(distances.from_reference.max(), distances.from_predicted.max())
        assert normalised_surface_dice(distances, tolerance=largest) == 1
        assert peer.compute_surface_dice_at_tolerance(theirs, largest + math.hypot(*spacing) + 1e-9) == pytest.approx(1)


def test_surface_dice_is_zero_for_both_with_a_diagonal_less_tolerance(peer: ModuleType) -> None:
    asked = 0
    for first, second, spacing in PAIRS:
        distances = ours(first, second, spacing)
        smallest = min(distances.from_reference.min(), distances.from_predicted.min())
        tolerance = smallest - math.hypot(*spacing) - 1e-9
        if tolerance > 0:
            asked += 1
            assert normalised_surface_dice(distances, tolerance=tolerance) == 0
            theirs = elements(peer, first, second, spacing)
            assert peer.compute_surface_dice_at_tolerance(theirs, tolerance) == 0
    assert asked > 10


@pytest.mark.parametrize("spacing", [(1, 1, 1), (5.5, 0.9, 0.9)])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_shifted_box_is_as_far_for_both(peer: ModuleType, spacing: Triple, axis: int, steps: int) -> None:
    box = np.zeros((24, 24, 24), bool)
    box[2:14, 2:14, 2:14] = True
    shifted = np.roll(box, steps, axis=axis)
    distances, theirs = ours(box, shifted, spacing), elements(peer, box, shifted, spacing)
    length = steps * spacing[axis]
    assert max(distances.from_reference.max(), distances.from_predicted.max()) == pytest.approx(length)
    assert hausdorff_95(distances) == pytest.approx(length)
    assert peer.compute_robust_hausdorff(theirs, 100) == pytest.approx(length)
    assert peer.compute_robust_hausdorff(theirs, 95) == pytest.approx(length)


@pytest.mark.parametrize("spacing", [(1, 1, 1), (5.5, 0.9, 0.9)])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_average_of_plates_differs_by_half_a_voxel(peer: ModuleType, spacing: Triple, steps: int) -> None:
    # A plate of one slice is one surface to us. There it has two sides, and the sides that face are a slice nearer.
    plate, other = np.zeros((2, 8, 10, 12), bool)
    plate[1], other[1 + steps] = True, True
    distances, theirs = ours(plate, other, spacing), elements(peer, plate, other, spacing)
    assert hausdorff_95(distances) == peer.compute_robust_hausdorff(theirs, 95) == steps * spacing[0]
    assert average_symmetric_surface_distance(distances) == pytest.approx(steps * spacing[0])
    assert peer.compute_average_surface_distance(theirs) == pytest.approx([(steps - 0.5) * spacing[0]] * 2)


def test_percentiles_can_be_far_apart(peer: ModuleType, monai: ModuleType) -> None:
    # Seven specks beside a cube of 152 surface voxels: 7 of 159 voxels (4.4 %), but 5.9 % of the area, since a
    # lone voxel is surface on all sides.
    cube = np.zeros((40, 8, 20), bool)
    cube[1:7, 1:7, 1:7] = True
    specks = cube.copy()
    specks[30, 4, 4:18:2] = True
    theirs = elements(peer, cube, specks)
    area = theirs["surfel_areas_pred"][theirs["distances_pred_to_gt"] > 0].sum() / theirs["surfel_areas_pred"].sum()
    assert area == pytest.approx(0.059, abs=0.001)
    assert hausdorff_95(ours(cube, specks)) == 0
    assert monai.compute_hausdorff_distance(*tensors(specks, cube), include_background=True, percentile=95) == 0
    assert peer.compute_robust_hausdorff(theirs, 95) > 20


# --- where a mask is empty, we part from MONAI


@pytest.mark.filterwarnings("ignore:.* all 0, this may result in nan/inf distance:UserWarning")
@pytest.mark.parametrize("missing", ["reference", "predicted", "both"])
def test_empty_masks_are_not_told_apart_by_monais_hausdorff_distance(monai: ModuleType, missing: str) -> None:
    tumour, empty = np.zeros((2, *SHAPE), bool)
    tumour[2:4, 5:9, 5:9] = True
    reference, predicted = (empty if missing in (name, "both") else tumour for name in ("reference", "predicted"))
    two, distances = tensors(predicted, reference), ours(reference, predicted)
    hausdorff = monai.compute_hausdorff_distance(*two, include_background=True, percentile=95)
    average = monai.compute_average_surface_distance(*two, include_background=True, symmetric=True)
    surface_dice = monai.compute_surface_dice(*two, class_thresholds=[1], include_background=True)
    mine = [hausdorff_95(distances), average_symmetric_surface_distance(distances)]
    mine.append(normalised_surface_dice(distances, tolerance=1))
    theirs = [hausdorff.item(), average.item(), surface_dice.item()]
    if missing == "both":
        assert np.isnan(mine).all()
        assert np.isnan(theirs).all()
    else:
        assert mine == [math.hypot(6, 17, 19)] * 2 + [0]
        assert math.isnan(theirs[0])
        assert theirs[1:] == [math.inf, 0]


def test_false_alarm_is_dice_zero_here_and_left_out_by_monai(monai: ModuleType) -> None:
    empty, alarm = np.zeros(SHAPE, bool), np.ones(SHAPE, bool)
    assert dice(reference=empty, predicted=alarm) == 0
    assert math.isnan(monai.DiceMetric(include_background=True, reduction="none")(*tensors(alarm, empty)))
    assert math.isnan(monai.compute_iou(*tensors(alarm, empty), include_background=True))
