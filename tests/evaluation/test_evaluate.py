import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gliomaseg.data.case import Case, Slice
from gliomaseg.errors import ConfigError, DataError, OutputExistsError, UsageError
from gliomaseg.evaluation import (
    CaseSelection,
    EvaluateOptions,
    ScoreGrid,
    dumps,
    evaluate_data,
    evaluate_into,
    learning_curve,
    summarise,
)
from gliomaseg.evaluation.evaluate import evaluate
from gliomaseg.formats import write_picture
from gliomaseg.prediction.confidence import confidence_features
from gliomaseg.prediction.prediction import Prediction
from gliomaseg.report.terminal import summary_text, warning_lines


class BrightnessPredictor:
    """A predictor whose mask is true in bright voxels."""

    engine = "onnxruntime"
    digest = "0" * 64

    class model:  # noqa: N801
        members = (None,)
        folder = Path("nowhere/model")

        class config:  # noqa: N801
            name = "oracle"
            sequences = ("flair",)
            trained_on = ()

            class postprocessing:  # noqa: N801
                threshold = 0.5

    models = (model,)

    def predict(self, scan):
        probability = (scan.voxels[..., 0] / 255).astype(np.float32)
        mask = probability > 0.5
        return Prediction(probability, mask, confidence_features(probability, mask, None), None, (), self.models)


def write_case(root: Path, name: str, slices: list[tuple[int, int]]) -> Case:
    """Write slices with the first `predicted` pixels bright and the first `reference` pixels in the mask."""
    folder = root / name
    folder.mkdir(parents=True)
    entries = []
    for number, (predicted, reference) in enumerate(slices, start=1):
        image, mask = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)
        image.reshape(16, 3)[:predicted] = 200
        mask.reshape(16)[:reference] = 255
        paths = folder / f"{name}_{number}.tif", folder / f"{name}_{number}_mask.tif"
        write_picture(paths[0], image)
        write_picture(paths[1], mask)
        entries.append(Slice(number, *paths))
    return Case(name, name, "XX", tuple(entries))


@pytest.fixture
def cases(tmp_path):
    return [
        write_case(tmp_path / "data", "A_XX_1_20000101", [(2, 4), (0, 0), (1, 0)]),
        write_case(tmp_path / "data", "B_XX_2_20000101", [(4, 4), (0, 4)]),
    ]


def test_each_dice_convention_equals_the_hand_calculation(cases):
    summary = evaluate(cases, BrightnessPredictor()).summary
    # A: 2*2/(4+3) over the volume; B: 2*4/(8+4).
    assert summary["dice_volume"].mean == pytest.approx((4 / 7 + 8 / 12) / 2)
    assert summary["dice_tumour_slices"].mean == pytest.approx((4 / 6 + 1 + 0) / 3)
    assert summary["dice_slices_empty_one"].mean == pytest.approx((4 / 6 + 1 + 0 + 1 + 0) / 5)
    assert summary["empty_slice_false_positive_rate"].mean == pytest.approx(1 / 2)
    # The first batch is A's three slices and B's first: 2*6/(8+7); the second B's last alone.
    assert summary["dice_batch"].mean == pytest.approx((12 / 15 + 0) / 2, abs=1e-5)


def test_each_patient_has_a_row_with_its_own_measures(cases):
    rows = evaluate(cases, BrightnessPredictor()).patients
    assert [row.patient for row in rows] == ["A_XX_1_20000101", "B_XX_2_20000101"]
    assert (rows[0]["reference_voxels"], rows[0]["predicted_voxels"], rows[0]["overlap_voxels"]) == (4, 3, 2)
    assert rows[1]["dice_volume"] == pytest.approx(8 / 12)


def test_a_patient_without_any_tumour_counts_as_undefined(tmp_path):
    cases = [write_case(tmp_path, "A_XX_1_20000101", [(0, 0)]), write_case(tmp_path, "B_XX_2_20000101", [(4, 4)])]
    evaluation = evaluate(cases, BrightnessPredictor())
    assert evaluation.patients[0]["dice_volume"] is None
    assert evaluation.summary["dice_volume"].model_dump() == {
        "mean": 1.0, "median": 1.0, "ci95": [None, None], "n": 1, "undefined": 1,
    }  # fmt: skip


