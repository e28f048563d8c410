"""The files of a folder or zip in which DICOM is searched, by their names alone; a zip is never extracted."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

from gliomaseg.archive import is_folder, member_name
from gliomaseg.errors import FormatError, ResourceError
from gliomaseg.formats.dicom.errors import translated_errors
from gliomaseg.formats.dicom.file_kinds import PREAMBLE_BYTES
from gliomaseg.system_files import is_system_file

MAX_FILES = 100_000
_MAX_HIDDEN = 1_000  # files of one hidden folder, such as .git, that are looked at
_MOST_LEVELS = 8  # the components of a path in a DICOMDIR
_INDEX = "DICOMDIR"  # an index of other files, without an image
IS_INDEX = "is an index (DICOMDIR), without an image"


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


@dataclass
class Listing:
    """The files of a folder or zip: those that may be DICOM, links to missing files, other files, and DICOMDIRs."""

    sources: list[Source] = field(default_factory=list)
    broken_links: list[Source] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    hidden: dict[str, list[Source]] = field(default_factory=dict)
    indexes: list[Source] = field(default_factory=list)


def is_index(path: Path) -> bool:
    """Return whether a file is a DICOMDIR by its name: an index of other files, without an image."""
    return path.name.upper() == _INDEX and path.is_file()


def index_error(name: str) -> FormatError:
    """Return the error of a DICOMDIR that is passed as an input."""
    return FormatError(IS_INDEX, where=name, cure="pass the folder that contains it")


def list_folder(folder: Path) -> Listing:
    """Return the files in a folder and its subfolders. Links to folders are not followed.

    The folder may be part of a disc, so the DICOMDIRs above it belong to the list too.

    Raises:
        FormatError: the folder cannot be read.
        ResourceError: there are more than 100,000 files.
    """
    listing, count = Listing(), 0
    with translated_errors(folder):
        parents = islice(folder.absolute().parents, _MOST_LEVELS)
        above = (parent / name for parent in parents for name in (_INDEX, _INDEX.lower()))
        listing.indexes = [_relative_source(path, os.path.relpath(path, folder)) for path in above if path.is_file()]
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


def _add_hidden(listing: Listing, path: Path, folder: Path) -> None:
    """Add some files of a hidden folder; it may be unreadable."""
    relative = str(path.relative_to(folder))
    if path.is_symlink() or is_system_file(relative):
        return
    inside = (Path(root, name) for root, _, names in os.walk(path) for name in names)
    files = [file for file in islice(inside, _MAX_HIDDEN) if file.is_file()]
    if files:
        listing.hidden[_printable(relative)] = [source_of(file) for file in sorted(files)]


def _add(listing: Listing, path: Path, folder: Path) -> None:
    """Add a file to the list of its kind; of folders, only links are listed."""
    relative = _printable(str(path.relative_to(folder)))
    if is_index(path):
        listing.indexes.append(_relative_source(path, relative))
    reason = _reason_to_skip(path, relative)
    if reason:
        listing.skipped.append(Skipped(relative, reason))
    elif path.is_file():
        listing.sources.append(_relative_source(path, relative))
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


def _relative_source(path: Path, relative: str) -> Source:
    return replace(source_of(path), relative=relative)


def source_of(path: Path) -> Source:
    """Return a file on disk as a source, with the position of its first element.

    Raises:
        FormatError: it cannot be read.
    """
    with translated_errors(path):
        name = _printable(str(path))
        return Source(name, path.stat().st_size, lambda: path.open("rb"), relative=_printable(path.name))


def list_zip(archive: zipfile.ZipFile, path: Path) -> Listing:
    """Return the members of an open zip; they can be read until it is closed."""
    listing = Listing()
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
                inside.append(_member_source(archive, member, path))
            continue
        if is_system_file(name):
            listing.skipped.append(Skipped(relative, "is a file of the operating system"))
        elif parts[-1].upper() == _INDEX:
            listing.skipped.append(Skipped(relative, IS_INDEX))
            listing.indexes.append(_member_source(archive, member, path))
        else:
            listing.sources.append(_member_source(archive, member, path))
    return listing


def _member_source(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> Source:
    name = member_name(member)
    return Source(_printable(str(path / name)), member.file_size, _opener(archive, member), _printable(name))


def _opener(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Callable[[], BinaryIO]:
    # Every seek backwards decompresses a member again from its start: the buffer avoids most of them.
    return lambda: io.BufferedReader(cast("io.RawIOBase", archive.open(member)), 1 << 16)


def _reraise(fault: OSError) -> None:
    raise fault


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
