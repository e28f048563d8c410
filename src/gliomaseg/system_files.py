"""Files that macOS, Windows or a file server leave in folders and zips, and that are never a user's data."""

from __future__ import annotations

import re
from pathlib import PurePath

_FILES = frozenset({".ds_store", ".localized", "desktop.ini", "ehthumbs.db", "icon\r", "thumbs.db"})
_FOLDERS = frozenset(
    {"$recycle.bin", ".fseventsd", ".spotlight-v100", ".trashes", "@eadir", "__macosx", "system volume information"}
)


UNFINISHED_SUFFIXES = (".crdownload", ".download", ".filepart", ".part", ".partial")
"""The suffixes that browsers and copying programs add to a file until it is complete."""


def is_system_file(path_or_name: str | PurePath) -> bool:
    """Return whether a file was made by an operating system, by its name or by a folder in its path.

    These are AppleDouble files (`._name`), `.DS_Store`, `Thumbs.db`, `desktop.ini`, all files below `__MACOSX`, and the
    like. Capital letters do not matter, and the parts of a path may be joined by slashes or backslashes.

    >>> is_system_file("scan/._slice_1.tif"), is_system_file("__MACOSX/scan/a.dcm"), is_system_file("scan/a.dcm")
    (True, True, False)
    """
    parts = [part.lower() for part in re.split(r"[/\\]", str(path_or_name))]
    return parts[-1].startswith("._") or parts[-1] in _FILES or not _FOLDERS.isdisjoint(parts)
