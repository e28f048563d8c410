"""File formats: one module a format, chosen by a file's suffix in the table `READERS`.

An image is one slice without a position (or, in a TIFF with several pages, a stack of slices); a volume has an affine;
a series is a set of DICOM files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from gliomaseg.choices import MaskFormat
from gliomaseg.errors import FormatError
from gliomaseg.formats import dicom, metaimage, nifti, nrrd, png, tiff
from gliomaseg.formats.scan_file import Grid, ScanFile

__all__ = [
    "READERS",
    "FileKind",
    "Format",
    "Grid",
    "ImageFormat",
    "ScanFile",
    "SeriesFormat",
    "VolumeFormat",
    "count_pages",
    "kind_of",
    "read_pages",
    "read_picture",
    "read_volume",
    "stem_of",
    "suffix_of",
    "suffixes",
    "write_pages",
    "write_picture",
    "write_volume",
]


class FileKind(StrEnum):
    """The content of a file."""

    IMAGE = "image"
    VOLUME = "volume"
    SERIES = "series"


class ReadsVolume(Protocol):
    """The reader of a volume format."""

    def __call__(self, path: Path, *, max_bytes: int) -> ScanFile:
        """Return a file's volume. `read_volume` lists the exceptions."""


class WritesVolume(Protocol):
    """The writer of a volume format."""

    def __call__(self, path: Path, voxels: NDArray[Any], grid: Grid, *, description: str) -> None:
        """Write voxels on a grid; `write_volume` describes the arguments."""


@dataclass(frozen=True)
class ImageFormat:
    """A format of single images.

    Attributes:
        read: returns the pixels, (y, x) or (y, x, c).
        write: writes uint8 pixels, (y, x) or (y, x, 3).
        mask_formats: the formats of the masks of such files, unless the user chooses others.
        has_pages: whether one file may have several images: a stack.
    """

    kind: ClassVar = FileKind.IMAGE
    read: Callable[[Path], NDArray[Any]]
    write: Callable[[Path, NDArray[np.uint8]], None]
    mask_formats: tuple[MaskFormat, ...]
    has_pages: bool = False


@dataclass(frozen=True)
class VolumeFormat:
    """A format of volumes with an affine.

    Attributes:
        read: returns the scan and its grid.
        write: writes an array on a grid.
        mask_formats: the formats of the masks of such files, unless the user chooses others.
    """

    kind: ClassVar = FileKind.VOLUME
    read: ReadsVolume
    write: WritesVolume
    mask_formats: tuple[MaskFormat, ...] = (MaskFormat.nifti,)


@dataclass(frozen=True)
class SeriesFormat:
    """A format whose volumes are spread over several files.

    Attributes:
        read: returns one series.
        mask_formats: the formats of the masks of such files, unless the user chooses others.
    """

    kind: ClassVar = FileKind.SERIES
    read: Callable[..., dicom.DicomVolume]
    mask_formats: tuple[MaskFormat, ...] = (MaskFormat.nifti, MaskFormat.dicom_seg)


Format = ImageFormat | VolumeFormat | SeriesFormat

_TIFF = ImageFormat(tiff.read, tiff.write, (MaskFormat.tiff,), has_pages=True)
_NIFTI = VolumeFormat(nifti.read, nifti.write)
_METAIMAGE = VolumeFormat(metaimage.read, metaimage.write)

READERS: dict[str, Format] = {
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".png": ImageFormat(png.read, png.write, (MaskFormat.png,)),
    ".nii": _NIFTI,
    ".nii.gz": _NIFTI,
    ".nrrd": VolumeFormat(nrrd.read, nrrd.write),
    ".mha": _METAIMAGE,
    ".mhd": _METAIMAGE,
    **dict.fromkeys(dicom.SUFFIXES, SeriesFormat(dicom.read_dicom)),
}


def suffixes(*kinds: FileKind) -> frozenset[str]:
    """Return the suffixes of the formats of some kinds."""
    return frozenset(suffix for suffix, form in READERS.items() if form.kind in kinds)


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


def kind_of(path: Path) -> FileKind | None:
    """Return a file's kind by its suffix, else by its first bytes; None if the format is unknown."""
    if suffix_of(path) in READERS:
        return READERS[suffix_of(path)].kind
    # A DICOMDIR cannot be read, and the reader of DICOM reports why.
    return FileKind.SERIES if dicom.is_dicom(path) or dicom.is_index(path) else None


