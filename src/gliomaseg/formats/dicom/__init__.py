"""DICOM: read an MR series and the masks that refer to it, write a segmentation, and write a series for phantoms.

The extra `dicom` is imported when a function needs it. `is_dicom` and `choose_series` do not need it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.formats.dicom.dicomdir import IS_MISSING, missing_on_disc
from gliomaseg.formats.dicom.errors import missing_extra
from gliomaseg.formats.dicom.files import SUFFIXES, is_dicom
from gliomaseg.formats.dicom.label_masks import LabelMasks, SeriesIdentity
from gliomaseg.formats.dicom.objects import DicomObjects, MaskObject, SeriesObject
from gliomaseg.formats.dicom.series import DicomVolume, Series, SeriesChoiceError, choose_series
from gliomaseg.formats.dicom.series_writer import Acquisition
from gliomaseg.formats.dicom.sources import is_index
from gliomaseg.formats.scan_file import Grid
from gliomaseg.types import Mask

__all__ = [
    "IS_MISSING",
    "SUFFIXES",
    "Acquisition",
    "DicomObjects",
    "DicomVolume",
    "LabelMasks",
    "MaskObject",
    "Series",
    "SeriesChoiceError",
    "SeriesIdentity",
    "SeriesObject",
    "choose_series",
    "is_dicom",
    "is_index",
    "list_objects",
    "list_series",
    "missing_on_disc",
    "read_dicom",
    "read_every_series",
    "read_labels",
    "study_of",
    "write_segmentation",
    "write_series",
]


def study_of(folder: Path) -> str:
    """Return the StudyInstanceUID of the MR images in a folder; an empty string if no image has one.

    Raises:
        MissingExtraError: the extra `dicom` is not installed.
    """
    with _extra():
        from gliomaseg.formats.dicom import reader
    return reader.study_of(folder)


def list_series(path: Path) -> list[Series]:
    """Return the MR series of a file, folder or zip, by number.

    Args:
        path: a folder is searched with its subfolders; links to folders are not followed.

    Raises:
        FormatError: the path is missing, has only other files than MR images, or a file is damaged.
        ResourceError: the number of files or the size of a header exceeds the limits.
        MissingExtraError: the extra `dicom` is not installed.
    """
    with _extra():
        from gliomaseg.formats.dicom import reader
    return reader.list_series(path)


def list_objects(files: Iterable[Path]) -> DicomObjects:
    """Return the MR series, segmentations and structure sets among files, by their headers.

    A file that is damaged, or of another kind, is in the result with the reason.

    Raises:
        MissingExtraError: the extra `dicom` is not installed.
    """
    with _extra():
        from gliomaseg.formats.dicom import object_list
    return object_list.list_objects(files)


def read_labels(
    path: Path,
    grid: Grid,
    *,
    series: SeriesIdentity | None = None,
    labels: Collection[int] | None = None,
    max_bytes: int,
) -> LabelMasks:
    """Return the regions of a segmentation (SEG) or a structure set (RTSTRUCT), each a mask on the grid of its series.

    A segmentation is BINARY, FRACTIONAL (inside from 0.5 on) or LABELMAP. Its frames may have any order, and any
    orientation in which their pixels are voxels of the grid. A slice without a frame is empty. Masks are not resampled.

    The contours of a structure set are parallel to a plane of the grid. A voxel is inside by its centre, with the
    even-odd rule. A slice between two planes of contours gets the nearer one.

    Args:
        path: a file, or a folder or zip with one such object.
        grid: of the series.
        series: the series to which the object must refer, by SeriesInstanceUID, or by FrameOfReferenceUID if it names
            no series; None accepts any.
        labels: the labels to read (SegmentNumber, ROINumber); None for all.
        max_bytes: limit of the object and of the masks in memory.

    Raises:
        FormatError: the path is missing or has no such object, or the object is damaged.
        DataError: the object refers to another series (the message names the UIDs), or there are several objects.
        GeometryError: its voxels are not those of the grid, or a contour is oblique or outside; the message describes
            the grids.
        ResourceError: it needs more than `max_bytes`.
        MissingExtraError: the extra `dicom` is not installed.
    """
    with _extra():
        from gliomaseg.formats.dicom import label_reader
    return label_reader.read_labels(path, grid, series=series, labels=labels, max_bytes=max_bytes)


def read_dicom(path: Path, *, series: str | None = None, max_bytes: int) -> DicomVolume:
    """Return one MR series: voxels, affine, and the headers to which a segmentation refers.

    Args:
        path: a file, a folder (searched with its subfolders), or a zip. Single-frame and enhanced MR; uncompressed,
            deflated, RLE, JPEG, lossless JPEG, JPEG 2000 or JPEG-LS.
        series: UID or number of the series. None chooses the only series, or the only one that looks like FLAIR.
        max_bytes: limit of the memory that prediction needs for the volume; checked before decoding.

    Raises:
        FormatError: the path is missing, has only other files than MR images, or a file is damaged, truncated or
            stored in an unsupported way.
        SeriesChoiceError: the series cannot be chosen; the error lists them, with their descriptions.
        GeometryError: slices are missing, duplicated or unevenly spaced, differ in size or orientation (such as a
            localiser), or lack position or spacing.
        ResourceError: prediction needs more than `max_bytes`, or a file is far larger than its declared pixels.
        MissingExtraError: the extra `dicom` is not installed.
    """
    with _extra():
        from gliomaseg.formats.dicom import reader
    return reader.read_dicom(path, series=series, max_bytes=max_bytes)


def read_every_series(path: Path, *, max_bytes: int) -> Iterator[tuple[Series, DicomVolume | Exception]]:
    """Yield each MR series with its volume, or with the error if it cannot be read; the order is that of `list_series`.

    Each header is read once. Files that may be slices and are not of a series are not checked, so the volumes are only
    for pictures from which a person chooses.

    Args:
        path: as for `read_dicom`.
        max_bytes: limit of the memory for each volume.

    Raises:
        FormatError: as for `list_series`.
        ResourceError: as for `list_series`.
        MissingExtraError: the extra `dicom` is not installed.
    """
    with _extra():
        from gliomaseg.formats.dicom import reader
    return reader.read_every_series(path, max_bytes=max_bytes)


def write_segmentation(
    path: Path, *, mask: Mask, volume: DicomVolume, model_name: str, model_version: str, deidentify: bool
) -> tuple[str, ...]:
    """Write a mask as a DICOM segmentation (SEG, binary) that refers to its series.

    A missing SliceThickness is taken from the positions of the slices. A missing FrameOfReferenceUID is replaced by a
    new one, derived from the SeriesInstanceUID.

    The file is written completely or not at all; an existing file is replaced. All slices are written: an empty mask
    gives a valid object whose frames are all empty. Two calls differ in UIDs and times only.

    Args:
        path: the new file.
        mask: bool, shape (z, y, x): on the grid of `volume.voxels`.
        volume: the series, from `read_dicom`.
        model_name: the algorithm's name in the object; 64 letters are kept.
        model_version: the algorithm's version in the object.
        deidentify: whether name, id, birth date and all other values of patient and study are empty. UIDs are kept:
            they link the mask to its images. If False, the patient's name is copied from the series.

    Returns:
        Warnings about replaced values; empty for a complete series.

    Raises:
        GeometryError: the mask has another shape than the series.
        FormatError: the series lacks a value that a segmentation needs, such as the StudyInstanceUID.
        ResourceError: the disk is full.
        GliomasegError: the folder cannot be written.
        MissingExtraError: the extra `dicom` is not installed.
        TypeError: the mask is not bool.
    """
    with _extra():
        from gliomaseg.formats.dicom import segmentation
    return segmentation.write_segmentation(
        path, mask=mask, volume=volume, model_name=model_name, model_version=model_version, deidentify=deidentify
    )


def write_series(
    folder: Path, voxels: NDArray[Any], affine: NDArray[np.float64], *, acquisition: Acquisition | None = None
) -> None:
    """Write a volume as a single-frame MR series, one file a slice (0001.dcm, 0002.dcm, ...), completely or not at all.

    `read_dicom` returns the same voxels and, to a millionth of a millimetre, the same affine. For a left-handed grid
    it returns the slices in reverse order, as DICOM readers sort them, and the affine that fits.

    Args:
        folder: new or empty.
        voxels: uint8, uint16 or int16, shape (z, y, x).
        affine: takes (x, y, z) to millimetres RAS+, axes at right angles, shape (4, 4).
        acquisition: other values of the header; by default a FLAIR of a phantom. All UIDs are derived from it.

    Raises:
        GeometryError: the axes are not at right angles, or one has length 0.
        OutputExistsError: the folder is not empty.
        ResourceError: the disk is full.
        MissingExtraError: the extra `dicom` is not installed.
        ValueError: the voxels have another type or number of axes.
    """
    with _extra():
        from gliomaseg.formats.dicom import series_writer
    series_writer.write_series(folder, voxels, affine, acquisition or Acquisition())


@contextmanager
def _extra() -> Iterator[None]:
    try:
        yield
    except ImportError as fault:
        raise missing_extra(fault) from fault
