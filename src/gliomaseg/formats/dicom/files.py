"""DICOM files in a folder or a zip, which is read in place and never extracted."""

from __future__ import annotations

import io
import os
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

from gliomaseg.archive import declared_bytes, is_folder, member_name
from gliomaseg.errors import FormatError, ResourceError
from gliomaseg.formats.dicom.errors import translated_errors
from gliomaseg.formats.dicom.file_kinds import (
    FILE_SUFFIXES,
    HEAD_BYTES,
    PREAMBLE_BYTES,
    SliceNames,
    dicom_start,
    other_kind,
    transfer_syntax,
)
from gliomaseg.system_files import is_system_file

MAX_FILES = 100_000
SUFFIXES = (*FILE_SUFFIXES, ".zip")
_MAX_MEMBERS = 1_000
_MAX_HIDDEN = 1_000  # files of one hidden folder, such as .git, that are looked at
_INDEX = "DICOMDIR"  # an index of other files, without an image
IS_INDEX = "is an index (DICOMDIR), without an image"
_MAX_NAMED = 20
_EMPTY, _ZEROS, _UNKNOWN = "empty", "filled with zeros", "damaged or of an unknown format"
_BROKEN_LINK = "linked to a missing file"
UNREADABLE = {_EMPTY, _ZEROS, _UNKNOWN, _BROKEN_LINK}


@dataclass(frozen=True)
class Source:
    """One file of a folder or zip.

    Attributes:
        name: for error messages: its path, or the archive's path and the member's name.
        size_bytes: its length, decompressed.
        open: opens it; a member of a zip is decompressed as it is read.
        relative: its path within the folder or zip.
        start: the position of its first element: behind the preamble and the mark DICM, or 0 if it has none.
        syntax: the transfer syntax of a data set without a file header; otherwise empty.
    """

    name: str
    size_bytes: int
    open: Callable[[], BinaryIO]
    relative: str = ""
    start: int = PREAMBLE_BYTES
    syntax: str = ""


@dataclass(frozen=True)
class Skipped:
    """A file that is not read, by its path within the folder or zip, and the reason."""

    name: str
    reason: str


@dataclass(frozen=True)
class SourceFiles:
    """The DICOM files of a folder or zip, in the order of their names, and the other files.

    Attributes:
        sources: the DICOM files.
        skipped: the other files, but for those in hidden folders.
        hidden: up to 1,000 files of any kind in each hidden folder, by the folder's path.
    """

    sources: tuple[Source, ...]
    skipped: tuple[Skipped, ...]
    hidden: dict[str, list[Source]] = field(default_factory=dict)


@dataclass
class _Listing:
    """The files of a folder or zip that may be DICOM, the links to missing files, and the other files."""

    sources: list[Source] = field(default_factory=list)
    broken_links: list[Source] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    hidden: dict[str, list[Source]] = field(default_factory=dict)


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


def is_index(path: Path) -> bool:
    """Return whether a file is a DICOMDIR by its name: an index of other files, without an image."""
    return path.name.upper() == _INDEX and path.is_file()


