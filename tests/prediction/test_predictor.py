"""The input of the engine for a scan, and the postprocessing of its output."""

import numpy as np
import pytest

from gliomaseg.config import DiceEstimator, Postprocessing, Preprocessing
from gliomaseg.config.network import ResidualUnet
from gliomaseg.model import Model, ModelConfig
from gliomaseg.prediction import Predictor
from gliomaseg.prediction.confidence import confidence_features
from gliomaseg.prediction.input_checks import BRIGHT_REGION
from gliomaseg.preprocessing import level_counts, normalise, prepare_merges, restore, restore_slices
from gliomaseg.scan import Scan
from orientation_cases import ALL_48, turn_affine

SLICES = 7  # more than one batch


class Recorder:
    """An engine that records its input and predicts tumour where the middle channel is bright."""

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


def recorded_slices(tested):
    return np.concatenate(tested._engine.batches)


def test_each_slice_has_its_context_slices_across_batches(scan, tmp_path):
    tested = predictor(tmp_path, context_slices=1)
    tested.probability(scan)
    stack = np.moveaxis(scan.voxels, 3, 1)
    plain = normalise(stack, Preprocessing())[:, 0]
    for k, given in enumerate(recorded_slices(tested)):
        expected = plain[[max(0, k - 1), k, min(SLICES - 1, k + 1)]]
        np.testing.assert_array_equal(given, expected)


def test_a_single_image_is_its_own_context(scan, tmp_path):
    tested = predictor(tmp_path, context_slices=2)
    tested.probability(Scan(scan.voxels[:1], "here"))
    assert recorded_slices(tested).shape == (1, 5, 32, 32)
    assert np.array_equal(recorded_slices(tested)[0, 0], recorded_slices(tested)[0, 4])


def test_intensities_are_scaled_by_the_stack_and_not_by_the_batch(scan, tmp_path):
    tested = predictor(tmp_path, normalisation="zscore")
    tested.probability(scan)
    stack = np.moveaxis(scan.voxels, 3, 1)
    counts = level_counts(stack)
    np.testing.assert_array_equal(recorded_slices(tested), normalise(stack, tested.model.config.preprocessing, counts))


def test_flip_tta_runs_the_engine_twice_and_components_are_removed_in_3d(tmp_path):
    voxels = np.ones((10, 32, 32, 1), np.uint8)
    voxels[2:5, 4, 4] = 255
    voxels[0, 20, 20:22] = 255
    tested = predictor(tmp_path, Postprocessing(tta_flip=True, min_component_voxels=3))
    mask = tested.mask(Scan(voxels, "here"))
    assert len(recorded_slices(tested)) == 2 * len(voxels)
    assert mask.sum() == 3
    assert mask[2:5, 4, 4].all()


@pytest.mark.parametrize("context_slices", [0, 1])
def test_the_engine_runs_once_for_all_black_slices(context_slices, scan, tmp_path):
    voxels = scan.voxels.copy()
    voxels[[0, 1, 4, 5, 6]] = 0
    tested = predictor(tmp_path, context_slices=context_slices)
    tested._engine.probabilities = engine = Counted()
    probability = tested.probability(Scan(voxels, "here"))
    black = [0, 5, 6] if context_slices else [0, 1, 4, 5, 6]  # those that see nothing but black
    assert engine.count == SLICES - len(black) + 1
    assert (probability[black] == probability[black[0]]).all()
    assert probability[black[0]].max() == np.float32(0.25)  # the engine's answer, not a 0 of our own
    assert probability[2].max() > 0.5


