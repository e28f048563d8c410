"""An evaluation of several models, of which each patient got some: what it says of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gliomaseg.data.case import Case, Slice
from gliomaseg.evaluation.evaluate import evaluate
from gliomaseg.formats import write_picture
from gliomaseg.model import hashed_patient_ids
from gliomaseg.prediction.confidence import confidence_features
from gliomaseg.prediction.predictor import Prediction


class Config:
    def __init__(self, name, trained_on, threshold):
        self.name, self.trained_on = name, hashed_patient_ids(trained_on)
        self.postprocessing = type("Decision", (), {"threshold": threshold})


class Model:
    folder = Path("nowhere") / "model"

    def __init__(self, name, trained_on=(), threshold=0.5):
        self.config = Config(name, trained_on, threshold)
        self.members = (self,)


class Fixed:
    """Stands in for a predictor: calls bright what is bright."""

    engine, digest = "onnxruntime", "0" * 64

    def __init__(self, model):
        self.models = (model,)

    def predict(self, scan):
        probability = (scan.voxels[..., 0] / 255).astype(np.float32)
        mask = probability > 0.5
        return Prediction(probability, mask, confidence_features(probability, mask, None), None, (), self.models)


class ByPatient(Fixed):
    """Gives patient A the first model, and all others the second."""

    def __init__(self, first, second):
        self.models = (first, second)

    def predict(self, scan):
        return Fixed(self.models[0 if "A_XX" in scan.source else 1]).predict(scan)


@pytest.fixture
def cases(tmp_path):
    made = []
    for name in ("A_XX_1_20000101", "B_XX_2_20000101"):
        (tmp_path / name).mkdir()
        paths = tmp_path / name / f"{name}_1.tif", tmp_path / name / f"{name}_1_mask.tif"
        write_picture(paths[0], np.full((4, 4, 3), 200, np.uint8))
        write_picture(paths[1], np.full((4, 4), 255, np.uint8))
        made.append(Case(name, name, "XX", (Slice(1, *paths),)))
    return made


def setting(cases, *models):
    return evaluate(cases, ByPatient(*models)).setting


def test_each_row_names_its_model(cases):
    evaluation = evaluate(cases, ByPatient(Model("one"), Model("two")))
    assert [row.model for row in evaluation.patients] == ["one", "two"]
    assert evaluation.setting.model == "one + two"


def test_a_threshold_is_told_where_they_share_it(cases):
    assert setting(cases, Model("one"), Model("two")).threshold == 0.5
    assert setting(cases, Model("one"), Model("two", threshold=0.4)).threshold is None


@pytest.mark.parametrize(
    ("first", "second", "seen"),
    [
        (["A_XX_1_20000101"], ["other"], 1),
        (["B_XX_2_20000101"], ["A_XX_1_20000101"], 0),  # each trained the model that it did not get
        (["A_XX_1_20000101", "B_XX_2_20000101"], ["B_XX_2_20000101"], 2),
        (["A_XX_1_20000101"], [], 1),  # the second does not say
        ([], ["other"], 0),
        ([], [], None),
    ],
)
def test_whom_a_model_was_trained_on_is_asked_of_the_model_that_each_got(first, second, seen, cases):
    assert setting(cases, Model("one", first), Model("two", second)).patients_seen == seen


def test_who_gets_both_has_trained_neither_or_some(cases):
    class Both(ByPatient):
        def predict(self, scan):
            return replace(super().predict(scan), models=self.models)

    evaluation = evaluate(cases, Both(Model("same", ["A_XX_1_20000101"]), Model("same")))
    assert [row.model for row in evaluation.patients] == ["same + same"] * 2
    assert evaluation.setting.patients_seen == 1


def test_a_name_with_a_plus_is_one_name(cases):
    evaluation = evaluate(cases, Fixed(Model("one + two", ["A_XX_1_20000101"])))
    assert evaluation.setting.patients_seen == 1
