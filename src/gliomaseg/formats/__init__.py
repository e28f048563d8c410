"""File formats: one module a format, chosen by a file's suffix in the table `READERS`.

An image is one slice without a position (or, in a TIFF with several pages, a stack of slices); a volume has an affine;
a series is a set of DICOM files.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.choices import MaskFormat
from gliomaseg.errors import FormatError
from gliomaseg.formats import dicom, jpeg, metaimage, nifti, nrrd, png, tiff
from gliomaseg.formats.content import wrong_content
from gliomaseg.formats.format_kinds import FileKind, Format, ImageFormat, SeriesFormat, VolumeFormat
from gliomaseg.formats.limits import DEFAULT_BYTES
from gliomaseg.formats.orientation_tag import UPRIGHT
from gliomaseg.formats.scan_file import Grid, ScanFile

__all__ = [
    "READERS",
    "SHARED_SUFFIXES",
    "FileKind",
    "Format",
    "Grid",
    "ImageFormat",
    "ScanFile",
    "SeriesFormat",
    "VolumeFormat",
    "count_pages",
    "kind_of",
    "primary_file",
    "read_orientation",
    "read_pages",
    "read_picture",
    "read_volume",
    "stem_of",
    "suffix_of",
    "suffixes",
    "write_pages",
    "write_picture",
    "write_volume",
    "written_suffixes",
]


_TIFF = ImageFormat(tiff.read, tiff.write, (MaskFormat.tiff,))
_JPEG = ImageFormat(jpeg.read, None, (MaskFormat.png,))
_NIFTI = VolumeFormat(nifti.read, nifti.write)
_NIFTI_PAIR = VolumeFormat(nifti.read, None)
_METAIMAGE = VolumeFormat(metaimage.read, metaimage.write)

READERS: dict[str, Format] = {
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".png": ImageFormat(png.read, png.write, (MaskFormat.png,)),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".nii": _NIFTI,
    ".nii.gz": _NIFTI,
    **dict.fromkeys(nifti.PAIR_SUFFIXES, _NIFTI_PAIR),
    ".nrrd": VolumeFormat(nrrd.read, nrrd.write),
    ".mha": _METAIMAGE,
    ".mhd": _METAIMAGE,
    **dict.fromkeys(dicom.SUFFIXES, SeriesFormat(dicom.read_dicom)),
}


SHARED_SUFFIXES = frozenset({".img"})
"""Suffixes that DICOM files have too: the first bytes decide."""


def suffixes(*kinds: FileKind) -> frozenset[str]:
    """Return the suffixes of the formats of some kinds."""
    return frozenset(suffix for suffix, form in READERS.items() if form.kind in kinds)


def written_suffixes(kind: FileKind) -> list[str]:
    """Return the suffixes of the formats of a kind that can be written, sorted."""
    return sorted(suffix for suffix, form in READERS.items() if form.kind is kind and getattr(form, "write", None))


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
    suffix = suffix_of(path)
    if suffix in READERS and suffix not in SHARED_SUFFIXES:
        return READERS[suffix].kind
    # A DICOMDIR cannot be read, and the reader of DICOM reports why.
    if dicom.is_dicom(path) or dicom.is_index(path):
        return FileKind.SERIES
    return READERS[suffix].kind if suffix in READERS else None


def primary_file(path: Path) -> Path:
    """Return the file that stands for a volume of two files: the header of a voxel file; else the path itself.

    The voxel file of a NIfTI pair is then not a second input.
    """
    return nifti.header_of_pair(path) or path


def read_volume(path: Path, *, max_bytes: int, channel: int | None = None, is_mask: bool = False) -> ScanFile:
    """Return a file's volume.

    Args:
        path: the file.
        max_bytes: limit of the memory that prediction needs for the volume.
        channel: which volume of a 4D file, from 0; None for a file with one volume. Only NIfTI has channels.
        is_mask: whether all voxels may be equal, as in a mask without tumour.

    Raises:
        FormatError: the suffix is unknown, or the file is missing, damaged or of another format, or all voxels of an
            image are equal.
        GeometryError: the header does not place the voxels.
        ResourceError: prediction needs more than `max_bytes` of memory for the declared size.
        MissingExtraError: the format needs an extra that is not installed.
    """
    form = _volume_format(path)
    _require_file(path)
    with _true_reasons(path):
        if channel is not None and form is _NIFTI:
            volume = nifti.read(path, max_bytes=max_bytes, channel=channel)
        else:
            volume = form.read(path, max_bytes=max_bytes)
    if not is_mask and volume.scan.voxels.min() == volume.scan.voxels.max():
        raise FormatError("voxels are all equal", where=path, cure="pass a volume with image contrast")
    return volume


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
    form = _volume_format(path)
    if form.write is None:
        raise _not_written(path, FileKind.VOLUME)
    form.write(path, voxels, grid, description=description)


def read_picture(path: Path, *, max_bytes: int = DEFAULT_BYTES, slices: int = 1) -> NDArray[Any]:
    """Return one image's pixels as viewers show them: uint8 or uint16, shape (y, x, c) with c = 1 or 3.

    They are turned by the Orientation tag of TIFF or EXIF.

    Args:
        path: the file.
        max_bytes: limit of the memory that prediction needs for the image, or for all slices of its stack.
        slices: the number of images in its stack.

    Raises:
        FormatError: the suffix is unknown, or the file is missing, damaged, too large or of another format.
        ResourceError: prediction needs more than `max_bytes` of memory for the declared size.
    """
    form = _image_format(path)
    _require_file(path)
    with _true_reasons(path):
        pixels = form.read(path, max_bytes=max_bytes, slices=slices)
    return _grey_or_rgb(pixels[..., None] if pixels.ndim == 2 else pixels, path)


def count_pages(path: Path) -> int:
    """Return the number of images in a file; 1 for an unreadable file, which is reported when it is read."""
    return tiff.count_pages(path) if _image_format(path) is _TIFF and path.is_file() else 1


def read_pages(path: Path, *, max_bytes: int) -> NDArray[Any]:
    """Return the pages of a TIFF as slices, as viewers show them: uint8 or uint16, shape (z, y, x, c) with c = 1 or 3.

    Raises:
        FormatError: the file is missing, damaged or of another format, or its pages differ in size or data type.
        ResourceError: prediction needs more than `max_bytes` of memory for the declared size.
    """
    _require_file(path)
    with _true_reasons(path):
        slices = tiff.read_pages(path, max_bytes=max_bytes)
    return _grey_or_rgb(slices[..., None] if slices.ndim == 3 else slices, path)


def read_orientation(path: Path) -> int:
    """Return the Orientation tag that a mask of this file should have: the tag of a TIFF, else 1 (upright).

    Raises:
        FormatError: the TIFF is missing or damaged.
    """
    return tiff.read_orientation(path) if READERS.get(suffix_of(path)) is _TIFF else UPRIGHT


def write_pages(path: Path, slices: NDArray[np.uint8], *, orientation: int = UPRIGHT) -> None:
    """Write slices (z, y, x), uint8, as the pages of a TIFF; `write_picture` describes the orientation.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    tiff.write_pages(path, slices, orientation=orientation)


