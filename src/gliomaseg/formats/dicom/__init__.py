"""DICOM: an MR series in, a segmentation out, and a series of our own for phantoms.

All but `is_dicom` needs the extra `dicom`; it is imported when a function is called, and by nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.formats.dicom.errors import missing_extra
from gliomaseg.formats.dicom.files import SUFFIXES, is_dicom
from gliomaseg.formats.dicom.series import DicomVolume, Series, choose_series
from gliomaseg.formats.dicom.series_writer import Acquisition
from gliomaseg.types import Mask

__all__ = [
    "SUFFIXES",
    "Acquisition",
    "DicomVolume",
    "Series",
    "choose_series",
    "is_dicom",
    "list_series",
    "read_dicom",
    "study_of",
    "write_segmentation",
    "write_series",
]


def study_of(folder: Path) -> str:
    """Return the StudyInstanceUID of the MR images that lie in a folder; the empty text if none says it.

    Raises:
        MissingExtraError: the extra `dicom` is not installed.
    """
    with _extra():
        from gliomaseg.formats.dicom import reader
    return reader.study_of(folder)


def list_series(path: Path) -> list[Series]:
    """Return the MR series of a file, folder or zip, by number.

    Args:
        path: the folder is searched with all below it; links to folders are not followed.

    Raises:
        FormatError: nothing is there, no MR image is there, or a file is damaged.
        ResourceError: more files, or larger headers, than the limits.
        MissingExtraError: the extra `dicom` is not installed.
    """
    with _extra():
        from gliomaseg.formats.dicom import reader
    return reader.list_series(path)


def read_dicom(path: Path, *, series: str | None = None, max_bytes: int) -> DicomVolume:
    """Return one MR series: voxels, affine, and the headers that a segmentation refers to.

    Args:
        path: a file, a folder (searched with all below it), or a zip. Single-frame and enhanced MR; uncompressed,
            deflated, RLE, JPEG 2000 or JPEG-LS.
        series: UID or number of the series; None takes the only one, else the only one that looks like FLAIR.
        max_bytes: the most that the voxels may take as float32, and one file in memory; checked before decoding.

    Raises:
        FormatError: nothing is there, no MR image is there, a file is damaged, truncated, or stored in a way that
            is not supported.
        DataError: the series cannot be chosen; the error lists them, with their descriptions.
        GeometryError: slices are missing, double, unevenly spaced, of several sizes or orientations (a localiser
            among them), or do not say where they lie.
        ResourceError: the voxels would take more than `max_bytes`, or a file asks for more than it should.
        MissingExtraError: the extra `dicom` is not installed.
    """
    with _extra():
        from gliomaseg.formats.dicom import reader
    return reader.read_dicom(path, series=series, max_bytes=max_bytes)


def write_segmentation(
    path: Path, *, mask: Mask, volume: DicomVolume, model_name: str, model_version: str, deidentify: bool
) -> None:
    """Write a mask as a DICOM segmentation (SEG, binary) that refers to the series it was found in.

    The file appears whole or not at all; one of that name is replaced. All slices are in it, the empty ones too:
    an empty mask gives a valid object whose frames are all empty. Two calls differ in UIDs and times only.

    Args:
        path: the new file.
        mask: bool, shape (z, y, x): on the grid of `volume.voxels`.
        volume: what `read_dicom` returned.
        model_name: what found the tumour, as the object names it; 64 letters are kept.
        model_version: and in which version.
        deidentify: whether name, id, birth date and all else of patient and study is left empty. UIDs stay: without
            them the mask would belong to no image. Otherwise the patient's name is copied from the series.

    Raises:
        GeometryError: the mask has another shape than the series.
        FormatError: the series lacks what a segmentation must refer to.
        ResourceError: the disk is full.
        GliomasegError: the folder cannot be written.
        MissingExtraError: the extra `dicom` is not installed.
        TypeError: the mask is not bool.
    """
    with _extra():
        from gliomaseg.formats.dicom import segmentation
    segmentation.write_segmentation(
        path, mask=mask, volume=volume, model_name=model_name, model_version=model_version, deidentify=deidentify
    )


def write_series(
    folder: Path, voxels: NDArray[Any], affine: NDArray[np.float64], *, acquisition: Acquisition | None = None
) -> None:
    """Write a volume as a single-frame MR series, a file a slice (0001.dcm, 0002.dcm, ...), whole or not at all.

    `read_dicom` gives back the same voxels and, to a millionth of a millimetre, the same affine; only a left-handed
    grid comes back with its slices in reverse, as DICOM readers sort them, and the affine to match.

    Args:
        folder: new or empty.
        voxels: uint8, uint16 or int16, shape (z, y, x).
        affine: takes (x, y, z) to millimetres RAS+, axes at right angles, shape (4, 4).
        acquisition: what the header says besides; by default a FLAIR of nobody. All UIDs follow from it.

    Raises:
        GeometryError: the axes are not at right angles, or have no length.
        OutputExistsError: the folder holds something.
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
