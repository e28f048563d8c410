"""The files of a data set's folder, and those that are never part of a case."""

from __future__ import annotations

from pathlib import Path

import pytest

from files import touch
from gliomaseg.data.file_listing import HIDDEN, PREDICTED, SYSTEM_FILE, UNFINISHED_FILE, iterate_files, list_files
from gliomaseg.ownership import OutputFolder


def test_files_of_any_depth_are_listed_in_order(tmp_path: Path) -> None:
    listing = list_files(touch(tmp_path, "b.nii", "a/z/1.nii", "a/2.nii", "Ä ß/3.nii"))
    assert [listing.name_of(file) for file in listing.files] == ["a/2.nii", "a/z/1.nii", "b.nii", "Ä ß/3.nii"]
    assert listing.skipped == ()


@pytest.mark.parametrize(
    ("name", "where", "reason"),
    [
        (".DS_Store", ".DS_Store", SYSTEM_FILE),
        ("a/._1.nii", "a/._1.nii", SYSTEM_FILE),
        ("__MACOSX/a/1.nii", "__MACOSX", SYSTEM_FILE),
        (".git/config", ".git", HIDDEN),
        ("a/.hidden.nii", "a/.hidden.nii", HIDDEN),
        ("a/.gliomaseg-1234-b/1.nii", "a/.gliomaseg-1234-b", UNFINISHED_FILE),
    ],
)
def test_other_files_are_skipped_with_the_reason(tmp_path: Path, name: str, where: str, reason: str) -> None:
    root = touch(tmp_path, "1.nii", name)
    listing = list_files(root)
    assert listing.files == (tmp_path / "1.nii",)
    assert [(entry.where, entry.what) for entry in listing.skipped] == [(where, reason)]
    assert list(iterate_files(root)) == [tmp_path / "1.nii"]


@pytest.mark.parametrize(("command", "is_listed"), [("predict", False), ("phantom", True), ("download", True)])
def test_only_files_that_predict_wrote_are_results(tmp_path: Path, command: str, is_listed: bool) -> None:
    file = tmp_path / "out" / "a_mask.nii.gz"
    with OutputFolder(tmp_path / "out", command).new_file(file) as temporary:
        temporary.write_bytes(b"")
    listing = list_files(tmp_path)
    assert (listing.files == (file,)) is is_listed
    assert [entry.what for entry in listing.skipped] == ([] if is_listed else [PREDICTED])


def test_a_link_to_nothing_is_listed(tmp_path: Path) -> None:
    (tmp_path / "a.nii").symlink_to(tmp_path / "gone")
    assert list_files(tmp_path).files == (tmp_path / "a.nii",)


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.nii")
    (tmp_path / "a" / "b").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "c").symlink_to(tmp_path / "a", target_is_directory=True)
    assert list_files(tmp_path).files == (tmp_path / "a" / "1.nii",)


def test_an_empty_folder_has_no_file(tmp_path: Path) -> None:
    assert list_files(tmp_path).files == ()
