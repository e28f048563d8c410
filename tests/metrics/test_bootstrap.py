"""Bootstrap intervals: seeded, around the mean, and wider if the patients differ more."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from gliomaseg.metrics.bootstrap import bootstrap_interval

VALUES = [np.array([value]) for value in np.random.default_rng(0).random(20)]


def width(groups: list[NDArray[np.float64]]) -> float:
    low, high = bootstrap_interval(groups)
    return high - low


def test_same_seed_gives_the_same_interval() -> None:
    assert bootstrap_interval(VALUES, seed=3) == bootstrap_interval(VALUES, seed=3)


def test_another_seed_gives_nearly_the_same_interval() -> None:
    first, second = bootstrap_interval(VALUES, seed=3), bootstrap_interval(VALUES, seed=4)
    assert first != second
    assert first == pytest.approx(second, abs=0.01)


def test_interval_contains_the_mean() -> None:
    low, high = bootstrap_interval(VALUES)
    assert low < np.mean(VALUES) < high


def test_interval_of_single_values_is_close_to_the_normal_interval() -> None:
    # 1.96 standard errors on either side; the bootstrap's error is that of n, not of n - 1.
    assert width(VALUES) == pytest.approx(2 * 1.96 * np.std(VALUES) / math.sqrt(len(VALUES)), rel=0.05)


def test_limits_are_plain_floats_in_ascending_order() -> None:
    low, high = bootstrap_interval(VALUES)
    assert (type(low), type(high)) == (float, float)
    assert low < high


def test_equal_values_give_an_interval_of_width_zero() -> None:
    assert bootstrap_interval([np.array([0.25, 0.25]), np.array([0.25])]) == (0.25, 0.25)


@pytest.mark.parametrize("groups", [[], [np.array([0.5, 0.7])], [np.zeros(0)], [np.array([0.5]), np.zeros(0)]])
def test_interval_of_fewer_than_two_patients_is_nan(groups: list[NDArray[np.float64]]) -> None:
    assert all(math.isnan(limit) for limit in bootstrap_interval(groups))


def test_patients_without_values_are_ignored() -> None:
    assert bootstrap_interval([*VALUES, np.zeros(0)]) == bootstrap_interval(VALUES)


def test_mean_is_over_values_and_not_over_patients() -> None:
    # Nine values of 1 and one of 0: a draw has mean 0, mean 1 or, with both patients, mean 0.9 and not 0.5.
    draws = {bootstrap_interval([np.ones(9), np.zeros(1)], draws=1, seed=seed)[0] for seed in range(20)}
    assert draws == {0.0, 0.9, 1.0}


def test_interval_over_patients_is_wider_than_over_similar_slices() -> None:
    generator = np.random.default_rng(0)
    patients = [np.full(30, level) + generator.normal(0, 0.01, 30) for level in generator.random(10)]
    slices = [np.array([value]) for patient in patients for value in patient]
    # 30 nearly equal slices a patient: the interval over slices is sqrt(30) = 5.5 times too narrow.
    assert width(patients) == pytest.approx(math.sqrt(30) * width(slices), rel=0.15)


def test_interval_of_one_draw_has_width_zero() -> None:
    low, high = bootstrap_interval(VALUES, draws=1)
    assert low == high
