"""Files that an operating system leaves beside a user's files, such as `._scan.dcm` of macOS."""

from __future__ import annotations

from pathlib import PurePath

_NAMES = frozenset({".ds_store", "thumbs.db", "desktop.ini"})
_FOLDER = "__MACOSX"
_APPLE_DOUBLE = "._"


def is_system_file(path: str | PurePath) -> bool:
    """Return whether a file belongs to macOS or Windows and is therefore no data of the user.

    These are `._*` (AppleDouble), `.DS_Store`, `Thumbs.db`, `desktop.ini`, and everything below `__MACOSX`.

    >>> is_system_file("series/._0001.dcm"), is_system_file("__MACOSX/a.tif"), is_system_file("series/0001.dcm")
    (True, True, False)
    """
    path = PurePath(path)
    return path.name.startswith(_APPLE_DOUBLE) or path.name.lower() in _NAMES or _FOLDER in path.parts
