"""The scan of an upload that the field `series` names."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from gliomaseg.choices import PhantomFormat
from gliomaseg.errors import UsageError
from gliomaseg.formats.dicom import list_series
from gliomaseg.inputs import list_inputs
from gliomaseg.phantoms import write_phantoms
from gliomaseg.serve.scans import list_scans
from gliomaseg.serve.sources import write_source

pytest.importorskip("pydicom")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job with one NIfTI file and the DICOM series of two patients."""
    root = tmp_path_factory.mktemp("series")
    dicom = write_phantoms(root / "dicom", patients=2, side_px=32, kind=PhantomFormat.dicom)
    nifti = write_phantoms(root / "nifti", patients=1, side_px=32, kind=PhantomFormat.nifti)
    for number, source in enumerate(sorted(dicom.glob("*/flair")), start=1):
        shutil.copytree(source, root / "job" / "upload" / f"f{number}")
    (root / "job" / "upload" / "f3").mkdir()
    shutil.copy(min(nifti.glob("*/*_flair.nii.gz")), root / "job" / "upload" / "f3" / "case3_flair.nii.gz")
    return root / "job"


def test_series_chooses_its_own_scan_among_several(folder: Path) -> None:
    scans = list_scans(folder)
    assert len(scans) == 3
    for number in (1, 2):
        (series,) = list_series(folder / "upload" / f"f{number}")
        (found,) = list_scans(folder, series=series.uid)
        wanted = next(scan for scan in scans if f"f{number}" in scan["title"])
        assert (found["number"], found["series"]) == (wanted["number"], series.uid)


def test_a_series_that_no_scan_has_is_refused_with_those_that_there_are(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"series: is 99, expected \d.*; send the number or the UID"):
        list_scans(folder, series="99")


def test_series_without_dicom_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "upload" / "f3", tmp_path / "upload" / "f1")
    with pytest.raises(UsageError, match="series: is given, and no file is DICOM; leave it out"):
        list_scans(tmp_path, series="3")


@pytest.fixture
def study(study_zip: bytes, tmp_path: Path) -> Path:
    """Write a job with one study: FLAIR (1), T1 (2) and T1 after contrast (3)."""
    (tmp_path / "upload" / "f1").mkdir(parents=True)
    (tmp_path / "upload" / "f1" / "case1.zip").write_bytes(study_zip)
    return tmp_path


TAKES = ["flair", "t1"]


@pytest.mark.parametrize(
    ("values", "count"),
    [
        ({}, 1),
        ({"asks": True}, 1),  # the model takes FLAIR alone
        ({"asks": True, "takes": TAKES}, 3),
        ({"asks": True, "takes": TAKES, "others": {"t1": "2"}}, 1),
        ({"asks": True, "takes": TAKES, "series": "1"}, 1),
    ],
)
def test_a_study_with_one_flair_is_a_list_if_t1_is_asked_for(values: dict[str, Any], count: int, study: Path) -> None:
    assert len(list_scans(study, **values)) == count


def test_the_series_of_a_work_list_are_flair_only(study: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(study / "upload" / "f1" / "case1.zip") as packed:
        packed.extractall(tmp_path / "scan")
    shutil.rmtree(tmp_path / "scan" / "flair")
    (entry,) = list_inputs([tmp_path / "scan"])
    write_source(study, entry)
    found = list_scans(study, takes=TAKES)
    assert [(one["sequence"], one["usable_as"]) for one in found] == [("t1", ["flair"]), ("t1ce", ["flair"])]