def test_the_examinations_of_a_patient_are_rows_and_are_drawn_together(cases, tmp_path):
    again = write_case(tmp_path / "more", "A_XX_1_20010101", [(0, 4), (4, 4)])
    one, other, again = (replace(case, patient=case.name[:6]) for case in (*cases, again))
    evaluation = evaluate([one, other, again], BrightnessPredictor())
    assert [row.patient for row in evaluation.patients] == ["A_XX_1", "B_XX_2", "A_XX_1"]
    assert (evaluation.summary.patients, evaluation.summary.cases) == (2, 3)
    entry = evaluation.summary["dice_volume"]
    # A: 4/7 and 2/3; B: 2/3. The mean is over three cases. Both draws are A, or B, in a quarter of the samples each,
    # so that the interval ends at A's mean (4/7 + 2/3)/2 and at B's 2/3; with cases drawn it would begin near 4/7.
    assert entry.mean == pytest.approx((4 / 7 + 2 / 3 + 2 / 3) / 3)
    assert entry.ci95 == pytest.approx([(4 / 7 + 2 / 3) / 2, 2 / 3])
    assert evaluation.interval.endswith("means are over cases, the cases of a patient are drawn together")
    assert "3 cases of 2 patients, 7 slices" in summary_text(evaluation.summary)


def test_an_evaluation_is_json_without_nan(cases):
    text = dumps(evaluate(cases, BrightnessPredictor()))
    assert "NaN" not in text
    assert json.loads(text)["definitions"].keys() >= {"dice_volume", "dice_batch"}


def test_an_evaluation_without_cases_has_undefined_means():
    summary = summarise({})
    assert summary["dice_volume"].mean is None
    assert summary.slices == 0


def test_only_the_chosen_subset_of_a_split_is_evaluated(cases, tmp_path):
    splits = tmp_path / "splits.json"
    fold = {"train": ["A_XX_1_20000101"], "validation": ["B_XX_2_20000101"]}
    splits.write_text(json.dumps({"by": "patient", "seed": 0, "folds": [fold]}))
    evaluation = evaluate_data(tmp_path / "data", BrightnessPredictor(), CaseSelection(splits))
    assert [(row.patient, row.case) for row in evaluation.patients] == [("B_XX_2", "B_XX_2_20000101")]
    assert evaluation.setting.subset == "validation"


def test_a_data_set_with_problems_is_refused(cases, tmp_path):
    cases[0].slices[0].mask.unlink()
    with pytest.raises(DataError, match="has no mask"):
        evaluate_data(tmp_path / "data", BrightnessPredictor())


def test_an_unreadable_patient_has_a_row_with_the_error(cases):
    cases[0].slices[1].image.write_bytes(b"damaged")
    evaluation = evaluate(cases, BrightnessPredictor())
    bad, good = evaluation.patients
    assert "is not a readable TIFF" in bad.error
    assert "dice_volume" not in bad.measures
    assert good.error is None
    summary = evaluation.summary
    assert (summary.patients, summary.failed, summary["dice_volume"].n) == (2, 1, 1)


def test_an_evaluation_with_only_unreadable_patients_has_undefined_means(cases):
    for case in cases:
        case.slices[0].image.write_bytes(b"")
    summary = evaluate(cases, BrightnessPredictor()).summary
    assert (summary.failed, summary["dice_volume"].mean, summary["brier_score"].n) == (2, None, 0)


def test_every_measure_of_the_summary_is_defined(cases):
    evaluation = evaluate(cases, BrightnessPredictor())
    assert evaluation.summary.measures.keys() == evaluation.definitions.keys()


