"""Prediction of a DICOM series: a DICOM segmentation that refers to it, and a NIfTI mask."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest

from gliomaseg.errors import DataError, FormatError, GeometryError, PartlyDoneError, ResourceError, UsageError
from gliomaseg.formats.dicom import read_dicom
from gliomaseg.metrics import overlap
from gliomaseg.phantoms import phantom_patient, write_phantoms
from gliomaseg.prediction import PredictOptions, Predictor, PredictRow, list_inputs, open_predictor, require_options
from gliomaseg.prediction.predict import predict

NAMES = """
    Abernathy Bellweather Cranshaw Dunworthy Eglantine Fotheringay Grimsditch Hollingbury Iverson Juniper
    Kettlewell Lovelace Mandeville Nightingale Ottershaw Pemberton Quillfeather Ravenscroft Silverthorne Underhay
""".split()  # noqa: SIM905
WITH_NAMES = """
    PatientName PatientID OtherPatientNames PatientComments PatientAddress PatientMotherBirthName MilitaryRank
    ReferringPhysicianName PerformingPhysicianName OperatorsName InstitutionName InstitutionAddress StationName
    StudyDescription StudyID AccessionNumber RequestingPhysician ImageComments AdditionalPatientHistory
    DeviceSerialNumber
""".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def predictor(bright: Path) -> Predictor:
    return open_predictor(bright)


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a phantom as DICOM: three series and a segmentation."""
    root = write_phantoms(tmp_path_factory.mktemp("phantom"), patients=1, side_px=96, kind="dicom")
    return next(root.iterdir())


def predicted(path: Path, out: Path, predictor: Predictor, **options: Any) -> PredictRow:
    (entry,) = list_inputs([path])
    return predict(entry, out, predictor, PredictOptions(**options))


def test_flair_is_chosen_among_three_series_and_both_mask_formats_agree(
    patient: Path, predictor: Predictor, tmp_path: Path
) -> None:
    row = predicted(patient, tmp_path, predictor)
    assert row.error is None
    assert [Path(file).name.removeprefix(patient.name) for file in row.outputs] == [
        "_mask.nii.gz", "_mask.dcm", "_overlay.png",
    ]  # fmt: skip
    flair = read_dicom(patient / "flair", max_bytes=2**30)
    assert row.series == flair.series_uid
    nifti = nibabel.load(tmp_path / f"{patient.name}_mask.nii.gz")
    assert np.allclose(nifti.affine, flair.affine, atol=1e-4)
    mask = np.asarray(nifti.dataobj).T > 0
    assert mask.sum() == row.tumour_voxels > 0
    segmentation = highdicom.seg.segread(tmp_path / f"{patient.name}_mask.dcm")
    frames = segmentation.get_pixels_by_source_instance([header.SOPInstanceUID for header in flair.headers])
    assert np.array_equal(frames[..., 0] > 0, mask)


def test_a_dicom_segmentation_returns_the_exact_mask_of_the_phantom(patient: Path) -> None:
    phantom = phantom_patient(0, side_px=96)
    flair = read_dicom(patient / "flair", max_bytes=2**30)
    segmentation = highdicom.seg.segread(patient / f"{patient.name}_mask.dcm")
    frames = segmentation.get_pixels_by_source_instance([header.SOPInstanceUID for header in flair.headers])
    assert np.array_equal(frames[..., 0] > 0, phantom.mask)


def test_dicom_and_nifti_of_one_phantom_give_one_mask(predictor: Predictor, tmp_path: Path) -> None:
    masks, volumes = [], []
    for kind in ("nifti", "dicom"):
        folder = next(write_phantoms(tmp_path / kind, patients=1, side_px=96, kind=kind).iterdir())
        row = predicted(folder, tmp_path / f"{kind}-out", predictor)
        assert row.error is None
        masks.append(np.asarray(nibabel.load(next((tmp_path / f"{kind}-out").glob("*_mask.nii.gz"))).dataobj) > 0)
        volumes.append(row.tumour_volume_ml)
    assert overlap.dice(reference=masks[0], predicted=masks[1]) > 0.999
    assert volumes[0] == pytest.approx(volumes[1], rel=1e-3)


def test_the_option_series_chooses_a_series_by_number(patient: Path, predictor: Predictor, tmp_path: Path) -> None:
    row = predicted(patient, tmp_path, predictor, series="2")
    assert row.series == read_dicom(patient / "t1", max_bytes=2**30).series_uid


