"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import FrameType
from typing import NoReturn

from gliomaseg.errors import FolderInUseError, GliomasegError, OutputExistsError, ResourceError
from gliomaseg.file_locks import NO_LINK, try_lock
from gliomaseg.name_exchange import exchange_names

LOCK = ".lock"
UNFINISHED = ".gliomaseg-"
"""The names of unfinished files and folders start with this, until they are complete."""
MANY_FILES = 500
_LEFT_BEHIND = re.compile(rf"{re.escape(UNFINISHED)}[0-9a-f]{{16}}-.")


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on leaving without a fault it takes the name.

    The content is on the disk before the name is: a power cut leaves the old file or the new one.

    Raises:
        ResourceError: the disk is full.
        GliomasegError: the folder cannot be written.
    """
    with _translated(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _unfinished(path, is_folder=False) as temporary:
            yield temporary
            _sync(temporary)
            temporary.replace(path)
            _sync_folder(path.parent)


@contextmanager
def new_folder(path: Path, *, overwrite: bool = False, first_wins: bool = False) -> Iterator[Path]:
    """Give a temporary folder beside `path`; on leaving without a fault it takes the name.

    Args:
        path: the final name.
        overwrite: whether a folder of that name is replaced, once the new one is whole.
        first_wins: whether a folder that has the name by then is kept, and this one dropped:
            for what two processes may build at once, from the same input.

    Raises:
        OutputExistsError: `path` exists, or took the name in the meantime, and neither is set.
        ResourceError: the disk is full.
        GliomasegError: the folder cannot be written.
    """
    require_free(path, overwrite=overwrite or first_wins)
    with _translated(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _unfinished(path, is_folder=True) as temporary:
            yield temporary
            _sync_content(temporary)
            _take_name(temporary, path, overwrite=overwrite, first_wins=first_wins)
            _sync_folder(path.parent)


def _take_name(temporary: Path, path: Path, *, overwrite: bool, first_wins: bool) -> None:
    try:
        temporary.rename(path)  # replaces an empty folder too
    except OSError as fault:
        if fault.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        if first_wins:
            return
        require_free(path, overwrite=overwrite)  # another process took the name while this folder was filled
        if exchange_names(temporary, path):  # the old folder has the temporary name now
            return
        old = temporary.with_name(temporary.name + ".old")
        path.rename(old)
        try:
            temporary.rename(path)
        except BaseException:
            old.rename(path)
            raise
        remove(old)


@contextmanager
def _unfinished(path: Path, *, is_folder: bool) -> Iterator[Path]:
    """Give a locked file or folder beside `path`. At the end, remove whatever has its name.

    The suffix of `path` stays last: writers choose their format by it.
    """
    _remove_left_behind(path.parent)
    temporary, handle = _new_locked(path, is_folder=is_folder)
    try:
        yield temporary
    finally:
        os.close(handle)
        with suppress(OSError):
            remove(temporary)


def _new_locked(path: Path, *, is_folder: bool) -> tuple[Path, int]:
    """Make a file or folder with a new name beside `path`; return its path and the handle that keeps it locked."""
    while True:
        temporary = path.with_name(f"{UNFINISHED}{secrets.token_hex(8)}-{path.name}")
        if is_folder:
            temporary.mkdir()
        else:
            os.close(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | NO_LINK, 0o666))
        # Another process may have taken it for one that was left behind.
        if (handle := try_lock(temporary)) is not None:
            return temporary, handle


@cache
def _remove_left_behind(folder: Path) -> None:
    """Remove what killed processes have left unfinished in a folder; once in each process."""
    for entry in folder.iterdir():
        with suppress(OSError):  # it is another user's
            if _LEFT_BEHIND.match(entry.name) and (handle := try_lock(entry, certainly=True)) is not None:
                try:
                    remove(entry)
                finally:
                    os.close(handle)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from working in a folder, which is made if it is not there.

    The lock goes with its process, however it ends. On systems without such locks, other processes are not excluded.

    Raises:
        FolderInUseError: another process is at work in the folder.
        GliomasegError: the folder cannot be written, or its lock is a link.
    """
    file = folder / LOCK
    with _translated(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = _locked_file(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
        os.close(handle)


def _locked_file(file: Path) -> int:
    """Return the handle of a file that this process has locked. The file is made if it is missing."""
    while True:
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | NO_LINK, 0o666))
        if (handle := try_lock(file)) is not None:
            return handle
        if file.exists():  # if not, the run before has just ended
            cure = "wait for it, or name another --out"
            raise FolderInUseError("another run is at work here", where=file.parent, cure=cure)


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt on the first SIGTERM, so that unfinished files are removed as after Ctrl-C.

    Further ones are ignored: they would end the removal. Outside of the main thread, SIGTERM is not changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    old_handler = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old_handler)


def remove(path: Path) -> None:
    """Remove a file, or a folder with its content, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole, as UTF-8."""
    with new_file(path) as temporary:
        temporary.write_text(text, "utf-8")


def link(path: Path, other: Path) -> None:
    """Give a file a second name, which another file may have had. A disk without hard links gets a copy."""
    with new_file(other) as temporary:
        temporary.unlink()
        try:
            os.link(path, temporary)
        except OSError:
            shutil.copyfile(path, temporary)


def require_free(path: Path, *, overwrite: bool = False) -> None:
    """Raise an error if the target exists and is not an empty folder.

    Raises:
        OutputExistsError: `path` exists and `overwrite` is not set.
    """
    # A broken link exists, too.
    if overwrite or not os.path.lexists(path) or (path.is_dir() and not any(path.iterdir())):
        return
    raise OutputExistsError("exists already", where=path, cure="name another place")


def current_umask() -> int:
    """Return the permissions that new files of this process lack."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def is_disk_full(fault: OSError) -> bool:
    """Return whether a disk or a quota is full; NumPy reports a short write only in the error text."""
    return fault.errno in (errno.ENOSPC, errno.EDQUOT) or (
        fault.errno is None and re.search(r"\d+ requested and \d+ written", str(fault)) is not None
    )


def _sync_content(folder: Path) -> None:
    """Write the files of a folder, and their names, to the disk."""
    entries = [entry for entry in folder.rglob("*") if not entry.is_symlink()]
    if len(entries) > MANY_FILES and hasattr(os, "sync"):  # for thousands of files, one by one takes minutes
        os.sync()
        return
    for entry in entries:
        if entry.is_file():
            _sync(entry)
        elif entry.is_dir():
            _sync_folder(entry)
    _sync_folder(folder)


def _sync(file: Path) -> None:
    is_writable = os.access(file, os.W_OK)
    if os.name == "nt" and not is_writable:
        return
    # Windows flushes only files that are open for writing.
    with file.open("r+b" if is_writable else "rb") as handle:
        os.fsync(handle.fileno())


def _sync_folder(folder: Path) -> None:
    """Write the names of a folder's entries to the disk, where the system can."""
    with suppress(OSError):  # Windows and some network file systems refuse this
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        if is_disk_full(fault):
            raise ResourceError("the disk is full", where=path, cure="free some space and run again") from fault
        raise GliomasegError(
            f"cannot be written ({fault.strerror or fault})", where=path, cure="check the path and its permissions"
        ) from fault
