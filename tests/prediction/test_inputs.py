"""What files and folders mean: which of them are one scan, and what its results are called."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile

from gliomaseg.errors import DataError, UsageError
from gliomaseg.formats.dicom import Acquisition, write_series
from gliomaseg.prediction import join_sequences, list_inputs
from gliomaseg.prediction.inputs import Kind

VOXELS = np.arange(3 * 6 * 5, dtype=np.uint16).reshape(3, 6, 5)


def series(folder: Path, patient: str = "A", number: int = 1, description: str = "FLAIR") -> Path:
    write_series(folder, VOXELS, np.eye(4), acquisition=Acquisition(description, patient, number))
    return folder


def touch(folder: Path, *files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        (folder / file).touch()
    return folder


def found(*paths: Path) -> list[tuple[str, Kind]]:
    return [(entry.name, entry.kind) for entry in list_inputs(list(paths))]


# --- DICOM


def test_a_folder_of_dicom_files_is_one_scan(tmp_path: Path) -> None:
    assert found(series(tmp_path / "anna")) == [("anna", Kind.SERIES)]


def test_a_study_of_a_folder_for_each_series_is_one_scan(tmp_path: Path) -> None:
    series(tmp_path / "anna" / "1", number=1)
    series(tmp_path / "anna" / "2", number=2, description="T1")
    assert found(tmp_path / "anna") == [("anna", Kind.SERIES)]


def test_a_folder_of_studies_is_a_scan_for_each(tmp_path: Path) -> None:
    for patient in ("anna", "berta"):
        series(tmp_path / patient / "flair", patient, number=1)
        series(tmp_path / patient / "t1", patient, number=2)
    assert found(tmp_path) == [("anna", Kind.SERIES), ("berta", Kind.SERIES)]


def test_folders_of_one_name_get_the_names_of_their_parents(tmp_path: Path) -> None:
    for patient in ("anna", "berta"):
        series(tmp_path / patient / "flair", patient)
    assert found(tmp_path) == [("anna_flair", Kind.SERIES), ("berta_flair", Kind.SERIES)]


def test_series_of_two_studies_side_by_side_are_a_scan_each(tmp_path: Path) -> None:
    for patient, names in {"A": ("one", "three"), "B": ("two", "four")}.items():
        for name in names:
            series(tmp_path / name, patient)
    assert [name for name, _ in found(tmp_path)] == ["four", "one", "three", "two"]


def test_files_without_a_suffix_are_dicom_by_their_first_bytes(tmp_path: Path) -> None:
    for file in series(tmp_path / "anna").iterdir():
        file.rename(file.with_name(f"IM.{file.stem}"))
    assert found(tmp_path / "anna") == [("anna", Kind.SERIES)]
    assert found(tmp_path / "anna" / "IM.0001") == [("IM.0001", Kind.SERIES)]


def test_a_zip_of_dicom_files_is_one_scan_and_another_zip_is_skipped(tmp_path: Path) -> None:
    folder = series(tmp_path / "files" / "anna")
    shutil.make_archive(str(tmp_path / "in" / "anna"), "zip", folder)
    with zipfile.ZipFile(tmp_path / "in" / "other.zip", "w") as box:
        box.writestr("thesis.txt", "precious")
    assert found(tmp_path / "in") == [("anna", Kind.SERIES)]


def test_the_index_of_a_disc_and_predicted_segmentations_are_skipped(tmp_path: Path) -> None:
    folder = series(tmp_path / "disc" / "anna")
    shutil.copy(folder / "0001.dcm", tmp_path / "disc" / "DICOMDIR")
    shutil.copy(folder / "0001.dcm", tmp_path / "disc" / "anna_mask.dcm")
    series(tmp_path / "disc" / "berta", "B")
    assert found(tmp_path / "disc") == [("anna", Kind.SERIES), ("berta", Kind.SERIES)]


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    series(tmp_path / "anna")
    (tmp_path / "again").symlink_to(tmp_path)
    assert len(found(tmp_path)) == 1


# --- pictures


@pytest.mark.parametrize("names", [["a_1.png", "a_2.png", "a_10.png"], ["1.tif", "2.tif", "10.tif"]])
def test_numbered_pictures_of_one_name_are_one_stack_in_the_order_of_numbers(names: list[str], tmp_path: Path) -> None:
    (entry,) = list_inputs([touch(tmp_path / "anna", *names)])
    assert (entry.name, entry.kind) == ("anna", Kind.STACK)
    assert [file.name for file in entry.pictures] == names


@pytest.mark.parametrize(
    "names", [["a.png", "b.png"], ["a_1.png", "b_2.png"], ["a_1.png", "a_01.png"], ["a_1.png", "a_2.tif"], ["a_1.png"]]
)
def test_other_pictures_are_a_scan_each(names: list[str], tmp_path: Path) -> None:
    entries = list_inputs([touch(tmp_path / "anna", *names)])
    assert {entry.kind for entry in entries} == {Kind.PICTURE}
    assert len(entries) == len(names)


def test_a_tiff_of_several_pages_is_one_scan(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "anna.tif", np.zeros((3, 8, 8), np.uint8), photometric="minisblack")
    assert found(tmp_path / "anna.tif") == [("anna", Kind.PAGES)]


def test_the_folder_one_stands_in_gives_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "anna", "1.png", "2.png")
    monkeypatch.chdir(tmp_path / "anna")
    assert found(Path()) == [("anna", Kind.STACK)]


# --- sequences


def test_sequences_make_one_scan_called_after_flair(tmp_path: Path) -> None:
    touch(tmp_path, "a_flair.nii.gz", "a_t1.nii.gz")
    entry = join_sequences(tmp_path / "a_flair.nii.gz", t1=tmp_path / "a_t1.nii.gz", t1ce=None)
    assert entry.name == "a_flair"
    assert entry.t1 is not None
    assert entry.t1ce is None


def test_a_sequence_that_is_several_scans_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii.gz", "b.nii.gz")
    with pytest.raises(DataError, match="has 2 scans"):
        join_sequences(tmp_path, t1=None, t1ce=None)


def test_two_scans_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="same name"):
        found(series(tmp_path / "a" / "flair"), series(tmp_path / "b" / "flair", "B"))


def test_an_unreadable_zip_is_an_input_with_an_error(tmp_path: Path) -> None:
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04")
    with zipfile.ZipFile(tmp_path / "flipped.zip", "w", zipfile.ZIP_DEFLATED) as box:
        box.writestr("a", b"DICM" * 1000)
    damaged = bytearray((tmp_path / "flipped.zip").read_bytes())
    damaged[31:36] = b"\xff" * 5
    (tmp_path / "flipped.zip").write_bytes(damaged)
    assert [name for name, _ in found(tmp_path)] == ["cut", "flipped"]


def test_gaps_in_a_stack_are_detected(tmp_path: Path) -> None:
    (entry,) = list_inputs([touch(tmp_path / "anna", "a1.png", "a2.png", "a5.png")])
    assert entry.gaps == [(2, 5)]


# --- NIfTI pairs


def test_a_nifti_pair_is_one_input(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Pair(VOXELS, np.eye(4)), tmp_path / "a.hdr")
    header, voxels = tmp_path / "a.hdr", tmp_path / "a.img"
    for named in ([tmp_path], [header], [voxels], [header, voxels]):
        assert [entry.path for entry in list_inputs(named)] == [header]


def test_dicom_files_named_img_are_one_series(tmp_path: Path) -> None:
    folder = series(tmp_path / "anna")
    for number, file in enumerate(sorted(folder.iterdir())):
        file.rename(folder / f"{number}.img")
    assert found(folder) == [("anna", Kind.SERIES)]
    assert found(folder / "0.img") == [("0.img", Kind.SERIES)]