def test_a_missing_series_gives_a_row_with_the_list(patient: Path, predictor: Predictor, tmp_path: Path) -> None:
    row = predicted(patient, tmp_path / "out", predictor, series="77")
    assert isinstance(row.fault, DataError)
    assert "number 1, 'FLAIR phantom'" in (row.error or "")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("number", "kind"), [("0004", GeometryError), ("0001", FormatError)])
def test_a_bad_series_gives_a_row_without_files(
    patient: Path, predictor: Predictor, tmp_path: Path, number: str, kind: type[Exception]
) -> None:
    folder = shutil.copytree(patient / "flair", tmp_path / "scan")
    file = folder / f"{number}.dcm"
    if kind is GeometryError:
        file.unlink()  # a slice is missing
    else:
        file.write_bytes(file.read_bytes()[:900])
    row = predicted(folder, tmp_path / "out", predictor)
    assert isinstance(row.fault, kind)
    assert not (tmp_path / "out").exists()


def changed(patient: Path, folder: Path, **values: Any) -> Path:
    """Return a copy of the FLAIR series with other values in its headers; None drops one."""
    for file in shutil.copytree(patient / "flair", folder).iterdir():
        data = pydicom.dcmread(file)
        for keyword, value in values.items():
            data.pop(keyword, None)
            if value is not None:
                setattr(data, keyword, value)
        data.save_as(file)
    return folder


def test_other_files_are_written_if_the_segmentation_fails(patient: Path, predictor: Predictor, tmp_path: Path) -> None:
    folder = changed(patient, tmp_path / "scan", StudyInstanceUID=None)
    row = predicted(folder, tmp_path / "out", predictor, probabilities=True)
    names = ["scan_mask.nii.gz", "scan_overlay.png", "scan_probability.nii.gz"]
    assert [Path(file).name for file in row.outputs] == names
    labels = {"glioma_labels.ctbl", "glioma_labels.txt"}
    assert {file.name for file in (tmp_path / "out").glob("[!.]*")} == {*names, *labels}
    assert row.error is None
    assert row.tumour_voxels == predicted(patient, tmp_path / "whole", predictor).tumour_voxels
    why = "StudyInstanceUID of the series is missing or invalid, and a DICOM segmentation needs it"
    cure = "export the series again, or pass --to nifti"
    assert row.warnings[-1] == f"DICOM segmentation not written: {why}; {cure}"
    assert isinstance(row.fault, PartlyDoneError)
    assert row.fault.line() == f"{folder}: 3 of 4 outputs are written; see the warnings"


def test_overlay_is_written_if_the_only_mask_fails(patient: Path, predictor: Predictor, tmp_path: Path) -> None:
    folder = changed(patient, tmp_path / "scan", StudyInstanceUID=None)
    row = predicted(folder, tmp_path / "out", predictor, to=("dicom-seg",))
    assert [Path(file).name for file in row.outputs] == ["scan_overlay.png"]
    assert row.warnings[-1].endswith("--to nifti")
    assert isinstance(row.fault, PartlyDoneError)


