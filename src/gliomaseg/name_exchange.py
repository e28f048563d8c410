"""The exchange of two names in one step, so that neither is missing at any moment."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from pathlib import Path

_WORKING_FOLDER = -100  # AT_FDCWD of Linux
_EXCHANGE = 2  # RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS
_UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM)


def exchange_names(one: Path, other: Path) -> bool:
    """Exchange the names of two files or folders of one file system.

    Returns:
        False if the system or the file system cannot do this; nothing was changed then.

    Raises:
        OSError: a name does not exist, or the folder cannot be written.

    Source: renameat2(2) of Linux since 3.15, renamex_np(2) of macOS since 10.12.
    """
    names = os.fsencode(one), os.fsencode(other)
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            failed = library.renamex_np(*names, _EXCHANGE)
        else:
            failed = library.renameat2(_WORKING_FOLDER, names[0], _WORKING_FOLDER, names[1], _EXCHANGE)
    except (AttributeError, OSError, TypeError):  # Windows, or a C library without the function
        return False
    if not failed:
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), str(one))
