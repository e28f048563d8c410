"""Archives of unknown origin: what is refused, and that nothing of it is trusted."""

from __future__ import annotations

import errno
import shutil
import stat
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from gliomaseg import archive
from gliomaseg.errors import FormatError, ResourceError

CENTRAL = b"PK\x01\x02"  # starts a member's entry in the archive's directory
FLAGS_AT, SIZE_AT = 8, 24  # offsets in that entry: 2 and 4 bytes, little-endian


def make_zip(path: Path, members: dict[str, bytes], *, deflated: bool = True) -> Path:
    method = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method) as box:
        for name, content in members.items():
            box.writestr(name, content)
    return path


def patch_directory(path: Path, *, at: int, value: bytes) -> None:
    """Overwrite one field in the directory entry of every member."""
    raw = bytearray(path.read_bytes())
    start = raw.find(CENTRAL)
    while start >= 0:
        raw[start + at : start + at + len(value)] = value
        start = raw.find(CENTRAL, start + 4)
    path.write_bytes(raw)


def unpack(path: Path, *, lines: list[str] | None = None) -> Path:
    into = path.parent / "into"
    into.mkdir()
    said: list[str] = [] if lines is None else lines
    archive.unpack(path, into=into, say=said.append)
    return into


def test_unpack_writes_every_member_with_its_folders(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"p/p_1.tif": b"12345", "q/": b"", "data.csv": b"a,b"})
    into = unpack(path)
    assert (into / "p/p_1.tif").read_bytes() == b"12345"
    assert (into / "data.csv").read_bytes() == b"a,b"
    assert (into / "q").is_dir()


def test_declared_bytes_is_the_sum_of_all_members(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"a": bytes(1000), "b": bytes(24), "c/": b""})
    assert archive.declared_bytes(path) == 1024


def test_declared_bytes_of_an_empty_archive_is_zero(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {})
    assert archive.declared_bytes(path) == 0
    assert list(unpack(path).iterdir()) == []


def test_unpack_says_a_line_per_five_percent(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {f"f{n:03}": bytes(10) for n in range(200)})
    lines: list[str] = []
    unpack(path, lines=lines)
    assert lines == [f"unpacking: {percent} %" for percent in range(5, 101, 5)]


@pytest.mark.parametrize(
    "name", ["/etc/x", "../x", "a/../../x", "a/..", "C:/x", "C:x", "..\\x", "a\\..\\..\\x", "\\\\host\\share\\x"]
)
def test_a_member_that_climbs_out_is_refused(tmp_path: Path, name: str) -> None:
    path = make_zip(tmp_path / "a.zip", {"good": b"1", name: b"2"})
    for look in (archive.declared_bytes, unpack):
        with pytest.raises(FormatError, match="leads out of the target folder"):
            look(path)
    assert list((tmp_path / "into").iterdir()) == []


def test_backslashes_of_windows_separate_folders(tmp_path: Path) -> None:
    into = unpack(make_zip(tmp_path / "a.zip", {"export\\p\\a.tif": b"1", "export\\empty\\": b""}))
    assert (into / "export" / "p" / "a.tif").read_bytes() == b"1"
    assert (into / "export" / "empty").is_dir()


def test_one_path_with_both_separators_is_there_twice(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"p/a.tif": b"1", "p\\a.tif": b"2"})
    with pytest.raises(FormatError, match="is there twice"):
        archive.declared_bytes(path)


def test_a_name_with_a_null_byte_is_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"aQb.tif": b"1"})
    path.write_bytes(path.read_bytes().replace(b"aQb.tif", b"a\0b.tif"))
    with pytest.raises(FormatError, match="null byte"):
        archive.declared_bytes(path)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFBLK])
def test_a_link_or_a_device_is_refused(tmp_path: Path, kind: int) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as box:
        member = zipfile.ZipInfo("link")
        member.external_attr = (kind | 0o777) << 16
        box.writestr(member, "/etc/passwd")
    with pytest.raises(FormatError, match="link or a device"):
        archive.declared_bytes(path)


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"a": b"1"})
    patch_directory(path, at=FLAGS_AT, value=b"\x01\x00")
    with pytest.raises(FormatError, match="encrypted"):
        archive.declared_bytes(path)


def test_a_method_other_than_deflate_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as box:
        box.writestr("a", bytes(1000))
    with pytest.raises(FormatError, match="other than deflate"):
        archive.declared_bytes(path)


def test_a_name_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as box:
        box.writestr("p/a.tif", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            box.writestr("p/a.tif", b"2")
    with pytest.raises(FormatError, match=r"'p/a\.tif' is there twice"):
        archive.declared_bytes(path)


def test_two_spellings_of_one_place_are_there_twice(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"p/a.tif": b"1", "p/./a.tif": b"2"})
    with pytest.raises(FormatError, match="is there twice"):
        archive.declared_bytes(path)


