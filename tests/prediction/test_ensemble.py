"""Several models predict one scan: the mean of their probabilities, weighted by predicted Dice."""

import hashlib
import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from gliomaseg.config import Postprocessing
from gliomaseg.errors import GliomasegError, ModelError
from gliomaseg.model import write_digests
from gliomaseg.prediction import Predictor, WeightedEnsemble, confidence, join_sequences, open_models
from gliomaseg.prediction import ensemble as ensemble_module
from gliomaseg.prediction.ensemble import DISAGREE, weighted_mean
from gliomaseg.prediction.predict import predict
from gliomaseg.prediction.prediction import Prediction
from gliomaseg.report.terminal import row_text
from gliomaseg.scan import Scan

LEVELS = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
EQUAL_LOGITS = {"flair": 0.0, "t1-flair": 0.0}


def write_models(bright, folder, logits=EQUAL_LOGITS):
    """Write a FLAIR and a T1-FLAIR model; both segment what is bright on FLAIR and predict a constant Dice."""
    folders = []
    for name, sequences in (("flair", ["flair"]), ("t1-flair", ["t1", "flair"])):
        shutil.copytree(bright, folder / name)
        config = json.loads((folder / name / "config.json").read_text()) | {"name": name, "sequences": sequences}
        config["dice_estimator"] = {"bias": logits[name], "weights": {}} if name in logits else None
        (folder / name / "config.json").write_text(json.dumps(config))
        write_digests(folder / name)
        folders.append(folder / name)
    return folders


@pytest.fixture
def models(bright, tmp_path):
    return write_models(bright, tmp_path)


def models_used(models, scan):
    return open_models(models).predict(scan).model_name


def prediction_of(name, probability, *, predicted_dice, warnings=(), threshold=0.5, min_component_voxels=0):
    """Return the prediction of a scan of one slice by a model of that name."""
    postprocessing = Postprocessing(threshold=threshold, min_component_voxels=min_component_voxels)
    model = SimpleNamespace(config=SimpleNamespace(name=name, postprocessing=postprocessing))
    probability = np.array([probability], np.float32)
    features = {"soft_dice": 0.0, "uncertainty": 0.0, "flip_dice": predicted_dice}
    return Prediction(probability, probability > threshold, features, predicted_dice, tuple(warnings), (model,))


def test_probabilities_are_weighted_by_predicted_dice():
    averaged = weighted_mean(
        [
            prediction_of("a", [[0.9, 0.2, 0.0]], predicted_dice=0.7),
            prediction_of("b", [[0.4, 0.9, 0.0]], predicted_dice=0.8),
        ]
    )
    share = np.e / (1 + np.e)
    np.testing.assert_allclose(averaged.probability[0, 0], [0.9 + share * (0.4 - 0.9), 0.2 + share * 0.7, 0], rtol=1e-6)
    assert averaged.mask.tolist() == [[[True, True, False]]]
    assert (averaged.model_name, averaged.predicted_dice, averaged.confidence["flip_dice"]) == ("b + a", 0.8, 0.8)
    assert averaged.confidence["soft_dice"] == pytest.approx(confidence.soft_dice(averaged.probability, averaged.mask))


def test_equal_predicted_dice_gives_equal_weights_and_keeps_the_order():
    averaged = weighted_mean(
        [prediction_of("a", [[0.9, 0.5]], predicted_dice=0.8), prediction_of("b", [[0.5, 0.1]], predicted_dice=0.8)]
    )
    np.testing.assert_allclose(averaged.probability, [[[0.7, 0.3]]], rtol=1e-6)
    assert averaged.model_name == "a + b"


def test_a_model_with_a_weight_below_the_minimum_is_left_out():
    one, other = (
        prediction_of("a", [[0.9, 0.0]], predicted_dice=0.8),
        prediction_of("b", [[0.0, 0.4]], predicted_dice=None),
    )
    for predictions in ([one, other], [other, one]):
        averaged = weighted_mean(predictions)
        assert averaged.model_name == "a"
        assert averaged.left_out == ("b was left out: its predicted Dice is much lower than that of a",)
        assert averaged.probability is one.probability


def test_an_empty_mask_has_no_predicted_dice():
    averaged = weighted_mean(
        [prediction_of("a", [[0.2, 0.0]], predicted_dice=None), prediction_of("b", [[0.4, 0.0]], predicted_dice=None)]
    )
    assert (averaged.mask.any(), averaged.predicted_dice, averaged.model_name) == (False, None, "a + b")
    assert not averaged.warnings


