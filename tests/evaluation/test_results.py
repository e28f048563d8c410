import json
from pathlib import Path

import numpy as np
import pytest

from gliomaseg.data.case import Case, LoadedCase, Slice
from gliomaseg.errors import DataError, FormatError
from gliomaseg.evaluation import ScoreGrid
from gliomaseg.evaluation.documents import read_evaluation
from gliomaseg.evaluation.results import Evaluation, Summary
from gliomaseg.evaluation.scoring import score_case
from gliomaseg.scan import Scan


def test_a_folder_without_metrics_is_refused_by_name(tmp_path):
    with pytest.raises(DataError, match=r"there is no metrics\.json; name a folder"):
        read_evaluation(tmp_path)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="there is no"):
        read_evaluation(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", "7", "{}", "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), "[" * 100_000,
        '{"patients": 1' + "0" * 5000 + "}", '{"patients": "nobody"}', '{"patients": [null]}', '{"patients": [[]]}',
        '{"patients": [{"patient": null}]}', '{"patients": [{}]}', '{"patients": [], "setting": []}',
    ],
    ids=range(15),
)  # fmt: skip
def test_a_file_that_is_not_an_evaluation_is_refused(write_metrics, text):
    with pytest.raises(FormatError, match="; run `gliomaseg evaluate` again"):
        read_evaluation(write_metrics(text))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("dice_volume", "<script>", "should be a valid number"),
        ("dice_volume", 5.0, "less than or equal to 1"),
        ("dice_volume", 1e999, "should be"),
        ("dice_volume", True, "should be a valid number"),
        ("reference_voxels", -1, "greater than or equal to 0"),
        ("reference_voxels", 10**400, "should be"),
        ("hausdorff_95_px", [1], "should be a valid number"),
        ("error", {"why": 1}, "should be a valid string"),
        ("patient", 7, "should be a valid string"),
    ],
)
def test_an_invalid_value_is_refused_and_the_error_names_its_key(write_metrics, key, value, words):
    text = json.dumps({"patients": [{"patient": "A"} | {key: value}]}).replace("Infinity", "1e999")
    with pytest.raises(FormatError, match=rf"metrics\.json: patients\.0\.{key}: .*{words}"):
        read_evaluation(write_metrics(text))


def test_a_row_without_a_case_has_the_name_of_its_patient(write_metrics):
    rows = [{"patient": "A"}, {"patient": "B", "case": None}, {"patient": "B", "case": "B_1"}]
    read = read_evaluation(write_metrics({"patients": rows}))
    assert [(row.patient, row.case) for row in read.patients] == [("A", "A"), ("B", "B"), ("B", "B_1")]
    assert [list(row)[:2] for row in read.document()["patients"]] == [["patient", "case"]] * 3


def test_a_measure_with_a_wrong_name_is_a_key_error(write_metrics):
    (row,) = read_evaluation(write_metrics('{"patients": [{"patient": "A", "dice_volume": 0.5}]}')).patients
    assert row["dice_volume"] == 0.5
    assert row["iou"] is None  # a measure that this file does not have
    with pytest.raises(KeyError, match="measure is 'dice', expected one such as 'dice_volume'"):
        row["dice"]


def test_a_summary_iterates_over_its_measures_as_a_dictionary():
    summary = Summary.model_validate({"dice_volume": {"mean": 0.5}, "patients": 2})
    assert list(summary) == ["dice_volume"]
    assert dict(summary) == dict(summary.items()) == {"dice_volume": summary["dice_volume"]}


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "metrics.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(FormatError, match="not readable JSON"):
        read_evaluation(tmp_path)


def test_a_file_that_is_too_large_is_not_read(write_metrics, monkeypatch):
    monkeypatch.setattr("gliomaseg.evaluation.documents.LARGEST_BYTES", 10)
    with pytest.raises(FormatError, match="is larger than"):
        read_evaluation(write_metrics({"patients": []}))


def test_a_calibration_with_lists_of_different_lengths_is_refused(write_metrics):
    table = {"edges": [0, 1], "pixels": [1, 2], "mean_probability": [None], "tumour_share": [None]}
    with pytest.raises(FormatError, match="calibration: the lists do not fit each other"):
        read_evaluation(write_metrics({"patients": [], "calibration": table}))


def test_missing_and_null_keys_get_their_defaults(write_metrics):
    nothing = dict.fromkeys(Evaluation.model_fields) | {"patients": [{"patient": "A", "dice_volume": None}]}
    read = read_evaluation(write_metrics(nothing))
    assert read == read_evaluation(write_metrics({"patients": [{"patient": "A"}]}))
    assert read.patients[0].dice_volume is None
    assert (read.summary, read.learning, read.calibration) == (Summary(), [], None)
    assert read.setting.split is None


def test_unknown_keys_are_ignored(write_metrics):
    assert read_evaluation(write_metrics({"patients": [], "later": [1], "setting": {"colour": "blue"}})).patients == []


def test_nan_is_read_as_none(write_metrics):
    assert (
        read_evaluation(write_metrics('{"patients": [{"patient": "A", "dice_volume": NaN}]}')).patients[0].dice_volume
        is None
    )


def test_control_characters_and_surrogates_are_removed_from_names(write_metrics):
    read = read_evaluation(write_metrics('{"patients": [{"patient": "A\\u0000\\n\\u202eB\\ud800"}]}'))
    assert read.patients[0].patient == "A B"
    read.patients[0].patient.encode("utf-8")


def test_a_current_evaluation_can_be_read(write_metrics):
    """As the first version of `gliomaseg evaluate` writes it."""
    from gliomaseg.evaluation import summarise
    from gliomaseg.evaluation.measures import definitions

    tree = {"summary": summarise({}).model_dump(exclude_unset=True), "definitions": definitions(unit="px", tolerance=2)}
    read = read_evaluation(write_metrics({"patients": [], **tree}))
    assert read.summary["dice_volume"].mean is None
    assert read.summary.slices == 0


def test_a_written_evaluation_is_read_back_unchanged(write_metrics):
    """A key that the document does not know would be lost in reports and comparisons."""
    case = Case("A_XX_1_20000101", "A_XX_1", "XX", tuple(Slice(n, Path(), Path()) for n in (1, 2)))
    mask = np.zeros((2, 4, 4), bool)
    mask[0, :2] = True
    probability = mask.astype(np.float32)
    for grid in (ScoreGrid(), ScoreGrid((5.0, 1.0, 1.0))):
        loaded = LoadedCase(case, Scan(np.zeros((2, 4, 4, 1), np.uint8), "s"), mask, (1, 2))
        found = score_case(loaded, probability=probability, predicted=mask, grid=grid, fold=0)
        written = found.scores.model_dump(exclude_unset=True)
        (row,) = read_evaluation(write_metrics({"patients": [written]})).patients
        read = row.model_dump()
        assert written.keys() >= {"dice_volume", "lesions", "brier_score", "reference_voxels"}
        assert all(read.get(name) == value for name, value in written.items())
