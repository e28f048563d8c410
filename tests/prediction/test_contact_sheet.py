"""The slices that a contact sheet shows."""

from __future__ import annotations

import numpy as np
import pytest

from gliomaseg.prediction.contact_sheet import SheetText, choose_slices


def areas(count: int, first: int, last: int, largest: int) -> np.ndarray:
    values = np.zeros(count, np.int64)
    values[first : last + 1] = 5
    values[largest] = 9
    return values


def test_all_slices_with_tumour_and_the_adjacent_slices_are_shown() -> None:
    assert choose_slices(areas(30, 10, 14, 12)) == list(range(9, 16))


@pytest.mark.parametrize("largest", range(20, 101))
def test_of_many_tumour_slices_twelve_evenly_spaced_ones_and_the_largest_are_shown(largest: int) -> None:
    chosen = choose_slices(areas(155, 20, 100, largest))
    assert len(chosen) == 12
    assert (chosen[0], chosen[-1]) == (19, 101)
    assert largest in chosen
    assert max(np.diff(chosen)) <= 16


def test_distant_small_components_do_not_spread_the_shown_slices() -> None:
    values = areas(155, 70, 80, 75) * 100
    values[[3, 150]] = 1
    chosen = choose_slices(values)
    assert (chosen[0], chosen[-1], len(chosen)) == (69, 81, 12)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 12, 155])
def test_without_tumour_the_middle_slices_are_shown(count: int) -> None:
    chosen = choose_slices(np.zeros(count, np.int64))
    assert 1 <= len(chosen) <= 12
    assert chosen[0] >= count // 4
    assert chosen[-1] <= count - 1


@pytest.mark.parametrize("count", [1, 2, 12])
def test_a_tumour_in_all_slices_is_shown_from_the_first_to_the_last(count: int) -> None:
    assert choose_slices(np.full(count, 4)) == list(range(count))


def test_the_sheet_names_model_predicted_dice_and_warnings() -> None:
    text = SheetText("case1", 3.0, "glioma-flair", 0.8567, ("looks like T1, not like FLAIR",))
    assert text.lines() == [
        "glioma-flair, predicted Dice 0.86. Research only",
        "Warning: looks like T1, not like FLAIR",
    ]
    assert SheetText("case1", model="m").lines() == ["m. Research only"]
