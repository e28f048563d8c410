"""Read an input of `predict`: its scan, and the headers to write masks on its grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.data.case import stack_slices
from gliomaseg.errors import FormatError, GeometryError
from gliomaseg.formats import Grid, read_orientation, read_pages, read_picture, read_volume
from gliomaseg.formats.dicom import DicomVolume
from gliomaseg.inputs.input import Input, Kind
from gliomaseg.scan import Scan
from gliomaseg.types import Sequence

# A DICOM series' float32 voxels get this share of the memory: prediction also needs 8-bit levels, probability and mask.
_VOXEL_BYTES, _ALL_BYTES = 4, 11
_SAME_POSITION_MM = 0.01


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

    Args:
        entry: of `list_inputs` or `join_sequences`.
        series: UID or number of the DICOM series of FLAIR; None selects the one that looks like FLAIR.
        max_bytes: approximate memory limit of the prediction.

    Raises:
        FormatError: a file is missing, damaged or of another format.
        DataError: the DICOM series is ambiguous.
        GeometryError: slices differ in size, or sequences are on different grids.
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
        name: _load(other, series=None, max_bytes=share).scan for name, other in others.items() if other is not None
    }
    return replace(flair, scan=join_scans(flair.scan, read))


def _load(entry: Input, *, series: str | None, max_bytes: int) -> LoadedScan:
    if entry.kind is Kind.VOLUME:
        volume = read_volume(entry.path, max_bytes=max_bytes)
        return LoadedScan(volume.scan, grid=volume.grid)
    if entry.kind is Kind.SERIES:
        return _load_series(entry, series=series, max_bytes=max_bytes)
    if entry.kind is Kind.PAGES:
        slices = read_pages(entry.path, max_bytes=max_bytes)
        return LoadedScan(Scan(slices, str(entry.path)), orientations=(read_orientation(entry.path),))
    images = tuple(read_picture(file) for file in entry.pictures)
    return LoadedScan(stack_slices(images, entry.pictures), images, tuple(map(read_orientation, entry.pictures)))


def _load_series(entry: Input, *, series: str | None, max_bytes: int) -> LoadedScan:
    from gliomaseg.formats.dicom import read_dicom

    volume = read_dicom(entry.path, series=series, max_bytes=max_bytes * _VOXEL_BYTES // _ALL_BYTES)
    voxels = volume.voxels
    low, high = voxels.min(), voxels.max()
    if not np.isfinite([low, high]).all():
        raise FormatError(
            "RescaleSlope and RescaleIntercept give NaN or infinity", where=entry.path, cure="export the series again"
        )
    if low == high:
        raise FormatError("all voxels have the same value", where=entry.path, cure="give a series with an image in it")
    z, y, x = voxels.shape
    scan = Scan(voxels[..., None], str(entry.path), volume.affine)
    return LoadedScan(scan, grid=Grid((z, y, x), volume.affine), series=volume)


def join_scans(flair: Scan, others: Mapping[Sequence, Scan]) -> Scan:
    """Return FLAIR with its other sequences as channels T1, FLAIR, T1ce; a missing one is a copy of FLAIR.

    Raises:
        GeometryError: a scan has colours, or is not on FLAIR's grid.
    """
    for scan in (flair, *others.values()):
        if scan.voxels.shape[-1] != 1:
            raise GeometryError(
                "image is in colour, expected one grey sequence", where=scan.source, cure="give a grey image"
            )
    for scan in others.values():
        _require_same_grid(flair, scan)
    channels = [others.get(Sequence.T1, flair), flair, others.get(Sequence.T1CE, flair)]
    voxels = np.concatenate([scan.voxels for scan in channels], axis=3)
    given = frozenset({Sequence.FLAIR, *others})
    return replace(flair, voxels=voxels, sequences=(), given=given)


def _require_same_grid(flair: Scan, other: Scan) -> None:
    cure = "resample it to the FLAIR grid, or omit it"
    if other.voxels.shape != flair.voxels.shape:
        shapes = [" x ".join(map(str, reversed(scan.voxels.shape[:3]))) for scan in (other, flair)]
        raise GeometryError(
            f"size is {shapes[0]} voxels (x, y, z), expected {shapes[1]} as FLAIR", where=other.source, cure=cure
        )
    if (flair.affine is None) != (other.affine is None):
        raise GeometryError("only one of this file and FLAIR has an affine", where=other.source, cure=cure)
    if flair.affine is None or other.affine is None:
        if flair.voxels.dtype != other.voxels.dtype:
            raise GeometryError(
                f"image type is {other.voxels.dtype}, expected {flair.voxels.dtype} as FLAIR",
                where=other.source,
                cure="give both in 8 or 16 bits",
            )
    elif (apart_mm := _farthest_mm(flair, other)) > _SAME_POSITION_MM:
        raise GeometryError(
            f"position or orientation differs from FLAIR by up to {apart_mm:.1f} mm", where=other.source, cure=cure
        )


def _farthest_mm(one: Scan, other: Scan) -> float:
    """Return the largest distance between the same corners of two volumes of equal size, in mm."""
    z, y, x = one.voxels.shape[:3]
    corners = np.array([[i, j, k, 1] for i in (0, x - 1) for j in (0, y - 1) for k in (0, z - 1)], np.float64)
    apart = corners @ (np.asarray(one.affine) - np.asarray(other.affine)).T
    return float(np.linalg.norm(apart[:, :3], axis=1).max())
