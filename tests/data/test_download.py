"""The data set from a local archive or folder: whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from gliomaseg import archive
from gliomaseg.data.download import download
from gliomaseg.data.layouts import read_cases
from gliomaseg.errors import DataError, FormatError, OutputExistsError, ResourceError, UsageError
from gliomaseg.ownership import MANIFEST

PATIENT = "TCGA_CS_4941_19960909"
PICTURE = f"kaggle_3m/{PATIENT}/{PATIENT}_1.tif"
DATA = {
    PICTURE: b"picture",
    f"kaggle_3m/{PATIENT}/{PATIENT}_1_mask.tif": b"mask",
    "kaggle_3m/data.csv": b"Patient,death01",
    "kaggle_3m/notes/stray.txt": b"kept",
}


@pytest.fixture
def box(tmp_path: Path) -> Path:
    return make_zip(tmp_path / "archive.zip", DATA)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "source", DATA)


@pytest.fixture(params=["box", "folder"])
def source(request: pytest.FixtureRequest) -> Path:
    made: Path = request.getfixturevalue(request.param)
    return made


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return path


def make_folder(path: Path, members: dict[str, bytes]) -> Path:
    for name, content in members.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def read(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def names(folder: Path) -> list[str]:
    """Return what lies in a folder, with what is hidden."""
    return sorted(path.name for path in folder.iterdir())


def test_a_zip_is_unpacked_whole(box: Path, tmp_path: Path) -> None:
    root = download(to=tmp_path / "a/data", source=box)
    assert root == (tmp_path / "a/data").resolve()
    assert read(root) == DATA
    assert names(tmp_path / "a") == ["data"]


def test_a_folder_is_taken_whole_and_stays_as_it_was(folder: Path, tmp_path: Path) -> None:
    root = download(to=tmp_path / "data", source=folder)
    assert read(root) == read(folder) == DATA
    assert names(tmp_path) == ["data", "source"]


def test_a_folder_is_linked_where_the_file_system_can(folder: Path, tmp_path: Path) -> None:
    root = download(to=tmp_path / "data", source=folder)
    assert (root / PICTURE).samefile(folder / PICTURE)


def test_a_folder_is_copied_where_the_file_system_cannot_link(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    root = download(to=tmp_path / "data", source=folder)
    assert read(root) == DATA
    assert not (root / PICTURE).samefile(folder / PICTURE)


def test_the_new_folder_has_the_mode_of_any_new_folder(box: Path, tmp_path: Path) -> None:
    (tmp_path / "usual").mkdir()
    root = download(to=tmp_path / "data", source=box)
    assert root.stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_without_to_a_source_goes_to_the_current_folder(
    box: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert download(source=box) == (tmp_path / "lgg-mri-segmentation").resolve()


@pytest.mark.parametrize("prefix", ["", "kaggle_3m/", "wrap/kaggle_3m/", "wrap/", "a/b/kaggle_3m/", "archive (1)/a/b/"])
@pytest.mark.parametrize("beside", ["readme.txt", "__MACOSX/wrap/._readme.txt", None])
def test_the_named_folder_is_the_data_set(tmp_path: Path, prefix: str, beside: str | None) -> None:
    members = {f"{prefix}{PATIENT}/{PATIENT}_12{end}.tif": b"1" for end in ("", "_mask")}
    box = make_zip(tmp_path / "a.zip", {**members, **({beside: b"2"} if beside else {})})
    root = download(to=tmp_path / "data", source=box)
    assert root == (tmp_path / "data").resolve()
    assert [case.name for case in read_cases(root).cases] == [PATIENT]
    inner = "kaggle_3m/" if "kaggle_3m" in prefix else ""
    assert sorted(read(root)) == sorted(
        [*(f"{inner}{PATIENT}/{PATIENT}_12{end}.tif" for end in ("", "_mask")), *([beside] if beside else [])]
    )


def test_a_wrapping_folder_stays_if_a_file_beside_it_has_the_name_of_one_in_it(tmp_path: Path) -> None:
    members = {"readme.txt": b"1", "wrap/readme.txt": b"2", f"wrap/{PATIENT}/{PATIENT}_1.tif": b"3"}
    lines: list[str] = []
    root = download(to=tmp_path / "data", source=make_zip(tmp_path / "a.zip", members), progress=lines.append)
    assert root == (tmp_path / "data/wrap").resolve()
    assert lines[-1] == f"the data set is {root}"
    assert read(tmp_path / "data") == members


@pytest.mark.parametrize(
    "name", ["readme.txt", f"{PATIENT}/other_1.tif", f"{PATIENT}/{PATIENT}_1_mask.tif", f"{PATIENT}_1.tif"]
)
def test_an_archive_without_the_data_set_is_refused(tmp_path: Path, name: str) -> None:
    box = make_zip(tmp_path / "a.zip", {name: b"1"})
    with pytest.raises(DataError, match=r"no <patient>/<patient>_<n>\.tif"):
        download(to=tmp_path / "data", source=box)
    assert names(tmp_path) == ["a.zip"]


def test_a_missing_source_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing\.zip: not found"):
        download(to=tmp_path / "data", source=tmp_path / "nothing.zip")


def test_another_kind_of_source_is_a_format_error(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(bytes(2000))
    with pytest.raises(FormatError, match="not a complete zip archive"):
        download(to=tmp_path / "data", source=tmp_path / "a.tar")


def test_a_damaged_last_member_leaves_nothing(box: Path, tmp_path: Path) -> None:
    content = os.urandom(2000)
    with zipfile.ZipFile(box, "a", zipfile.ZIP_STORED) as opened:
        opened.writestr("last", content)
    box.write_bytes(box.read_bytes().replace(content, content[::-1]))
    with pytest.raises(FormatError, match="is damaged"):
        download(to=tmp_path / "data", source=box)
    assert names(tmp_path) == ["archive.zip"]


def test_ctrl_c_leaves_nothing(source: Path, tmp_path: Path) -> None:
    def stop(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(to=tmp_path / "data", source=source, progress=stop)
    assert names(tmp_path) == [source.name]


def test_a_disk_that_fills_up_is_a_resource_error_and_leaves_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for place, name in ((archive, "_write"), (os, "link"), (shutil, "copyfile")):
        monkeypatch.setattr(place, name, full_disk)
    with pytest.raises(ResourceError, match="the disk is full"):
        download(to=tmp_path / "data", source=source)
    assert names(tmp_path) == [source.name]


def test_too_little_room_is_found_before_unpacking(box: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=10))
    with pytest.raises(ResourceError, match=r"0\.00 GB are needed and 0\.00 GB are free"):
        download(to=tmp_path / "data", source=box)
    assert names(tmp_path) == ["archive.zip"]


FOREIGN = {"corrections.csv": b"1", "own/own_1.tif": b"2"}


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_with_foreign_files_is_kept(box: Path, tmp_path: Path, *, overwrite: bool) -> None:
    old = make_folder(tmp_path / "data", FOREIGN)
    with pytest.raises(OutputExistsError, match=r"not ours.*: corrections\.csv, own/own_1\.tif; move them") as caught:
        download(to=old, source=box, overwrite=overwrite)
    assert "--overwrite" not in caught.value.line()
    assert read(old) == FOREIGN
    assert names(tmp_path) == ["archive.zip", "data"]


@pytest.mark.parametrize("name", ["notes.txt", f"kaggle_3m/{PATIENT}/notes.txt"])
def test_a_foreign_file_in_an_earlier_download_is_kept(box: Path, tmp_path: Path, name: str) -> None:
    old = make_folder(download(to=tmp_path / "data", source=box), {name: b"mine"})
    for overwrite in (False, True):
        with pytest.raises(OutputExistsError, match=r"notes\.txt: is not ours; ?|notes\.txt: is not ours: download"):
            download(to=old, source=box, overwrite=overwrite)
    assert read(old) == {**DATA, name: b"mine"}


def test_a_corrected_mask_in_an_earlier_download_is_kept(box: Path, tmp_path: Path) -> None:
    old = download(to=tmp_path / "data", source=box)
    mask = old / f"kaggle_3m/{PATIENT}/{PATIENT}_1_mask.tif"
    mask.write_bytes(b"corrected")
    with pytest.raises(OutputExistsError, match=r"_1_mask\.tif: was changed since download wrote it"):
        download(to=old, source=box, overwrite=True)
    assert mask.read_bytes() == b"corrected"


def test_an_earlier_download_is_replaced_only_with_overwrite(source: Path, tmp_path: Path) -> None:
    other = make_zip(tmp_path / "b.zip", {f"{PATIENT}/{PATIENT}_7.tif": b"old"})
    old = download(to=tmp_path / "data", source=other)
    with pytest.raises(OutputExistsError, match="exists already; pass --overwrite, or another --to"):
        download(to=old, source=source)
    assert read(download(to=old, source=source, overwrite=True)) == DATA
    assert read(download(to=old, source=other, overwrite=True)) == {f"{PATIENT}/{PATIENT}_7.tif": b"old"}
    assert names(tmp_path) == sorted([source.name, "b.zip", "data"])


def test_a_manifest_in_the_source_gives_no_right_to_overwrite(folder: Path, tmp_path: Path) -> None:
    first = download(to=tmp_path / "first", source=folder)
    before = (first / MANIFEST).read_bytes()
    second = download(to=tmp_path / "second", source=first)
    assert (first / MANIFEST).read_bytes() == before == (second / MANIFEST).read_bytes()


def test_the_old_folder_stays_where_the_new_one_fails(tmp_path: Path, box: Path) -> None:
    old = download(to=tmp_path / "data", source=box)
    other = make_zip(tmp_path / "a.zip", {"readme.txt": b""})
    with pytest.raises(DataError):
        download(to=old, source=other, overwrite=True)
    assert read(old) == DATA
    assert names(tmp_path) == ["a.zip", "archive.zip", "data"]


def test_a_file_that_comes_while_the_archive_is_unpacked_is_kept(box: Path, tmp_path: Path) -> None:
    old = download(to=tmp_path / "data", source=box)
    with pytest.raises(OutputExistsError, match=r"notes\.txt"):
        download(to=old, source=box, overwrite=True, progress=lambda _line: (old / "notes.txt").touch())
    assert read(old) == {**DATA, "notes.txt": b""}


def test_an_empty_folder_is_filled(box: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert read(download(to=tmp_path / "data", source=box)) == DATA


def test_a_folder_that_another_process_filled_meanwhile_is_kept(box: Path, tmp_path: Path) -> None:
    def fill(line: str) -> None:
        make_folder(tmp_path / "data", {"theirs.txt": b"1"})

    (tmp_path / "data").mkdir()
    with pytest.raises(OutputExistsError):
        download(to=tmp_path / "data", source=box, progress=fill)
    assert read(tmp_path / "data") == {"theirs.txt": b"1"}


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_is_never_replaced(box: Path, tmp_path: Path, *, overwrite: bool) -> None:
    (tmp_path / "data").write_bytes(b"mine")
    with pytest.raises(OutputExistsError, match="is a file"):
        download(to=tmp_path / "data", source=box, overwrite=overwrite)
    assert (tmp_path / "data").read_bytes() == b"mine"


def test_a_target_below_a_file_is_a_usage_error(box: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match="cannot be made"):
        download(to=tmp_path / "file/data", source=box)


@pytest.mark.parametrize("to", [".", "..", "home", "here"])
def test_the_current_and_the_home_folder_are_never_replaced(
    box: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    make_folder(tmp_path / "work", {"here/mine.txt": b"1", "home/mine.txt": b"2"})
    monkeypatch.setenv("HOME", str(tmp_path / "work/home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "work/home"))
    monkeypatch.chdir(tmp_path / "work/here")
    target = tmp_path / "work" / to if to.isalpha() else Path(to)
    with pytest.raises(UsageError, match="would replace"):
        download(to=target, source=box, overwrite=True)
    assert read(tmp_path / "work") == {"here/mine.txt": b"1", "home/mine.txt": b"2"}


@pytest.mark.parametrize("to", ["source", "source/kaggle_3m/new", "."])
def test_a_target_that_overlaps_the_source_is_a_usage_error(folder: Path, tmp_path: Path, to: str) -> None:
    with pytest.raises(UsageError, match="overlaps"):
        download(to=tmp_path / to, source=folder, overwrite=True)
    assert read(folder) == DATA


def test_an_archive_inside_the_replaced_folder_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    box = make_zip(tmp_path / "data/a.zip", DATA)
    with pytest.raises(UsageError, match="overlaps"):
        download(to=tmp_path / "data", source=box, overwrite=True)


@pytest.mark.parametrize("to_folder", [False, True])
def test_a_symbolic_link_in_the_source_is_refused(folder: Path, tmp_path: Path, *, to_folder: bool) -> None:
    make_folder(tmp_path / "outside", {"secret": b"1"})
    (folder / "kaggle_3m/link").symlink_to(tmp_path / ("outside" if to_folder else "outside/secret"))
    with pytest.raises(DataError, match="link: is a symbolic link"):
        download(to=tmp_path / "data", source=folder)
    assert names(tmp_path) == ["outside", "source"]


def test_progress_is_short_lines_that_end_at_the_whole(source: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    download(to=tmp_path / "data", source=source, progress=lines.append)
    assert (lines[-1][-7:], len(lines) <= 20) == (": 100 %", True)
