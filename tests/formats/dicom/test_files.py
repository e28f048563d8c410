"""Folders and zips of any kind: what is looked at, and what is not trusted."""

from __future__ import annotations

import os
import shutil
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
    SecondaryCaptureImageStorage,
)

from gliomaseg.errors import FormatError, ResourceError
from gliomaseg.formats.dicom import is_dicom, list_series, sources

PLAIN = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]


def test_links_to_folders_are_not_followed(make: Any, folder: Path) -> None:
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "self").symlink_to("self")
    assert make.read(folder).voxels.shape[0] == 5


def test_folder_given_through_a_link_is_read(make: Any, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder, target_is_directory=True)
    assert make.read(tmp_path / "link").voxels.shape[0] == 5


def test_link_that_leads_to_itself_is_refused(make: Any, tmp_path: Path) -> None:
    (tmp_path / "self").symlink_to("self")
    make.refusal(tmp_path / "self", FormatError)


def test_pipe_is_refused_at_once(make: Any, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    assert make.read(folder).voxels.shape[0] == 5
    assert "neither a file nor a folder" in make.refusal(folder / "pipe", FormatError)


def test_thousands_of_unrelated_files_are_passed_over(make: Any, folder: Path) -> None:
    (folder / "notes").mkdir()
    for k in range(3000):
        (folder / "notes" / f"{k}.txt").write_bytes(b"x")
    started = time.process_time()
    assert len(list_series(folder)) == 1
    assert time.process_time() - started < 5


def test_more_files_than_the_limit_are_refused(make: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_FILES", 4)
    assert "over 4 files" in make.refusal(folder, ResourceError)


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 4000])
@pytest.mark.parametrize("name", ["6.dcm", "6.IMA"])
def test_file_with_the_suffix_only_is_refused(make: Any, folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    assert "has the name of a DICOM file" in make.refusal(folder, FormatError)


def test_file_that_may_not_be_opened_is_refused(make: Any, folder: Path) -> None:
    (folder / "0003.dcm").chmod(0)
    if os.access(folder / "0003.dcm", os.R_OK):
        pytest.skip("this user may open every file")
    assert "Permission denied" in make.refusal(folder, FormatError)


def test_member_that_climbs_out_of_a_zip_is_refused(make: Any, folder: Path, tmp_path: Path) -> None:
    file = make.zip(folder, tmp_path / "a.zip")
    with zipfile.ZipFile(file, "a") as box:
        box.writestr("../out.dcm", b"x")
    assert "leads out of the target folder" in make.refusal(file, FormatError)
    assert not (tmp_path.parent / "out.dcm").exists()


def test_zip_that_would_grow_too_much_is_refused(make: Any, folder: Path, tmp_path: Path) -> None:
    file = make.zip(folder, tmp_path / "a.zip")
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as box:
        box.writestr("bomb.dcm", bytes(128) + b"DICM" + bytes(50_000_000))
    assert "would grow" in make.refusal(file, ResourceError)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_zip_cut_short_is_refused(make: Any, folder: Path, tmp_path: Path, share: float) -> None:
    file = make.zip(folder, tmp_path / "a.zip")
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    make.refusal(file, FormatError)


def test_damaged_member_of_a_zip_is_refused(make: Any, folder: Path, tmp_path: Path) -> None:
    file = make.zip(folder, tmp_path / "a.zip")
    content = bytearray(file.read_bytes())
    content[3000] ^= 0xFF  # in the pixels of the first member: only its checksum tells
    file.write_bytes(content)
    assert "0001.dcm" in make.refusal(file, FormatError)


def test_zip_without_dicom_is_refused(make: Any, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as box:
        box.writestr("a.txt", b"hello")
    assert "has 0 DICOM files" in make.refusal(tmp_path / "a.zip", FormatError)


def test_names_that_do_not_print_are_replaced(make: Any, folder: Path) -> None:
    (folder / "\x1b[31mred\n.dcm").write_bytes(b"x" * 200)
    assert "?[31mred?.dcm" in make.refusal(folder, FormatError)


LIKE_SLICES = [b"", bytes(100), bytes(3000), b"\x07\x99garbage\0" * 300]
LIKE_SLICES_IDS = ["empty", "short zeros", "zeros", "unknown"]


@pytest.mark.parametrize("content", LIKE_SLICES, ids=LIKE_SLICES_IDS)
@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_file_that_may_be_a_slice_is_refused_by_its_name(
    make: Any, folder: Path, tmp_path: Path, content: bytes, packed: bool
) -> None:
    for k, file in enumerate(sorted(folder.iterdir()), start=1):
        file.rename(folder / f"IM{k:03}")
    (folder / "IM006").write_bytes(content)
    path = folder
    if packed:
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w") as box:
            for file in folder.iterdir():
                box.write(file, f"study/{file.name}")
    line = make.refusal(path, FormatError)
    assert "IM006: has the name of a DICOM file, and is " in line
    assert line.endswith("copy it again, or remove it")


@pytest.mark.parametrize("name", ["0006.dcm", "IM6", "1.2.840.10008.6", "series/6.ima"])
def test_link_to_a_missing_slice_is_refused(make: Any, folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).symlink_to("missing")
    assert f"{name}: has the name of a DICOM file, and is linked to a missing file" in make.refusal(folder, FormatError)


def test_page_in_place_of_a_slice_is_refused(make: Any, folder: Path) -> None:
    for file in list(folder.iterdir()):
        file.rename(file.with_suffix(""))
    (folder / "0005").write_text("<html>not found</html>")
    assert "0005: has the name of a DICOM file, and is an HTML page" in make.refusal(folder, FormatError)


@pytest.mark.parametrize("ending", [".part", ".crdownload", ".gz", ".BAK", ".gz.part"])
@pytest.mark.parametrize("content", [b"", bytes(300), b"\x1f\x8b\x08\0" * 99], ids=["empty", "zeros", "gzip"])
@pytest.mark.parametrize("suffix", [".dcm", ""])
def test_interrupted_download_of_a_slice_is_refused(
    make: Any, folder: Path, ending: str, content: bytes, suffix: str
) -> None:
    for file in list(folder.iterdir()):
        file.rename(file.with_suffix(suffix))
    name = f"0006{suffix}{ending}"
    (folder / name).write_bytes(content)
    assert f"{name}: has the name of a DICOM file, and is " in make.refusal(folder, FormatError)


@pytest.mark.parametrize("name", ["0005.dcm.gz", "0005.dcm.bak", "notes.txt.bak", "logs.gz"])
def test_packed_file_that_is_no_missing_slice_is_named(make: Any, folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"\x1f\x8b\x08\0" * 99)
    assert make.read(folder).skipped == (f"{name}: is a gzip file",)


OTHERS = {
    "._0001.dcm": (b"\0\x05\x16\x07" + bytes(200), "is a file of the operating system"),
    ".DS_Store": (b"\0\0\0\x01Bud1" + bytes(200), "is a file of the operating system"),
    "Thumbs.db": (b"\xd0\xcf\x11\xe0" + bytes(200), "is a file of the operating system"),
    "__MACOSX/series/._0001.dcm": (b"\0\x05\x16\x07", "is a file of the operating system"),
    "DICOMDIR": (bytes(128) + b"DICM", "is an index (DICOMDIR), without an image"),
    "README": (b"Open viewer.exe to start. \xfcber 3 Bilder", "is a text file"),
    "VERSION": (b"", "is empty"),
    "index.htm": (b"<!DOCTYPE html><html>", "is an HTML page"),
    "study.xml": (b"<?xml version='1.0'?>", "is an XML file"),
    "report.pdf": (b"%PDF-1.7\n\x00\xff", "is a PDF document"),
    "logo.png": (b"\x89PNG\r\n\x1a\n\0\0", "is a PNG image"),
    "0001.jpg": (b"\xff\xd8\xff\xe0\0", "is a JPEG image"),
    "viewer.exe": (b"MZ\x90\0", "is a Windows program"),
    "viewer.bin": (b"\x07\x99\0\0" * 99, "is damaged or of an unknown format"),
    "notes.txt": (b"", "is empty"),
}


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_other_files_are_left_out_and_named(make: Any, folder: Path, tmp_path: Path, packed: bool) -> None:
    path = folder
    for name, (content, _) in OTHERS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    if packed:
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w") as box:
            for file in folder.rglob("*"):
                box.write(file, str(file.relative_to(folder)))
    volume = make.read(path)
    assert np.array_equal(volume.voxels, make.voxels())
    assert set(volume.skipped) == {f"{name}: {reason}" for name, (_, reason) in OTHERS.items()}


def test_pipes_and_links_to_folders_are_named(make: Any, folder: Path, tmp_path: Path) -> None:
    os.mkfifo(folder / "pipe")
    (tmp_path / "more").mkdir()
    (folder / "link").symlink_to(tmp_path / "more", target_is_directory=True)
    assert set(make.read(folder).skipped) == {
        "pipe: is a pipe or a device",
        "link: is a link to a folder, which is not followed",
    }


def test_hidden_folders_are_not_searched(make: Any, folder: Path) -> None:
    (folder / ".git" / "ab").mkdir(parents=True)
    (folder / ".git" / "ab" / "0123456789").write_bytes(b"\x78\x01\0\0" * 40)
    assert make.read(folder).skipped == ()


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_hidden_folder_with_slices_of_the_series_is_named(
    make: Any, folder: Path, tmp_path: Path, packed: bool
) -> None:
    make.series(folder / ".other", seed=1)
    for file in (folder / ".other").iterdir():
        make.change(file, SeriesInstanceUID="1.2.3")
    (folder / ".rest" / "deep").mkdir(parents=True)
    for name in ("0004.dcm", "0005.dcm"):
        (folder / name).rename(folder / ".rest" / "deep" / name)
    path = folder
    if packed:
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w") as box:
            for file in folder.rglob("*.dcm"):
                box.write(file, str(file.relative_to(folder)))
    volume = make.read(path)
    assert volume.voxels.shape[0] == 3
    assert volume.skipped == (".rest: is a hidden folder with files of the chosen series, and is not searched",)


def test_hidden_slice_is_read(make: Any, folder: Path) -> None:
    (folder / "0005.dcm").rename(folder / ".0005.dcm")
    assert np.array_equal(make.read(folder).voxels, make.voxels())


def test_other_objects_and_other_series_are_named(make: Any, folder: Path) -> None:
    make.series(folder / "t1", seed=1, number=2, description="T1", echo_ms=9, inversion_ms=None)
    make.change(folder / "t1" / "0005.dcm", SOPClassUID=SecondaryCaptureImageStorage)
    assert make.read(folder, "1").skipped == (
        "t1/0005.dcm: is Secondary Capture Image Storage, not an MR image",
        "series number 2 (4 files): is not the chosen series",
    )


@pytest.mark.parametrize("name", ["0001.dcm", "0005.dcm"])
@pytest.mark.parametrize("kind", [SecondaryCaptureImageStorage, "1.3.12.2.1107.5.9.1"], ids=["capture", "private"])
def test_other_object_that_continues_the_series_is_refused(make: Any, folder: Path, name: str, kind: str) -> None:
    make.change(folder / name, SOPClassUID=kind)
    line = make.refusal(folder, FormatError)
    assert f"{name}: is " in line
    assert "not an MR image, and continues the slices of the chosen series" in line


def test_slice_with_the_file_header_of_another_object_is_refused(make: Any, folder: Path) -> None:
    file = folder / "0005.dcm"
    data = pydicom.dcmread(file)
    data.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    data.save_as(file)
    assert "0005.dcm: is Secondary Capture" in make.refusal(folder, FormatError)


@pytest.mark.parametrize("position", [None, [40.5, -20.25, -7], [40.5, 80, 18], [40.5, -20.25, 15.5]])
def test_other_object_elsewhere_in_the_series_is_named(make: Any, folder: Path, position: Any) -> None:
    shutil.copy(folder / "0005.dcm", folder / "0006.dcm")
    make.change(folder / "0006.dcm", SOPClassUID=SecondaryCaptureImageStorage, ImagePositionPatient=position)
    assert make.read(folder).skipped == ("0006.dcm: is Secondary Capture Image Storage, not an MR image",)


def test_many_files_of_one_reason_are_counted(make: Any, folder: Path) -> None:
    for k in range(50):
        (folder / f"{k:02}.txt").write_text("x")
    skipped = make.read(folder).skipped
    assert skipped[0] == "00.txt: is a text file"
    assert skipped[20:] == ("30 more files: is a text file",)


@pytest.mark.parametrize("syntax", PLAIN, ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("keep_meta", [False, True])
@pytest.mark.parametrize("suffix", [".dcm", ""])
def test_slices_without_preamble_are_read(make: Any, folder: Path, syntax: Any, keep_meta: bool, suffix: str) -> None:
    make.encode(folder, syntax)
    for file in sorted(folder.iterdir())[2:]:
        make.bare(file, keep_meta=keep_meta)
    for file in list(folder.iterdir()):
        file.rename(file.with_suffix(suffix))
    assert np.array_equal(make.read(folder).voxels, make.voxels())
    assert all(is_dicom(file) for file in folder.iterdir())
    assert make.read(folder / f"0005{suffix}").voxels.shape[0] == 1


@pytest.mark.parametrize("syntax", PLAIN, ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("start", [b"", b"DICM", bytes(128) + b"DICM"], ids=["nothing", "mark", "preamble"])
def test_slices_without_file_header_are_read(make: Any, folder: Path, syntax: Any, start: bytes) -> None:
    make.encode(folder, syntax)
    for file in list(folder.iterdir()):
        make.bare(file)
        file.write_bytes(start + file.read_bytes())
        file.rename(file.with_suffix(""))
    assert np.array_equal(make.read(folder).voxels, make.voxels())
    assert all(is_dicom(file) for file in folder.iterdir())


def test_slice_without_preamble_that_is_cut_is_refused(make: Any, folder: Path) -> None:
    file = (folder / "0005.dcm").rename(folder / "0005")
    make.bare(file)
    content = file.read_bytes()
    for length in [*range(0, len(content) - 16, 331), len(content) - 16]:
        file.write_bytes(content[:length])
        assert "0005" in make.refusal(folder, FormatError)


@pytest.mark.parametrize("name", ["DICOMDIR", "dicomdir", "index.dcm"])
def test_index_is_refused_with_the_way_out(make: Any, folder: Path, name: str) -> None:
    data = pydicom.dcmread(folder / "0001.dcm")
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    data.save_as(folder / name)
    line = make.refusal(folder / name, FormatError)
    assert line.endswith("is an index (DICOMDIR), without an image; pass the folder that contains it")


def test_zip_of_windows_is_read(make: Any, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as box:
        for file in folder.iterdir():
            box.writestr(f"export\\series\\{file.name}", file.read_bytes())
    assert np.array_equal(make.read(path).voxels, make.voxels())
    assert is_dicom(path)
