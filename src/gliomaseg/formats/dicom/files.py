"""Where DICOM files lie: a file, a folder, or a zip, which is read in place and never unpacked."""

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
# Elements of a header are read one by one: a file of nothing but tiny ones would take minutes.
MAX_READS = 1_000_000
HEAD_BYTES = 132
MAGIC = b"DICM"
FILE_SUFFIXES = (".dcm", ".dicom", ".ima")
SUFFIXES = (*FILE_SUFFIXES, ".zip")
_SMALL_BYTES = 4_096
_MOST_MEMBERS = 1_000
_INDEX = "DICOMDIR"  # lists what the other files hold, and is none of them


@dataclass(frozen=True)
class Source:
    """One DICOM file.

    Attributes:
        name: what errors call it: its path, or the archive's path and the member's name.
        size_bytes: its length, unpacked.
        open: opens it; a member of a zip is inflated as it is read.
    """

    name: str
    size_bytes: int
    open: Callable[[], BinaryIO]


@dataclass(frozen=True)
class Found:
    """The DICOM files of a place, in the order of their names, and how many other files lie there."""

    sources: tuple[Source, ...]
    others: int


class Guarded:
    """A file that never sets memory aside for more than it holds, nor gives more than a limit, nor is read for ever."""

    def __init__(self, file: BinaryIO, source: Source, *, most_bytes: int) -> None:
        self._file = file
        self._source = source
        self._left_bytes = most_bytes
        self._reads = 0

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, or all that is left."""
        self._reads += 1
        if self._reads > MAX_READS:
            raise ResourceError(f"has a header of more than {MAX_READS:,} elements", where=self._source.name)
        if 0 <= size <= _SMALL_BYTES:
            return self._file.read(size)
        held = max(self._source.size_bytes - self._file.tell(), 0)
        size = held if size < 0 else min(size, held)
        self._left_bytes -= size
        if self._left_bytes < 0:
            raise too_large(self._source.name)
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place, as files do."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the place, in bytes from the start."""
        return self._file.tell()


def too_large(name: str) -> ResourceError:
    """Return the fault of a file that asks for more memory than it may."""
    what = "would take more memory than it may"
    return ResourceError(what, where=name, cure="raise --max-memory, or check where it comes from")


def is_dicom(path: Path) -> bool:
    """Return whether a file is DICOM by its name or its first bytes, or a zip of such.

    A zip that cannot be looked into counts as one: its fault is told when it is read, or a patient would be left
    out without a word.
    """
    try:
        if not path.is_file() or path.name == _INDEX:
            return False
        if path.suffix.lower() in FILE_SUFFIXES:
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
            if any(member.filename.lower().endswith(FILE_SUFFIXES) for member in members):
                return True
            for member in members[:_MOST_MEMBERS]:
                with box.open(member) as file:
                    if file.read(HEAD_BYTES)[HEAD_BYTES - len(MAGIC) :] == MAGIC:
                        return True
    except Exception:  # zipfile raises its own, RuntimeError, NotImplementedError, ValueError, zlib.error, EOFError
        return True
    return False


@contextmanager
def opened(path: Path) -> Iterator[Found]:
    """Give the DICOM files below a path; those of a zip can be opened inside the block only.

    A file is DICOM if `DICM` stands at byte 128; a name such as `1.dcm` promises that. Links to folders are not
    followed: they may lead in circles.

    Raises:
        FormatError: nothing is there, it cannot be opened, it is one file of another kind, an unsafe zip, or a file
            bears the name of a DICOM file and is none.
        ResourceError: more than 100,000 files, or a zip that asks for too much.
    """
    with translated_errors(path):
        kind = _kind(path)
    if kind == "zip":
        with translated_errors(path):
            declared_bytes(path)
            box = zipfile.ZipFile(path)
        with box:
            yield _found(_members(box, path), path)
    else:
        yield _found(_files(path) if kind == "folder" else [_on_disk(path)], path)


def _kind(path: Path) -> str:
    if path.is_dir():
        return "folder"
    if not path.exists():
        raise FormatError("there is no such file or folder", where=path)
    if not path.is_file():  # to open a pipe would wait for ever
        raise FormatError("is neither a file nor a folder", where=path)
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head.startswith(b"PK"):
        return "zip"
    if not head.endswith(MAGIC) or len(head) < HEAD_BYTES:
        raise FormatError("is no DICOM file", where=path, cure="give a DICOM file, or a folder or zip of them")
    return "file"


def _found(sources: list[Source], path: Path) -> Found:
    dicom: list[Source] = []
    for source in sources:
        if _is_dicom(source):
            dicom.append(source)
        elif source.name.lower().endswith(FILE_SUFFIXES):
            # To leave it out could cost the last slice of a series, which nothing else would tell of.
            what = "bears the name of a DICOM file and is none: it is empty, cut short or damaged"
            raise FormatError(what, where=source.name, cure="copy it again, or remove it")
    others = len(sources) - len(dicom)
    if not dicom:
        raise FormatError(f"holds no DICOM file ({others:,} other files)", where=path)
    return Found(tuple(dicom), others)


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
                raise ResourceError(f"holds over {MAX_FILES:,} files", where=folder, cure="pass the series' own folder")
        # Pipes, devices and links that lead nowhere are no files.
        return [_on_disk(path) for path in paths if path.is_file()]


def _raise(fault: OSError) -> None:
    raise fault


def _on_disk(path: Path) -> Source:
    with translated_errors(path):
        return Source(_printable(str(path)), path.stat().st_size, lambda: path.open("rb"))


def _members(box: zipfile.ZipFile, path: Path) -> list[Source]:
    members = sorted((member for member in box.infolist() if not member.is_dir()), key=lambda member: member.filename)
    return [
        Source(_printable(str(path / member.filename)), member.file_size, _opener(box, member)) for member in members
    ]


def _opener(box: zipfile.ZipFile, member: zipfile.ZipInfo) -> Callable[[], BinaryIO]:
    # A member inflates again from its start for every step back: the buffer spares most of them.
    return lambda: io.BufferedReader(cast("io.RawIOBase", box.open(member)), 1 << 16)


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
