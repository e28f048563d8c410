"""Several models together: the mean of their probabilities, each weighed by what is expected of it."""

import hashlib
import json
import shutil
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
from gliomaseg.prediction.predictor import Prediction
from gliomaseg.scan import Scan

LEVELS = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
ALIKE = {"flair": 0.0, "t1-flair": 0.0}


def made(bright, folder, expected=ALIKE):
    """Write two models, of FLAIR and of T1 and FLAIR, that find what is bright on FLAIR and expect always the same."""
    folders = []
    for name, sequences in (("flair", ["flair"]), ("t1-flair", ["t1", "flair"])):
        shutil.copytree(bright, folder / name)
        config = json.loads((folder / name / "config.json").read_text()) | {"name": name, "sequences": sequences}
        config["dice_estimator"] = {"bias": expected[name], "weights": {}} if name in expected else None
        (folder / name / "config.json").write_text(json.dumps(config))
        write_digests(folder / name)
        folders.append(folder / name)
    return folders


@pytest.fixture
def models(bright, tmp_path):
    return made(bright, tmp_path)


def asked(models, scan):
    return open_models(models).predict(scan).model_name


def said(name, probability, *, expected, warnings=(), threshold=0.5, min_component_voxels=0):
    """Return what a model of that name might have said of a scan of one slice."""
    postprocessing = Postprocessing(threshold=threshold, min_component_voxels=min_component_voxels)
    model = SimpleNamespace(config=SimpleNamespace(name=name, postprocessing=postprocessing))
    probability = np.array([probability], np.float32)
    signs = {"soft_dice": 0.0, "uncertainty": 0.0, "flip_dice": expected}
    return Prediction(probability, probability > threshold, signs, expected, tuple(warnings), (model,))


def test_probabilities_are_weighed_by_what_is_expected():
    found = weighted_mean([said("a", [[0.9, 0.2, 0.0]], expected=0.7), said("b", [[0.4, 0.9, 0.0]], expected=0.8)])
    share = np.e / (1 + np.e)
    np.testing.assert_allclose(found.probability[0, 0], [0.9 + share * (0.4 - 0.9), 0.2 + share * 0.7, 0], rtol=1e-6)
    assert found.mask.tolist() == [[[True, True, False]]]
    assert (found.model_name, found.predicted_dice, found.confidence["flip_dice"]) == ("b + a", 0.8, 0.8)
    assert found.confidence["soft_dice"] == pytest.approx(confidence.soft_dice(found.probability, found.mask))


def test_what_is_expected_alike_weighs_alike_and_the_first_is_named_first():
    found = weighted_mean([said("a", [[0.9, 0.5]], expected=0.8), said("b", [[0.5, 0.1]], expected=0.8)])
    np.testing.assert_allclose(found.probability, [[[0.7, 0.3]]], rtol=1e-6)
    assert found.model_name == "a + b"


def test_a_model_of_which_nothing_is_expected_is_left_out():
    one, other = said("a", [[0.9, 0.0]], expected=0.8), said("b", [[0.0, 0.4]], expected=None)
    for order in ([one, other], [other, one]):
        found = weighted_mean(order)
        assert found.model_name == "a"
        assert found.probability is one.probability


def test_where_nothing_is_found_nothing_is_expected():
    found = weighted_mean([said("a", [[0.2, 0.0]], expected=None), said("b", [[0.4, 0.0]], expected=None)])
    assert (found.mask.any(), found.predicted_dice, found.model_name) == (False, None, "a + b")
    assert not found.warnings


def test_a_mean_that_loses_all_that_was_found_expects_nothing_and_says_so():
    found = weighted_mean([said("a", [[0.6, 0.0]], expected=0.3), said("b", [[0.0, 0.6]], expected=0.3)])
    assert (found.mask.any(), found.predicted_dice, found.warnings) == (False, None, (DISAGREE,))


def test_thresholds_are_weighed_like_probabilities():
    both = [said("a", [[0.4, 0.35]], expected=0.5, threshold=0.3), said("b", [[0.4, 0.35]], expected=0.5)]
    assert weighted_mean(both).mask.tolist() == [[[False, False]]]
    both[1] = said("b", [[0.4, 0.35]], expected=0.5, threshold=0.44)
    assert weighted_mean(both).mask.tolist() == [[[True, False]]]


def test_probabilities_stay_within_one():
    for expected in np.linspace(0.5, 0.9, 41):
        both = [said("a", [[1.0, 1.0]], expected=0.7), said("b", [[1.0, 0.0]], expected=float(expected))]
        assert weighted_mean(both).probability.max() <= 1