def test_an_empty_averaged_mask_has_no_predicted_dice_and_a_warning_if_a_model_found_tumour():
    averaged = weighted_mean(
        [prediction_of("a", [[0.6, 0.0]], predicted_dice=0.3), prediction_of("b", [[0.0, 0.6]], predicted_dice=0.3)]
    )
    assert (averaged.mask.any(), averaged.predicted_dice, averaged.warnings) == (False, None, (DISAGREE,))


def test_the_disagreement_with_the_mirror_image_is_weighted_like_probabilities():
    one, other = (prediction_of(name, [[0.9, 0.5]], predicted_dice=0.8) for name in "ab")
    areas_px = (
        replace(one, mirror_disagreement_px=np.array([4.0])),
        replace(other, mirror_disagreement_px=np.array([1.0])),
    )
    assert weighted_mean(areas_px).mirror_disagreement_px.tolist() == [2.5]
    better = replace(areas_px[1], predicted_dice=0.9)
    share = np.e / (1 + np.e)  # 0.1 more predicted Dice is e times the weight
    np.testing.assert_allclose(weighted_mean([areas_px[0], better]).mirror_disagreement_px, [4 + share * (1 - 4)])
    assert weighted_mean([areas_px[0], other]).mirror_disagreement_px.tolist() == [4]  # b has no flip TTA
    assert weighted_mean([one, other]).mirror_disagreement_px is None


def test_thresholds_are_weighted_like_probabilities():
    both = [
        prediction_of("a", [[0.4, 0.35]], predicted_dice=0.5, threshold=0.3),
        prediction_of("b", [[0.4, 0.35]], predicted_dice=0.5),
    ]
    assert weighted_mean(both).mask.tolist() == [[[False, False]]]
    both[1] = prediction_of("b", [[0.4, 0.35]], predicted_dice=0.5, threshold=0.44)
    assert weighted_mean(both).mask.tolist() == [[[True, False]]]


def test_averaged_probabilities_do_not_exceed_one():
    for expected in np.linspace(0.5, 0.9, 41):
        both = [
            prediction_of("a", [[1.0, 1.0]], predicted_dice=0.7),
            prediction_of("b", [[1.0, 0.0]], predicted_dice=float(expected)),
        ]
        assert weighted_mean(both).probability.max() <= 1


def test_predictions_with_more_warnings_are_not_averaged():
    good, odd = (
        prediction_of("a", [[0.9, 0.0]], predicted_dice=0.5),
        prediction_of("b", [[0.8, 0.9]], predicted_dice=0.9, warnings=["odd"]),
    )
    averaged = weighted_mean([good, odd])
    assert (averaged.model_name, averaged.warnings) == ("a", ("odd",))
    assert averaged.left_out == ("b was left out: it has more warnings than a",)
    averaged = weighted_mean([prediction_of("a", [[0.9, 0.0]], predicted_dice=0.88, warnings=["odd"]), odd])
    assert (averaged.model_name, averaged.warnings) == ("b + a", ("odd",))


def test_the_mean_of_one_prediction_is_that_prediction():
    one = prediction_of("a", [[0.9, 0.0]], predicted_dice=None, warnings=["odd"])
    assert weighted_mean([one]) == one


def test_a_scan_with_t1_is_predicted_by_both_models(bright, tmp_path):
    scan = Scan(LEVELS, "here")
    for expected, name in (({"flair": 1, "t1-flair": 2}, "t1-flair + flair"), (EQUAL_LOGITS, "t1-flair + flair")):
        folders = write_models(bright, tmp_path / str(expected["flair"]), expected)
        assert models_used(folders, scan) == models_used(folders[::-1], scan) == name
    alone = [open_models([folder]).predict(scan).probability for folder in folders]
    np.testing.assert_allclose(open_models(folders).predict(scan).probability, sum(alone) / 2, atol=1e-6)


@pytest.mark.parametrize("expected", [{"flair": 2}, {"t1-flair": 2}, {}])
def test_without_a_dice_estimator_only_the_model_with_most_sequences_runs(bright, tmp_path, expected):
    found = open_models(write_models(bright, tmp_path, expected)).predict(Scan(LEVELS, "here"))
    assert found.model_name == "t1-flair"
    assert found.left_out == ("flair was left out: not every model has a Dice estimator to weight it by",)


@pytest.mark.parametrize("stripped", [False, True, None])
def test_models_for_heads_with_or_without_skull_run_as_the_scan_is(stripped, models, bright, tmp_path, monkeypatch):
    monkeypatch.setattr(ensemble_module, "is_skull_stripped", lambda _flair: stripped)
    shutil.copytree(bright, tmp_path / "bare")
    file = tmp_path / "bare" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"name": "bare", "skull_stripped": True}))
    write_digests(tmp_path / "bare")
    assert ("bare" in models_used([*models, tmp_path / "bare"], Scan(LEVELS, "a"))) is bool(stripped)
    assert ("flair" in models_used([*models, tmp_path / "bare"], Scan(LEVELS, "a"))) is not stripped


