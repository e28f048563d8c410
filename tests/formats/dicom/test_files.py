"""Folders and zips of any kind: what is looked at, and what is not trusted."""

from __future__ import annotations

import os
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from gliomaseg.errors import FormatError, ResourceError
from gliomaseg.formats.dicom import files, list_series


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
    monkeypatch.setattr(files, "MAX_FILES", 4)
    assert "over 4 files" in make.refusal(folder, ResourceError)


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 4000])
@pytest.mark.parametrize("name", ["6.dcm", "6.IMA"])
def test_file_with_the_suffix_only_is_refused(make: Any, folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    assert "has the suffix of a DICOM file" in make.refusal(folder, FormatError)


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
