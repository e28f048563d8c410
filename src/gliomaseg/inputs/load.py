"""Read an input of `predict`: its scan, and the headers to write masks on its grid."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.data.case import stack_slices
from gliomaseg.errors import FormatError
from gliomaseg.formats import Grid, read_orientation, read_pages, read_picture, read_volume
from gliomaseg.formats.dicom import DicomVolume
from gliomaseg.inputs.input import Input, Kind
from gliomaseg.scan import Scan, join_scans
from gliomaseg.types import Sequence


@dataclass(frozen=True)
class LoadedScan:
    """An input in memory.

    Attributes:
        scan: voxels and affine.
        images: the image files as viewers show them, (y, x, c) each; empty for volumes and series.
        orientations: the Orientation tag for the TIFF mask of each image, or of all pages of a file.
        grid: of the volumes to write; None if the input has no affine.
        series: the DICOM volume with its headers; None for other formats.
    """

    scan: Scan
    images: tuple[NDArray[Any], ...] = ()
    orientations: tuple[int, ...] = ()
    grid: Grid | None = None
    series: DicomVolume | None = field(default=None, repr=False)


def load_input(entry: Input, *, series: str | None = None, max_bytes: int) -> LoadedScan:
    """Return an input's scan; if T1 or T1ce is named, with the channels T1, FLAIR and T1ce.

    A T1 on another grid is resampled to that of FLAIR, or left out if it covers too little of the head. The notes of
    the scan name both.

    Args:
        entry: of `list_inputs` or `join_sequences`.
        series: UID or number of the DICOM series of FLAIR; None selects the one that looks like FLAIR.
        max_bytes: approximate memory limit of the prediction.

    Raises:
        FormatError: a file is missing, damaged or of another format.
        DataError: the DICOM series is ambiguous.
        GeometryError: slices or sequences differ in size, or only one sequence has a known affine.
        ResourceError: prediction needs more than `max_bytes`.
        MissingExtraError: the input is DICOM and the extra `dicom` is not installed.
    """
    if entry.fault is not None:
        raise entry.fault
    others = {Sequence.T1: entry.t1, Sequence.T1CE: entry.t1ce}
    share = max_bytes // (1 + sum(other is not None for other in others.values()))
    flair = _load(entry, series=series, max_bytes=share)
    if entry.t1 is None and entry.t1ce is None:
        return flair
    read = {
        name: _with_frame_note(name, _load(other, series=None, max_bytes=share), flair)
        for name, other in others.items()
        if other is not None
    }
    return replace(flair, scan=join_scans(flair.scan, read, partial=True))


def _with_frame_note(name: Sequence, other: LoadedScan, flair: LoadedScan) -> Scan:
    """Return the scan of a sequence, with a note if its DICOM series has another frame of reference than FLAIR."""
    frames = [getattr(one.series.headers[0], "FrameOfReferenceUID", "") for one in (other, flair) if one.series]
    if len(set(frames)) < 2:
        return other.scan
    note = f"{name.value.capitalize()} has another FrameOfReferenceUID than FLAIR: check by eye that they are aligned"
    return replace(other.scan, notes=(note,))


def _load(entry: Input, *, series: str | None, max_bytes: int) -> LoadedScan:
    if entry.kind is Kind.VOLUME:
        volume = read_volume(entry.path, max_bytes=max_bytes)
        return LoadedScan(volume.scan, grid=volume.grid)
    if entry.kind is Kind.SERIES:
        return _load_series(entry, series=series, max_bytes=max_bytes)
    if entry.kind is Kind.PAGES:
        slices = read_pages(entry.path, max_bytes=max_bytes)
        return LoadedScan(Scan(slices, str(entry.path)), orientations=(read_orientation(entry.path),))
    count = len(entry.pictures)
    images = tuple(read_picture(file, max_bytes=max_bytes, slices=count) for file in entry.pictures)
    return LoadedScan(stack_slices(images, entry.pictures), images, tuple(map(read_orientation, entry.pictures)))


def _load_series(entry: Input, *, series: str | None, max_bytes: int) -> LoadedScan:
    from gliomaseg.formats.dicom import read_dicom

    volume = read_dicom(entry.path, series=series, max_bytes=max_bytes)
    voxels = volume.voxels
    low, high = voxels.min(), voxels.max()
    if not np.isfinite([low, high]).all():
        raise FormatError(
            "RescaleSlope and RescaleIntercept give NaN or infinity", where=entry.path, cure="export the series again"
        )
    if low == high:
        raise FormatError("all voxels have the same value", where=entry.path, cure="give a series with an image in it")
    scan = Scan(voxels[..., None], str(entry.path), volume.affine)
    return LoadedScan(scan, grid=volume.grid, series=volume)
