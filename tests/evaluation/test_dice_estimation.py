"""The fit of the Dice estimator, and how well it ranks patients."""

import math

import numpy as np
import pytest

from gliomaseg.errors import DataError
from gliomaseg.evaluation.dice_estimation import (
    auroc,
    dice_estimator_text,
    divide,
    fit_dice_estimator,
    fit_shares,
    spearman,
)
from gliomaseg.evaluation.results import CaseScores


def rows(dice, features, **more):
    return [
        CaseScores(patient=f"P{k}", measures={"dice_volume": d}, soft_dice=s, **more)
        for k, (d, s) in enumerate(zip(dice, features, strict=True))
    ]


def test_a_fit_to_constant_features_predicts_the_mean():
    bias, weights = fit_shares(np.zeros((4, 1)), np.array([0.5, 0.7, 0.9, 0.9]))
    assert 1 / (1 + math.exp(-bias)) == pytest.approx(0.75, abs=1e-5)
    assert weights[0] == 0


def test_a_fit_rises_with_a_feature_that_rises_with_dice():
    features = np.linspace(0, 1, 200)[:, None]
    bias, weights = fit_shares(features, 1 / (1 + np.exp(-(4 * features[:, 0] - 1))))
    assert weights[0] == pytest.approx(4, rel=0.1)
    assert bias == pytest.approx(-1, abs=0.2)


def test_auroc_counts_pairs_and_ties_half():
    # Failures 3 and 2 against 1 and 2: three pairs are won, one is a tie.
    assert auroc(np.array([3.0, 2.0, 1.0, 2.0]), np.array([True, True, False, False])) == 0.875
    assert auroc(np.array([1.0, 2.0]), np.array([False, False])) is None


def test_spearman_is_minus_one_for_reverse_order_and_none_for_equal_values():
    assert spearman(np.array([1.0, 2.0, 30.0]), np.array([3.0, 2.0, 1.0])) == pytest.approx(-1)
    assert spearman(np.ones(3), np.array([3.0, 2.0, 1.0])) is None


def test_a_cross_fitted_estimator_ranks_patients_outside_its_fit():
    dice = np.linspace(0.3, 0.95, 20)
    fit = fit_dice_estimator(rows(dice, dice))
    assert (fit.patients, fit.left_out, fit.failures) == (20, 0, 12)  # .3, .3342, ... .6763
    assert fit.auroc == 1.0
    assert fit.spearman > 0.9
    assert fit.mean_error < 0.1


def test_the_examinations_of_a_patient_are_in_one_part():
    # Patients 0 to 5 twice, 6 to 11 once: patients 0, 5 and 10 are in the first of five parts.
    patients = [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    found = divide([CaseScores(patient=f"P{k}", case=f"P{k}_{n}") for n, k in enumerate(patients)])
    assert [k for k, part in zip(patients, found, strict=True) if part == 0] == [0, 5, 0, 5, 10]


def test_a_random_feature_ranks_no_better_than_chance():
    dice = np.array([0.5, 0.9] * 20)
    fit = fit_dice_estimator(rows(dice, np.random.default_rng(0).random(40)))
    assert fit.auroc < 0.65


def test_patients_without_a_feature_or_a_dice_are_left_out_and_counted():
    dice = [*np.linspace(0.5, 0.9, 10), 0.0, None]
    fit = fit_dice_estimator(rows(dice, [*np.linspace(0.6, 0.9, 10), None, 0.8]))
    assert (fit.patients, fit.left_out) == (10, 2)
    assert "10 patients (2 left out)" in dice_estimator_text(fit)


@pytest.mark.parametrize("features", [[0.9] * 9, [None] * 20])
def test_too_few_patients_are_refused(features):
    with pytest.raises(DataError, match="expected at least 10"):
        fit_dice_estimator(rows([0.9] * len(features), features))