def write_picture(path: Path, pixels: NDArray[np.uint8], *, orientation: int = UPRIGHT) -> None:
    """Write uint8 pixels (y, x) or (y, x, 3) in the format of the suffix.

    Args:
        path: the new file.
        pixels: as viewers show them.
        orientation: the Orientation tag of a TIFF, in whose order its pixels are stored. Other formats have none.

    Raises:
        FormatError: the suffix is unknown, or the format loses information.
        OSError: the disk is full or the folder cannot be written.
    """
    form = _image_format(path)
    if form.write is None:
        raise _not_written(path, FileKind.IMAGE)
    if form is _TIFF:
        tiff.write(path, pixels, orientation=orientation)
    else:
        form.write(path, pixels)


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


@contextmanager
def _true_reasons(path: Path) -> Iterator[None]:
    """Replace the error for a file whose content is of another format than its suffix."""
    try:
        yield
    except FormatError as fault:
        if path.is_file() and (reason := wrong_content(path, suffix_of(path))):
            raise reason from fault
        raise


def _require_file(path: Path) -> None:
    if path.exists() and not path.is_file():  # opening a pipe would wait for ever
        raise FormatError("is not a regular file", where=path, cure="pass a file")


def _unknown(path: Path) -> FormatError:
    if path.is_file() and (reason := wrong_content(path, suffix_of(path))):
        return reason
    known = " ".join([*sorted(suffixes(FileKind.IMAGE)), *sorted(suffixes(FileKind.VOLUME)), "or DICOM"])
    return FormatError(f"suffix is {path.suffix or 'missing'}, expected {known}", where=path, cure="convert the file")


def _not_written(path: Path, kind: FileKind) -> FormatError:
    known = " ".join(written_suffixes(kind))
    return FormatError(f"suffix is {suffix_of(path)}, expected {known}", where=path, cure="use another suffix")
