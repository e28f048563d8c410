"""Locks of files and folders that go with the process that holds them, however it ends."""

from __future__ import annotations

import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nothing is locked
    fcntl = None  # type: ignore[assignment]

NO_LINK = getattr(os, "O_NOFOLLOW", 0)


def try_lock(path: Path, *, certainly: bool = False) -> int | None:
    """Lock a file or folder until the returned handle is closed.

    Args:
        path: of a file or folder; a link is not followed.
        certainly: return None if the system or the file system has no locks. By default, a handle without a lock is
            returned there.

    Returns:
        The handle, or None if another process has locked the file or has removed it.

    Raises:
        OSError: it cannot be opened, or is a link.
    """
    try:
        handle = _open(path)
    except FileNotFoundError:
        return None
    if _is_locked(handle, otherwise=not certainly) and _is_open_as(handle, path):
        return handle
    os.close(handle)
    return None


def _open(path: Path) -> int:
    if not fcntl:  # an open file cannot be renamed on Windows
        return os.open(os.devnull, os.O_RDONLY)
    # NFS locks a file only if it is open for writing. A pipe is opened without waiting.
    flags = os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_NONBLOCK
    return os.open(path, flags | NO_LINK)


def _is_locked(handle: int, *, otherwise: bool) -> bool:
    """Lock a handle, and return whether this succeeded; `otherwise` if the system has no locks."""
    if not fcntl:
        return otherwise
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return otherwise
    return True


def _is_open_as(handle: int, path: Path) -> bool:
    """Return whether a handle is of the file or folder that has this path now."""
    try:
        return not fcntl or os.path.samestat(os.fstat(handle), path.lstat())
    except FileNotFoundError:
        return False
