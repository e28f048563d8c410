"""Names of results: unique, also where capital letters do not count, and traceable to the input."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

_INVALID = re.compile(r'[<>:"/\\|?*\x00-\x1f]')  # in file names of Windows
_RESERVED = re.compile(r"con|prn|aux|nul|com\d|lpt\d", re.IGNORECASE)
_MOST_BYTES = 180  # file systems allow 255: the rest is for the suffixes of results and of unfinished files
# Folders that say nothing about the case.
GENERIC_FOLDERS = frozenset(
    {"anat", "func", "image", "images", "imagestr", "imagests", "img", "imgs", "mr", "mri", "nifti", "nii", "raw"}
)


@dataclass(frozen=True)
class NamedPath:
    """A file or folder to name results after.

    Attributes:
        path: the file or folder.
        stem: its name without suffix.
        suffix: its suffix, with the dot; empty for a folder.
        root: the searched folder if the path lies in a subfolder of it and does not name the case; else None.
    """

    path: Path
    stem: str
    suffix: str = ""
    root: Path | None = None


def portable_name(name: str) -> str:
    """Return a name that every file system accepts: characters that Windows refuses become `_`.

    A name of more than 180 bytes is cut, and gets a digest of the whole name at its end.

    >>> portable_name("a:b?"), portable_name("nul"), portable_name("Übung 1")
    ('a_b_', 'nul_', 'Übung 1')
    """
    name = _INVALID.sub("_", name).rstrip(" .") or "_"
    if _RESERVED.fullmatch(name):
        return f"{name}_"
    return name if len(os.fsencode(name)) <= _MOST_BYTES else _shortened(name)


def _shortened(name: str) -> str:
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
    start = os.fsencode(name)[: _MOST_BYTES - len(digest) - 1]
    return f"{start.decode('utf-8', 'ignore')}-{digest}"


def unique_names(paths: Sequence[NamedPath]) -> list[str]:
    """Return a name for each path, no two of them equal if capital letters do not count.

    A path that needs it, and each of several paths with one name, gets the names of its folders in front, from the
    top, until the names differ. Files that differ in the suffix only get the suffix, others a number.
    """
    names = [portable_name(path.stem) for path in paths]
    for group in _groups(paths, lambda k: paths[k].root, skip=None):
        _prefix(names, paths, group, root=paths[group[0]].root)
    for group in _groups(paths, lambda k: _folded(names[k])):
        _prefix(names, paths, group, root=None)
    for group in _groups(paths, lambda k: _folded(names[k])):
        for k in group if len({paths[k].suffix for k in group}) > 1 else ():
            names[k] += paths[k].suffix.replace(".", "_")
    return _numbered(names)


def _numbered(names: Sequence[str]) -> list[str]:
    """Add a number to each of several equal names."""
    total, seen = Counter(map(_folded, names)), set(map(_folded, names))
    unique = []
    for name in names:
        new, number = name, 1
        while total[_folded(name)] > 1 and (new == name or _folded(new) in seen):
            new, number = f"{name}_{number}", number + 1
        seen.add(_folded(new))
        unique.append(new)
    return unique


def _groups(paths: Sequence[NamedPath], key: Callable[[int], Hashable], skip: Hashable = ...) -> list[list[int]]:
    """Return the positions with the same key: groups of two or more, or all groups but the one of a key to skip."""
    groups: dict[Hashable, list[int]] = {}
    for k in range(len(paths)):
        groups.setdefault(key(k), []).append(k)
    return [group for name, group in groups.items() if (len(group) > 1 if skip is ... else name != skip)]


def _prefix(names: list[str], paths: Sequence[NamedPath], group: Sequence[int], *, root: Path | None) -> None:
    """Put the names of folders in front of the names of a group, as many as make them different."""
    folders = _folders([paths[k].path for k in group], root)
    for depth in range(1, max(map(len, folders), default=0) + 1):
        for k, parts in zip(group, folders, strict=True):
            names[k] = portable_name("_".join([*parts[:depth], paths[k].stem]))
        if len({_folded(names[k]) for k in group}) == len(group):
            return


def _folders(paths: Sequence[Path], root: Path | None) -> list[tuple[str, ...]]:
    """Return the folders of each path below the folder that all of them share.

    If a root is given, each path lies below it and has at least one folder: the common folder is then taken higher.
    """
    parents = [Path(os.path.abspath(path)).parent for path in paths]  # noqa: PTH100 - links keep their names
    try:
        common = Path(os.path.commonpath(parents))
    except ValueError:  # on different drives
        return [parent.parts[1:] for parent in parents]
    if root is not None:
        top = Path(os.path.abspath(root))  # noqa: PTH100
        while common != top and any(_is_generic(parent.relative_to(common).parts) for parent in parents):
            common = common.parent
    return [parent.relative_to(common).parts for parent in parents]


def _is_generic(parts: tuple[str, ...]) -> bool:
    return not parts or parts[0].lower() in GENERIC_FOLDERS


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
