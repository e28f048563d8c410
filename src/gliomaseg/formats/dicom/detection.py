"""What is DICOM among files, and which study it is of: for finding, before anything is read whole."""

from __future__ import annotations

import zipfile
from itertools import islice
from pathlib import Path

from gliomaseg.errors import GliomasegError
from gliomaseg.formats.dicom.files import HEAD_BYTES, MAGIC, SUFFIXES, Source

_MOST_TRIED = 5
_MOST_MEMBERS = 1_000
_INDEX = "DICOMDIR"  # lists what the other files hold, and is none of them


def is_dicom(path: Path) -> bool:
    """Return whether a file is DICOM by its name or its first bytes, or a zip of such.

    A zip that cannot be looked into counts as one: its fault is told when it is read, or a patient would be left
    out without a word.
    """
    try:
        if not path.is_file() or path.name == _INDEX:
            return False
        if path.suffix.lower() in SUFFIXES:
            return True
        if path.suffix.lower() == ".zip":
            return _holds_dicom(path)
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        return head.endswith(MAGIC) and len(head) == HEAD_BYTES
    except OSError:
        return False


def _holds_dicom(path: Path) -> bool:
    """Return whether one of the members of a zip is DICOM, by name or first bytes, or cannot be looked at."""
    try:
        with zipfile.ZipFile(path) as box:
            members = [member for member in box.infolist() if not member.is_dir()]
            if any(member.filename.lower().endswith(SUFFIXES) for member in members):
                return True
            for member in members[:_MOST_MEMBERS]:
                with box.open(member) as file:
                    if file.read(HEAD_BYTES)[HEAD_BYTES - len(MAGIC) :] == MAGIC:
                        return True
    except Exception:  # zipfile raises its own, RuntimeError, NotImplementedError, ValueError, zlib.error, EOFError
        return True
    return False


def study_of(folder: Path) -> str:
    """Return the StudyInstanceUID of the first MR image that lies in a folder; the empty text if none says it."""
    from gliomaseg.formats.dicom.elements import uid
    from gliomaseg.formats.dicom.headers import HEADER_BYTES, read

    for file in islice((entry for entry in sorted(folder.iterdir()) if is_dicom(entry)), _MOST_TRIED):
        source = Source(str(file), file.stat().st_size, lambda file=file: file.open("rb"))  # type: ignore[misc]
        try:
            _, header = read(source, pixels=False, most_bytes=HEADER_BYTES)
        except GliomasegError:  # it is told when the series is read
            continue
        if study := uid(header, "StudyInstanceUID"):
            return study
    return ""
