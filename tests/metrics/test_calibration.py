"""Calibration: tables calculated by hand, sums of tables, and bin edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from gliomaseg.errors import GeometryError
from gliomaseg.metrics.calibration import (
    CalibrationTable,
    brier_score,
    calibration_table,
    candidate_calibration_table,
    empty_table,
    expected_calibration_error,
    mean_probabilities,
    tumour_shares,
)

quick = settings(max_examples=60, deadline=None, derandomize=True, database=None)
probabilities = st.floats(0, 1, width=32)
patients = st.tuples(arrays(np.bool_, (2, 3, 4)), arrays(np.float32, (2, 3, 4), elements=probabilities))


def probabilities(*values: float) -> NDArray[np.float32]:
    return np.array([[values]], np.float32)


def reference_row(*values: int) -> NDArray[np.bool_]:
    return np.array([[values]], bool)


# --- the table


def test_pixels_fall_into_fifteen_bins() -> None:
    # 1/15 = .067: 0 and .05 in the first bin, .07 in the second, 1 in the last.
    table = calibration_table(reference=reference_row(0, 0, 1, 1), predicted=probabilities(0, 0.05, 0.07, 1))
    assert table.pixels.tolist() == [2, 1] + 12 * [0] + [1]
    assert table.reference.tolist() == [0, 1] + 12 * [0] + [1]
    assert table.probability[[0, 1, 14]].tolist() == pytest.approx([0.05, 0.07, 1])


def test_bin_begins_with_its_lower_edge() -> None:
    table = calibration_table(reference=reference_row(0, 0, 0), predicted=probabilities(0.25, 0.5, 0.75), bins=4)
    assert table.pixels.tolist() == [0, 1, 1, 1]


def test_table_has_the_documented_types() -> None:
    for table in (empty_table(), calibration_table(reference=reference_row(1), predicted=probabilities(0.5))):
        kinds = (table.pixels.dtype, table.probability.dtype, table.reference.dtype, type(table.squared_error))
        assert kinds == (np.int64, np.float64, np.int64, float)


def test_squared_error_sums_differences_of_probability_and_reference() -> None:
    # .25^2 of background, (1 - .5)^2 of tumour
    table = calibration_table(reference=reference_row(0, 1), predicted=probabilities(0.25, 0.5))
    assert table.squared_error == 0.0625 + 0.25


def test_sums_of_a_million_pixels_are_accurate() -> None:
    # Summed as float32, a million times .1 is off by about 1 %.
    predicted = np.full((1, 1000, 1000), 0.1, np.float32)
    table = calibration_table(reference=np.zeros(predicted.shape, bool), predicted=predicted)
    assert table.probability.sum() == pytest.approx(1e5, rel=1e-7)


def test_candidates_are_pixels_with_high_probability_or_tumour() -> None:
    # Left out: background below .01. Kept: .01 itself, a false alarm, and a missed tumour.
    table = candidate_calibration_table(
        reference=reference_row(0, 0, 0, 0, 1), predicted=probabilities(0, 0.009, 0.01, 0.9, 0.001), bins=2
    )
    assert table.pixels.tolist() == [2, 1]
    assert table.reference.tolist() == [1, 0]
    assert table.squared_error == pytest.approx(0.01**2 + 0.9**2 + 0.999**2)


# --- measures


def test_calibration_error_weights_bins_by_their_pixels() -> None:
    # Three pixels of mean .2 and none tumour, one of .9 that is: (3 * .2 + 1 * .1) / 4.
    table = calibration_table(reference=reference_row(0, 0, 0, 1), predicted=probabilities(0.1, 0.2, 0.3, 0.9), bins=2)
    assert expected_calibration_error(table) == pytest.approx(0.175)


def test_calibration_error_is_zero_if_probabilities_equal_frequencies() -> None:
    table = calibration_table(
        reference=reference_row(0, 1, 1, 1, 0, 0, 0, 1), predicted=probabilities(*4 * [0.75], *4 * [0.25])
    )
    assert expected_calibration_error(table) == 0
    assert brier_score(table) == pytest.approx(0.1875)  # p (1 - p)


def test_errors_of_certain_wrong_predictions_are_one() -> None:
    table = calibration_table(reference=reference_row(1, 0), predicted=probabilities(0, 1))
    assert (expected_calibration_error(table), brier_score(table)) == (1, 1)


def test_errors_of_certain_right_predictions_are_zero() -> None:
    table = calibration_table(reference=reference_row(1, 0), predicted=probabilities(1, 0))
    assert (expected_calibration_error(table), brier_score(table)) == (0, 0)


def test_diagram_has_a_point_for_each_nonempty_bin() -> None:
    table = calibration_table(reference=reference_row(0, 0, 0, 1), predicted=probabilities(0.1, 0.2, 0.3, 0.9), bins=3)
    assert mean_probabilities(table).tolist() == pytest.approx([0.2, math.nan, 0.9], nan_ok=True)
    assert tumour_shares(table).tolist() == pytest.approx([0, math.nan, 1], nan_ok=True)


def test_measures_of_no_pixels_are_nan() -> None:
    table = empty_table(bins=3)
    assert math.isnan(expected_calibration_error(table))
    assert math.isnan(brier_score(table))
    assert np.isnan(mean_probabilities(table)).all()
    assert np.isnan(tumour_shares(table)).all()


def test_case_without_candidates_gives_an_empty_table() -> None:
    table = candidate_calibration_table(reference=reference_row(0, 0), predicted=probabilities(0, 0.001))
    assert (table.pixels.sum(), table.squared_error) == (0, 0)


# --- refused


@pytest.mark.parametrize("value", [-0.001, 1.001, math.nan, math.inf])
def test_value_outside_zero_to_one_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="probabilities range from"):
        calibration_table(reference=reference_row(0, 1), predicted=probabilities(0.5, value))


def test_arrays_of_different_shapes_are_refused() -> None:
    with pytest.raises(GeometryError, match=r"mask has shape \(1, 1, 2\), predicted probability has \(1, 1, 1\)"):
        calibration_table(reference=reference_row(0, 1), predicted=probabilities(0.5))


def test_reference_that_is_not_bool_is_refused() -> None:
    with pytest.raises(TypeError, match="expected bool"):
        candidate_calibration_table(reference=probabilities(1), predicted=probabilities(0.5))


@pytest.mark.parametrize("bins", [0, -1])
def test_table_without_bins_is_refused(bins: int) -> None:
    with pytest.raises(ValueError, match="expected 1 or more"):
        calibration_table(reference=reference_row(0), predicted=probabilities(0.5), bins=bins)


def test_sum_of_tables_with_different_bins_is_refused() -> None:
    with pytest.raises(ValueError, match="numbers of bins are 2 and 3"):
        empty_table(bins=2) + empty_table(bins=3)


# --- what holds for all patients


def equal_tables(first: CalibrationTable, second: CalibrationTable) -> bool:
    return (
        first.pixels.tolist() == second.pixels.tolist()
        and first.reference.tolist() == second.reference.tolist()
        and first.probability.tolist() == pytest.approx(second.probability.tolist())
        and first.squared_error == pytest.approx(second.squared_error)
    )


@quick
@given(st.lists(patients, min_size=1, max_size=3), st.sampled_from([calibration_table, candidate_calibration_table]))
def test_sum_of_patient_tables_equals_the_table_of_all_pixels(cases: list[tuple], table) -> None:
    added = sum((table(reference=reference, predicted=predicted) for reference, predicted in cases), empty_table())
    pooled = table(
        reference=np.concatenate([reference for reference, _ in cases]),
        predicted=np.concatenate([predicted for _, predicted in cases]),
    )
    assert equal_tables(added, pooled)


@quick
@given(patients)
def test_every_pixel_is_in_one_bin_and_measures_are_in_range(case: tuple) -> None:
    reference, predicted = case
    table = calibration_table(reference=reference, predicted=predicted)
    assert table.pixels.sum() == 24
    assert table.reference.sum() == reference.sum()
    assert 0 <= expected_calibration_error(table) <= 1
    assert brier_score(table) == pytest.approx(float(np.mean((predicted.astype(float) - reference) ** 2)))


@quick
@given(patients)
def test_mean_probability_lies_in_its_bin(case: tuple) -> None:
    means = mean_probabilities(calibration_table(reference=case[0], predicted=case[1], bins=4))
    for k, mean in enumerate(means):
        assert math.isnan(mean) or k / 4 - 1e-12 <= mean <= (k + 1) / 4


@quick
@given(patients)
def test_calibration_error_of_one_bin_is_the_difference_of_means(case: tuple) -> None:
    reference, predicted = case
    error = expected_calibration_error(calibration_table(reference=reference, predicted=predicted, bins=1))
    assert error == pytest.approx(abs(float(predicted.astype(float).mean()) - reference.mean()), abs=1e-12)


# --- scikit-learn


def test_brier_score_equals_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(0)
    predicted = generator.random((3, 20, 30), dtype=np.float32)
    reference = generator.random(predicted.shape) < predicted**2
    table = calibration_table(reference=reference, predicted=predicted)
    theirs = metrics.brier_score_loss(reference.ravel(), predicted.ravel().astype(np.float64))
    assert brier_score(table) == pytest.approx(theirs, rel=1e-12)


def test_diagram_equals_scikit_learn() -> None:
    calibration = pytest.importorskip("sklearn.calibration")
    generator = np.random.default_rng(0)
    predicted = (generator.random((3, 20, 30), dtype=np.float32) / 2).astype(np.float32)  # bins above 1/2 stay empty
    reference = generator.random(predicted.shape) < predicted
    table = calibration_table(reference=reference, predicted=predicted)
    shares, means = calibration.calibration_curve(reference.ravel(), predicted.ravel().astype(np.float64), n_bins=15)
    filled = table.pixels > 0
    assert filled.sum() < 15
    assert tumour_shares(table)[filled] == pytest.approx(shares)
    assert mean_probabilities(table)[filled] == pytest.approx(means)
