"""T1 as a further series of a DICOM study: `--t1-series`."""

from __future__ import annotations

import re
import shutil
import zipfile
from pathlib import Path

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest

import gliomaseg
from gliomaseg.cli.predict import predict as predict_command
from gliomaseg.errors import DataError, GeometryError, OutputExistsError, UsageError
from gliomaseg.formats.dicom import Acquisition, Series, read_dicom, write_series
from gliomaseg.phantoms import phantom_patient
from gliomaseg.prediction import PredictOptions, Predictor, PredictRow, list_inputs, open_predictor
from gliomaseg.prediction.predict import predict
from gliomaseg.types import Sequence
from volume_cases import taking_t1

AFFINE = np.diag([-2.4, -2.4, 14.0, 1.0])
FINER = np.diag([-2.4, -2.4, 7.0, 1.0])
ADVICE = "series {0} looks like T1 (before contrast) and was not used; add --t1-series {0} to use it"


def add(folder: Path, number: int, name: str, *, channel: int = 0, finer: bool = False, patient: str = "P") -> None:
    """Write a series of a phantom; names other than FLAIR get the times of T1."""
    times = {} if "flair" in name else {"repetition_ms": 500.0, "echo_ms": 10.0, "inversion_ms": None}
    voxels = phantom_patient(0, side_px=96, slices=8).image[..., channel]
    if finer:
        voxels = voxels.repeat(2, axis=0)
    acquisition = Acquisition(name, patient, number, **times)  # type: ignore[arg-type]
    write_series(folder / f"s{number}", voxels, FINER if finer else AFFINE, acquisition=acquisition)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write FLAIR (1), T1 on a finer grid (2), and T1 after contrast (3)."""
    folder = tmp_path_factory.mktemp("study") / "study"
    add(folder, 1, "flair", channel=1)
    add(folder, 2, "t1_se", finer=True)
    add(folder, 3, "t1_se_gd", channel=2)
    return folder


@pytest.fixture(scope="module")
def predictor(bright: Path) -> Predictor:
    """Return a model that takes T1 by its settings, and finds bright FLAIR."""
    return taking_t1(open_predictor(bright))


def row_of(path: Path, out: Path, predictor: Predictor, **options: str | bool) -> PredictRow:
    (entry,) = list_inputs([path])
    return predict(entry, out, predictor, PredictOptions(**options))  # type: ignore[arg-type]


def test_a_series_of_the_study_gives_the_mask_of_two_folders(study: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "case.zip", "w") as packed:
        for file in study.rglob("*.dcm"):
            packed.write(file, file.relative_to(study))
    model = Path("glioma-t1-flair")
    predict_command(tmp_path / "one", [tmp_path / "case.zip"], model=model, t1_series="2", probabilities=True)
    predict_command(
        tmp_path / "two", model=model, flair=study / "s1", t1=study / "s2", probabilities=True, to=["nifti"]
    )
    predict_command(tmp_path / "other", [study], model=model, t1_series="3", probabilities=True, to=["nifti"])
    pairs = [("mask", "mask"), ("probability", "probability")]
    for one, two in [(f"one/case_{a}.nii.gz", f"two/s1_{b}.nii.gz") for a, b in pairs]:
        arrays = [np.asarray(nibabel.load(tmp_path / name).dataobj) for name in (one, two)]
        assert np.array_equal(*arrays)
        assert arrays[0].any()
    other = np.asarray(nibabel.load(tmp_path / "other" / "study_probability.nii.gz").dataobj)
    assert not np.array_equal(arrays[0], other)  # T1 counts
    flair = read_dicom(study / "s1", max_bytes=2**30)
    segmentation = highdicom.seg.segread(tmp_path / "one" / "case_mask.dcm")
    assert segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID == flair.series_uid


def test_read_scan_joins_a_series_of_the_study(study: Path) -> None:
    uid = read_dicom(study / "s2", max_bytes=2**30).series_uid
    scan = gliomaseg.read_scan(study, t1_series=uid)
    again = gliomaseg.read_scan(study / "s1", t1=study / "s2")
    assert scan.given == {"t1", "flair"}
    assert np.array_equal(scan.voxels, again.voxels)
    assert scan.notes == again.notes
    assert scan.notes[0].startswith("T1 was resampled to the grid of FLAIR")


def test_a_used_series_is_not_among_the_skipped_ones(study: Path, predictor: Predictor, tmp_path: Path) -> None:
    row = row_of(study, tmp_path, predictor, t1_series="2")
    assert row.skipped == ["series number 3 (8 files): is not the chosen series"]
    assert not [line for line in row.warnings if "looks like T1" in line]


# --- errors


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        ("77", DataError, r"T1 \(series 77\): has 0 series 77, expected 1: .*number 2, 't1_se', .*like T1 before"),
        ("77", DataError, r"choose another one \(--t1-series, in Python t1_series\)$"),
        ("1", DataError, r"study: T1 \(series 1\): is the series of FLAIR too; choose another one \(--t1-series"),
        ("9", GeometryError, r"T1 \(series 9\): ImageOrientationPatient .*or pass another --t1-series$"),
    ],
)
def test_an_unusable_series_is_a_row_with_the_reason(
    number: str, kind: type[Exception], words: str, study: Path, predictor: Predictor, tmp_path: Path
) -> None:
    scan = shutil.copytree(study, tmp_path / "study")
    if number == "9":
        add(scan, 9, "localizer")
        header = pydicom.dcmread(scan / "s9" / "0001.dcm")
        header.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
        header.save_as(scan / "s9" / "0001.dcm")
    row = row_of(scan, tmp_path / "out", predictor, t1_series=number)
    assert isinstance(row.fault, kind)
    assert re.search(words, row.error or "")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"inputs": ["a.nii"]}, "^t1_series: no input is a DICOM series; omit it$"),
        ({"flair": "study/s1", "t1": "study/s2"}, "^t1_series: cannot be used with t1; omit one of them$"),
        ({"inputs": ["study"], "t1_series": " "}, "^t1_series: is empty; give the number or the UID of a series$"),
        (
            {"inputs": ["study"], "t1_series": "2", "t1ce_series": "2"},
            "^t1ce_series: is 2, as t1_series; name another series$",
        ),
    ],
)
def test_unsuitable_options_end_the_command(
    options: dict, words: str, study: Path, bright: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.nii").touch()
    (tmp_path / "study").symlink_to(study)
    paths = {name: tmp_path / text for name, text in options.items() if name in ("flair", "t1")}
    inputs = [tmp_path / name for name in options.get("inputs", [])]
    series = {"t1_series": "2"} | {name: text for name, text in options.items() if name.endswith("_series")}
    with pytest.raises(UsageError, match=words):
        predict_command(tmp_path / "out", inputs, model=bright, **series, **paths)


def test_a_result_with_another_series_is_not_taken_as_done(study: Path, predictor: Predictor, tmp_path: Path) -> None:
    assert row_of(study, tmp_path, predictor, t1_series="2").error is None
    done = row_of(study, tmp_path, predictor, t1_series="2", skip_existing=True)
    assert (done.error, "exists" in done.skipped[0]) == (None, True)
    for options in ({}, {"t1_series": "3"}, {"t1_series": "2", "series": "1"}):
        row = row_of(study, tmp_path, predictor, skip_existing=True, **options)
        assert isinstance(row.fault, OutputExistsError)


# --- what the header says


def test_a_named_t1_with_contrast_agent_in_its_header_has_a_warning(
    study: Path, predictor: Predictor, tmp_path: Path
) -> None:
    row = row_of(study, tmp_path, predictor, t1_series="3")
    assert "T1 is T1 after contrast by its DICOM header, expected T1 before contrast" in row.warnings


def test_t1_that_is_not_named_is_in_the_row(study: Path, predictor: Predictor, bright: Path, tmp_path: Path) -> None:
    assert ADVICE.format(2) in row_of(study, tmp_path / "a", predictor).warnings
    assert row_of(study, tmp_path / "b", open_predictor(bright)).warnings == []


def listed(number: int | None, sequence: Sequence | None = Sequence.T1, *, study: str = "1.9") -> Series:
    return Series(f"1.{number or 0}.{len(study)}", number, "MR", 12, 12, 96, 96, study, sequence, description="")


@pytest.mark.parametrize(
    ("others", "key"),
    [
        ([listed(2), listed(3, Sequence.T1CE), listed(4, None)], "2"),
        ([listed(2), listed(3)], None),
        ([listed(2, study="1.8.1")], None),  # another patient's in the same folder
        ([listed(2), listed(2, Sequence.T2)], "1.2.3"),
        ([listed(None)], "1.0.3"),
        ([], None),
    ],
)
def test_only_one_t1_of_the_study_is_proposed(others: list[Series], key: str | None, study: Path) -> None:
    volume = read_dicom(study / "s1", max_bytes=2**30)
    flair = listed(1, Sequence.FLAIR)
    object.__setattr__(volume, "series", flair)
    object.__setattr__(volume, "others", tuple(others))
    found = volume.only_other(Sequence.T1)
    assert (None if found is None else volume.key_of(found)) == key