def test_the_calibration_is_summed_over_patients(cases):
    curve = evaluate(cases, BrightnessPredictor()).calibration
    assert sum(curve.pixels) == 5 * 16
    # 7 pixels of brightness 200: probability .784, of which 2 + 4 are tumour.
    place = int(200 / 255 * 15)
    assert curve.pixels[place] == 7
    assert curve.tumour_share[place] == pytest.approx(6 / 7)
    assert curve.mean_probability[place] == pytest.approx(200 / 255)
    assert curve.tumour_share[5] is None


def test_evaluate_into_writes_metrics_and_an_image_of_each_patient(cases, tmp_path):
    options = EvaluateOptions(tmp_path / "data", tmp_path / "out")
    evaluation = evaluate_into(options, BrightnessPredictor())
    assert json.loads(options.metrics.read_text()) == evaluation.document()
    names = sorted(entry.name for entry in (tmp_path / "out" / "pictures").iterdir())
    assert names == ["A_XX_1_20000101.png", "B_XX_2_20000101.png"]
    # Wrong pixels of each slice: A 2, 0, 1; B 0, 4.
    assert [row.picture_slice for row in evaluation.patients] == [1, 2]
    worst = evaluation.examples[-1]
    assert (worst.kind, worst.patient, worst.case, worst.file) == (
        "worst", "A_XX_1", "A_XX_1_20000101", "pictures/A_XX_1_20000101.png",
    )  # fmt: skip


def test_a_perfect_prediction_is_drawn_at_its_largest_tumour(tmp_path):
    case = write_case(tmp_path / "data", "A_XX_1_20000101", [(1, 1), (4, 4), (2, 2)])
    assert evaluate([case], BrightnessPredictor(), folder=tmp_path).patients[0].picture_slice == 2


def test_an_empty_prediction_is_warned_of_with_the_score_that_it_gets(tmp_path):
    case = write_case(tmp_path / "data", "A_XX_1_20000101", [(0, 4), (0, 0), (0, 0), (0, 0)])
    lines = warning_lines(evaluate([case], BrightnessPredictor()))
    # Three of four slices have no tumour and count as 1: 0.750.
    assert lines[0] == (
        "warning: Nothing predicted: No slice has a predicted tumour. dice_slices_empty_one counts each slice without "
        "tumour as 1 and is 0.750 although nothing was found."
    )
    assert lines[1].startswith("warning: Few patients: A single patient has a Dice")


def test_an_evaluation_that_is_there_is_kept(cases, tmp_path):
    options = EvaluateOptions(tmp_path / "data", tmp_path / "out")
    evaluate_into(options, BrightnessPredictor())
    with pytest.raises(OutputExistsError):
        evaluate_into(options, BrightnessPredictor())
    evaluate_into(replace(options, overwrite=True), BrightnessPredictor())


def test_a_foreign_folder_of_images_is_not_overwritten(cases, tmp_path):
    (tmp_path / "out" / "pictures").mkdir(parents=True)
    (tmp_path / "out" / "pictures" / "thesis.docx").write_text("precious")
    with pytest.raises(OutputExistsError, match=r"thesis\.docx"):
        evaluate_into(EvaluateOptions(tmp_path / "data", tmp_path / "out", overwrite=True), BrightnessPredictor())
    assert (tmp_path / "out" / "pictures" / "thesis.docx").read_text() == "precious"


