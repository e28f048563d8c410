"""Lesions: which belong together, which are found, and what is ignored."""

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


def line(text: str) -> Bools:
    """Return a mask of one row; a # is tumour."""
    return np.array([[[sign == "#" for sign in text]]])


def components(mask: Bools) -> list[set[tuple[int, ...]]]:
    """Return the lesions in plain Python: voxels that touch by a face, an edge or a corner."""
    left = {tuple(place) for place in np.argwhere(mask).tolist()}
    lesions = []
    while left:
        lesion, border = set(), [left.pop()]
        while border:
            place = border.pop()
            lesion.add(place)
            touching = {v for v in left if max(abs(p - q) for p, q in zip(v, place, strict=True)) == 1}
            left -= touching
            border += touching
        lesions.append(lesion)
    return lesions


def by_hand(reference: Bools, predicted: Bools) -> Lesions:
    true, drawn = components(reference), components(predicted)
    found = [len(lesion) for lesion in true if any(lesion & other for other in drawn)]
    hits = [lesion for lesion in drawn if any(lesion & other for other in true)]
    return Lesions(len(true), len(found), len(drawn), len(hits), min(found, default=None))


# --- worked by hand


def test_found_lesions_and_hits_are_counted_apart() -> None:
    # The prediction's first piece joins two lesions, its second is a false alarm, the last lesion is missed.
    lesions = count_lesions(reference=line("##.##....###"), predicted=line(".###..#....."))
    assert lesions == Lesions(reference=3, found=2, predicted=2, hits=1, smallest_found_voxels=2)
    assert (lesions.sensitivity, lesions.precision) == (pytest.approx(2 / 3), 0.5)
    assert lesions.f1 == pytest.approx(4 / 7)  # 2 * 2/3 * 1/2 / (2/3 + 1/2)


def test_one_voxel_is_enough_to_find_a_lesion() -> None:
    lesions = count_lesions(reference=line("########"), predicted=line("#......."))
    assert (lesions.found, lesions.smallest_found_voxels, lesions.f1) == (1, 8, 1)


def test_smallest_found_lesion_is_not_the_smallest_lesion() -> None:
    lesions = count_lesions(reference=line("#.##.###"), predicted=line("...#...#"))
    assert lesions.smallest_found_voxels == 2


def test_voxels_that_touch_by_a_corner_are_one_lesion() -> None:
    mask = np.zeros((3, 3, 3), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[2, 2, 2] = True
    assert count_lesions(reference=mask, predicted=mask).reference == 1


def test_touching_without_overlap_finds_nothing() -> None:
    lesions = count_lesions(reference=line("##.."), predicted=line("..##"))
    assert lesions == Lesions(reference=1, found=0, predicted=1, hits=0, smallest_found_voxels=None)
    assert (lesions.sensitivity, lesions.precision, lesions.f1) == (0, 0, 0)


# --- small ones


def test_small_lesions_count_like_large_ones() -> None:
    reference, predicted = line("#..###...."), line("#...##..#.")
    assert count_lesions(reference=reference, predicted=predicted) == Lesions(2, 2, 3, 2, 1)


# --- empty masks


def test_shares_are_nan_when_both_are_empty() -> None:
    lesions = count_lesions(reference=line("..."), predicted=line("..."))
    assert lesions == Lesions(0, 0, 0, 0, None)
    assert all(math.isnan(share) for share in (lesions.sensitivity, lesions.precision, lesions.f1))


def test_missed_lesion_has_no_precision_and_f1_zero() -> None:
    lesions = count_lesions(reference=line("##."), predicted=line("..."))
    assert (lesions.sensitivity, lesions.f1) == (0, 0)
    assert math.isnan(lesions.precision)


def test_invented_lesion_has_no_sensitivity_and_f1_zero() -> None:
    lesions = count_lesions(reference=line("..."), predicted=line("##."))
    assert (lesions.precision, lesions.f1) == (0, 0)
    assert math.isnan(lesions.sensitivity)


# --- refused


def test_one_slice_without_an_axis_is_refused() -> None:
    with pytest.raises(GeometryError, match="give one slice as"):
        count_lesions(reference=np.ones((2, 2), bool), predicted=np.ones((2, 2), bool))


def test_masks_of_two_shapes_are_refused() -> None:
    with pytest.raises(GeometryError, match="predicted mask has"):
        count_lesions(reference=line("##"), predicted=line("#"))


# --- what holds for all masks


@quick
@given(two_masks)
def test_counts_are_the_definition(masks: Pair) -> None:
    assert count_lesions(reference=masks[0], predicted=masks[1]) == by_hand(*masks)


@quick
@given(two_masks)
def test_mask_finds_all_of_itself(masks: Pair) -> None:
    lesions = count_lesions(reference=masks[0], predicted=masks[0])
    assert lesions.reference == lesions.found == lesions.predicted == lesions.hits


@quick
@given(two_masks)
def test_swapped_masks_swap_the_counts(masks: Pair) -> None:
    there = count_lesions(reference=masks[0], predicted=masks[1])
    back = count_lesions(reference=masks[1], predicted=masks[0])
    assert (there.reference, there.found, there.predicted, there.hits) == (
        back.predicted,
        back.hits,
        back.reference,
        back.found,
    )


@quick
@given(two_masks, st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=3, max_size=3))
def test_padding_and_translation_change_nothing(masks: Pair, margins: list[tuple[int, int]]) -> None:
    padded = [np.pad(mask, margins) for mask in masks]
    once = count_lesions(reference=masks[0], predicted=masks[1])
    assert count_lesions(reference=padded[0], predicted=padded[1]) == once
