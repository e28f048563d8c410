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
    bias, weights = fit_shares(np.zeros((4, 1)), np.array([0.5, 0.7, 0.9, 0.9]), np.ones(4))
    assert 1 / (1 + math.exp(-bias)) == pytest.approx(0.75, abs=1e-5)
    assert weights[0] == 0


def test_a_fit_rises_with_a_feature_that_rises_with_dice():
    features = np.linspace(0, 1, 200)[:, None]
    bias, weights = fit_shares(features, 1 / (1 + np.exp(-(4 * features[:, 0] - 1))), np.ones(len(features)))
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
    assert (fit.patients, fit.left_out, fit.quality.failures) == (20, 0, 12)  # .3, .3342, ... .6763
    assert fit.quality.auroc == 1.0
    assert fit.quality.spearman > 0.9
    assert fit.quality.mean_absolute_error < 0.1
    assert abs(fit.quality.bias) < 0.05


def test_the_examinations_of_a_patient_are_in_one_part():
    # Patients 0 to 5 twice, 6 to 11 once: patients 0, 5 and 10 are in the first of five parts.
    patients = [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    found = divide([CaseScores(patient=f"P{k}", case=f"P{k}_{n}") for n, k in enumerate(patients)])
    assert [k for k, part in zip(patients, found, strict=True) if part == 0] == [0, 5, 0, 5, 10]


def test_a_random_feature_ranks_no_better_than_chance():
    dice = np.array([0.5, 0.9] * 20)
    fit = fit_dice_estimator(rows(dice, np.random.default_rng(0).random(40)))
    assert fit.quality.auroc < 0.65


def test_patients_without_a_feature_or_a_dice_are_left_out_and_counted():
    dice = [*np.linspace(0.5, 0.9, 10), 0.0, None]
    fit = fit_dice_estimator(rows(dice, [*np.linspace(0.6, 0.9, 10), None, 0.8]))
    assert (fit.patients, fit.left_out) == (10, 2)
    assert "10 patients (2 left out)" in dice_estimator_text(fit)


@pytest.mark.parametrize("features", [[0.9] * 9, [None] * 20])
def test_too_few_patients_are_refused(features):
    with pytest.raises(DataError, match="expected at least 10"):
        fit_dice_estimator(rows([0.9] * len(features), features))


def test_changed_copies_lower_the_predicted_dice_of_confident_failures():
    features = np.linspace(0.8, 0.95, 12)
    plain = rows(np.linspace(0.8, 0.95, 12), features)
    stripped = rows([0.4] * 12, features, changed="without skull")
    alone = fit_dice_estimator(plain).dice_estimator.predicted_dice({"soft_dice": 0.9})
    fit = fit_dice_estimator([*plain, *stripped])
    # Both kinds have the same weight, so the mean is between them: (0.875 + 0.4) / 2 = 0.64.
    assert fit.dice_estimator.predicted_dice({"soft_dice": 0.875}) == pytest.approx(0.64, abs=0.02)
    assert alone > 0.85
    assert (fit.patients, fit.copies, fit.left_out) == (12, 12, 0)
    assert fit.quality.bias == pytest.approx(0.64 - 0.875, abs=0.03)
    assert fit.quality_of_copies["without skull"].bias == pytest.approx(0.64 - 0.4, abs=0.03)
    assert "12 patients (0 left out) and 12 changed copies" in dice_estimator_text(fit)
    assert "without skull: bias +0.2" in dice_estimator_text(fit)


def test_three_copies_of_a_patient_weigh_as_much_as_one():
    features = np.linspace(0.8, 0.95, 12)
    plain, alone = rows([0.9] * 12, features), rows([0.3] * 12, features, changed="single slice without skull")
    once, thrice = (fit_dice_estimator([*plain, *copies]).dice_estimator for copies in (alone, [*alone] * 3))
    assert thrice.predicted_dice({"soft_dice": 0.9}) == pytest.approx(once.predicted_dice({"soft_dice": 0.9}), abs=1e-3)


def test_copies_do_not_replace_patients():
    with pytest.raises(DataError, match="is 9, expected at least 10"):
        fit_dice_estimator([*rows([0.9] * 9, [0.9] * 9), *rows([0.9] * 9, [0.9] * 9, changed="without skull")])
