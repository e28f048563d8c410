"""What an engine is given for a scan, and what becomes of what it gives back."""

import numpy as np
import pytest

from gliomaseg.config import DiceEstimator, Postprocessing, Preprocessing
from gliomaseg.config.network import ResidualUnet
from gliomaseg.model import Model, ModelConfig
from gliomaseg.prediction import Predictor
from gliomaseg.preprocessing import level_counts, normalise
from gliomaseg.scan import Scan

SLICES = 7  # more than one batch


class Recorder:
    """An engine that keeps what it is given, and finds tumour where the middle channel is bright."""

    def __init__(self):
        self.batches = []

    def probabilities(self, batch):
        self.batches.append(batch)
        return (batch[:, batch.shape[1] // 2] > 0).astype(np.float32)


def predictor(tmp_path, postprocessing=None, **preprocessing):
    config = ModelConfig(
        name="m",
        preprocessing=Preprocessing(size_px=32, input="flair", **preprocessing),
        network=ResidualUnet(),
        postprocessing=postprocessing or Postprocessing(),
        sequences=("flair",),
        versions={},
    )
    return Predictor(Model(tmp_path, config), Recorder())


@pytest.fixture
def scan():
    return Scan(np.random.default_rng(0).integers(0, 256, (SLICES, 32, 32, 1), np.uint8), "here")


def seen(made):
    return np.concatenate(made._engine.batches)


def test_an_engine_is_given_each_slice_with_its_neighbours_across_batches(scan, tmp_path):
    made = predictor(tmp_path, context_slices=1)
    made.probability(scan)
    stack = np.moveaxis(scan.voxels, 3, 1)
    plain = normalise(stack, Preprocessing())[:, 0]
    for k, given in enumerate(seen(made)):
        expected = plain[[max(0, k - 1), k, min(SLICES - 1, k + 1)]]
        np.testing.assert_array_equal(given, expected)


def test_a_single_picture_is_its_own_neighbour(scan, tmp_path):
    made = predictor(tmp_path, context_slices=2)
    made.probability(Scan(scan.voxels[:1], "here"))
    assert seen(made).shape == (1, 5, 32, 32)
    assert np.array_equal(seen(made)[0, 0], seen(made)[0, 4])


def test_the_scale_is_the_whole_stacks_and_no_batchs(scan, tmp_path):
    made = predictor(tmp_path, normalisation="zscore")
    made.probability(scan)
    stack = np.moveaxis(scan.voxels, 3, 1)
    counts = level_counts(stack)
    np.testing.assert_array_equal(seen(made), normalise(stack, made.model.config.preprocessing, counts))


def test_flips_ask_twice_and_small_components_go_by_the_volume(tmp_path):
    voxels = np.ones((10, 32, 32, 1), np.uint8)
    voxels[2:5, 4, 4] = 255
    voxels[0, 20, 20:22] = 255
    made = predictor(tmp_path, Postprocessing(tta_flip=True, min_component_voxels=3))
    mask = made.mask(Scan(voxels, "here"))
    assert len(seen(made)) == 2 * len(voxels)
    assert mask.sum() == 3
    assert mask[2:5, 4, 4].all()


@pytest.mark.parametrize("context_slices", [0, 1])
def test_black_slices_are_given_to_the_engine_once_and_all_have_its_answer(context_slices, scan, tmp_path):
    voxels = scan.voxels.copy()
    voxels[[0, 1, 4, 5, 6]] = 0
    made = predictor(tmp_path, context_slices=context_slices)
    made._engine.probabilities = answers = Counted()
    found = made.probability(Scan(voxels, "here"))
    black = [0, 5, 6] if context_slices else [0, 1, 4, 5, 6]  # those that see nothing but black
    assert answers.count == SLICES - len(black) + 1
    assert (found[black] == found[black[0]]).all()
    assert found[black[0]].max() == np.float32(0.25)  # the engine's answer, not a 0 of our own
    assert found[2].max() > 0.5


class Counted:
    """An engine's answers: a quarter where a slice is black, else a share of its brightness; and how many it gave."""

    def __init__(self):
        self.count = 0

    def __call__(self, batch):
        self.count += len(batch)
        own = batch[:, batch.shape[1] // 2]
        return np.where(own == -1, 0.25, (own + 3) / 4).astype(np.float32)


def test_an_all_black_scan_is_one_question(tmp_path):
    made = predictor(tmp_path)
    found = made.probability(Scan(np.zeros((9, 32, 32, 1), np.uint8), "here"))
    assert len(seen(made)) == 1
    assert found.shape == (9, 32, 32)


def test_a_prediction_says_all_that_probability_and_mask_say(scan, tmp_path):
    made = predictor(tmp_path)
    prediction = made.predict(scan)
    np.testing.assert_array_equal(prediction.probability, made.probability(scan))
    np.testing.assert_array_equal(prediction.mask, made.mask(scan))


def test_the_flip_dice_is_that_of_plain_and_mirrored_masks(scan, tmp_path):
    class Lopsided(Recorder):
        """Finds a pixel in the left column, whatever it is shown."""

        def probabilities(self, batch):
            found = np.zeros((len(batch), 32, 32), np.float32)
            found[:, 0, 0] = 1
            found[:, 1, 15:17] = 1
            return found

    made = predictor(tmp_path, Postprocessing(tta_flip=True))
    made._engine = Lopsided()
    # Of three pixels a slice, the two in the middle are their own mirror image.
    assert made.predict(scan).confidence["flip_dice"] == pytest.approx(2 / 3)
    assert predictor(tmp_path).predict(scan).confidence["flip_dice"] is None


def test_a_dice_is_expected_where_the_model_was_fitted_for_it(scan, tmp_path):
    made = predictor(tmp_path)
    assert made.predict(scan).predicted_dice is None
    config = made.model.config.model_copy(update={"dice_estimator": DiceEstimator(bias=0, weights={"soft_dice": 1})})
    fitted = Predictor(Model(tmp_path, config), Recorder())
    # The recorder is sure of each pixel: its soft Dice is 1.
    assert fitted.predict(scan).predicted_dice == pytest.approx(1 / (1 + np.exp(-1)))
    nothing = Scan(np.zeros_like(scan.voxels), "here")
    assert fitted.predict(nothing).predicted_dice is None


def test_prediction_of_a_black_scan_has_a_warning(scan, tmp_path):
    nothing = Scan(np.zeros_like(scan.voxels), "here")
    assert predictor(tmp_path).predict(nothing).warnings == ("is almost black or constant: no head is visible",)