def test_an_error_after_the_images_leaves_the_old_evaluation_complete(cases, tmp_path, monkeypatch):
    options = EvaluateOptions(tmp_path / "data", tmp_path / "out")
    evaluate_into(options, BrightnessPredictor())
    before = contents(tmp_path / "out")
    monkeypatch.setattr("gliomaseg.evaluation.evaluate.dumps", lambda _evaluation: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        evaluate_into(replace(options, overwrite=True), BrightnessPredictor())
    assert contents(tmp_path / "out") == before
    with pytest.raises(ZeroDivisionError):
        evaluate_into(EvaluateOptions(tmp_path / "data", tmp_path / "fresh"), BrightnessPredictor())
    assert contents(tmp_path / "fresh") == {}


def contents(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_an_image_that_belongs_to_no_patient_is_not_overwritten(cases, tmp_path):
    options = EvaluateOptions(tmp_path / "data", tmp_path / "out")
    evaluate_into(options, BrightnessPredictor())
    (tmp_path / "out" / "pictures" / "holiday.png").write_text("precious")
    with pytest.raises(OutputExistsError, match=r"holiday\.png"):
        evaluate_into(replace(options, overwrite=True), BrightnessPredictor())


def test_an_out_folder_inside_the_data_is_refused(cases, tmp_path):
    for place in ("data", "data/A_XX_1_20000101", "data/new"):
        with pytest.raises(UsageError, match="lies inside the data set"):
            evaluate_into(EvaluateOptions(tmp_path / "data", tmp_path / place), BrightnessPredictor())


def test_a_file_with_the_name_of_the_out_folder_is_kept(cases, tmp_path):
    (tmp_path / "out").write_text("precious")
    with pytest.raises(OutputExistsError, match="is a file"):
        evaluate_into(EvaluateOptions(tmp_path / "data", tmp_path / "out", overwrite=True), BrightnessPredictor())


@pytest.mark.parametrize(
    "spacing", [(0, 1, 1), (-1, 1, 1), (float("nan"), 1, 1), (1, 1, float("inf")), (2000, 1, 1), (5, 1), (), 5.0, "511"]
)
def test_a_spacing_that_is_none_is_refused_at_once(spacing):
    with pytest.raises(ConfigError, match=r"^spacing_mm is .*, expected three lengths"):
        ScoreGrid(spacing)


@pytest.mark.parametrize("tolerance", [-1.0, float("nan"), float("inf")])
def test_a_tolerance_that_is_none_is_refused_at_once(tolerance):
    with pytest.raises(ConfigError, match=r"^tolerance is"):
        ScoreGrid(tolerance=tolerance)


def test_an_evaluation_accepts_a_training_log_with_nan(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"epoch": 1, "validation_loss": NaN}\n')
    assert [line.model_dump(exclude_unset=True) for line in learning_curve(tmp_path)] == [
        {"epoch": 1, "validation_loss": None}
    ]
    (tmp_path / "log.jsonl").write_text("[" * 100_000)
    assert learning_curve(tmp_path) == []


def test_the_image_of_slice_0_is_an_example(tmp_path):
    case = write_case(tmp_path / "data", "A_XX_1_20000101", [(4, 4), (0, 0)])
    first = replace(case.slices[0], number=0)
    evaluation = evaluate([replace(case, slices=(first,))], BrightnessPredictor(), folder=tmp_path)
    assert [example.slice for example in evaluation.examples] == [0, 0, 0]


def test_known_spacing_gives_millimetres_and_millilitres(cases):
    evaluation = evaluate(cases, BrightnessPredictor(), grid=ScoreGrid((5.0, 2.0, 2.0), tolerance=1.0))
    row = evaluation.patients[0]
    assert row["reference_ml"] == pytest.approx(4 * 0.02)
    assert row["hausdorff_95_mm"] > 0
    assert "hausdorff_95_px" not in row.measures
    assert "within 1 mm" in evaluation.definitions["surface_dice"]
    assert evaluation.setting.spacing_mm == [5.0, 2.0, 2.0]


def test_slices_with_gaps_have_no_surface_measures(cases):
    """A split by slice leaves some out: planes that are neighbours in the stack are none in the head."""
    gaps = replace(cases[0], slices=cases[0].slices[::2])
    row = evaluate([gaps], BrightnessPredictor()).patients[0]
    assert row["dice_volume"] is not None
    assert "hausdorff_95_px" not in row.measures


def test_a_row_has_the_confidence_features_and_the_predicted_dice(cases):
    row = evaluate(cases, BrightnessPredictor()).patients[0]
    # n bright pixels of 200 / 255 each, all in the mask: 2 n p / (n p + n).
    assert row.soft_dice == pytest.approx(2 * (200 / 255) / (200 / 255 + 1))
    assert 0 < row.uncertainty < 1
    assert row.flip_dice is None