def test_a_file_that_is_also_a_folder_is_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"p": b"1", "p/a.tif": b"2"})
    with pytest.raises(FormatError, match="cannot be unpacked"):
        unpack(path)


def test_a_file_that_is_already_there_is_not_written_over(tmp_path: Path) -> None:
    # As where the file system folds cases and the archive holds `a.tif` and `A.tif`.
    (tmp_path / "a.tif").write_bytes(b"first")
    path = make_zip(tmp_path / "a.zip", {"a.tif": b"second"})
    with pytest.raises(FormatError, match="cannot be unpacked"):
        archive.unpack(path, into=tmp_path, say=print)
    assert (tmp_path / "a.tif").read_bytes() == b"first"


def test_more_bytes_than_the_limit_are_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"a": b"1", "b": b"2", "c": b"3"})
    patch_directory(path, at=SIZE_AT, value=(3_000_000_000).to_bytes(4, "little"))
    with pytest.raises(ResourceError, match=r"declares 3 files and 9\.00 GB"):
        archive.declared_bytes(path)


def test_more_members_than_the_limit_are_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"a": b"1", "b": b"2", "c": b"3"})
    assert archive.declared_bytes(path, most_members=3) == 3
    with pytest.raises(ResourceError, match="declares 3 files"):
        archive.declared_bytes(path, most_members=2)


def test_a_large_member_that_grows_absurdly_is_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"bomb": bytes(10_000_000)})
    with pytest.raises(ResourceError, match=r"'bomb' would grow [\d,]+-fold"):
        archive.declared_bytes(path)


def test_an_empty_mask_may_shrink_as_far_as_it_likes(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"p/p_1_mask.tif": bytes(65_746)})
    assert archive.declared_bytes(path) == 65_746


@pytest.mark.parametrize("deflated", [True, False])
@pytest.mark.parametrize("declared", [10, 100_000])
def test_a_member_that_lies_about_its_size_is_refused(tmp_path: Path, *, declared: int, deflated: bool) -> None:
    path = make_zip(tmp_path / "a.zip", {"a": bytes(range(200)) * 50}, deflated=deflated)
    patch_directory(path, at=SIZE_AT, value=declared.to_bytes(4, "little"))
    with pytest.raises(FormatError, match="is damaged"):
        unpack(path)
    assert (tmp_path / "into/a").stat().st_size <= declared


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"a": b"0123456789"}, deflated=False)
    path.write_bytes(path.read_bytes().replace(b"0123456789", b"0123456788"))
    with pytest.raises(FormatError, match="is damaged"):
        unpack(path)


def test_every_truncation_is_found(tmp_path: Path) -> None:
    whole = make_zip(tmp_path / "a.zip", {"a": bytes(range(100)), "b": b"12"}).read_bytes()
    for length in range(len(whole)):
        path = tmp_path / "cut.zip"
        path.write_bytes(whole[:length])
        with pytest.raises(FormatError):
            archive.declared_bytes(path)


def test_no_damaged_byte_ends_in_another_error(tmp_path: Path) -> None:
    whole = make_zip(tmp_path / "a.zip", {"a/b.tif": bytes(40), "c": b"12"}).read_bytes()
    for position in range(len(whole)):
        folder = tmp_path / str(position)
        folder.mkdir()
        path = folder / "a.zip"
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        try:
            archive.declared_bytes(path)
            unpack(path)
        except (FormatError, ResourceError):
            pass
        assert sorted(p.name for p in folder.iterdir()) in (["a.zip"], ["a.zip", "into"])


@pytest.mark.parametrize("content", [b"", b"II*\0 a picture", b"\x1f\x8b a tar.gz"])
def test_another_kind_of_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    with pytest.raises(FormatError, match="not a complete zip archive"):
        archive.declared_bytes(path)


def test_a_full_disk_is_not_taken_for_a_damaged_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(archive, "_write", full)
    with pytest.raises(OSError, match="No space left"):
        unpack(make_zip(tmp_path / "a.zip", {"a": b"1"}))


def test_require_space_names_folder_needed_and_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1_500_000_000))
    archive.require_space(1_500_000_000, on=tmp_path / "not/yet", cure="free some space")
    with pytest.raises(ResourceError) as caught:
        archive.require_space(2_850_000_000, on=tmp_path / "not/yet", cure="free some space")
    line = "2.85 GB are needed and 1.50 GB are free; free some space"
    assert caught.value.line() == f"{tmp_path.resolve()}: {line}"
