"""File formats: one file a member, chosen by a file's suffix.

A picture is one slice without a place; a volume knows where its voxels lie.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gliomaseg.errors import FormatError
from gliomaseg.formats import png, tiff
from gliomaseg.scan import Scan

FORMATS: dict[str, Any] = {".tif": tiff, ".tiff": tiff, ".png": png}
# By name: what reads a volume is slow to import, and pictures do without.
VOLUMES = {".nii": "gliomaseg.formats.nifti", ".nii.gz": "gliomaseg.formats.nifti"}


class Volume(Protocol):
    """What a volume's reader returns: the scan, and what its member needs to write on the same grid."""

    @property
    def scan(self) -> Scan:
        """The voxels and where they lie."""


def suffix_of(path: Path) -> str:
    """Return a file's suffix in small letters, with the one before `.gz`.

    >>> suffix_of(Path("a.b.NII.gz"))
    '.nii.gz'
    """
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() + suffix if suffix == ".gz" else suffix


def stem_of(path: Path) -> str:
    """Return a file's name without its suffix.

    >>> stem_of(Path("folder/a.b.nii.gz"))
    'a.b'
    """
    return path.name[: len(path.name) - len(suffix_of(path))]


def read_volume(path: Path, *, max_bytes: int) -> Volume:
    """Return a file's volume.

    Raises:
        FormatError: the suffix is unknown, or the file is missing, damaged or of another kind.
        GeometryError: the file puts its voxels nowhere.
        ResourceError: it declares a volume for which prediction needs more than `max_bytes`.
    """
    if suffix_of(path) not in VOLUMES:
        raise _unknown(path)
    _require_file(path)
    volume: Volume = import_module(VOLUMES[suffix_of(path)]).read(path, max_bytes=max_bytes)
    return volume


def read_picture(path: Path) -> NDArray[Any]:
    """Return one picture's pixels: uint8 or uint16, shape (y, x, c) with c = 1 or 3.

    Raises:
        FormatError: the suffix is unknown, or the file is missing, damaged, too large or of another kind.
    """
    read: Callable[[Path], NDArray[Any]] = _member(path).read
    _require_file(path)
    pixels = read(path)
    return _plain(pixels[..., None] if pixels.ndim == 2 else pixels, path)


def count_pages(path: Path) -> int:
    """Return how many pictures a file holds; 1 of what cannot be read, which is told when it is."""
    return tiff.count_pages(path) if _member(path) is tiff and path.is_file() else 1


def read_pages(path: Path, *, max_bytes: int) -> NDArray[Any]:
    """Return the pages of a TIFF as slices: uint8 or uint16, shape (z, y, x, c) with c = 1 or 3.

    Raises:
        FormatError: the file is missing, damaged or of another kind, or its pages differ in size or kind.
        ResourceError: it declares a stack for which prediction needs more than `max_bytes`.
    """
    _require_file(path)
    # At its peak, prediction holds 16-bit voxels and 8-bit levels, probability and mask.
    slices = tiff.read_pages(path, most_values=max_bytes // 8)
    return _plain(slices[..., None] if slices.ndim == 3 else slices, path)


def write_pages(path: Path, slices: NDArray[np.uint8]) -> None:
    """Write slices (z, y, x), uint8, as the pages of a TIFF.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    tiff.write_pages(path, slices)


def _plain(pixels: NDArray[Any], path: Path) -> NDArray[Any]:
    """Return pixels (..., y, x, c) without their fourth channel, of 8 or 16 bits, grey or RGB."""
    if pixels.shape[-1] == 4:
        pixels = pixels[..., :3]
    if pixels.ndim not in (3, 4) or pixels.shape[-1] not in (1, 3) or 0 in pixels.shape:
        raise FormatError(f"holds an array of shape {pixels.shape}, not one grey or RGB picture", where=path)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise FormatError(f"has {pixels.dtype} pixels", where=path, cure="convert it to 8 or 16 bits")
    return pixels


def write_picture(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write uint8 pixels (y, x) or (y, x, 3) in the format of the suffix.

    Raises:
        FormatError: the suffix is unknown.
        OSError: the disk is full or the folder cannot be written.
    """
    _member(path).write(path, pixels)


def _member(path: Path) -> Any:
    if path.suffix.lower() not in FORMATS:
        raise _unknown(path)
    return FORMATS[path.suffix.lower()]


def _require_file(path: Path) -> None:
    if path.exists() and not path.is_file():  # to open a pipe would wait for ever
        raise FormatError("is no file", where=path)


def _unknown(path: Path) -> FormatError:
    known = " ".join([*sorted(FORMATS), *sorted(VOLUMES), "or DICOM"])
    return FormatError(f"is of no format known here ({path.suffix or 'no suffix'})", where=path, cure=f"give {known}")