def test_what_is_warned_of_counts_only_where_all_are():
    good, odd = said("a", [[0.9, 0.0]], expected=0.5), said("b", [[0.8, 0.9]], expected=0.9, warnings=["odd"])
    found = weighted_mean([good, odd])
    assert (found.model_name, found.warnings) == ("a", ("odd",))
    found = weighted_mean([said("a", [[0.9, 0.0]], expected=0.88, warnings=["odd"]), odd])
    assert (found.model_name, found.warnings) == ("b + a", ("odd",))


def test_one_prediction_is_itself():
    one = said("a", [[0.9, 0.0]], expected=None, warnings=["odd"])
    assert weighted_mean([one]) == one


def test_a_scan_with_t1_is_given_to_both(bright, tmp_path):
    scan = Scan(LEVELS, "here")
    for expected, name in (({"flair": 1, "t1-flair": 2}, "t1-flair + flair"), (ALIKE, "t1-flair + flair")):
        folders = made(bright, tmp_path / str(expected["flair"]), expected)
        assert asked(folders, scan) == asked(folders[::-1], scan) == name
    alone = [open_models([folder]).predict(scan).probability for folder in folders]
    np.testing.assert_allclose(open_models(folders).predict(scan).probability, sum(alone) / 2, atol=1e-6)


@pytest.mark.parametrize("expected", [{"flair": 2}, {"t1-flair": 2}, {}])
def test_where_a_model_does_not_know_what_to_expect_the_one_of_t1_is_asked_alone(bright, tmp_path, expected):
    assert asked(made(bright, tmp_path, expected), Scan(LEVELS, "here")) == "t1-flair"


def test_a_scan_of_one_channel_gets_the_model_of_flair(models):
    assert asked(models, Scan(LEVELS[..., 1:2], "here")) == "flair"


@pytest.mark.parametrize(
    "channels", [pytest.param([1, 1, 1], id="FLAIR alone"), pytest.param([1, 1, 2], id="T1 after contrast alone")]
)
def test_a_copy_of_flair_is_no_t1(models, channels):
    assert asked(models, Scan(LEVELS[..., channels], "here")) == "flair"


def test_where_no_model_has_enough_it_is_the_one_that_looks_at_least(models):
    scan = Scan(LEVELS[..., :1], "here", sequences=("t1",))
    assert asked(models, scan) == "flair"


def test_a_model_is_opened_once(models, monkeypatch):
    opened = []
    real = ensemble_module.predictor_of
    monkeypatch.setattr(
        ensemble_module, "predictor_of", lambda model, **more: opened.append(model.config.name) or real(model, **more)
    )
    together = open_models(models)
    assert opened == ["flair"]
    for _ in range(2):
        together.predict(Scan(LEVELS, "here"))
    assert opened == ["flair", "t1-flair"]


def test_one_model_is_no_ensemble(models):
    alone = open_models(models[:1])
    assert isinstance(alone, Predictor)
    assert alone.predict(Scan(LEVELS, "here")).model_name == "flair"


def test_what_an_engine_lacks_is_told_before_any_scan(models):
    with pytest.raises(GliomasegError):
        open_models(models, engine="torch")  # there are no weights for it


def test_a_damaged_model_is_told_before_any_scan(models):
    (models[1] / "model.onnx").write_bytes(b"")
    with pytest.raises(ModelError, match="checksum differs"):
        open_models(models)


def test_the_digest_is_of_all_models_those_of_many_sequences_first(models):
    together = open_models(models)
    assert isinstance(together, WeightedEnsemble)
    digests = [hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest() for folder in models[::-1]]
    assert together.digest == hashlib.sha256(" ".join(digests).encode()).hexdigest()


def test_a_row_names_the_models_that_its_scan_got(models, tmp_path):
    from nibabel import save
    from nibabel.nifti1 import Nifti1Image

    for name, channel in (("flair", 1), ("t1", 0)):
        save(Nifti1Image(LEVELS[..., channel].astype(np.int16).T, np.diag([2, 2, 5, 1])), tmp_path / f"{name}.nii.gz")
    together = open_models(models)
    for t1, model in ((tmp_path / "t1.nii.gz", "t1-flair + flair"), (None, "flair")):
        entry = join_sequences(tmp_path / "flair.nii.gz", t1=t1, t1ce=None)
        row = predict(entry, tmp_path / model, together)
        assert (row.error, row.model) == (None, model)
        assert row.document()["model"] == model


def test_the_digest_is_of_what_the_engine_runs(models):
    from gliomaseg.prediction.predictor import running_digest

    model = open_models(models).models[0]
    (model.folder / "model.safetensors").write_bytes(b"weights")
    weights = hashlib.sha256(b"weights").hexdigest()
    assert running_digest(model, "torch") == weights
    assert running_digest(model, "onnxruntime") == model.digest != weights
