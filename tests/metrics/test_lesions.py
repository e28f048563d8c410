"""Lesions: connected components, found lesions, hits, and empty masks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from gliomaseg.errors import GeometryError
from gliomaseg.metrics.lesions import Lesions, count_lesions

Bools = NDArray[np.bool_]
Pair = tuple[Bools, Bools]

quick = settings(max_examples=80, deadline=None, derandomize=True, database=None)
two_masks = st.tuples(*[st.integers(1, 4)] * 3).flatmap(lambda shape: st.tuples(*[arrays(np.bool_, shape)] * 2))


def row_mask(text: str) -> Bools:
    """Return a mask of one row; a # is tumour."""
    return np.array([[[sign == "#" for sign in text]]])


def components(mask: Bools) -> list[set[tuple[int, ...]]]:
    """Return the lesions in plain Python: voxels that touch by a face, an edge or a corner."""
    unassigned = {tuple(voxel) for voxel in np.argwhere(mask).tolist()}
    lesions = []
    while unassigned:
        lesion, border = set(), [unassigned.pop()]
        while border:
            voxel = border.pop()
            lesion.add(voxel)
            touching = {v for v in unassigned if max(abs(p - q) for p, q in zip(v, voxel, strict=True)) == 1}
            unassigned -= touching
            border += touching
        lesions.append(lesion)
    return lesions


def count_lesions_in_python(reference: Bools, predicted: Bools) -> Lesions:
    """Count lesions in plain Python, from the definition."""
    reference_lesions, predicted_lesions = components(reference), components(predicted)
    found = [len(lesion) for lesion in reference_lesions if any(lesion & other for other in predicted_lesions)]
    hits = [lesion for lesion in predicted_lesions if any(lesion & other for other in reference_lesions)]
    return Lesions(len(reference_lesions), len(found), len(predicted_lesions), len(hits), min(found, default=None))


# --- calculated by hand


def test_found_lesions_and_hits_are_counted_separately() -> None:
    # The prediction's first piece joins two lesions, its second is a false alarm, the last lesion is missed.
    lesions = count_lesions(reference=row_mask("##.##....###"), predicted=row_mask(".###..#....."))
    assert lesions == Lesions(reference=3, found=2, predicted=2, hits=1, smallest_found_voxels=2)
    assert (lesions.sensitivity, lesions.precision) == (pytest.approx(2 / 3), 0.5)
    assert lesions.f1 == pytest.approx(4 / 7)  # 2 * 2/3 * 1/2 / (2/3 + 1/2)


def test_overlap_of_one_voxel_finds_a_lesion() -> None:
    lesions = count_lesions(reference=row_mask("########"), predicted=row_mask("#......."))
    assert (lesions.found, lesions.smallest_found_voxels, lesions.f1) == (1, 8, 1)


def test_smallest_found_voxels_ignores_missed_lesions() -> None:
    lesions = count_lesions(reference=row_mask("#.##.###"), predicted=row_mask("...#...#"))
    assert lesions.smallest_found_voxels == 2


def test_voxels_that_touch_by_a_corner_are_one_lesion() -> None:
    mask = np.zeros((3, 3, 3), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[2, 2, 2] = True
    assert count_lesions(reference=mask, predicted=mask).reference == 1


def test_prediction_that_only_touches_a_lesion_does_not_find_it() -> None:
    lesions = count_lesions(reference=row_mask("##.."), predicted=row_mask("..##"))
    assert lesions == Lesions(reference=1, found=0, predicted=1, hits=0, smallest_found_voxels=None)
    assert (lesions.sensitivity, lesions.precision, lesions.f1) == (0, 0, 0)


# --- small ones


def test_small_and_large_lesions_have_equal_weight() -> None:
    reference, predicted = row_mask("#..###...."), row_mask("#...##..#.")
    assert count_lesions(reference=reference, predicted=predicted) == Lesions(2, 2, 3, 2, 1)


# --- empty masks


def test_measures_are_nan_if_both_masks_are_empty() -> None:
    lesions = count_lesions(reference=row_mask("..."), predicted=row_mask("..."))
    assert lesions == Lesions(0, 0, 0, 0, None)
    assert all(math.isnan(share) for share in (lesions.sensitivity, lesions.precision, lesions.f1))


def test_missed_lesion_gives_precision_nan_and_f1_zero() -> None:
    lesions = count_lesions(reference=row_mask("##."), predicted=row_mask("..."))
    assert (lesions.sensitivity, lesions.f1) == (0, 0)
    assert math.isnan(lesions.precision)


def test_false_positive_lesion_gives_sensitivity_nan_and_f1_zero() -> None:
    lesions = count_lesions(reference=row_mask("..."), predicted=row_mask("##."))
    assert (lesions.precision, lesions.f1) == (0, 0)
    assert math.isnan(lesions.sensitivity)


# --- refused


def test_two_dimensional_masks_are_refused() -> None:
    with pytest.raises(GeometryError, match="give one slice as"):
        count_lesions(reference=np.ones((2, 2), bool), predicted=np.ones((2, 2), bool))


def test_masks_of_different_shapes_are_refused() -> None:
    with pytest.raises(GeometryError, match="predicted mask has"):
        count_lesions(reference=row_mask("##"), predicted=row_mask("#"))


# --- properties of all masks


@quick
@given(two_masks)
def test_counts_equal_the_definition_in_plain_python(masks: Pair) -> None:
    assert count_lesions(reference=masks[0], predicted=masks[1]) == count_lesions_in_python(*masks)


@quick
@given(two_masks)
def test_equal_masks_find_every_lesion(masks: Pair) -> None:
    lesions = count_lesions(reference=masks[0], predicted=masks[0])
    assert lesions.reference == lesions.found == lesions.predicted == lesions.hits


@quick
@given(two_masks)
def test_swapping_the_masks_swaps_the_counts(masks: Pair) -> None:
    forward = count_lesions(reference=masks[0], predicted=masks[1])
    swapped = count_lesions(reference=masks[1], predicted=masks[0])
    assert (forward.reference, forward.found, forward.predicted, forward.hits) == (
        swapped.predicted,
        swapped.hits,
        swapped.reference,
        swapped.found,
    )


@quick
@given(two_masks, st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=3, max_size=3))
def test_padding_and_translation_do_not_change_the_counts(masks: Pair, margins: list[tuple[int, int]]) -> None:
    padded = [np.pad(mask, margins) for mask in masks]
    unpadded = count_lesions(reference=masks[0], predicted=masks[1])
    assert count_lesions(reference=padded[0], predicted=padded[1]) == unpadded
