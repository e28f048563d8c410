import numpy as np
import pytest

from gliomaseg.config import Postprocessing
from gliomaseg.prediction.postprocessing import at_temperature, combine, predict_tta, to_mask, without_small_components

BATCH = np.random.default_rng(0).random((2, 1, 4, 4), np.float32)


def postprocessed(batch, probabilities, postprocessing):
    return at_temperature(
        combine(predict_tta(batch, probabilities, flip=postprocessing.tta_flip)), postprocessing.temperature
    )


def first_channel(batch):
    return batch[:, 0].copy()


def brighter_to_the_right(batch):
    """Return probabilities that depend on the column, so that a mirrored image gets others."""
    return batch[:, 0] * np.linspace(0, 1, 4, dtype=np.float32)


def test_default_postprocessing_keeps_the_probabilities_of_the_engine():
    assert np.array_equal(postprocessed(BATCH, brighter_to_the_right, Postprocessing()), brighter_to_the_right(BATCH))


def test_flip_tta_is_the_mean_with_the_mirrored_prediction():
    expected = BATCH[:, 0] * 0.5  # the weights of a pixel and of its mirror image add up to 1
    np.testing.assert_allclose(
        postprocessed(BATCH, brighter_to_the_right, Postprocessing(tta_flip=True)), expected, atol=1e-6
    )


def test_flip_tta_changes_nothing_for_a_symmetric_network():
    np.testing.assert_array_equal(postprocessed(BATCH, first_channel, Postprocessing(tta_flip=True)), BATCH[:, 0])


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0, 10.0])
def test_a_temperature_divides_the_logits(temperature):
    inside = BATCH.clip(0.001, 0.999)
    logits = np.log(inside[:, 0].astype(float)) - np.log1p(-inside[:, 0].astype(float))
    expected = 1 / (1 + np.exp(-logits / temperature))
    tempered = postprocessed(inside, first_channel, Postprocessing(temperature=temperature))
    assert tempered.dtype == np.float32
    np.testing.assert_allclose(tempered, expected, atol=1e-4)


def test_a_temperature_keeps_probabilities_of_zero_one_and_one_half():
    fixed_points = np.array([0, 0.5, 1], np.float32).reshape(1, 1, 1, 3)
    assert postprocessed(fixed_points, first_channel, Postprocessing(temperature=3)).ravel().tolist() == [0, 0.5, 1]


def test_the_mask_is_true_above_the_threshold():
    probability = np.array([[[0.2, 0.7, 0.8]]], np.float32)
    assert to_mask(probability, Postprocessing(threshold=0.7)).tolist() == [[[False, False, True]]]


def test_component_sizes_are_counted_in_3d():
    probability = np.zeros((10, 4, 4), np.float32)
    probability[:3, 0, 0] = 0.9  # three voxels, one a slice
    probability[0, 3, 2:] = 0.9  # two in one slice
    mask = to_mask(probability, Postprocessing(min_component_voxels=3))
    assert mask[:3, 0, 0].all()
    assert mask.sum() == 3


def test_components_are_not_removed_from_short_stacks():
    probability = np.full((9, 1, 1), 0.9, np.float32)
    assert to_mask(probability, Postprocessing(min_component_voxels=100)).all()


def test_voxels_that_touch_at_a_corner_are_one_component():
    mask = np.zeros((2, 2, 2), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    assert without_small_components(mask, 2).sum() == 2


def test_an_empty_mask_stays_empty():
    assert not without_small_components(np.zeros((2, 3, 3), bool), 5).any()


def three_and_one() -> np.ndarray:
    """Return ten slices; the first has a component of three voxels and one of a single voxel."""
    probability = np.zeros((10, 1, 6), np.float32)
    probability[0, 0, [0, 1, 2, 5]] = 0.9
    return probability


@pytest.mark.parametrize(
    ("voxel_ml", "kept"),
    [
        (0.1, 4),  # 0.1 ml is one voxel
        (0.05, 3),  # two voxels
        (0.03, 0),  # 3.3 voxels: four are too few for three
        (None, 3),  # unknown: at least two voxels
    ],
)
def test_the_smallest_component_in_ml_depends_on_the_voxel(voxel_ml, kept):
    settings = Postprocessing(min_component_ml=0.1, min_component_voxels=2)
    assert to_mask(three_and_one(), settings, voxel_ml=voxel_ml).sum() == kept


def test_without_a_size_in_ml_voxels_are_counted():
    assert to_mask(three_and_one(), Postprocessing(min_component_voxels=2), voxel_ml=1.0).sum() == 3
