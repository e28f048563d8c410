"""The files of an upload: names on disk that the server makes, never those of the client."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from gliomaseg.formats import stem_of
from gliomaseg.naming import Role, parse_name

SEQUENCE_FIELDS = ("flair", "t1", "t1ce")
"""The fields of the form that name the sequence of their file."""
_NUMBER = re.compile(r"(\d{1,9})$")
_SUFFIX = re.compile(r"(\.nii|\.hdr|\.img|\.nrrd|\.mha|\.mhd|\.raw)?(\.[a-z0-9]{1,5})", re.ASCII)
_LONGEST_NAME = 255


def server_names(names: Sequence[str]) -> list[str]:
    """Return a relative path on disk for each file of an upload, all different.

    Only what the readers need is kept: which files lie in one folder, which names belong to one case, the sequence
    or mask that a name gives, its number, and its suffix. Everything else is a counter.

    >>> server_names(["a/Doe_flair_3.tif", "a/Doe_flair_3_mask.tif", "../../etc/passwd"])
    ['f1/case1_flair_3.tif', 'f1/case1_flair_3_mask.tif', 'f2/case2']

    Args:
        names: file names or relative paths, as the client gives them.
    """
    folders: dict[str, int] = {}
    cases: dict[tuple[int, str], int] = {}  # numbers differ between folders, so that messages can name the file
    taken: set[str] = set()
    result = []
    for name in names:
        path = PurePosixPath(name.replace("\\", "/"))
        folder = folders.setdefault(str(path.parent), len(folders) + 1)
        case, words, number = _meaning(path.name[-_LONGEST_NAME:])
        case_number = cases.setdefault((folder, case), len(cases) + 1)
        sequences = [word for word in words if word != Role.MASK]
        made = "_".join([f"case{case_number}", *sequences, *([number] if number else []), *words[len(sequences) :]])
        result.append(_free(f"f{folder}/{made}", suffix_of_name(path.name), taken))
    return result


def _meaning(name: str) -> tuple[str, list[str], str]:
    """Return the part of a name that identifies the case, its sequence and "mask", and its number."""
    stem = stem_of(Path(name)).lower()
    words: list[str] = []
    if stem.endswith("_mask"):
        stem, words = stem.removesuffix("_mask"), [str(Role.MASK)]
    match = _NUMBER.search(stem)
    number = match[1] if match else ""
    parsed = parse_name(stem)
    if parsed.role is not None and match and parse_name(stem[: match.start()]).role != parsed.role:
        number = ""  # the number belongs to the sequence, as in "t1"
    if parsed.role is not None:
        return parsed.case.removesuffix(number), [parsed.role.value, *words], number
    return stem.removesuffix(number), words, number


def suffix_of_name(name: str) -> str:
    """Return the suffix of a file name in lower case, such as ".nii.gz"; empty if there is none to keep."""
    match = re.search(_SUFFIX.pattern + "$", name.lower(), re.ASCII)
    if match is None or match.start() == 0:
        return ""
    return match[0] if not match[2][1:].isdigit() else ""


def _free(path: str, suffix: str, taken: set[str]) -> str:
    candidate, count = path + suffix, 1
    while candidate in taken:
        count += 1
        candidate = f"{path}.{count}{suffix}"
    taken.add(candidate)
    return candidate


def store(file: BinaryIO, target: Path) -> None:
    """Copy an uploaded file to disk.

    Raises:
        OSError: the disk is full.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    file.seek(0)
    with target.open("xb") as copy:
        shutil.copyfileobj(file, copy, 1 << 20)
