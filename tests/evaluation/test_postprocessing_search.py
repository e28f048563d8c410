"""The chosen postprocessing has the highest mean Dice over patients; hand calculations."""

import numpy as np
import pytest

from gliomaseg.errors import DataError
from gliomaseg.evaluation.postprocessing_search import (
    SIZES,
    TEMPERATURES,
    THRESHOLDS,
    Trial,
    choose_postprocessing,
    try_postprocessing,
)


def trial(dice=0.5, *, best=None, entropy=1.0):
    table = np.full((len(THRESHOLDS), len(SIZES)), dice)
    if best is not None:
        table[THRESHOLDS.index(best[0]), SIZES.index(best[1])] = 0.9
    return Trial(table, np.full(len(TEMPERATURES), entropy))


@pytest.fixture
def blobs():
    """Return a confident tumour of 64 voxels, a fainter rim, and a small false positive."""
    probability = np.zeros((4, 16, 16), np.float32)
    probability[:, 2:6, 2:6] = 0.9
    probability[:, 2:6, 6:8] = 0.3
    probability[0, 12, 12:14] = 0.9
    reference = np.zeros(probability.shape, bool)
    reference[:, 2:6, 2:8] = True
    return probability, reference


def test_each_threshold_and_size_has_its_own_dice(blobs):
    dice = try_postprocessing(*blobs).dice
    at = {(t, s): dice[THRESHOLDS.index(t), SIZES.index(s)] for t in (0.25, 0.5) for s in (0, 10, 100)}
    assert at[0.5, 0] == pytest.approx(2 * 64 / (66 + 96))
    assert at[0.5, 10] == pytest.approx(2 * 64 / (64 + 96))
    assert at[0.5, 100] == 0
    assert at[0.25, 0] == pytest.approx(2 * 96 / (98 + 96))
    assert at[0.25, 10] == 1


def test_the_postprocessing_with_the_highest_dice_is_chosen(blobs):
    postprocessing = choose_postprocessing([try_postprocessing(*blobs)], tta_flip=True)
    assert postprocessing.tta_flip
    assert postprocessing.min_component_voxels == 30  # the largest that leaves the tumour
    mask = blobs[0] ** (1 / postprocessing.temperature)  # the threshold is one at the temperature
    mask /= mask + (1 - blobs[0]) ** (1 / postprocessing.temperature)
    assert np.array_equal((mask > postprocessing.threshold)[:, :8, :8], blobs[1][:, :8, :8])


def test_sizes_are_chosen_in_ml_if_the_volume_of_a_voxel_is_known(blobs):
    # 0.1, 0.3 and 1 ml are 10, 30 and 100 voxels.
    trial_in_ml = try_postprocessing(*blobs, voxel_ml=0.01)
    postprocessing = choose_postprocessing([trial_in_ml], tta_flip=True)
    assert (postprocessing.min_component_ml, postprocessing.min_component_voxels) == (0.3, 0)


def test_among_equal_dice_the_default_postprocessing_is_chosen():
    postprocessing = choose_postprocessing([trial(), trial()], tta_flip=False)
    assert postprocessing.threshold == pytest.approx(0.5)
    assert postprocessing.min_component_voxels == SIZES[-1]


def test_each_patient_has_the_same_weight():
    some = [trial(0.5, best=(0.3, 0)), trial(0.5, best=(0.3, 0)), trial(0.5, best=(0.7, 0))]
    postprocessing = choose_postprocessing(some, tta_flip=False)
    row = THRESHOLDS.index(0.3)
    odds = (THRESHOLDS[row] / (1 - THRESHOLDS[row])) ** (1 / postprocessing.temperature)
    assert postprocessing.threshold == pytest.approx(odds / (1 + odds), abs=1e-3)


def test_overconfident_probabilities_get_a_temperature_above_one():
    generator = np.random.default_rng(0)
    probability = np.full((1, 100, 100), 0.99, np.float32)
    reference = generator.random(probability.shape) < 0.8
    assert choose_postprocessing([try_postprocessing(probability, reference)], tta_flip=False).temperature == 3


def test_patients_with_two_empty_masks_do_not_count(blobs):
    nothing = try_postprocessing(np.zeros((1, 4, 4), np.float32), np.zeros((1, 4, 4), bool))
    assert np.isnan(nothing.dice).all()
    alone = choose_postprocessing([try_postprocessing(*blobs)], tta_flip=False)
    assert choose_postprocessing([try_postprocessing(*blobs), nothing], tta_flip=False) == alone


def test_a_false_positive_never_scores_higher_than_an_empty_mask(blobs):
    quiet = np.zeros((1, 4, 4), bool)
    alarmed = try_postprocessing(np.full((1, 4, 4), 0.3, np.float32), quiet)
    alone = choose_postprocessing([try_postprocessing(*blobs)], tta_flip=False)
    found = choose_postprocessing([try_postprocessing(*blobs), alarmed, alarmed], tta_flip=False)
    assert found.min_component_voxels == alone.min_component_voxels
    with pytest.raises(DataError, match="highest mean Dice of all thresholds is 0"):
        choose_postprocessing([alarmed], tta_flip=False)


def test_confident_correct_predictions_have_a_higher_loss_at_a_high_temperature():
    probability = np.full((1, 400, 501), 5e-7, np.float32)
    probability[..., 0] = 0.97
    reference = np.zeros(probability.shape, bool)
    reference[0, :320, 0] = True
    assert choose_postprocessing([try_postprocessing(probability, reference)], tta_flip=False).temperature == 1.5


def test_choosing_without_patients_is_refused():
    with pytest.raises(DataError, match="highest mean Dice of all thresholds is 0"):
        choose_postprocessing([], tta_flip=False)
