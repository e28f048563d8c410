"""Files and folders appear whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gliomaseg import atomic
from gliomaseg.atomic import locked, new_file, new_folder, remove, require_free, sigterm_as_interrupt, write_text
from gliomaseg.errors import FolderInUseError, GliomasegError, OutputExistsError, ResourceError

KILLED = """
import sys, time
from pathlib import Path
from gliomaseg.atomic import new_file, new_folder
with {call} as temporary:
    ({file}).write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


REPLACING = """
import sys
from pathlib import Path
from gliomaseg.atomic import new_folder
for number in range(200):
    with new_folder(Path(sys.argv[1]), overwrite=True) as temporary:
        (temporary / "sub").mkdir()
        (temporary / "sub" / "a.txt").write_text(str(number))
"""


LOCKING = """
import sys, time
from pathlib import Path
from gliomaseg.atomic import locked
with locked(Path(sys.argv[1])):
    print("in", flush=True)
    time.sleep(60)
"""


def start_writing(call: str, file: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED.format(call=call, file=file)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "writing\n"
    return process


def kill_while_writing(call: str, file: str) -> None:
    process = start_writing(call, file)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def write_in_another_process(file: Path) -> None:
    script = "import pathlib, sys, gliomaseg.atomic as atomic; atomic.write_text(pathlib.Path(sys.argv[1]), '')"
    subprocess.run([sys.executable, "-c", script, str(file)], check=True)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def raise_on_sync(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)


# --- a file


def test_file_takes_its_name(tmp_path: Path) -> None:
    with new_file(tmp_path / "a.txt") as temporary:
        temporary.write_text("whole")
        assert not (tmp_path / "a.txt").exists()
    assert (tmp_path / "a.txt").read_text() == "whole"
    assert names(tmp_path) == ["a.txt"]


def test_temporary_file_keeps_the_suffix_beside_the_name(tmp_path: Path) -> None:
    with new_file(tmp_path / "a.png") as temporary:
        temporary.touch()
        assert (temporary.suffix, temporary.parent) == (".png", tmp_path)


def test_folders_on_the_way_are_made(tmp_path: Path) -> None:
    write_text(tmp_path / "b" / "c" / "a.txt", "whole")
    assert (tmp_path / "b" / "c" / "a.txt").read_text() == "whole"


def test_text_is_utf8(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "±")
    assert (tmp_path / "a.txt").read_bytes() == b"\xc2\xb1"


def test_fault_while_writing_leaves_no_file(tmp_path: Path) -> None:
    def write() -> None:
        with new_file(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert names(tmp_path) == []


def test_sigterm_while_writing_leaves_no_file(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def write() -> None:
        with sigterm_as_interrupt(), new_file(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        write()
    assert names(tmp_path) == []
    assert signal.getsignal(signal.SIGTERM) is before


def test_fault_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    def write() -> None:
        with new_file(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise RuntimeError

    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(RuntimeError):
        write()
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_kill_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    kill_while_writing(f"new_file(Path({str(tmp_path / 'a.txt')!r}))", "temporary")
    assert [name for name in names(tmp_path) if not name.startswith(".")] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_is_a_resource_error_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    (tmp_path / "a.txt").write_text("old")
    raise_on_sync(monkeypatch, number)
    with pytest.raises(ResourceError, match="the disk is full; free some space"):
        write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_denied_file_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raise_on_sync(monkeypatch, errno.EACCES)
    with pytest.raises(GliomasegError) as caught:
        write_text(tmp_path / "a.txt", "new")
    cure = "check the path and its permissions"
    assert caught.value.line() == f"{tmp_path / 'a.txt'}: cannot be written (Permission denied); {cure}"
    assert caught.value.exit_code == 1
    assert names(tmp_path) == []


def test_file_where_a_folder_should_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("a file")
    with pytest.raises(GliomasegError, match="cannot be written"):
        write_text(tmp_path / "b" / "a.txt", "new")


def test_folder_where_a_file_should_go_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(GliomasegError, match="cannot be written"):
        write_text(tmp_path / "a.txt", "new")
    assert names(tmp_path) == ["a.txt"]


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    for call, file in (("new_file", "temporary"), ("new_folder", "temporary / 'b'")):
        kill_while_writing(f"{call}(Path({str(tmp_path / 'a.txt')!r}))", file)
        assert len(names(tmp_path)) == 1
        write_in_another_process(tmp_path / "c")
        assert names(tmp_path) == ["c"]
        (tmp_path / "c").unlink()


def test_what_another_process_is_writing_is_kept(tmp_path: Path) -> None:
    process = start_writing(f"new_folder(Path({str(tmp_path / 'b')!r}))", "temporary / 'a.txt'")
    atomic._remove_left_behind.cache_clear()
    write_text(tmp_path / "c", "")
    process.terminate()
    process.communicate()
    assert [name.startswith(atomic.UNFINISHED) for name in names(tmp_path)] == [True, False]


def test_files_of_a_similar_name_are_kept(tmp_path: Path) -> None:
    (tmp_path / ".gliomaseg-files").touch()
    (tmp_path / ".gliomaseg-notes-a.txt").touch()
    atomic._remove_left_behind.cache_clear()
    write_text(tmp_path / "c", "")
    assert names(tmp_path) == [".gliomaseg-files", ".gliomaseg-notes-a.txt", "c"]


# --- a folder


def fill(path: Path, text: str, *, overwrite: bool = False, first_wins: bool = False) -> None:
    with new_folder(path, overwrite=overwrite, first_wins=first_wins) as temporary:
        (temporary / "sub").mkdir()
        (temporary / "sub" / "a.txt").write_text(text)


def content(path: Path) -> str:
    return (path / "sub" / "a.txt").read_text()


def test_folder_takes_its_name(tmp_path: Path) -> None:
    fill(tmp_path / "b", "whole")
    assert content(tmp_path / "b") == "whole"
    assert names(tmp_path) == ["b"]


def test_folder_can_be_read_by_others(tmp_path: Path) -> None:
    fill(tmp_path / "b", "whole")
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o755


def test_empty_folder_of_that_name_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    fill(tmp_path / "b", "whole")
    assert content(tmp_path / "b") == "whole"


def test_folder_of_that_name_is_not_overwritten(tmp_path: Path) -> None:
    fill(tmp_path / "b", "old")
    with pytest.raises(OutputExistsError, match="exists already; name another place"):
        fill(tmp_path / "b", "new")
    assert content(tmp_path / "b") == "old"
    assert names(tmp_path) == ["b"]


def test_folder_is_replaced_where_asked(tmp_path: Path) -> None:
    fill(tmp_path / "b", "old")
    (tmp_path / "b" / "rest").touch()
    fill(tmp_path / "b", "new", overwrite=True)
    assert content(tmp_path / "b") == "new"
    assert names(tmp_path / "b") == ["sub"]
    assert names(tmp_path) == ["b"]


def test_file_is_replaced_by_a_folder_where_asked(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("old")
    fill(tmp_path / "b", "new", overwrite=True)
    assert content(tmp_path / "b") == "new"
    assert names(tmp_path) == ["b"]


def test_link_is_replaced_and_what_it_names_is_kept(tmp_path: Path) -> None:
    fill(tmp_path / "target", "old")
    (tmp_path / "b").symlink_to(tmp_path / "target")
    fill(tmp_path / "b", "new", overwrite=True)
    assert (content(tmp_path / "b"), content(tmp_path / "target")) == ("new", "old")


def test_fault_while_replacing_leaves_the_old_folder(tmp_path: Path) -> None:
    def replace() -> None:
        with new_folder(tmp_path / "b", overwrite=True) as temporary:
            (temporary / "a.txt").write_text("half")
            raise RuntimeError

    fill(tmp_path / "b", "old")
    with pytest.raises(RuntimeError):
        replace()
    assert content(tmp_path / "b") == "old"
    assert names(tmp_path) == ["b"]


@pytest.fixture
def no_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that cannot exchange two names."""
    monkeypatch.setattr(atomic, "exchange_names", lambda *_: False)


@pytest.mark.usefixtures("no_exchange")
def test_fault_at_the_last_rename_brings_the_old_folder_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "b", "old")
    rename, calls = Path.rename, []

    def fail_third(path: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == 3:  # onto the old folder, the old folder aside, the new one in its place
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_third)
    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path / "b", "new", overwrite=True)
    assert content(tmp_path / "b") == "old"
    assert names(tmp_path) == ["b"]


def test_files_are_flushed_by_a_handle_for_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Windows refuses to flush a handle that is open for reading.
    modes: list[str] = []
    opened = Path.open

    def record(path: Path, mode: str = "r", *arguments: object, **settings: object) -> object:
        modes.append(mode)
        return opened(path, mode, *arguments, **settings)

    with new_file(tmp_path / "a.txt") as temporary:
        temporary.write_bytes(b"whole")
        monkeypatch.setattr(Path, "open", record)
    assert modes == ["r+b"]


def test_a_file_that_only_its_owner_may_read_is_flushed(tmp_path: Path) -> None:
    with new_folder(tmp_path / "b") as temporary:
        (temporary / "a.txt").write_text("whole")
        (temporary / "a.txt").chmod(0o400)
    assert (tmp_path / "b" / "a.txt").read_text() == "whole"


def test_many_files_are_flushed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(atomic, "MANY_FILES", 2)
    monkeypatch.setattr(os, "sync", lambda: calls.append("all"))
    monkeypatch.setattr(os, "fsync", lambda _: calls.append("one"))
    with new_folder(tmp_path / "b") as temporary:
        for name in "abc":
            (temporary / name).touch()
    assert calls == ["all", "one"]  # the second is the name of the folder


@pytest.mark.usefixtures("no_exchange")
def test_folder_is_replaced_without_an_exchange(tmp_path: Path) -> None:
    fill(tmp_path / "b", "old")
    fill(tmp_path / "b", "new", overwrite=True)
    assert content(tmp_path / "b") == "new"
    assert names(tmp_path) == ["b"]


def test_a_replaced_folder_is_missing_at_no_moment(tmp_path: Path) -> None:
    fill(tmp_path / "b", "old")
    process = subprocess.Popen([sys.executable, "-c", REPLACING, str(tmp_path / "b")], stdout=subprocess.PIPE)
    missing = seen = 0
    while process.poll() is None:
        missing += not (tmp_path / "b" / "sub" / "a.txt").exists()
        seen += 1
    process.communicate()
    assert process.returncode == 0
    assert content(tmp_path / "b") == "199"
    assert seen > 200
    assert missing == 0


def test_kill_while_filling_leaves_no_folder_of_that_name(tmp_path: Path) -> None:
    kill_while_writing(f"new_folder(Path({str(tmp_path / 'b')!r}))", "temporary / 'a.txt'")
    assert [name for name in names(tmp_path) if not name.startswith(".")] == []


def test_name_taken_in_the_meantime_is_not_overwritten(tmp_path: Path) -> None:
    def write() -> None:
        with new_folder(tmp_path / "b") as temporary:
            (temporary / "a.txt").write_text("second")
            fill(tmp_path / "b", "first")

    with pytest.raises(OutputExistsError):
        write()
    assert content(tmp_path / "b") == "first"
    assert names(tmp_path) == ["b"]


def test_first_wins_keeps_what_took_the_name_in_the_meantime(tmp_path: Path) -> None:
    with new_folder(tmp_path / "b", first_wins=True) as temporary:
        (temporary / "a.txt").write_text("second")
        fill(tmp_path / "b", "first")
    assert content(tmp_path / "b") == "first"
    assert names(tmp_path) == ["b"]


def test_first_wins_keeps_what_was_there_before(tmp_path: Path) -> None:
    fill(tmp_path / "b", "first")
    fill(tmp_path / "b", "second", first_wins=True)
    assert content(tmp_path / "b") == "first"
    assert names(tmp_path) == ["b"]


def test_full_disk_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raise_on_sync(monkeypatch, errno.ENOSPC)
    with pytest.raises(ResourceError):
        fill(tmp_path / "b", "new")
    assert names(tmp_path) == []


def test_denied_folder_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(_path: Path, **_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(atomic.Path, "mkdir", deny)
    with pytest.raises(GliomasegError, match=r"b: cannot be written \(Permission denied\)"):
        fill(tmp_path / "b", "new")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_locked_folder_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(GliomasegError, match="cannot be written"):
            fill(tmp_path / "b", "new")
    finally:
        tmp_path.chmod(0o700)


# --- free, and gone


def test_missing_name_and_empty_folder_are_free(tmp_path: Path) -> None:
    require_free(tmp_path / "b")
    require_free(tmp_path)


@pytest.mark.parametrize("name", ["a.txt", "folder"])
def test_file_and_filled_folder_are_not_free(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.txt").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x").touch()
    with pytest.raises(OutputExistsError):
        require_free(tmp_path / name)
    require_free(tmp_path / name, overwrite=True)


def test_removing_a_link_keeps_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    remove(tmp_path / "link")
    assert names(tmp_path) == ["folder"]


def test_removing_takes_folders_and_files_and_nothing(tmp_path: Path) -> None:
    fill(tmp_path / "b", "whole")
    (tmp_path / "a.txt").touch()
    for name in ("b", "a.txt", "missing"):
        remove(tmp_path / name)
    assert names(tmp_path) == []


def test_a_short_write_of_numpy_is_a_full_disk(tmp_path):
    with pytest.raises(ResourceError, match="the disk is full"), new_file(tmp_path / "a"):
        raise OSError("4096 requested and 3888 written")
    assert list(tmp_path.iterdir()) == []


# --- one at a time


def test_a_folder_is_locked_while_a_process_works_in_it(tmp_path: Path) -> None:
    with locked(tmp_path / "new"):  # noqa: SIM117
        with pytest.raises(FolderInUseError, match="another run is at work here"), locked(tmp_path / "new"):
            pass
    with locked(tmp_path / "new"):
        pass
    assert names(tmp_path / "new") == []


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", LOCKING, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "in\n"
    with pytest.raises(FolderInUseError), locked(tmp_path):
        pass
    process.kill()
    process.communicate()
    with locked(tmp_path):
        pass


def test_a_planted_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / ".lock").symlink_to(tmp_path / "theirs")
    with pytest.raises(GliomasegError, match="cannot be written"), locked(tmp_path):
        pass
    assert (tmp_path / "theirs").read_text() == "theirs"


def test_a_link_to_nothing_is_something(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(OutputExistsError):
        require_free(tmp_path / "link")
