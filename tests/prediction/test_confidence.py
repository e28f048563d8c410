"""Confidence features and predicted Dice equal hand calculations."""

import math

import numpy as np
import pytest

from gliomaseg.config import DiceEstimator
from gliomaseg.prediction.confidence import confidence_features, soft_dice, uncertainty

PROBABILITY = np.array([[[0.75, 0.5, 0.25, 0.005]]], np.float32)
MASK = np.array([[[True, False, False, False]]])
NOTHING = np.zeros_like(MASK)


def test_soft_dice_is_twice_the_probability_inside_over_both_sums():
    assert soft_dice(PROBABILITY, MASK) == pytest.approx(2 * 0.75 / (1.505 + 1))


def test_soft_dice_of_a_certain_prediction_is_one():
    assert soft_dice(MASK.astype(np.float32), MASK) == 1


def test_uncertainty_is_the_entropy_of_candidates_relative_to_the_volume():
    bits = 1 + 2 * (0.75 * math.log2(4 / 3) + 0.25 * 2)  # of .5, and of .75 and .25; .005 is background
    assert uncertainty(PROBABILITY, MASK) == pytest.approx(bits / (bits + 1))


def test_uncertainty_of_a_certain_prediction_is_zero():
    assert uncertainty(MASK.astype(np.float32), MASK) == 0


def test_confidence_features_of_an_empty_mask_are_undefined():
    assert math.isnan(soft_dice(PROBABILITY, NOTHING))
    assert math.isnan(uncertainty(PROBABILITY, NOTHING))
    assert confidence_features(PROBABILITY, NOTHING, None) == {
        "soft_dice": None,
        "uncertainty": None,
        "flip_dice": None,
    }


def test_predicted_dice_is_a_logistic_function_of_the_features():
    dice_estimator = DiceEstimator(bias=-1, weights={"soft_dice": 4, "uncertainty": -2})
    expected = dice_estimator.predicted_dice({"soft_dice": 0.75, "uncertainty": 0.5})
    assert expected == pytest.approx(1 / (1 + math.exp(-1)))  # -1 + 3 - 1 = 1


def test_predicted_dice_is_none_if_a_feature_is_missing():
    assert DiceEstimator(bias=0, weights={"flip_dice": 1}).predicted_dice({"soft_dice": 0.9, "flip_dice": None}) is None


def test_predicted_dice_stays_between_zero_and_one_for_any_weights():
    assert DiceEstimator(bias=-1e6, weights={}).predicted_dice({}) == pytest.approx(0)
    assert DiceEstimator(bias=1e6, weights={}).predicted_dice({}) == 1
