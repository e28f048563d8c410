"""Recognise DICOM files and other files by their first bytes, and names that a slice of a series may have."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from pathlib import PurePath

from gliomaseg.system_files import UNFINISHED_SUFFIXES

FILE_SUFFIXES = (".dcm", ".dicom", ".ima")
# Endings that downloads, compression and copies append to a name.
_ADDED_SUFFIXES = (".bak", ".gz", *UNFINISHED_SUFFIXES)
HEAD_BYTES = 1_024
PREAMBLE_BYTES = 132
MAGIC = b"DICM"
IMPLICIT, EXPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
META_GROUP = 2

_FIRST_GROUPS = (META_GROUP, 8)
_MIN_ELEMENTS = 3
_LONG_VRS = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
_SHORT_VRS = set(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
_UNDEFINED_LENGTH = 0xFFFFFFFF
_SIGNATURES = (
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x1f\x8b", "a gzip file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ", "an xz file"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"MSCF", "a Windows archive"),
    (b"MZ", "a Windows program"),
    (b"\x7fELF", "a Linux program"),
    (b"\xcf\xfa\xed\xfe", "a macOS program"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"\xd0\xcf\x11\xe0", "an Office document"),
    (b"\0\x05\x16\x07", "an AppleDouble file of macOS"),
    (b"bplist", "a property list of macOS"),
    (b"SQLite format 3", "a database"),
    (b"RIFF", "a media file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89HDF", "an HDF5 file"),
)
_TEXT_BOMS = (b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")
_TEXT_CONTROLS = b"\t\n\r\f\x1a"
_DIGITS = re.compile(r"\d+")


def dicom_start(head: bytes) -> int | None:
    """Return the position of the first element in a DICOM file, from its first bytes; None for another file.

    The preamble of 128 bytes and the mark DICM may be missing.
    """
    if head[PREAMBLE_BYTES - len(MAGIC) : PREAMBLE_BYTES] == MAGIC:
        return PREAMBLE_BYTES
    if head.startswith(MAGIC):
        return len(MAGIC)
    return 0 if transfer_syntax(head) else None


def transfer_syntax(data: bytes) -> str:
    """Return the transfer syntax in which the first elements of a data set are written; an empty string if in none.

    At least three elements must follow each other, from group 0002 or 0008 on.
    """
    for syntax in (EXPLICIT, IMPLICIT, BIG_ENDIAN):
        if _count_elements(data, syntax) >= _MIN_ELEMENTS:
            return syntax
    return ""


def _count_elements(data: bytes, syntax: str) -> int:
    """Return the number of plausible elements at the start of the data, up to the number that is needed."""
    order = ">" if syntax == BIG_ENDIAN else "<"
    at, last, count = 0, (-1, -1), 0
    while count < _MIN_ELEMENTS and at + 12 <= len(data):
        tag = struct.unpack_from(f"{order}HH", data, at)
        if tag <= last or (count == 0 and tag[0] not in _FIRST_GROUPS):
            return 0
        vr = data[at + 4 : at + 6]
        if syntax == IMPLICIT:
            (length,) = struct.unpack_from("<L", data, at + 4)
            at += 8
        elif vr in _LONG_VRS:
            (length,) = struct.unpack_from(f"{order}L", data, at + 8)
            at += 12
        elif vr in _SHORT_VRS:
            (length,) = struct.unpack_from(f"{order}H", data, at + 6)
            at += 8
        else:
            return 0
        if length == _UNDEFINED_LENGTH or length % 2:  # a sequence does not stand so early
            return 0
        count, last, at = count + 1, tag, at + length
    return count


def other_kind(head: bytes) -> str:
    """Return the kind of a file that is not DICOM, such as "a PDF document"; an empty string if it is unknown."""
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind
    if head[4:8] == b"ftyp":
        return "a media file"
    if head[344:347] in (b"n+1", b"ni1"):
        return "a NIfTI file"
    return _text_kind(head)


def _text_kind(head: bytes) -> str:
    if not head or not (head.startswith(_TEXT_BOMS) or all(byte >= 32 or byte in _TEXT_CONTROLS for byte in head)):
        return ""
    if not head.startswith(_TEXT_BOMS) and sum(byte < 128 for byte in head) < 0.7 * len(head):
        return ""
    start = head.lower().lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    return "an XML file" if start.startswith(b"<?xml") else "a text file"


class SliceNames:
    """The names of a scan's DICOM files, with which the names of other files are compared."""

    def __init__(self, names: Iterable[str]) -> None:
        """Keep patterns and suffixes of the names, which are paths."""
        names = list(names)
        self._paths = set(names)
        names = [PurePath(name).name for name in names]
        self._patterns = {_pattern(name) for name in names}
        self._suffixes = {_suffix(name) for name in names}
        self._have_digits = all(_DIGITS.search(name) for name in names)

    def may_include(self, name: str, *, known_kind: bool) -> bool:
        """Return whether a file that is not DICOM may be a damaged slice, by its name.

        Args:
            name: the file's path. An ending such as .part or .gz does not matter, unless there is a file without it.
            known_kind: whether its content is of another kind, such as text. Its name must then be that of a slice.
        """
        plain = _without_added(name)
        if plain != name and plain not in self._paths and self._is_like_slice(PurePath(plain).name):
            return True
        name = PurePath(name).name
        if self._is_like_slice(name):
            return True
        if known_kind or name.startswith("."):
            return False
        if _suffix(name):
            return _suffix(name) in self._suffixes
        # A file such as LOCK is not a slice among IM001, IM002, ...
        return not self._have_digits or _DIGITS.search(name) is not None

    def _is_like_slice(self, name: str) -> bool:
        return _suffix(name) in FILE_SUFFIXES or _pattern(name) in self._patterns


def _without_added(name: str) -> str:
    """Return a name without the endings that were appended to it, such as .gz.part."""
    while name.lower().endswith(_ADDED_SUFFIXES):
        name = name[: name.rindex(".")]
    return name


def _pattern(name: str) -> str:
    return _DIGITS.sub("#", name.lower())


def _suffix(name: str) -> str:
    """Return a suffix in small letters; an empty string for a name such as 1.2.840.10008."""
    suffix = PurePath(name).suffix.lower()
    return "" if suffix[1:].isdigit() else suffix