def _is_zip_of_dicom(path: Path) -> bool:
    """Return whether one of the members of a zip is DICOM, by suffix or first bytes, or is unreadable."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if _is_data(member)]
            if any(member_name(member).lower().endswith(FILE_SUFFIXES) for member in members):
                return True
            for member in members[:_MAX_MEMBERS]:
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
            declared_bytes(path)
            archive = zipfile.ZipFile(path)
        with archive:
            yield _dicom_sources(_members(archive, path), path)
    else:
        yield _dicom_sources(_files(path) if kind == "folder" else _Listing([source_of(path)]), path)


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


def index_error(name: str) -> FormatError:
    """Return the error of a DICOMDIR that is passed as an input."""
    return FormatError(IS_INDEX, where=name, cure="pass the folder that contains it")


def _state(head: bytes) -> str:
    """Return the state of a file that is not DICOM."""
    if not any(head):
        return _ZEROS if head else _EMPTY
    return other_kind(head) or _UNKNOWN


def _dicom_sources(listing: _Listing, path: Path) -> SourceFiles:
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
    return SourceFiles(tuple(dicom), tuple(skipped), listing.hidden)


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


def _files(folder: Path) -> _Listing:
    listing, count = _Listing(), 0
    with translated_errors(folder):
        for root, folders, names in os.walk(folder, onerror=_reraise):
            for name in sorted(name for name in folders if name.startswith(".")):
                _add_hidden(listing, Path(root, name), folder)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            count += len(names)
            if count > MAX_FILES:
                raise ResourceError(f"has over {MAX_FILES:,} files", where=folder, cure="pass the folder of one series")
            for path in [Path(root, name) for name in [*folders, *sorted(names)]]:
                _add(listing, path, folder)
    return listing


def _add_hidden(listing: _Listing, path: Path, folder: Path) -> None:
    """Add some files of a hidden folder; it may be unreadable."""
    relative = str(path.relative_to(folder))
    if path.is_symlink() or is_system_file(relative):
        return
    inside = (Path(root, name) for root, _, names in os.walk(path) for name in names)
    files = [file for file in islice(inside, _MAX_HIDDEN) if file.is_file()]
    if files:
        listing.hidden[_printable(relative)] = [source_of(file) for file in sorted(files)]


def _add(listing: _Listing, path: Path, folder: Path) -> None:
    """Add a file to the list of its kind; of folders, only links are listed."""
    relative = _printable(str(path.relative_to(folder)))
    reason = _reason_to_skip(path, relative)
    if reason:
        listing.skipped.append(Skipped(relative, reason))
    elif path.is_file():
        listing.sources.append(replace(source_of(path), relative=relative))
    elif not path.is_dir():
        listing.broken_links.append(Source(_printable(str(path)), 0, io.BytesIO, relative))


def _reason_to_skip(path: Path, relative: str) -> str:
    if is_system_file(relative):
        return "is a file of the operating system" if not path.is_dir() else ""
    if is_index(path):
        return IS_INDEX
    if path.is_symlink() and path.is_dir():
        return "is a link to a folder, which is not followed"
    is_special = path.exists() and not path.is_file() and not path.is_dir()
    return "is a pipe or a device" if is_special else ""


def source_of(path: Path) -> Source:
    """Return a file on disk as a source, with the position of its first element.

    Raises:
        FormatError: it cannot be read.
    """
    with translated_errors(path):
        name = _printable(str(path))
        return Source(name, path.stat().st_size, lambda: path.open("rb"), relative=_printable(path.name))


def _members(archive: zipfile.ZipFile, path: Path) -> _Listing:
    listing = _Listing()
    for member in sorted(archive.infolist(), key=member_name):
        name = member_name(member)
        parts = name.split("/")
        relative = _printable(name)
        if is_folder(member):
            continue
        hidden = next((k for k, part in enumerate(parts[:-1], start=1) if part.startswith(".") and part != "."), 0)
        if hidden:
            inside = listing.hidden.setdefault(_printable("/".join(parts[:hidden])), [])
            if len(inside) < _MAX_HIDDEN and not is_system_file(name):
                inside.append(
                    Source(_printable(str(path / name)), member.file_size, _opener(archive, member), relative)
                )
            continue
        if is_system_file(name):
            listing.skipped.append(Skipped(relative, "is a file of the operating system"))
        elif parts[-1].upper() == _INDEX:
            listing.skipped.append(Skipped(relative, IS_INDEX))
        else:
            where = _printable(str(path / name))
            listing.sources.append(Source(where, member.file_size, _opener(archive, member), relative))
    return listing


def _opener(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Callable[[], BinaryIO]:
    # Every seek backwards decompresses a member again from its start: the buffer avoids most of them.
    return lambda: io.BufferedReader(cast("io.RawIOBase", archive.open(member)), 1 << 16)


def _reraise(fault: OSError) -> None:
    raise fault


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
