"""DICOM files in a folder or a zip, which is read in place and never extracted."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from gliomaseg.archive import declared_bytes
from gliomaseg.errors import FormatError, ResourceError
from gliomaseg.formats.dicom.errors import translated_errors

MAX_FILES = 100_000
# Elements of a header are read one by one: a file of millions of tiny elements would take minutes.
MAX_READS = 1_000_000
HEAD_BYTES = 132
MAGIC = b"DICM"
FILE_SUFFIXES = (".dcm", ".dicom", ".ima")
SUFFIXES = (*FILE_SUFFIXES, ".zip")
_SMALL_BYTES = 4_096
_CHECK = "check the source of the file"
_MAX_MEMBERS = 1_000
_INDEX = "DICOMDIR"  # an index of other files, without an image


@dataclass(frozen=True)
class Source:
    """One DICOM file.

    Attributes:
        name: for error messages: its path, or the archive's path and the member's name.
        size_bytes: its length, decompressed.
        open: opens it; a member of a zip is decompressed as it is read.
    """

    name: str
    size_bytes: int
    open: Callable[[], BinaryIO]


@dataclass(frozen=True)
class SourceFiles:
    """The DICOM files of a folder or zip, in the order of their names, and the number of other files."""

    sources: tuple[Source, ...]
    others: int


class LimitedFile:
    """A file with limits: on the bytes of one read (its own length), on the sum of all, and on the number of reads."""

    def __init__(self, file: BinaryIO, source: Source, *, max_bytes: int) -> None:
        self._file = file
        self._source = source
        self._left_bytes = max_bytes
        self._reads = 0

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, or all remaining bytes."""
        self._reads += 1
        if self._reads > MAX_READS:
            raise ResourceError(
                f"has a header of more than {MAX_READS:,} elements", where=self._source.name, cure=_CHECK
            )
        if 0 <= size <= _SMALL_BYTES:
            return self._file.read(size)
        remaining = max(self._source.size_bytes - self._file.tell(), 0)
        size = remaining if size < 0 else min(size, remaining)
        self._left_bytes -= size
        if self._left_bytes < 0:
            raise too_large(self._source.name)
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Set the position, as for files."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the position, in bytes from the start."""
        return self._file.tell()


def too_large(name: str) -> ResourceError:
    """Return the error of a file that needs more memory than the limit."""
    what = "needs more memory than the limit"
    cure = "check the source of the file, or raise the memory limit (--max-memory, in Python max_bytes)"
    return ResourceError(what, where=name, cure=cure)


def is_dicom(path: Path) -> bool:
    """Return whether a file is DICOM, by its suffix or its first bytes, or a zip of DICOM files.

    An unreadable zip counts as one: the error is then reported when it is read, and no patient is omitted silently.
    """
    try:
        if not path.is_file() or path.name == _INDEX:
            return False
        if path.suffix.lower() in FILE_SUFFIXES:
            return True
        if path.suffix.lower() == ".zip":
            return _is_zip_of_dicom(path)
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        return head.endswith(MAGIC) and len(head) == HEAD_BYTES
    except OSError:
        return False


def _is_zip_of_dicom(path: Path) -> bool:
    """Return whether one of the members of a zip is DICOM, by suffix or first bytes, or is unreadable."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if any(member.filename.lower().endswith(FILE_SUFFIXES) for member in members):
                return True
            for member in members[:_MAX_MEMBERS]:
                with archive.open(member) as file:
                    if file.read(HEAD_BYTES)[HEAD_BYTES - len(MAGIC) :] == MAGIC:
                        return True
    except Exception:  # BadZipFile, RuntimeError, NotImplementedError, ValueError, zlib.error, EOFError
        return True
    return False


@contextmanager
def open_source_files(path: Path) -> Iterator[SourceFiles]:
    """Return the DICOM files of a file, folder or zip; those of a zip can be open_source_files inside the block only.

    A file is DICOM if bytes 128 to 131 are `DICM`; a file with a suffix such as `.dcm` must have them. A folder is
    searched with its subfolders. Links to folders are not followed: they may be circular.

    Raises:
        FormatError: the path is missing, unreadable, a file of another format or an unsafe zip, or a file with the
            suffix of DICOM does not begin as DICOM.
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
        yield _dicom_sources(_files(path) if kind == "folder" else [_on_disk(path)], path)


def _path_kind(path: Path) -> str:
    if path.is_dir():
        return "folder"
    if not path.exists():
        raise FormatError("there is no such file or folder", where=path, cure="check the path")
    if not path.is_file():  # opening a pipe would wait for ever
        raise FormatError("is neither a file nor a folder", where=path, cure="pass a file or folder")
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head.startswith(b"PK"):
        return "zip"
    if not head.endswith(MAGIC) or len(head) < HEAD_BYTES:
        raise FormatError(
            "is not a DICOM file: bytes 128 to 131 are not DICM", where=path, cure="pass DICOM files, or a zip of them"
        )
    return "file"


def _dicom_sources(sources: list[Source], path: Path) -> SourceFiles:
    dicom: list[Source] = []
    for source in sources:
        if _is_dicom(source):
            dicom.append(source)
        elif source.name.lower().endswith(FILE_SUFFIXES):
            # If it were ignored, the last slice of a series could be missing without a message.
            what = "has the suffix of a DICOM file, and is empty, truncated or damaged"
            raise FormatError(what, where=source.name, cure="copy it again, or remove it")
    others = len(sources) - len(dicom)
    if not dicom:
        raise FormatError(f"has 0 DICOM files and {others:,} other files", where=path, cure="pass DICOM files")
    return SourceFiles(tuple(dicom), others)


def _is_dicom(source: Source) -> bool:
    with translated_errors(source.name), source.open() as file:
        return file.read(HEAD_BYTES)[-len(MAGIC) :] == MAGIC


def _files(folder: Path) -> list[Source]:
    paths: list[Path] = []
    with translated_errors(folder):
        for root, folders, names in os.walk(folder, onerror=_raise):
            folders.sort()
            paths += [Path(root, name) for name in sorted(names)]
            if len(paths) > MAX_FILES:
                raise ResourceError(f"has over {MAX_FILES:,} files", where=folder, cure="pass the folder of one series")
        # Pipes, devices and broken links are skipped.
        return [_on_disk(path) for path in paths if path.is_file()]


def _raise(fault: OSError) -> None:
    raise fault


def _on_disk(path: Path) -> Source:
    with translated_errors(path):
        return Source(_printable(str(path)), path.stat().st_size, lambda: path.open("rb"))


def _members(archive: zipfile.ZipFile, path: Path) -> list[Source]:
    members = sorted(
        (member for member in archive.infolist() if not member.is_dir()), key=lambda member: member.filename
    )
    return [
        Source(_printable(str(path / member.filename)), member.file_size, _opener(archive, member))
        for member in members
    ]


def _opener(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Callable[[], BinaryIO]:
    # Every seek backwards decompresses a member again from its start: the buffer avoids most of them.
    return lambda: io.BufferedReader(cast("io.RawIOBase", archive.open(member)), 1 << 16)


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
