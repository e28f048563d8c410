"""An evaluation with several models: the setting, and the model of each row."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gliomaseg.data.case import Case, Slice
from gliomaseg.evaluation.evaluate import evaluate
from gliomaseg.formats import write_picture
from gliomaseg.model import hashed_patient_ids
from gliomaseg.prediction.confidence import confidence_features
from gliomaseg.prediction.prediction import Prediction


class Config:
    sequences = ("flair",)

    def __init__(self, name, trained_on, threshold):
        self.name, self.trained_on = name, hashed_patient_ids(trained_on)
        self.postprocessing = type("Postprocessing", (), {"threshold": threshold})


class Model:
    folder = Path("nowhere") / "model"

    def __init__(self, name, trained_on=(), threshold=0.5):
        self.config = Config(name, trained_on, threshold)
        self.members = (self,)


class BrightnessPredictor:
    """A predictor whose mask is true in bright voxels."""

    engine, digest = "onnxruntime", "0" * 64

    def __init__(self, model):
        self.models = (model,)

    def predict(self, scan):
        probability = (scan.voxels[..., 0] / 255).astype(np.float32)
        mask = probability > 0.5
        return Prediction(probability, mask, confidence_features(probability, mask, None), None, (), self.models)


class PredictorByPatient(BrightnessPredictor):
    """Predicts patient A with the first model, and all others with the second."""

    def __init__(self, first, second):
        self.models = (first, second)

    def predict(self, scan):
        return BrightnessPredictor(self.models[0 if "A_XX" in scan.source else 1]).predict(scan)


@pytest.fixture
def cases(tmp_path):
    written = []
    for name in ("A_XX_1_20000101", "B_XX_2_20000101"):
        (tmp_path / name).mkdir()
        paths = tmp_path / name / f"{name}_1.tif", tmp_path / name / f"{name}_1_mask.tif"
        write_picture(paths[0], np.full((4, 4, 3), 200, np.uint8))
        write_picture(paths[1], np.full((4, 4), 255, np.uint8))
        written.append(Case(name, name, "XX", (Slice(1, *paths),)))
    return written


def setting_of(cases, *models):
    return evaluate(cases, PredictorByPatient(*models)).setting


def test_each_row_names_its_model(cases):
    evaluation = evaluate(cases, PredictorByPatient(Model("one"), Model("two")))
    assert [row.model for row in evaluation.patients] == ["one", "two"]
    assert evaluation.setting.model == "one + two"


def test_the_setting_has_a_threshold_only_if_all_models_share_it(cases):
    assert setting_of(cases, Model("one"), Model("two")).threshold == 0.5
    assert setting_of(cases, Model("one"), Model("two", threshold=0.4)).threshold is None


@pytest.mark.parametrize(
    ("first", "second", "seen"),
    [
        (["A_XX_1_20000101"], ["other"], 1),
        (["B_XX_2_20000101"], ["A_XX_1_20000101"], 0),  # each trained the model that predicts the other
        (["A_XX_1_20000101", "B_XX_2_20000101"], ["B_XX_2_20000101"], 2),
        (["A_XX_1_20000101"], [], 1),  # the second does not name its patients
        ([], ["other"], 0),
        ([], [], None),
    ],
)
def test_training_patients_are_counted_by_the_model_that_predicted_each_case(first, second, seen, cases):
    assert setting_of(cases, Model("one", first), Model("two", second)).patients_seen == seen


def test_a_patient_of_an_ensemble_counts_if_any_of_its_models_was_trained_on_it(cases):
    class EnsembleOfBoth(PredictorByPatient):
        def predict(self, scan):
            return replace(super().predict(scan), models=self.models)

    evaluation = evaluate(cases, EnsembleOfBoth(Model("same", ["A_XX_1_20000101"]), Model("same")))
    assert [row.model for row in evaluation.patients] == ["same + same"] * 2
    assert evaluation.setting.patients_seen == 1


def test_a_model_name_with_a_plus_stays_one_name(cases):
    evaluation = evaluate(cases, BrightnessPredictor(Model("one + two", ["A_XX_1_20000101"])))
    assert evaluation.setting.patients_seen == 1
