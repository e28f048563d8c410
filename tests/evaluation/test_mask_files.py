"""Measure masks of any tool: their names, their grids, and the same numbers as with the model that made them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
from nibabel.nifti1 import Nifti1Image

import gliomaseg
from gliomaseg.cli.evaluate import evaluate as evaluate_command
from gliomaseg.data.case import Case, VolumeFile, Volumes, read_case
from gliomaseg.data.layouts import read_cases
from gliomaseg.data.masks import MaskLabels
from gliomaseg.errors import DataError, PartlyDoneError, UsageError
from gliomaseg.evaluation import EvaluateOptions, MaskSource, evaluate_into
from gliomaseg.evaluation.comparison import compare_evaluations
from gliomaseg.evaluation.evaluate import evaluate
from gliomaseg.evaluation.mask_files import find_masks
from gliomaseg.evaluation.resampling import resample_nearest
from gliomaseg.formats import write_picture
from gliomaseg.prediction import PredictOptions, list_inputs, open_models
from gliomaseg.prediction.predict import predict
from gliomaseg.pretrained import find_models
from gliomaseg.report.html import write_report
from gliomaseg.report.terminal import warning_lines
from gliomaseg.types import Sequence
from volume_cases import MASK, write_volume_cases


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    return write_volume_cases(tmp_path_factory.mktemp("volumes") / "data", count=3)


def volume_case(name: str) -> Case:
    file = VolumeFile(Path("flair.nii.gz"))
    return Case(name, name, volumes=Volumes({Sequence.FLAIR: file}, file))


def found(folder: Path, *names: str, cases=("case-1", "case-10")):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return find_masks(folder, [volume_case(case) for case in cases])


@pytest.mark.parametrize(
    "name",
    [
        "case-1.nii.gz",
        "case-1_mask.nii.gz",
        "case-1_mask.nrrd",
        "case-1-seg.nii",
        "case-1_flair_mask.nii.gz",
        "case-1/mask.nii.gz",
        "case-1/case-1_flair_mask.nii.gz",
        "case-1/seg.mha",
        "case-1_mask.dcm",
    ],
)
def test_a_mask_is_found_by_its_name(tmp_path, name):
    masks = found(tmp_path, name)
    assert masks.by_case == {"case-1": (tmp_path / name,)}
    assert masks.unmatched == ()


def test_files_that_are_no_masks_are_ignored_and_those_of_no_case_are_unmatched(tmp_path):
    ignored = ["case-1_overlay.png", "notes.txt", "glioma_labels.txt", "._case-1.nii.gz"]
    masks = found(tmp_path, *ignored, "case-2.nii.gz", "case-2_probability.nii.gz", "case-1/flair.nii.gz")
    assert masks.by_case == masks.probabilities == {}
    assert masks.unmatched == ("case-1/flair.nii.gz", "case-2.nii.gz", "case-2_probability.nii.gz")


@pytest.mark.parametrize(
    "name",
    [
        "case-1_probability.nii.gz",
        "case-1-probability.nrrd",
        "case-1_prob.nii.gz",
        "case-1_flair_probability.nii.gz",
        "case-1/probability.nii.gz",
    ],
)
def test_a_probability_is_found_by_its_name(tmp_path, name):
    masks = found(tmp_path, name)
    assert (masks.by_case, masks.probabilities, masks.unmatched) == ({}, {"case-1": (tmp_path / name,)}, ())


def test_a_mask_may_have_the_name_of_the_flair_file(tmp_path):
    flair = VolumeFile(Path("imagesTr/BRATS_001_0000.nii.gz"))
    case = Case("BRATS_001", "BRATS_001", volumes=Volumes({Sequence.FLAIR: flair}, flair))
    (tmp_path / "BRATS_001_0000_mask.nii.gz").touch()
    assert find_masks(tmp_path, [case, volume_case("case-1")]).by_case.keys() == {"BRATS_001"}


def test_a_folder_that_does_not_exist_raises(tmp_path):
    (tmp_path / "mask.tif").touch()
    with pytest.raises(DataError, match=r"mask\.tif: is a file, expected a folder of masks"):
        find_masks(tmp_path / "mask.tif", [])
    with pytest.raises(DataError, match="folder of predictions does not exist"):
        find_masks(tmp_path / "none", [])


@pytest.fixture(scope="module")
def predicted(volumes, tmp_path_factory):
    """Predict each case with a bundled model, as `gliomaseg predict DATA --out DIR --probabilities` does."""
    out = tmp_path_factory.mktemp("predicted")
    predictor = open_models(find_models(Path("glioma-flair")))
    for entry in list_inputs([volumes]):
        assert predict(entry, out, predictor, PredictOptions(probabilities=True)).error is None
    return out


@pytest.fixture(scope="module")
def evaluations(volumes, predicted, tmp_path_factory):
    """Evaluate the model and its masks into the folders `model` and `masks`."""
    folder = tmp_path_factory.mktemp("evaluations")
    predictor = open_models(find_models(Path("glioma-flair")))
    evaluate_into(EvaluateOptions(volumes, folder / "model"), predictor)
    evaluate_into(EvaluateOptions(volumes, folder / "masks"), MaskSource(predicted))
    return folder


def rows_of(folder: Path):
    return {row["patient"]: row for row in json.loads((folder / "metrics.json").read_text())["patients"]}


def test_masks_of_the_model_score_as_the_model(evaluations):
    model, masks = rows_of(evaluations / "model"), rows_of(evaluations / "masks")
    assert model.keys() == masks.keys()
    of_the_model = {"predicted_dice", "flip_dice"}
    assert {"dice_volume", "hausdorff_95_mm", "reference_ml", "brier_score", "soft_dice"} <= masks["case-0"].keys()
    for case, row in model.items():
        assert {name: masks[case].get(name) for name in row if name not in of_the_model} == {
            name: value for name, value in row.items() if name not in of_the_model
        }
        assert masks[case].get("predicted_dice") is None


def test_masks_without_probabilities_have_no_calibration(volumes, predicted, tmp_path):
    shutil.copy(predicted / "case-0_flair_mask.nii.gz", tmp_path / "case-0.nii.gz")
    evaluation = gliomaseg.evaluate(volumes, predictions=tmp_path)
    row = evaluation.patients[0]
    assert row.dice_volume > 0
    names = ("brier_score", "expected_calibration_error", "candidate_calibration_error")
    assert [row[name] for name in names] == [None, None, None]
    assert (row.soft_dice, evaluation.calibration, evaluation.summary["brier_score"].mean) == (None, None, None)


def write_probability(volumes: Path, folder: Path, *, scale: float = 1.0, shift_mm: float = 0.0) -> None:
    """Write the mask of case 0, and probabilities `scale` where it is true."""
    image = nibabel.load(volumes / "case-0" / MASK)
    affine = image.affine.copy()
    affine[0, 3] += shift_mm
    shutil.copy(volumes / "case-0" / MASK, folder / "case-0_mask.nii.gz")
    values = (np.asarray(image.dataobj) * scale).astype(np.float32)
    nibabel.save(Nifti1Image(values, affine), folder / "case-0_probability.nii.gz")


def test_probabilities_give_calibration_and_soft_measures(volumes, tmp_path):
    write_probability(volumes, tmp_path, scale=0.75)
    evaluation = gliomaseg.evaluate(volumes, predictions=tmp_path)
    row = evaluation.patients[0]
    # In n tumour voxels the probability is 3/4, elsewhere 0: soft Dice is 2 (3/4 n) / (3/4 n + n).
    assert row.soft_dice == pytest.approx(6 / 7)
    assert row["candidate_calibration_error"] == pytest.approx(0.25)
    voxels = np.prod(nibabel.load(volumes / "case-0" / MASK).shape)
    assert row["brier_score"] == pytest.approx(row["reference_voxels"] / 16 / voxels)
    assert sum(evaluation.calibration.pixels) == voxels


@pytest.mark.parametrize(
    ("scale", "shift_mm", "reason"),
    [
        (2.0, 0, "case-0_probability.nii.gz: probability is 0 to 2, expected 0 to 1; export probabilities of tumour"),
        (-1.0, 0, "probability is -1 to 0, expected 0 to 1"),
        (1.0, 5, "case-0_probability.nii.gz: grid is 64 x 64 x 16 voxels"),
    ],
)
def test_probabilities_out_of_range_or_on_another_grid_are_refused(volumes, tmp_path, scale, shift_mm, reason):
    write_probability(volumes, tmp_path, scale=scale, shift_mm=shift_mm)
    error = gliomaseg.evaluate(volumes, predictions=tmp_path).patients[0].error
    assert reason in error
    assert "\n" not in error


def test_the_document_names_the_folder_instead_of_a_model(evaluations, predicted):
    document = json.loads((evaluations / "masks" / "metrics.json").read_text())
    setting = document["setting"]
    assert (setting["model"], setting["predictions"]) == (predicted.name, predicted.name)
    assert (setting["model_digest"], setting["engine"], setting["threshold"]) == (None, None, None)
    assert (setting["unit"], setting["layout"]) == ("mm", "brats")


def test_masks_and_model_are_compared_and_reported(evaluations, tmp_path):
    comparison = compare_evaluations(evaluations / "model", evaluations / "masks")
    assert {(paired.wins, paired.losses) for paired in comparison.measures.values()} == {(0, 0)}
    assert (comparison.measures["dice_volume"].ties, comparison.measures["brier_score"].ties) == (3, 3)
    page = write_report(evaluations / "masks", tmp_path / "report.html").read_text("utf-8")
    assert "<dt>Predictions</dt>" in page
    assert "spacing unknown" not in page


def test_equal_masks_score_one(volumes, tmp_path):
    for case in ("case-0", "case-1", "case-2"):
        shutil.copy(volumes / case / MASK, tmp_path / f"{case}.nii.gz")
    summary = gliomaseg.evaluate(volumes, predictions=tmp_path).summary
    assert (summary["dice_volume"].mean, summary["hausdorff_95_mm"].mean) == (1, 0)


def test_a_missing_a_foreign_and_a_shifted_mask(volumes, predicted, tmp_path, capsys):
    masks = tmp_path / "masks"
    masks.mkdir()
    shutil.copy(volumes / "case-0" / MASK, masks / "case-0.nii.gz")
    shutil.copy(volumes / "case-0" / MASK, masks / "stranger.nii.gz")
    image = nibabel.load(volumes / "case-1" / MASK)
    shifted = image.affine.copy()
    shifted[0, 3] += 5
    nibabel.save(Nifti1Image(np.asarray(image.dataobj), shifted), masks / "case-1.nii.gz")
    with pytest.raises(PartlyDoneError, match="2 of 3 patients failed"):
        evaluate_command(volumes, tmp_path / "out", predictions=masks)
    printed = capsys.readouterr()
    assert f"skipped: {masks / 'stranger.nii.gz'}: matches no case of the data set" in printed.err
    rows = rows_of(tmp_path / "out")
    assert rows["case-0"]["dice_volume"] == 1
    assert "grid is 64 x 16 x 64 voxels" in rows["case-1"]["error"]
    assert rows["case-1"]["error"].endswith("resample it to its scan, or add --resample")
    assert "has no mask for the case case-2" in rows["case-2"]["error"]


def save_on_another_grid(volumes: Path, file: Path, kind: str) -> None:
    """Write the mask of case 0 with other axes, cut to the tumour, or 5 m away."""
    image = nibabel.load(volumes / "case-0" / MASK)
    values, affine = np.asarray(image.dataobj), image.affine.copy()
    if kind == "turned":
        image = nibabel.as_closest_canonical(image)
        values, affine = np.asarray(image.dataobj), image.affine
    elif kind == "cut":
        start = [int(where.min()) for where in np.nonzero(values)]
        values = values[tuple(slice(int(where.min()), int(where.max()) + 1) for where in np.nonzero(values))]
        affine[:3, 3] += affine[:3, :3] @ start
    else:
        affine[0, 3] += 5000
    nibabel.save(Nifti1Image(values, affine), file)


@pytest.mark.parametrize("kind", ["turned", "cut"])
def test_a_mask_on_another_grid_is_resampled_if_asked(volumes, tmp_path, kind):
    save_on_another_grid(volumes, tmp_path / "case-0.nii.gz", kind)
    refused = gliomaseg.evaluate(volumes, predictions=tmp_path).patients[0].error
    assert "expected 64 x 64 x 16 voxels" in refused
    assert refused.endswith("add --resample")
    lines = []
    evaluation = gliomaseg.evaluate(volumes, predictions=tmp_path, resample=True, progress=lines.append)
    row = evaluation.patients[0]
    assert row.dice_volume == 1
    assert refused.partition("grid is ")[2].startswith(row.resampled_from)
    assert lines[0] == f"1 of 3 case-0: dice_volume 1.000; mask resampled from {row.resampled_from}"
    assert any("Resampled masks: 1 mask was on another grid" in line for line in warning_lines(evaluation))


def test_a_mask_far_from_its_scan_is_not_resampled(volumes, tmp_path):
    save_on_another_grid(volumes, tmp_path / "case-0.nii.gz", "far")
    error = gliomaseg.evaluate(volumes, predictions=tmp_path, resample=True).patients[0].error
    assert "which does not overlap 64 x 64 x 16 voxels" in error


@pytest.mark.parametrize(("code", "error"), [(1, None), (4, "world space is MNI 152, expected the scanner as flair")])
def test_a_mask_in_the_space_of_a_template_is_not_resampled(volumes, tmp_path, code, error):
    file = tmp_path / "case-0.nii.gz"
    save_on_another_grid(volumes, file, "cut")
    image = nibabel.load(file)
    image.set_sform(image.affine, code)
    nibabel.save(image, tmp_path / "case-0.nii.gz")
    found = gliomaseg.evaluate(volumes, predictions=tmp_path, resample=True).patients[0].error
    assert (found and found.partition(".gz: ")[2].partition(".nii")[0]) == error


def test_nan_in_a_probability_counts_as_0(volumes, tmp_path):
    write_probability(volumes, tmp_path, scale=0.75)
    file = tmp_path / "case-0_probability.nii.gz"
    image = nibabel.load(file)
    values = np.asarray(image.dataobj)
    nibabel.save(Nifti1Image(np.where(values > 0, values, np.float32("nan")), image.affine), file)
    assert gliomaseg.evaluate(volumes, predictions=tmp_path).patients[0].soft_dice == pytest.approx(6 / 7)


def test_probabilities_are_resampled_with_their_mask(volumes, tmp_path):
    write_probability(volumes, tmp_path, scale=0.75)
    for file in (tmp_path / "case-0_mask.nii.gz", tmp_path / "case-0_probability.nii.gz"):
        turned = nibabel.as_closest_canonical(nibabel.load(file))
        nibabel.save(Nifti1Image(np.asarray(turned.dataobj), turned.affine), file)
    row = gliomaseg.evaluate(volumes, predictions=tmp_path, resample=True).patients[0]
    assert (row.dice_volume, row.soft_dice) == (1, pytest.approx(6 / 7))


def test_resampling_without_predictions_is_refused(volumes, tmp_path):
    with pytest.raises(UsageError, match="--resample needs --predictions"):
        evaluate_command(volumes, tmp_path / "out", resample=True)
    with pytest.raises(UsageError, match="resample needs predictions"):
        gliomaseg.evaluate(volumes, resample=True)


def test_nearest_voxels_of_a_coarse_grid():
    # Voxels of 2 mm at 0 and 2 mm; voxels of 1 mm at -2 to 3 mm. -1 and 1 lie in the middle: the upper one is taken.
    fine = np.diag([1.0, 1, 1, 1])
    fine[0, 3] = -2
    found = resample_nearest(np.array([[[7, 9]]]), np.diag([2.0, 1, 1, 1]), shape=(1, 1, 6), affine=fine)
    assert found.tolist() == [[[0, 7, 7, 9, 9, 0]]]


def test_two_masks_of_one_case_are_a_row_with_the_reason(volumes, tmp_path):
    for name in ("case-0.nii.gz", "case-0_mask.nii.gz"):
        shutil.copy(volumes / "case-0" / MASK, tmp_path / name)
    row = gliomaseg.evaluate(volumes, predictions=tmp_path).patients[0]
    assert "has 2 files that may be the mask of case-0: case-0.nii.gz, case-0_mask.nii.gz" in row.error


def test_the_labels_apply_to_both_masks(volumes, tmp_path):
    """The tumour is 1 in the reference; in the prediction its upper half is 1 and its lower half 2."""
    image = nibabel.load(volumes / "case-0" / MASK)
    values = np.asarray(image.dataobj).copy()
    lower = np.zeros_like(values, bool)
    lower[..., : int(np.median(np.nonzero(values)[2]))] = True
    values[(values > 0) & lower] = 2
    nibabel.save(Nifti1Image(values, image.affine), tmp_path / "case-0.nii.gz")
    total, upper = np.count_nonzero(values), np.count_nonzero(values == 1)
    rows = [gliomaseg.evaluate(volumes, predictions=tmp_path, labels=labels).patients[0] for labels in (None, [1])]
    assert rows[0].dice_volume == 1
    assert rows[1].dice_volume == pytest.approx(2 * upper / (total + upper))


def test_masks_of_one_value_are_tumour_whatever_the_labels_are(tmp_path):
    data = write_volume_cases(tmp_path / "data", count=2, tumour=4)
    (tmp_path / "masks").mkdir()
    for case in ("case-0", "case-1"):
        image = nibabel.load(data / case / MASK)
        binary = Nifti1Image((np.asarray(image.dataobj) > 0).astype(np.uint8), image.affine)
        nibabel.save(binary, tmp_path / "masks" / f"{case}.nii.gz")
    lines = []
    evaluation = gliomaseg.evaluate(data, predictions=tmp_path / "masks", labels=[4], progress=lines.append)
    assert evaluation.summary["dice_volume"].mean == 1
    assert "all masks have one value, which is not among the labels" in lines[0]


def test_a_model_beside_predictions_is_refused(volumes, tmp_path):
    with pytest.raises(UsageError, match="no model runs"):
        evaluate_command(volumes, tmp_path / "out", predictions=tmp_path, model=Path("glioma-flair"))
    with pytest.raises(UsageError, match="model and predictions are both given"):
        gliomaseg.evaluate(volumes, predictions=tmp_path, model="glioma-flair")


# --- slices


@pytest.fixture
def slices(kaggle_tree, tmp_path):
    return kaggle_tree(tmp_path / "data", {"TCGA_CS_0001_20000101": 3, "TCGA_CS_0002_20000101": 2})


@pytest.mark.parametrize("pattern", ["{case}/{case}_{n}_mask.tif", "{case}_{n}_mask.tif", "{case}/{case}_{n}.png"])
def test_masks_of_slices_are_found_by_case_and_number(slices, tmp_path, pattern):
    for case in read_cases(slices).cases:
        for entry in case.slices:
            file = tmp_path / "masks" / pattern.format(case=case.name, n=entry.number)
            file.parent.mkdir(parents=True, exist_ok=True)
            pixels = tifffile.imread(entry.mask)
            tifffile.imwrite(file, pixels) if file.suffix == ".tif" else gliomaseg.formats.write_picture(file, pixels)
    evaluation = gliomaseg.evaluate(slices, predictions=tmp_path / "masks")
    assert evaluation.summary["dice_volume"].mean == 1
    assert evaluation.setting.unit == "px"


def test_levels_of_images_are_probabilities_of_slices(slices, tmp_path):
    """As `predict --probabilities` writes them for images: 0 to 255."""
    case, masks = read_cases(slices).cases[1], tmp_path / "masks"
    masks.mkdir()
    for entry in case.slices:
        pixels = np.zeros(tifffile.imread(entry.mask).shape, np.uint8)
        write_picture(masks / f"{case.name}_{entry.number}_mask.png", pixels)
        write_picture(masks / f"{case.name}_{entry.number}_probability.png", pixels + np.uint8(51))
    row = gliomaseg.evaluate(slices, predictions=masks).patients[1]
    share = row["reference_voxels"] / (2 * 16 * 16)
    # 51/255 = 0.2 in each pixel.
    assert row["brier_score"] == pytest.approx(share * 0.64 + (1 - share) * 0.04)
    (masks / f"{case.name}_1_probability.png").unlink()
    error = gliomaseg.evaluate(slices, predictions=masks).patients[1].error
    assert f"has no probability for slice 1 of {case.name}" in error


def test_a_slice_without_a_mask_or_of_another_size_is_named(slices, tmp_path):
    (tmp_path / "masks").mkdir()
    for case, number, side in (("TCGA_CS_0001_20000101", 1, 16), ("TCGA_CS_0002_20000101", 1, 8)):
        tifffile.imwrite(tmp_path / "masks" / f"{case}_{number}_mask.tif", np.zeros((side, side), np.uint8))
    first, second = gliomaseg.evaluate(slices, predictions=tmp_path / "masks").patients
    assert "has no mask for slice 2 of TCGA_CS_0001_20000101; add TCGA_CS_0001_20000101_2_mask.tif" in first.error
    assert "size is 8 x 8, expected 16 x 16 as its image" in second.error


# --- volumes


def test_a_volume_that_needs_too_much_memory_is_a_row(volumes, monkeypatch):
    cases = read_cases(volumes).cases
    monkeypatch.setattr("gliomaseg.data.case.read_case.__kwdefaults__", {**read_case.__kwdefaults__, "max_bytes": 1})
    evaluation = evaluate(cases, open_models(find_models(Path("glioma-flair"))))
    assert evaluation.summary.failed == 3
    assert all(row.error for row in evaluation.patients)


def test_a_case_with_other_labels_has_no_tumour(volumes):
    case = replace(read_cases(volumes).cases[0], labels=MaskLabels(frozenset({3})))
    row = evaluate([case], open_models(find_models(Path("glioma-flair")))).patients[0]
    assert row["reference_voxels"] == 0


def test_rows_of_volumes_have_spacing_and_orientation(evaluations):
    rows = rows_of(evaluations / "model")
    # Case 1 was turned to coronal slices; its axial slices have the spacing of the others.
    assert [row["orientation"] for row in rows.values()] == ["LPS", "LIP", "SPR"]
    assert rows["case-1"]["spacing_mm"][1] == rows["case-1"]["spacing_mm"][2] < rows["case-1"]["spacing_mm"][0]


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "dice"), [("brats_2013_pat0002_1", 0.876), ("brats_2013_pat0004_1", 0.894)])
def test_skull_stripped_patients_score_as_measured(external_scans, name, dice):
    folder = external_scans / name
    flair, mask = VolumeFile(folder / "flair.nii.gz"), VolumeFile(folder / "seg.nii.gz")
    case = Case(name, name, volumes=Volumes({Sequence.FLAIR: flair}, mask))
    row = evaluate([case], open_models(find_models(Path("glioma-flair")))).patients[0]
    assert row.dice_volume == pytest.approx(dice, abs=0.002)
    assert row["slices"] == 155
    assert row["reference_ml"] == pytest.approx(row["reference_voxels"] / 1000)