class Counted:
    """An engine's engine: a quarter where a slice is black, else a share of its brightness; and how many it gave."""

    def __init__(self):
        self.count = 0

    def __call__(self, batch):
        self.count += len(batch)
        own = batch[:, batch.shape[1] // 2]
        return np.where(own == -1, 0.25, (own + 3) / 4).astype(np.float32)


def test_the_engine_runs_once_for_an_all_black_scan(tmp_path):
    tested = predictor(tmp_path)
    probability = tested.probability(Scan(np.zeros((9, 32, 32, 1), np.uint8), "here"))
    assert len(recorded_slices(tested)) == 1
    assert probability.shape == (9, 32, 32)


def test_predict_returns_the_same_probability_and_mask_as_the_separate_methods(scan, tmp_path):
    tested = predictor(tmp_path)
    prediction = tested.predict(scan)
    np.testing.assert_array_equal(prediction.probability, tested.probability(scan))
    np.testing.assert_array_equal(prediction.mask, tested.mask(scan))


def test_thin_slices_are_predicted_twice_and_averaged(tmp_path):
    # 40 slices of 1 mm are merged to 8 of 5 mm, and once more to 9 that are shifted by half a slice.
    steps = np.random.default_rng(0).integers(0, 256, (10, 32, 32, 1), np.uint8)
    scan = Scan(steps.repeat(4, axis=0), "here", np.diag([-2.0, -2.0, 1.0, 1.0]))
    settings = {"min_slice_spacing_mm": 5, "fov_mm": 64, "normalisation": "zscore"}
    tested, shares = predictor(tmp_path, Postprocessing(tta_flip=True), **settings), []
    found = tested.predict(scan, progress=shares.append)
    assert len(recorded_slices(tested)) == 2 * 8 + 9  # flip TTA in the first merge only
    assert (shares[1], shares[-1]) == (pytest.approx(2 / 3), 1)
    first, shifted = (
        restore(tested._engine.probabilities(np.concatenate([*merge.batches(4)])), merge)
        for merge in prepare_merges(scan, tested.model.config.preprocessing)
    )
    np.testing.assert_array_equal(found.probability, (first + shifted) / 2)
    assert not np.array_equal(first, shifted)
    np.testing.assert_array_equal(tested.probability(scan), found.probability)
    assert found.confidence == confidence_features(first, first > 0.5, 1.0)


def test_the_disagreement_of_thin_slices_is_that_of_the_first_merge(tmp_path):
    volume = with_bright_pixels([0, 3, 6, 1, 8, 2, 0, 5]).repeat(5, axis=0)
    scan = Scan(volume[..., None], "here", np.diag([-2.0, -2.0, 1.0, 1.0]))
    tested = half_seeing(tmp_path, min_slice_spacing_mm=5)
    first, shifted = (
        restore_slices(tested._predict_slices(merge, None, flip=True)[1].differing_px, merge).tolist()
        for merge in prepare_merges(scan, tested.model.config.preprocessing)
    )
    assert tested.predict(scan).mirror_disagreement_px.tolist() == first != shifted


class ByCall:
    """An engine that gives one probability everywhere, another one in each call, and 0 outside the middle."""

    def __init__(self, *values):
        self.values = iter(values)

    def probabilities(self, batch):
        probability = np.zeros((len(batch), 32, 32), np.float32)
        probability[:, 12:20, 12:20] = next(self.values)
        return probability


@pytest.mark.parametrize(("first", "shifted", "has_tumour"), [(0.4, 0.9, True), (0.6, 0.1, False)])
def test_predicted_dice_is_that_of_the_mask_of_both_merges(first, shifted, has_tumour, tmp_path):
    estimator = DiceEstimator(bias=0, weights={"soft_dice": 1, "flip_dice": 1})
    tested = predictor(tmp_path, Postprocessing(tta_flip=True), min_slice_spacing_mm=5, fov_mm=64)
    config = tested.model.config.model_copy(update={"dice_estimator": estimator})
    engine = ByCall(first, first, shifted, shifted)  # 4 slices and their mirror images, then 5 in two batches
    steps = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 1), np.uint8)
    found = Predictor(Model(tmp_path, config), engine).predict(Scan(steps, "here", np.diag([-2.0, -2.0, 1.0, 1.0])))
    assert found.mask.any() == has_tumour
    assert (found.predicted_dice is not None) == has_tumour


def test_the_order_of_thin_slices_does_not_matter(tmp_path):
    steps = np.random.default_rng(0).integers(0, 256, (10, 32, 32, 1), np.uint8).repeat(4, axis=0)
    tested = predictor(tmp_path, min_slice_spacing_mm=5, fov_mm=64, normalisation="zscore", context_slices=1)
    upwards = tested.probability(Scan(steps, "here", np.diag([-2.0, -2.0, 1.0, 1.0])))
    downwards = tested.probability(Scan(steps[::-1], "here", np.diag([-2.0, -2.0, -1.0, 1.0])))
    np.testing.assert_array_equal(downwards[::-1], upwards)


def test_the_warnings_are_those_of_the_first_merge(tmp_path):
    black = Scan(np.zeros((20, 32, 32, 1), np.int16), "here", np.diag([-2.0, -2.0, 1.0, 1.0]))
    found = predictor(tmp_path, min_slice_spacing_mm=5).predict(black)
    assert found.warnings == ("is almost black or constant: no head is visible",)


def test_flip_dice_compares_plain_and_mirrored_masks(scan, tmp_path):
    class Lopsided(Recorder):
        """Finds a pixel in the left column, whatever it is shown."""

        def probabilities(self, batch):
            probability = np.zeros((len(batch), 32, 32), np.float32)
            probability[:, 0, 0] = 1
            probability[:, 1, 15:17] = 1
            return probability

    tested = predictor(tmp_path, Postprocessing(tta_flip=True))
    tested._engine = Lopsided()
    # Of three pixels a slice, the two in the middle are their own mirror image.
    assert tested.predict(scan).confidence["flip_dice"] == pytest.approx(2 / 3)
    assert predictor(tmp_path).predict(scan).confidence["flip_dice"] is None


