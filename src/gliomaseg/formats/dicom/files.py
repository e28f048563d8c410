"""DICOM files in a folder or a zip, which is read in place and never extracted."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from gliomaseg.archive import declared_bytes, is_folder, member_name
from gliomaseg.errors import FormatError
from gliomaseg.formats.dicom.errors import translated_errors
from gliomaseg.formats.dicom.file_kinds import (
    FILE_SUFFIXES,
    HEAD_BYTES,
    SliceNames,
    dicom_start,
    other_kind,
    transfer_syntax,
)
from gliomaseg.formats.dicom.sources import (
    Listing,
    Skipped,
    Source,
    index_error,
    is_index,
    list_folder,
    list_zip,
    source_of,
)
from gliomaseg.system_files import is_system_file

SUFFIXES = (*FILE_SUFFIXES, ".zip")
_MOST_MEMBERS = 20_000  # of a zip; a series has some hundreds
_MOST_TRIED = 1_000
_MAX_NAMED = 20
_EMPTY, _ZEROS, _UNKNOWN = "empty", "filled with zeros", "damaged or of an unknown format"
_BROKEN_LINK = "linked to a missing file"
UNREADABLE = {_EMPTY, _ZEROS, _UNKNOWN, _BROKEN_LINK}


@dataclass(frozen=True)
class SourceFiles:
    """The DICOM files of a folder or zip, in the order of their names, and the other files.

    Attributes:
        sources: the DICOM files.
        skipped: the other files, but for those in hidden folders.
        hidden: up to 1,000 files of any kind in each hidden folder, by the folder's path.
        indexes: the DICOMDIRs in the folder or zip and above the folder.
    """

    sources: tuple[Source, ...]
    skipped: tuple[Skipped, ...]
    hidden: dict[str, list[Source]] = field(default_factory=dict)
    indexes: tuple[Source, ...] = ()


def skipped_lines(skipped: Sequence[Skipped]) -> tuple[str, ...]:
    """Return `<name>: <reason>` for each file; if more than 20 have one reason, the number of the others."""
    counts: Counter[str] = Counter()
    lines = []
    for file in skipped:
        counts[file.reason] += 1
        if counts[file.reason] <= _MAX_NAMED:
            lines.append(f"{file.name}: {file.reason}")
    lines += [f"{count - _MAX_NAMED:,} more files: {why}" for why, count in counts.items() if count > _MAX_NAMED]
    return tuple(lines)


def is_dicom(path: Path) -> bool:
    """Return whether a file is DICOM, by its suffix or its first bytes, or a zip of DICOM files.

    Files of the operating system and a DICOMDIR are not. An unreadable zip counts as DICOM: the error is then reported
    when it is read, and no patient is omitted silently.
    """
    try:
        if is_system_file(path.name) or is_index(path) or not path.is_file():
            return False
        if path.suffix.lower() in FILE_SUFFIXES:
            return True
        if path.suffix.lower() == ".zip":
            return _is_zip_of_dicom(path)
        with path.open("rb") as file:
            return dicom_start(file.read(HEAD_BYTES)) is not None
    except OSError:
        return False


def _is_zip_of_dicom(path: Path) -> bool:
    """Return whether one of the members of a zip is DICOM, by suffix or first bytes, or is unreadable."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if _is_data(member)]
            if any(member_name(member).lower().endswith(FILE_SUFFIXES) for member in members):
                return True
            for member in members[:_MOST_TRIED]:
                with archive.open(member) as file:
                    if dicom_start(file.read(HEAD_BYTES)) is not None:
                        return True
    except Exception:  # BadZipFile, RuntimeError, NotImplementedError, ValueError, zlib.error, EOFError
        return True
    return False


def _is_data(member: zipfile.ZipInfo) -> bool:
    return not is_folder(member) and not is_system_file(member_name(member))


@contextmanager
def open_source_files(path: Path) -> Iterator[SourceFiles]:
    """Return the DICOM files of a file, folder or zip; those of a zip can be opened inside the block only.

    A file is DICOM by its first bytes; the preamble and the mark DICM may be missing. A folder is searched with its
    subfolders, but for hidden ones. Links to folders are not followed: they may be circular.

    Raises:
        FormatError: the path is missing, unreadable, a file of another format or an unsafe zip; or a file that is not
            DICOM may be a slice, by its name: it is empty, damaged, or a link to a missing file.
        ResourceError: there are more than 100,000 files, or a zip exceeds the limits.
    """
    with translated_errors(path):
        kind = _path_kind(path)
    if kind == "zip":
        with translated_errors(path):
            declared_bytes(path, most_members=_MOST_MEMBERS)
            archive = zipfile.ZipFile(path)
        with archive:
            yield _dicom_sources(list_zip(archive, path), path)
    else:
        yield _dicom_sources(list_folder(path) if kind == "folder" else Listing([source_of(path)]), path)


def _path_kind(path: Path) -> str:
    if path.is_dir():
        return "folder"
    if is_index(path):
        raise index_error(str(path))
    if not path.exists():
        raise FormatError("there is no such file or folder", where=path, cure="check the path")
    if not path.is_file():  # opening a pipe would wait for ever
        raise FormatError("is neither a file nor a folder", where=path, cure="pass a file or folder")
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head.startswith(b"PK"):
        return "zip"
    if dicom_start(head) is None:
        what = f"is not a DICOM file, but {_state(head)}"
        raise FormatError(what, where=path, cure="pass DICOM files, or a zip of them; or copy it again")
    return "file"


def _state(head: bytes) -> str:
    """Return the state of a file that is not DICOM."""
    if not any(head):
        return _ZEROS if head else _EMPTY
    return other_kind(head) or _UNKNOWN


def _dicom_sources(listing: Listing, path: Path) -> SourceFiles:
    dicom: list[Source] = []
    other = [(source, _BROKEN_LINK) for source in listing.broken_links]
    for source in listing.sources:
        located, state = locate(source)
        if located is None:
            other.append((source, state))
        else:
            dicom.append(located)
    names = SliceNames(source.relative for source in dicom)
    for source, state in sorted(other, key=lambda entry: entry[0].relative):
        # If such a file were ignored, the last slice of a series could be missing without a message.
        if names.may_include(source.relative, known_kind=state not in UNREADABLE):
            what = f"has the name of a DICOM file, and is {state}"
            raise FormatError(what, where=source.name, cure="copy it again, or remove it")
    skipped = [*listing.skipped, *(Skipped(source.relative, f"is {state}") for source, state in other)]
    if not dicom:
        raise FormatError(f"has 0 DICOM files and {len(skipped):,} other files", where=path, cure="pass DICOM files")
    return SourceFiles(tuple(dicom), tuple(skipped), listing.hidden, tuple(listing.indexes))


def locate(source: Source) -> tuple[Source | None, str]:
    """Return a DICOM file with the position of its first element; or None and the state of another file.

    Raises:
        FormatError: it cannot be read.
    """
    with translated_errors(source.name), source.open() as file:
        head = file.read(HEAD_BYTES)
    start = dicom_start(head)
    if start is None:
        return None, _state(head)
    data = head[start:]  # the file header may be missing behind the mark DICM too
    syntax = "" if data[:2] == b"\x02\x00" else transfer_syntax(data)
    return replace(source, start=start, syntax=syntax), ""