def read_volume(path: Path, *, max_bytes: int) -> ScanFile:
    """Return a file's volume.

    Raises:
        FormatError: the suffix is unknown, or the file is missing, damaged or of another format.
        GeometryError: the header does not place the voxels.
        ResourceError: prediction needs more than `max_bytes` of memory for the declared size.
        MissingExtraError: the format needs an extra that is not installed.
    """
    form = _volume_format(path)
    _require_file(path)
    return form.read(path, max_bytes=max_bytes)


def write_volume(path: Path, voxels: NDArray[Any], grid: Grid, *, description: str) -> None:
    """Write an array on the grid of a volume, in the format of the suffix.

    Args:
        path: the new file.
        voxels: uint8, int16 or float32, shape (z, y, x).
        grid: the grid of a scan that was read, or a new one.
        description: one word for the header, such as "mask".

    Raises:
        FormatError: the suffix is unknown.
        ValueError: the voxels do not have the grid's shape, or another data type.
        OSError: the disk is full or the folder cannot be written.
    """
    _volume_format(path).write(path, voxels, grid, description=description)


def read_picture(path: Path) -> NDArray[Any]:
    """Return one image's pixels: uint8 or uint16, shape (y, x, c) with c = 1 or 3.

    Raises:
        FormatError: the suffix is unknown, or the file is missing, damaged, too large or of another format.
    """
    form = _image_format(path)
    _require_file(path)
    pixels = form.read(path)
    return _grey_or_rgb(pixels[..., None] if pixels.ndim == 2 else pixels, path)


def count_pages(path: Path) -> int:
    """Return the number of images in a file; 1 for an unreadable file, which is reported when it is read."""
    return tiff.count_pages(path) if _image_format(path).has_pages and path.is_file() else 1


def read_pages(path: Path, *, max_bytes: int) -> NDArray[Any]:
    """Return the pages of a TIFF as slices: uint8 or uint16, shape (z, y, x, c) with c = 1 or 3.

    Raises:
        FormatError: the file is missing, damaged or of another format, or its pages differ in size or data type.
        ResourceError: prediction needs more than `max_bytes` of memory for the declared size.
    """
    _require_file(path)
    # The peak memory of prediction: 16-bit voxels, 8-bit levels, probability and mask.
    slices = tiff.read_pages(path, most_values=max_bytes // 8)
    return _grey_or_rgb(slices[..., None] if slices.ndim == 3 else slices, path)


def write_pages(path: Path, slices: NDArray[np.uint8]) -> None:
    """Write slices (z, y, x), uint8, as the pages of a TIFF.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    tiff.write_pages(path, slices)


def write_picture(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write uint8 pixels (y, x) or (y, x, 3) in the format of the suffix.

    Raises:
        FormatError: the suffix is unknown.
        OSError: the disk is full or the folder cannot be written.
    """
    _image_format(path).write(path, pixels)


def _grey_or_rgb(pixels: NDArray[Any], path: Path) -> NDArray[Any]:
    """Return pixels (..., y, x, c) without their alpha channel, of 8 or 16 bits, grey or RGB."""
    if pixels.shape[-1] == 4:
        pixels = pixels[..., :3]
    if pixels.ndim not in (3, 4) or pixels.shape[-1] not in (1, 3) or 0 in pixels.shape:
        raise FormatError(
            f"has an array of shape {pixels.shape}, expected one grey or RGB image", where=path, cure="convert it"
        )
    if pixels.dtype not in (np.uint8, np.uint16):
        what = f"pixel type is {pixels.dtype}, expected uint8 or uint16"
        raise FormatError(what, where=path, cure="convert it to 8 or 16 bits")
    return pixels


def _image_format(path: Path) -> ImageFormat:
    form = READERS.get(suffix_of(path))
    if not isinstance(form, ImageFormat):
        raise _unknown(path)
    return form


def _volume_format(path: Path) -> VolumeFormat:
    form = READERS.get(suffix_of(path))
    if not isinstance(form, VolumeFormat):
        raise _unknown(path)
    return form


def _require_file(path: Path) -> None:
    if path.exists() and not path.is_file():  # opening a pipe would wait for ever
        raise FormatError("is not a regular file", where=path, cure="pass a file")


def _unknown(path: Path) -> FormatError:
    known = " ".join([*sorted(suffixes(FileKind.IMAGE)), *sorted(suffixes(FileKind.VOLUME)), "or DICOM"])
    return FormatError(f"suffix is {path.suffix or 'missing'}, expected {known}", where=path, cure="convert the file")