class LeftHalf:
    """An engine that finds what is bright in the left half of its input; the mirror image shows it the other half."""

    def __init__(self, tumour=1.0):
        self.tumour = tumour

    def probabilities(self, batch):
        found = batch[:, batch.shape[1] // 2] > 0
        found[..., 16:] = False
        return (found * self.tumour).astype(np.float32)


def half_seeing(tmp_path, *, tumour=1.0, min_slice_spacing_mm=None, **postprocessing):
    settings = {"fov_mm": 64, "min_slice_spacing_mm": min_slice_spacing_mm}
    tested = predictor(tmp_path, Postprocessing(tta_flip=True, **postprocessing), **settings)
    tested._engine = LeftHalf(tumour)
    return tested


def with_bright_pixels(counts):
    """Return grey slices of 32 x 32 with so many bright pixels, half of them on the left."""
    volume = np.ones((len(counts), 32, 32), np.uint8)
    for plane, count in zip(volume, counts, strict=True):
        plane.reshape(-1)[np.arange(count) * 16 + 5] = 255
    return volume


def test_each_slice_has_the_pixels_that_only_one_of_both_views_marks(tmp_path):
    counts = [3, 0, 8, 1, 0, 2]
    scan = Scan(with_bright_pixels(counts)[..., None], "here")
    # Each bright pixel is found in one view only. One of 0.4 is half of that in the mean, and over 0.3 in its view.
    assert half_seeing(tmp_path).predict(scan).mirror_disagreement_px.tolist() == counts
    faint = half_seeing(tmp_path, tumour=0.4, threshold=0.3).predict(scan)
    assert (faint.mirror_disagreement_px.tolist(), faint.mask.any()) == (counts, False)
    assert not half_seeing(tmp_path, tumour=0.4).predict(scan).mirror_disagreement_px.any()


def test_the_disagreement_is_that_of_axial_slices_whatever_the_axes_of_the_scan(tmp_path):
    counts = [10, 20, 0, 60, 7]
    axial = with_bright_pixels(counts)
    affine = np.diag([-2.0, -2.0, 5.0, 1.0])
    for orientation in ALL_48:  # sagittal and coronal ones among them, with the lowest slice first or last
        stored = np.ascontiguousarray(orientation.turn(axial))[..., None]
        scan = Scan(stored, "here", turn_affine(orientation, affine, axial.shape))
        assert half_seeing(tmp_path).predict(scan).mirror_disagreement_px.tolist() == counts


def test_without_flip_tta_there_is_no_disagreement(scan, tmp_path):
    assert predictor(tmp_path).predict(scan).mirror_disagreement_px is None


def test_black_slices_have_the_disagreement_of_the_first_one(tmp_path):
    tested = half_seeing(tmp_path)
    tested._engine.probabilities = lambda batch: np.pad(
        np.ones((len(batch), 2, 1), np.float32), ((0, 0), (0, 30), (0, 31))
    )
    black = tested.predict(Scan(np.zeros((9, 32, 32, 1), np.uint8), "here"))
    assert black.mirror_disagreement_px.tolist() == [4] * 9  # two pixels in the first column, two in the last


def test_predicted_dice_needs_a_dice_estimator(scan, tmp_path):
    tested = predictor(tmp_path)
    assert tested.predict(scan).predicted_dice is None
    config = tested.model.config.model_copy(update={"dice_estimator": DiceEstimator(bias=0, weights={"soft_dice": 1})})
    fitted = Predictor(Model(tmp_path, config), Recorder())
    # The recorder is sure of each pixel: its soft Dice is 1.
    assert fitted.predict(scan).predicted_dice == pytest.approx(1 / (1 + np.exp(-1)))
    nothing = Scan(np.zeros_like(scan.voxels), "here")
    assert fitted.predict(nothing).predicted_dice is None


def test_the_prediction_of_a_black_scan_has_a_warning(scan, tmp_path):
    nothing = Scan(np.zeros_like(scan.voxels), "here")
    assert predictor(tmp_path).predict(nothing).warnings == ("is almost black or constant: no head is visible",)


def test_a_bright_region_in_a_brain_without_tumour_is_a_warning(tmp_path):
    tested = predictor(tmp_path, Postprocessing(min_component_voxels=10**6))  # marks nothing
    y, x = np.mgrid[-16:16, -16:16]
    texture = np.random.default_rng(0).integers(90, 110, (12, 32, 32)) * (np.hypot(y, x) < 14)
    lesion = 100 * (np.hypot(y, x) < 3)
    for voxels, expected in ((texture + lesion, True), (texture, False)):
        scan = Scan(voxels.astype(np.uint8)[..., None], "here")
        assert (BRIGHT_REGION in tested.predict(scan).warnings) is expected


def test_progress_is_the_share_of_the_slices_after_each_batch(scan, tmp_path):
    shares = []
    predictor(tmp_path).predict(scan, progress=shares.append)
    assert shares == [4 / SLICES, 1]  # batches of four