def test_a_scan_of_one_channel_is_predicted_by_the_flair_model(models):
    found = open_models(models).predict(Scan(LEVELS[..., 1:2], "here"))
    assert (found.model_name, found.left_out) == ("flair", ("t1-flair was left out: no T1 was given",))


@pytest.mark.parametrize(
    "channels", [pytest.param([1, 1, 1], id="FLAIR alone"), pytest.param([1, 1, 2], id="T1 after contrast alone")]
)
def test_a_copy_of_flair_does_not_count_as_t1(models, channels):
    found = open_models(models).predict(Scan(LEVELS[..., channels], "here"))
    assert found.model_name == "flair"
    assert found.left_out == ("t1-flair was left out: T1 is a copy of FLAIR, or black",)


def test_if_every_model_lacks_a_sequence_the_one_with_fewest_sequences_runs(models):
    scan = Scan(LEVELS[..., :1], "here", sequences=("t1",))
    assert models_used(models, scan) == "flair"


def test_a_model_is_opened_only_once(models, monkeypatch):
    opened = []
    real = ensemble_module.predictor_of
    monkeypatch.setattr(
        ensemble_module, "predictor_of", lambda model, **more: opened.append(model.config.name) or real(model, **more)
    )
    ensemble = open_models(models)
    assert opened == ["flair"]
    for _ in range(2):
        ensemble.predict(Scan(LEVELS, "here"))
    assert opened == ["flair", "t1-flair"]


def test_one_model_opens_without_an_ensemble(models):
    alone = open_models(models[:1])
    assert isinstance(alone, Predictor)
    assert alone.predict(Scan(LEVELS, "here")).model_name == "flair"


def test_a_missing_engine_file_is_an_error_before_the_first_scan(models):
    with pytest.raises(GliomasegError):
        open_models(models, engine="torch")  # there are no weights for it


def test_a_damaged_model_is_an_error_before_the_first_scan(models):
    (models[1] / "model.onnx").write_bytes(b"")
    with pytest.raises(ModelError, match="checksum differs"):
        open_models(models)


def test_the_digest_covers_all_models_in_the_order_of_their_sequences(models):
    ensemble = open_models(models)
    assert isinstance(ensemble, WeightedEnsemble)
    digests = [hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest() for folder in models[::-1]]
    assert ensemble.digest == hashlib.sha256(" ".join(digests).encode()).hexdigest()


def test_a_row_names_the_models_that_predicted_its_scan(models, tmp_path):
    from nibabel import save
    from nibabel.nifti1 import Nifti1Image

    for name, channel in (("flair", 1), ("t1", 0)):
        save(Nifti1Image(LEVELS[..., channel].astype(np.int16).T, np.diag([2, 2, 5, 1])), tmp_path / f"{name}.nii.gz")
    ensemble = open_models(models)
    save(Nifti1Image(LEVELS[..., 0].astype(np.int16).T, np.diag([2, 2, -5, 1])), tmp_path / "below.nii.gz")
    for t1, model, left_out in (
        ("t1.nii.gz", "t1-flair + flair", []),
        (None, "flair", ["t1-flair was left out: no T1 was given"]),
        (
            "below.nii.gz",
            "flair",
            ["t1-flair was left out: T1 covers 33 % of the head in FLAIR, expected at least 90 %"],
        ),
    ):
        entry = join_sequences(tmp_path / "flair.nii.gz", t1=None if t1 is None else tmp_path / t1, t1ce=None)
        row = predict(entry, tmp_path / f"with {t1}", ensemble)
        assert (row.error, row.model, row.document()["left_out"]) == (None, model, left_out)
        assert row.document()["model"] == model
        assert row_text(row).endswith("; ".join([" s", *left_out]))


def test_the_digest_is_that_of_the_file_that_the_engine_runs(models):
    from gliomaseg.prediction.predictor import running_digest

    model = open_models(models).models[0]
    (model.folder / "model.safetensors").write_bytes(b"weights")
    weights = hashlib.sha256(b"weights").hexdigest()
    assert running_digest(model, "torch") == weights
    assert running_digest(model, "onnxruntime") == model.digest != weights


def test_progress_of_several_models_is_the_share_of_all(models):
    shares = []
    open_models(models).predict(Scan(LEVELS, "here"), progress=shares.append)
    assert shares == [0.5, 1]  # two models, one batch each
