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
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, NoReturn

from gliomaseg.errors import GliomasegError, OutputExistsError, ResourceError, UsageError

LOCK = ".lock"
UNFINISHED = ".gliomaseg-"
"""The names of unfinished files and folders start with this; a killed process leaves them."""
MANY_FILES = 500


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
        temporary = _unfinished(path)
        try:
            yield temporary
            _sync(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


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
        temporary = _unfinished(path)
        temporary.mkdir()
        try:
            yield temporary
            _sync_all([file for file in temporary.rglob("*") if file.is_file()])
            _take_name(temporary, path, overwrite=overwrite, first_wins=first_wins)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _take_name(temporary: Path, path: Path, *, overwrite: bool, first_wins: bool) -> None:
    try:
        temporary.rename(path)  # replaces an empty folder too
    except OSError as fault:
        if fault.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        if first_wins:
            return
        require_free(path, overwrite=overwrite)  # another process took the name while this folder was filled
        old = temporary.with_name(temporary.name + ".old")
        path.rename(old)
        try:
            temporary.rename(path)
        except BaseException:
            old.rename(path)
            raise
        remove(old)


def _unfinished(path: Path) -> Path:
    """Return a new name beside `path`. The suffix stays last: writers choose their format by it."""
    return path.with_name(f"{UNFINISHED}{secrets.token_hex(4)}-{path.name}")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from working in a folder, which is made if it is not there.

    The lock goes with its process, however it ends. On systems without such locks, other processes are not excluded.

    Raises:
        UsageError: another process is at work in the folder.
        GliomasegError: the folder cannot be written.
    """
    file = folder / LOCK
    with _translated(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = file.open("w")
    try:
        _take_lock(handle, folder)
        try:
            yield
        finally:
            file.unlink(missing_ok=True)
    finally:
        handle.close()


def _take_lock(handle: IO[str], folder: Path) -> None:
    try:
        import fcntl  # not on Windows
    except ImportError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as fault:
        raise UsageError(
            "another run is at work here", where=folder, cure="wait for it, or name another --out"
        ) from fault


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


def _sync_all(files: list[Path]) -> None:
    if len(files) > MANY_FILES and hasattr(os, "sync"):  # for thousands of files, one by one takes minutes
        os.sync()
        return
    for file in files:
        _sync(file)


def _sync(file: Path) -> None:
    is_writable = os.access(file, os.W_OK)
    if os.name == "nt" and not is_writable:
        return
    # Windows flushes only files that are open for writing.
    with file.open("r+b" if is_writable else "rb") as handle:
        os.fsync(handle.fileno())


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
