"""Overlap measures, with expected values calculated by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.spatial.distance import dice as scipy_dissimilarity

from gliomaseg.errors import GeometryError
from gliomaseg.metrics.overlap import (
    count_slices,
    dice,
    dice_batch,
    dice_slices_empty_one,
    dice_tumour_slices,
    dice_volume,
    empty_slice_false_positives,
    iou,
    precision,
    sensitivity,
    specificity,
)

quick = settings(max_examples=60, deadline=None, derandomize=True, database=None)
two_masks = st.integers(1, 4).flatmap(lambda z: st.tuples(*[arrays(np.bool_, (z, 3, 4))] * 2))

# Both, reference, predicted: a good slice, a false alarm, a miss, an empty slice, another false alarm.
COUNTS = np.array([[30, 40, 40], [0, 0, 10], [0, 20, 0], [0, 0, 0], [0, 0, 1]], np.int64)


def dice_in_python(reference: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> float:
    """Dice in plain Python, from the definition."""
    pairs = list(zip(reference.ravel().tolist(), predicted.ravel().tolist(), strict=True))
    both = sum(1 for r, p in pairs if r and p)
    total = sum(1 for r, _ in pairs if r) + sum(1 for _, p in pairs if p)
    return 2 * both / total if total else math.nan


# --- dice


def test_dice_of_equal_masks_is_one() -> None:
    mask = np.array([[True, False], [True, True]])
    assert dice(reference=mask, predicted=mask) == 1


def test_dice_of_disjoint_masks_is_zero() -> None:
    mask = np.array([True, False])
    assert dice(reference=mask, predicted=~mask) == 0


def test_dice_of_half_a_mask_is_two_thirds() -> None:
    assert dice(reference=np.array([True, True]), predicted=np.array([True, False])) == pytest.approx(2 / 3)


def test_dice_is_nan_if_both_masks_are_empty() -> None:
    assert math.isnan(dice(reference=np.zeros((2, 3), bool), predicted=np.zeros((2, 3), bool)))


@pytest.mark.parametrize("full", ["reference", "predicted"])
def test_dice_is_zero_if_one_mask_is_empty(full: str) -> None:
    masks = {"reference": np.zeros((2, 3), bool), "predicted": np.zeros((2, 3), bool)}
    masks[full][0, 0] = True
    assert dice(**masks) == 0


@pytest.mark.parametrize("shape", [(3, 2), (6,), (1, 2, 3), (2, 4)])
def test_dice_of_masks_of_different_shapes_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(GeometryError, match="reference mask has"):
        dice(reference=np.ones((2, 3), bool), predicted=np.ones(shape, bool))


@quick
@given(two_masks)
def test_dice_equals_the_definition_in_plain_python(masks: tuple[NDArray[np.bool_], NDArray[np.bool_]]) -> None:
    reference, predicted = masks
    value = dice(reference=reference, predicted=predicted)
    assert value == pytest.approx(dice_in_python(reference, predicted), nan_ok=True)


@quick
@given(two_masks)
def test_dice_agrees_with_scipy(masks: tuple[NDArray[np.bool_], NDArray[np.bool_]]) -> None:
    reference, predicted = masks
    if reference.any() or predicted.any():
        expected = 1 - scipy_dissimilarity(reference.ravel(), predicted.ravel())
        assert dice(reference=reference, predicted=predicted) == pytest.approx(expected)


# --- counts


def test_counts_have_a_row_for_each_slice() -> None:
    reference = np.zeros((3, 4, 5), bool)
    predicted = np.zeros((3, 4, 5), bool)
    reference[0, 1:3, 1:4] = True  # 6 pixels
    predicted[0, 2:4, 1:4] = True  # 6 pixels, 3 of them in both
    predicted[2, 0, 0] = True
    counts = count_slices(reference=reference, predicted=predicted)
    assert counts.tolist() == [[3, 6, 6], [0, 0, 0], [0, 0, 1]]
    assert counts.dtype == np.int64


def test_counts_of_an_empty_stack_have_no_row() -> None:
    empty = np.zeros((0, 4, 5), bool)
    assert count_slices(reference=empty, predicted=empty).shape == (0, 3)


def test_counts_of_masks_of_different_shapes_are_refused() -> None:
    with pytest.raises(GeometryError, match=r"reference mask has shape \(2, 4, 5\), predicted mask has \(1, 4, 5\)"):
        count_slices(reference=np.zeros((2, 4, 5), bool), predicted=np.zeros((1, 4, 5), bool))


@pytest.mark.parametrize("labels", [np.full((1, 2, 2), 4), np.ones((1, 2, 2)), [[[True, True], [True, True]]]])
@pytest.mark.parametrize("name", ["reference", "predicted"])
def test_labels_floats_and_lists_are_refused(name: str, labels: Any) -> None:
    masks = {"reference": np.ones((1, 2, 2), bool), "predicted": np.ones((1, 2, 2), bool), name: labels}
    for measure in (dice, count_slices):
        with pytest.raises(TypeError, match=rf"{name} mask (has dtype|is list).*, expected .*bool"):
            measure(**masks)


@quick
@given(two_masks)
def test_counts_keep_their_order(masks: tuple[NDArray[np.bool_], NDArray[np.bool_]]) -> None:
    both, reference, predicted = count_slices(reference=masks[0], predicted=masks[1]).T
    assert (both <= np.minimum(reference, predicted)).all()
    assert (reference + predicted - both <= 12).all()


# --- the five ways


def test_volume_dice_pools_the_whole_stack() -> None:
    assert dice_volume(COUNTS) == pytest.approx(60 / 111)  # 2 * 30 / (60 + 51)


def test_volume_dice_is_nan_if_both_masks_are_empty() -> None:
    assert math.isnan(dice_volume(np.zeros((3, 3), np.int64)))


def test_volume_dice_of_an_empty_stack_is_nan() -> None:
    assert math.isnan(dice_volume(np.zeros((0, 3), np.int64)))


def test_volume_dice_is_a_plain_float() -> None:
    assert type(dice_volume(COUNTS)) is float


def test_tumour_slice_dice_leaves_out_slices_without_reference_tumour() -> None:
    assert dice_tumour_slices(COUNTS).tolist() == [0.75, 0]


def test_tumour_slice_dice_of_a_stack_without_tumour_is_empty() -> None:
    values = dice_tumour_slices(np.array([[0, 0, 5]]))
    assert (values.shape, values.dtype) == ((0,), np.float64)


def test_all_slice_dice_is_one_for_slices_where_both_masks_are_empty() -> None:
    assert dice_slices_empty_one(COUNTS).tolist() == [0.75, 0, 0, 1, 0]


def test_false_positives_are_counted_on_slices_without_reference_tumour() -> None:
    assert empty_slice_false_positives(COUNTS).tolist() == [1, 0, 1]


def test_false_positives_of_a_stack_with_tumour_on_every_slice_are_empty() -> None:
    values = empty_slice_false_positives(np.array([[1, 2, 3]]))
    assert (values.shape, values.dtype) == ((0,), np.float64)


def test_empty_prediction_scores_the_share_of_tumour_free_slices() -> None:
    # The data set's 1,373 slices with tumour and 2,556 without: 2,556 / 3,929 = .651.
    counts = np.zeros((3929, 3), np.int64)
    counts[:1373, 1] = 650
    assert dice_slices_empty_one(counts).mean() == pytest.approx(2556 / 3929)
    assert round(float(dice_slices_empty_one(counts).mean()), 3) == 0.651
    assert dice_volume(counts) == 0
    assert empty_slice_false_positives(counts).mean() == 0


# --- the volume's shares


def test_iou_pools_the_whole_stack() -> None:
    assert iou(COUNTS) == pytest.approx(30 / 81)  # 60 + 51 - 30


def test_precision_is_the_share_of_predicted_voxels() -> None:
    assert precision(COUNTS) == pytest.approx(30 / 51)


def test_sensitivity_is_the_share_of_reference_voxels() -> None:
    assert sensitivity(COUNTS) == 0.5


def test_specificity_is_the_share_of_background_voxels() -> None:
    # Of 500 voxels 440 are background; 21 of them are predicted.
    assert specificity(COUNTS, voxels=500) == pytest.approx(419 / 440)


def test_iou_precision_sensitivity_and_specificity_are_plain_floats() -> None:
    values = [iou(COUNTS), precision(COUNTS), sensitivity(COUNTS), specificity(COUNTS, voxels=500)]
    assert {type(value) for value in values} == {float}


def test_measures_of_empty_masks_are_nan_except_specificity_one() -> None:
    empty = np.zeros((3, 3), np.int64)
    assert all(math.isnan(share(empty)) for share in (iou, precision, sensitivity))
    assert specificity(empty, voxels=12) == 1


def test_precision_is_nan_if_the_prediction_is_empty() -> None:
    missed = np.array([[0, 5, 0]])
    assert math.isnan(precision(missed))
    assert (iou(missed), sensitivity(missed)) == (0, 0)


def test_sensitivity_is_nan_if_the_reference_is_empty() -> None:
    invented = np.array([[0, 0, 5]])
    assert math.isnan(sensitivity(invented))
    assert (iou(invented), precision(invented)) == (0, 0)


def test_specificity_is_nan_if_the_reference_fills_every_voxel() -> None:
    assert math.isnan(specificity(np.array([[2, 4, 2]]), voxels=4))


def test_total_below_the_voxels_of_the_masks_is_refused() -> None:
    with pytest.raises(ValueError, match="voxels is 80, expected at least 81"):
        specificity(COUNTS, voxels=80)


@quick
@given(two_masks)
def test_iou_equals_dice_over_two_minus_dice(masks: tuple[NDArray[np.bool_], NDArray[np.bool_]]) -> None:
    counts = count_slices(reference=masks[0], predicted=masks[1])
    value = dice_volume(counts)
    assert iou(counts) == pytest.approx(value / (2 - value), nan_ok=True)


@quick
@given(two_masks)
def test_swapping_the_masks_swaps_precision_and_sensitivity(masks: tuple[NDArray[np.bool_], NDArray[np.bool_]]) -> None:
    there = count_slices(reference=masks[0], predicted=masks[1])
    back = count_slices(reference=masks[1], predicted=masks[0])
    assert precision(there) == pytest.approx(sensitivity(back), nan_ok=True)


@quick
@given(two_masks)
def test_specificity_equals_the_sensitivity_of_inverted_masks(
    masks: tuple[NDArray[np.bool_], NDArray[np.bool_]],
) -> None:
    counts = count_slices(reference=masks[0], predicted=masks[1])
    background = count_slices(reference=~masks[0], predicted=~masks[1])
    assert specificity(counts, voxels=masks[0].size) == pytest.approx(sensitivity(background), nan_ok=True)


# --- batches


def test_batch_dice_pools_four_slices() -> None:
    # 2 * 30 / (60 + 50) of the first four, and a false alarm alone in the last.
    assert dice_batch(COUNTS).tolist() == pytest.approx([60 / 110, 0], abs=1e-6)


def test_batch_dice_of_empty_slices_is_one() -> None:
    assert dice_batch(np.zeros((4, 3), np.int64)).tolist() == [1]


def test_batch_dice_is_smoothed_in_numerator_and_denominator() -> None:
    assert dice_batch(np.array([[0, 1, 0]])).tolist() == pytest.approx([1e-6 / (1 + 1e-6)], rel=1e-9)


def test_batches_span_patients_and_the_last_batch_is_shorter() -> None:
    first = np.array([[1, 1, 1], [2, 2, 2], [0, 4, 0]])
    second = np.array([[3, 4, 6], [5, 5, 5], [0, 0, 2]])
    pooled = dice_batch(np.concatenate([first, second]))
    # 2 * (1 + 2 + 0 + 3) / (11 + 9), then 2 * 5 / (5 + 7) of two slices.
    assert pooled.tolist() == pytest.approx([12 / 20, 10 / 12], abs=1e-6)


def test_batches_of_one_slice_give_the_dice_of_each_slice() -> None:
    assert dice_batch(COUNTS, batch=1, smooth=1e-12).tolist() == pytest.approx(dice_slices_empty_one(COUNTS).tolist())


def test_batch_of_the_whole_stack_gives_the_volume_dice() -> None:
    assert dice_batch(COUNTS, batch=99).tolist() == pytest.approx([dice_volume(COUNTS)], abs=1e-6)


def test_batches_of_an_empty_stack_are_empty() -> None:
    assert dice_batch(np.zeros((0, 3), np.int64)).shape == (0,)
