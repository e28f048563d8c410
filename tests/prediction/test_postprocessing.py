import numpy as np
import pytest

from gliomaseg.config import Postprocessing
from gliomaseg.prediction.postprocessing import at_temperature, combine, predict_tta, to_mask, without_small_components

BATCH = np.random.default_rng(0).random((2, 1, 4, 4), np.float32)


def judge(batch, probabilities, postprocessing):
    return at_temperature(combine(predict_tta(batch, probabilities, postprocessing)), postprocessing.temperature)


def first_channel(batch):
    return batch[:, 0].copy()


def leaning(batch):
    """Give a probability that depends on where the pixel is, and so on whether the picture is mirrored."""
    return batch[:, 0] * np.linspace(0, 1, 4, dtype=np.float32)


def test_probabilities_are_the_engines_own_unless_asked_otherwise():
    assert np.array_equal(judge(BATCH, leaning, Postprocessing()), leaning(BATCH))


def test_flips_are_the_mean_with_the_mirror_image():
    expected = BATCH[:, 0] * 0.5  # the weights of a pixel and of its mirror image add up to 1
    np.testing.assert_allclose(judge(BATCH, leaning, Postprocessing(tta_flip=True)), expected, atol=1e-6)


def test_flips_change_nothing_where_the_network_knows_no_sides():
    np.testing.assert_array_equal(judge(BATCH, first_channel, Postprocessing(tta_flip=True)), BATCH[:, 0])


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0, 10.0])
def test_a_temperature_divides_the_logits(temperature):
    inside = BATCH.clip(0.001, 0.999)
    logits = np.log(inside[:, 0].astype(float)) - np.log1p(-inside[:, 0].astype(float))
    expected = 1 / (1 + np.exp(-logits / temperature))
    cooled = judge(inside, first_channel, Postprocessing(temperature=temperature))
    assert cooled.dtype == np.float32
    np.testing.assert_allclose(cooled, expected, atol=1e-4)


def test_a_temperature_leaves_the_certain_and_the_undecided_where_they_are():
    sure = np.array([0, 0.5, 1], np.float32).reshape(1, 1, 1, 3)
    assert judge(sure, first_channel, Postprocessing(temperature=3)).ravel().tolist() == [0, 0.5, 1]


def test_tumour_is_where_the_threshold_is_exceeded():
    probability = np.array([[[0.2, 0.7, 0.8]]], np.float32)
    assert to_mask(probability, Postprocessing(threshold=0.7)).tolist() == [[[False, False, True]]]


def test_small_components_are_counted_in_the_volume():
    probability = np.zeros((10, 4, 4), np.float32)
    probability[:3, 0, 0] = 0.9  # three voxels, one a slice
    probability[0, 3, 2:] = 0.9  # two in one slice
    mask = to_mask(probability, Postprocessing(min_component_voxels=3))
    assert mask[:3, 0, 0].all()
    assert mask.sum() == 3


def test_of_a_few_slices_nothing_is_taken_out():
    probability = np.full((9, 1, 1), 0.9, np.float32)
    assert to_mask(probability, Postprocessing(min_component_voxels=100)).all()


def test_voxels_that_touch_at_a_corner_hang_together():
    mask = np.zeros((2, 2, 2), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    assert without_small_components(mask, 2).sum() == 2


def test_an_empty_mask_stays_empty():
    assert not without_small_components(np.zeros((2, 3, 3), bool), 5).any()