def test_folder_that_cannot_be_written_fails_the_row(patient: Path, predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    row = predicted(patient, tmp_path / "out", predictor, to=("dicom-seg",))
    assert row.error is not None
    assert row.outputs == []


def test_anonymised_series_gets_a_segmentation_and_a_warning(
    patient: Path, predictor: Predictor, tmp_path: Path
) -> None:
    folder = changed(patient, tmp_path / "scan", FrameOfReferenceUID=None, SliceThickness=None)
    row = predicted(folder, tmp_path / "out", predictor)
    assert (row.error, row.fault) == (None, None)
    assert "FrameOfReferenceUID of the series is missing" in row.warnings[-1]
    nifti = np.asarray(nibabel.load(tmp_path / "out" / "scan_mask.nii.gz").dataobj).T > 0
    flair = read_dicom(folder, max_bytes=2**30)
    segmentation = highdicom.seg.segread(tmp_path / "out" / "scan_mask.dcm")
    frames = segmentation.get_pixels_by_source_instance([header.SOPInstanceUID for header in flair.headers])
    assert np.array_equal(frames[..., 0] > 0, nifti)


def test_files_that_are_not_used_are_in_the_row(patient: Path, predictor: Predictor, tmp_path: Path) -> None:
    folder = shutil.copytree(patient, tmp_path / "scan")
    (folder / "README").write_text("x")
    row = predicted(folder, tmp_path / "out", predictor)
    slices = len(list((patient / "t1").iterdir()))
    assert {line.split(":")[0] for line in row.skipped} == {
        "README", f"{patient.name}_mask.dcm", f"series number 2 ({slices} files)", f"series number 3 ({slices} files)"
    }  # fmt: skip


def test_more_memory_than_allowed_is_refused(patient: Path, predictor: Predictor, tmp_path: Path) -> None:
    row = predicted(patient, tmp_path, predictor, max_bytes=100_000)
    assert isinstance(row.fault, ResourceError)


def test_masks_are_written_in_the_chosen_formats(patient: Path, predictor: Predictor, tmp_path: Path) -> None:
    row = predicted(patient, tmp_path, predictor, to=("png", "tiff"))
    name = patient.name
    slices = sorted((tmp_path / f"{name}_mask").iterdir())
    assert len(slices) == len(list((patient / "flair").iterdir()))
    assert f"{name}_1_mask.png" in {file.name for file in slices}
    assert (tmp_path / f"{name}_mask.tif").is_file()
    assert not list(tmp_path.glob("*.nii.gz"))
    assert row.error is None
    assert predicted(patient, tmp_path, predictor, to=("png", "tiff"), overwrite=True).error is None
    assert predicted(patient, tmp_path, predictor, to=("png", "dicom-seg"), overwrite=True).error is None
    assert sorted(file.name for file in tmp_path.glob(f"{name}_mask*")) == [f"{name}_mask", f"{name}_mask.dcm"]
    assert predicted(patient, tmp_path, predictor, to=("nifti",), overwrite=True).error is None
    assert [file.name for file in tmp_path.glob(f"{name}_mask*")] == [f"{name}_mask.nii.gz"]


def test_unsuitable_options_are_refused_before_any_work(patient: Path, tmp_path: Path) -> None:
    (tmp_path / "a.nii").touch()
    (tmp_path / "a.png").touch()
    for name, form in (("a.nii", "dicom-seg"), ("a.png", "nifti"), ("a.png", "dicom-seg")):
        with pytest.raises(UsageError):
            require_options(list_inputs([tmp_path / name]), PredictOptions(to=(form,)))
    with pytest.raises(UsageError, match="no input is a DICOM series"):
        require_options(list_inputs([tmp_path / "a.nii"]), PredictOptions(series="1"))


def series_with_names(patient: Path, folder: Path) -> Path:
    """Return a copy of a series with twenty names and a birth date in it."""
    for file in shutil.copytree(patient / "flair", folder).iterdir():
        data = pydicom.dcmread(file)
        for keyword, name in zip(WITH_NAMES, NAMES, strict=True):
            setattr(data, keyword, name)
        data.PatientBirthDate = "19610203"
        data.save_as(file)
    return folder


def planted_names_in(data: bytes) -> list[str]:
    return [name for name in [*NAMES, "19610203"] if name.encode() in data]


def test_only_the_segmentation_contains_the_patients_name(
    patient: Path, predictor: Predictor, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    scan = series_with_names(patient, tmp_path / "scan")
    row = predicted(scan, tmp_path / "out", predictor, probabilities=True)
    segmentation = tmp_path / "out" / "scan_mask.dcm"
    assert planted_names_in(segmentation.read_bytes())[:2] == NAMES[:2]
    printed = capfd.readouterr()
    texts = [json.dumps(row.document()).encode(), (printed.out + printed.err).encode()]
    for file in (tmp_path / "out").iterdir():
        if file != segmentation:
            packed = file.suffix == ".gz"
            texts += [file.name.encode(), nibabel.load(file).header.binaryblock if packed else file.read_bytes()]
    assert not [name for text in texts for name in planted_names_in(text)]


def test_deidentified_results_have_no_patient_name(patient: Path, predictor: Predictor, tmp_path: Path) -> None:
    predicted(series_with_names(patient, tmp_path / "scan"), tmp_path / "out", predictor, deidentify=True)
    assert not planted_names_in((tmp_path / "out" / "scan_mask.dcm").read_bytes())


@pytest.mark.real_data
def test_a_scanners_series_gives_a_valid_segmentation(predictor: Predictor, real_scans: Path, tmp_path: Path) -> None:
    row = predicted(real_scans / "dicom_t1_sagittal.zip", tmp_path, predictor)
    assert row.error is None
    assert row.orientation == "PIR"
    segmentation = tmp_path / "dicom_t1_sagittal_mask.dcm"
    assert pydicom.dcmread(segmentation).NumberOfFrames == 35
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (of dicom3tools) is not installed")
    checked = subprocess.run(["dciodvfy", segmentation], capture_output=True, text=True, check=False)
    assert "Error" not in checked.stderr
