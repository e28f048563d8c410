"""The content of a file by its first bytes: the true reason why a file cannot be read in the format of its suffix."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

from gliomaseg.errors import FormatError

_FIRST_BYTES = 352
_STARTS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "a PNG file", ".png"),
    (b"\xff\xd8\xff", "a JPEG file", ".jpg"),
    (b"II*\0", "a TIFF file", ".tif"),
    (b"MM\0*", "a TIFF file", ".tif"),
    (b"II+\0", "a TIFF file", ".tif"),
    (b"MM\0+", "a TIFF file", ".tif"),
    (b"NRRD0", "an NRRD file", ".nrrd"),
    (b"PK\x03\x04", "a zip file", ".zip"),
    (b"\0\x05\x16\x07", "an AppleDouble file, which macOS writes beside the real one", ""),
    (b"%PDF", "a PDF file", ""),
    (b"GIF8", "a GIF file", ""),
    (b"\x89HDF", "an HDF5 or MINC file", ""),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself", ""),
    (b"7z\xbc\xaf", "a 7-Zip archive", ""),
    (b"Rar!", "a RAR archive", ""),
)
_HTML = re.compile(rb"\s*<(!doctype|html)", re.IGNORECASE)
_METAIMAGE = re.compile(rb"\s*(ObjectType|NDims)\s*=")
_NIFTI_FILE = ("a NIfTI file", ".nii")
_NIFTI = {b"n+1\0": ".nii", b"n+2\0": ".nii", b"ni1\0": ".hdr", b"ni2\0": ".hdr"}
_SAME = {
    ".tiff": ".tif", ".jpeg": ".jpg", ".nii.gz": ".nii", ".mhd": ".mha",
    ".hdr.gz": ".hdr", ".img": ".hdr", ".img.gz": ".hdr",
}  # fmt: skip
_GZIP = b"\x1f\x8b"


def describe_content(path: Path) -> tuple[str, str] | None:
    """Return a file's content in words, and the suffix of such files; None if the first bytes are not known.

    The suffix is empty for formats that gliomaseg does not read.
    """
    try:
        with path.open("rb") as file:
            first = file.read(_FIRST_BYTES)
        if not first.startswith(_GZIP):
            return _describe(first)
        with gzip.open(path) as unpacked:
            inner = _describe(unpacked.read(_FIRST_BYTES))
    except (OSError, EOFError, zlib.error):
        return None
    return ("a gzipped NIfTI file", ".nii.gz") if inner == _NIFTI_FILE else None


def _describe(first: bytes) -> tuple[str, str] | None:
    if not first:
        return "empty", ""
    if first[128:132] == b"DICM":
        return "a DICOM file", ".dcm"
    if suffix := _NIFTI.get(first[344:348]) or _NIFTI.get(first[4:8]):
        return _NIFTI_FILE if suffix == ".nii" else ("the header of a NIfTI pair", suffix)
    if _METAIMAGE.match(first):
        return "a MetaImage file", ".mha"
    if _HTML.match(first):
        return "an HTML page, as failed downloads leave", ""
    return next(((words, suffix) for start, words, suffix in _STARTS if first.startswith(start)), None)


def wrong_content(path: Path, suffix: str) -> FormatError | None:
    """Return the error for a file whose content is of another format than its suffix.

    The result is None if the content is unknown or fits the suffix.

    Args:
        path: a file that could not be read.
        suffix: its suffix in small letters, as in `READERS`.
    """
    described = describe_content(path)
    if described is None:
        return None
    words, right = described
    if words == "empty":
        return FormatError("is empty", where=path, cure="copy or export it again")
    if _SAME.get(right, right) == _SAME.get(suffix, suffix):
        return None
    cure = f"rename it to end in {right}" if right else "pass an image, a volume or DICOM"
    return FormatError(f"is {words}, but its suffix is {suffix or 'missing'}", where=path, cure=cure)
