"""The contract of the table of measures: one entry is enough for a measure to appear everywhere."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from gliomaseg.data.case import Case, LoadedCase, Slice
from gliomaseg.errors import FormatError
from gliomaseg.evaluation import EvaluationSetting, ScoreGrid, assemble, dumps, measures
from gliomaseg.evaluation.comparison import compare_evaluations
from gliomaseg.evaluation.documents import read_evaluation
from gliomaseg.evaluation.measure import CaseMasks, Measure
from gliomaseg.evaluation.measures import MEASURES
from gliomaseg.evaluation.scoring import score_case
from gliomaseg.report.html import write_report
from gliomaseg.report.terminal import comparison_text, summary_text
from gliomaseg.scan import Scan

DUMMY = Measure(
    "predicted_share",
    "Share of the volume that is predicted",
    "predicted share",
    "Dummies",
    lambda case: float(case.predicted.mean()),
    "Predicted voxels over all voxels.",
    higher_is_better=False,
)


@pytest.fixture
def extended(monkeypatch):
    monkeypatch.setattr(measures, "MEASURES", (*MEASURES, DUMMY))


def write_evaluation(folder: Path, predicted_rows: int):
    """Write an evaluation of two cases of which the prediction covers some of four rows."""
    reference = np.zeros((2, 4, 4), np.bool_)
    reference[0, :2] = True
    predicted = np.zeros_like(reference)
    predicted[:, :predicted_rows] = True
    slices = tuple(Slice(n, Path(), Path()) for n in (1, 2))
    found = [
        score_case(
            LoadedCase(Case(name, name, "XX", slices), Scan(np.zeros((2, 4, 4, 1), np.uint8), "s"), reference, (1, 2)),
            probability=predicted.astype(np.float32),
            predicted=predicted,
            grid=ScoreGrid(),
        )
        for name in ("A_XX_1_20000101", "B_XX_2_20000101")
    ]
    evaluation = assemble(found, setting=EvaluationSetting(model=folder.name), grid=ScoreGrid(), seconds=0.0)
    folder.mkdir()
    (folder / "metrics.json").write_text(dumps(evaluation), "utf-8")
    return evaluation


@pytest.mark.usefixtures("extended")
def test_an_added_measure_reaches_every_output(tmp_path):
    evaluation = write_evaluation(tmp_path / "a", 1)
    write_evaluation(tmp_path / "b", 2)
    assert evaluation.patients[0]["predicted_share"] == 0.25

    document = json.loads((tmp_path / "a" / "metrics.json").read_text("utf-8"))
    assert document["patients"][1]["predicted_share"] == 0.25
    assert document["summary"]["predicted_share"]["mean"] == 0.25
    assert document["definitions"]["predicted_share"] == DUMMY.definition

    read = read_evaluation(tmp_path / "a")
    assert read.patients[0]["predicted_share"] == 0.25
    assert read.summary["predicted_share"].n == 2
    assert "predicted_share" in summary_text(read.summary)

    comparison = compare_evaluations(tmp_path / "a", tmp_path / "b")
    assert comparison.measures["predicted_share"].mean_difference == 0.25
    assert comparison.measures["predicted_share"].losses == 2  # lower is better
    assert "predicted_share" in comparison_text(comparison)

    page = write_report(tmp_path / "a", tmp_path / "report.html").read_text("utf-8")
    assert DUMMY.label in page
    assert DUMMY.definition in page
    assert f'title="{DUMMY.label}">{DUMMY.short}</th>' in page


@pytest.mark.usefixtures("extended")
def test_an_added_measure_is_validated_by_its_range(tmp_path):
    write_evaluation(tmp_path / "a", 1)
    path = tmp_path / "a" / "metrics.json"
    path.write_text(path.read_text("utf-8").replace('"predicted_share": 0.25', '"predicted_share": 25.0'), "utf-8")
    with pytest.raises(FormatError, match=r"patients\.0\.predicted_share: .*less than or equal to 1"):
        read_evaluation(tmp_path / "a")


def test_names_are_unique_and_every_entry_is_complete():
    names = [measure.name for measure in MEASURES]
    assert len(set(names)) == len(names)
    for measure in MEASURES:
        assert measure.label, measure.name
        assert measure.short, measure.name
        assert measure.range[0] < measure.range[1], measure.name
        assert measure.compute or measure.pool, measure.name


def test_every_summarised_measure_is_in_the_guide():
    guide = (Path(__file__).parents[2] / "docs" / "guide" / "evaluate.md").read_text("utf-8")
    rows = re.findall(r"^\| (`.+?) \|", guide, re.MULTILINE)
    documented = {re.sub("_(px|mm)$", "", name) for row in rows for name in re.findall(r"`(\w+)`", row)}
    summarised = {re.sub("_(px|mm)$", "", measure.name) for measure in MEASURES if measure.definition}
    assert summarised - documented == set(), "add a row to a table of measures in docs/guide/evaluate.md"


def test_every_value_lies_in_the_range_of_its_measure():
    generator = np.random.default_rng(0)
    for spacing in (None, (5.0, 1.0, 1.0)):
        probability = generator.random((4, 8, 8)).astype(np.float32)
        case = CaseMasks(generator.random((4, 8, 8)) > 0.6, probability > 0.5, probability, spacing)
        for name, value in measures.compute_measures(case).items():
            measure = measures.measure_named(name)
            assert measure is not None
            assert value is None or measure.range[0] <= value <= measure.range[1], name
