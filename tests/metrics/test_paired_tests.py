"""Two systems on the same patients: differences, interval, signed-rank test, and missing values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from gliomaseg.metrics.bootstrap import bootstrap_interval
from gliomaseg.metrics.paired_tests import compare

quick = settings(max_examples=40, deadline=None, derandomize=True, database=None)
values = arrays(
    np.float64, st.shared(st.integers(0, 8), key="patients"), elements=st.integers(0, 4).map(lambda k: k / 4)
)
BASELINE = np.array([0.5, 0.5, 0.5, 0.5, 0.5])


def test_differences_are_candidate_minus_baseline() -> None:
    result = compare(baseline=BASELINE, candidate=np.array([0.625, 0.75, 0.25, 0.5, 1.0]))
    assert result.mean_difference == pytest.approx(0.125)  # (.125 + .25 - .25 + 0 + .5) / 5
    assert (result.wins, result.losses, result.ties) == (3, 1, 1)


def test_smaller_distance_is_a_win() -> None:
    candidate = np.array([0.625, 0.75, 0.25, 0.5, 1.0])
    result = compare(baseline=BASELINE, candidate=candidate, higher_is_better=False)
    assert (result.wins, result.losses, result.ties) == (1, 3, 1)
    assert result.mean_difference == pytest.approx(0.125)


def test_interval_is_the_bootstrap_interval_of_the_differences() -> None:
    generator = np.random.default_rng(0)
    baseline, candidate = generator.random((2, 12))
    result = compare(baseline=baseline, candidate=candidate, seed=5)
    assert (result.low, result.high) == bootstrap_interval([np.array([d]) for d in candidate - baseline], seed=5)
    assert result.low < result.mean_difference < result.high


def test_same_seed_gives_the_same_result() -> None:
    generator = np.random.default_rng(0)
    baseline, candidate = generator.random((2, 12))
    assert compare(baseline=baseline, candidate=candidate) == compare(baseline=baseline, candidate=candidate)


def test_signed_rank_p_of_five_wins_is_one_in_sixteen() -> None:
    # Of 2^5 ways to give five different ranks a sign, two are as extreme: all up, all down.
    result = compare(baseline=BASELINE, candidate=BASELINE + np.array([0.01, 0.02, 0.03, 0.04, 0.05]))
    assert result.p_value == pytest.approx(2 / 32)


def test_signed_rank_p_of_balanced_differences_is_one() -> None:
    # Ranks 1 and 4 up, 2 and 3 down: 5 against 5.
    result = compare(baseline=np.zeros(4), candidate=np.array([0.1, -0.2, -0.3, 0.4]))
    assert result.p_value == 1


def test_signed_rank_p_drops_ties() -> None:
    moved = BASELINE + np.array([0.01, 0.02, 0.03, 0.04, 0.05])
    more = compare(baseline=np.append(BASELINE, [0.3, 0.4]), candidate=np.append(moved, [0.3, 0.4]))
    assert more.p_value == compare(baseline=BASELINE, candidate=moved).p_value
    assert more.ties == 2


def test_equal_systems_have_p_one_and_an_interval_of_width_zero() -> None:
    result = compare(baseline=BASELINE, candidate=BASELINE)
    assert (result.mean_difference, result.low, result.high, result.p_value) == (0, 0, 0, 1)
    assert (result.wins, result.losses, result.ties) == (0, 0, 5)


def test_patients_without_a_value_are_left_out_and_counted() -> None:
    result = compare(baseline=np.array([0.5, math.nan, 0.5, 0.5]), candidate=np.array([0.75, 0.5, math.nan, 0.25]))
    assert (result.patients, result.undefined, result.mean_difference) == (2, 2, 0)
    assert (result.wins, result.losses, result.ties) == (1, 1, 0)


@pytest.mark.parametrize("undefined", [0, 3])
def test_comparison_without_defined_values_is_nan(undefined: int) -> None:
    nothing = np.full(undefined, math.nan)
    result = compare(baseline=nothing, candidate=nothing)
    assert (result.patients, result.undefined) == (0, undefined)
    assert (result.wins, result.losses, result.ties) == (0, 0, 0)
    assert all(math.isnan(x) for x in (result.mean_difference, result.low, result.high, result.p_value))


def test_one_patient_gives_a_difference_but_no_interval() -> None:
    result = compare(baseline=np.array([0.5]), candidate=np.array([0.75]))
    assert (result.mean_difference, result.p_value) == (0.25, 1)
    assert math.isnan(result.low)


@pytest.mark.parametrize(("first", "second"), [((3,), (4,)), ((2, 2), (2, 2)), ((), ())])
def test_values_that_are_not_one_for_each_patient_are_refused(first: tuple[int, ...], second: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected one equal shape"):
        compare(baseline=np.zeros(first), candidate=np.zeros(second))


@pytest.mark.parametrize("name", ["baseline", "candidate"])
def test_infinite_value_is_refused(name: str) -> None:
    systems = {"baseline": np.zeros(2), "candidate": np.zeros(2), name: np.array([0, math.inf])}
    with pytest.raises(ValueError, match="infinite"):
        compare(**systems)


@quick
@given(values, values)
def test_swapping_the_systems_changes_the_sign(first: NDArray[np.float64], second: NDArray[np.float64]) -> None:
    there = compare(baseline=first, candidate=second, draws=50)
    back = compare(baseline=second, candidate=first, draws=50)
    assert there.mean_difference == pytest.approx(-back.mean_difference, nan_ok=True)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low), nan_ok=True)
    assert there.p_value == pytest.approx(back.p_value, nan_ok=True)
    assert (there.wins, there.losses, there.ties) == (back.losses, back.wins, back.ties)


@quick
@given(values, values)
def test_every_patient_is_a_win_a_loss_or_a_tie(first: NDArray[np.float64], second: NDArray[np.float64]) -> None:
    result = compare(baseline=first, candidate=second, draws=50)
    assert result.wins + result.losses + result.ties == result.patients == len(first)
    assert math.isnan(result.p_value) if not result.patients else 0 <= result.p_value <= 1
