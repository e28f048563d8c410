"""An input, read: one scan, and what it takes to write on its grid."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.data.case import stack_slices
from gliomaseg.errors import FormatError, GeometryError
from gliomaseg.formats import Grid, read_pages, read_picture, read_volume
from gliomaseg.formats.dicom import DicomVolume
from gliomaseg.prediction.inputs import Input, Kind
from gliomaseg.scan import Scan

# Of the voxels as float32, a DICOM series may take this share of the memory: beside them prediction holds 8-bit
# levels, probability and mask.
_VOXEL_BYTES, _ALL_BYTES = 4, 11
_SAME_PLACE_MM = 0.01


@dataclass(frozen=True)
class LoadedScan:
    """An input in memory.

    Attributes:
        scan: the voxels and where they lie.
        images: of pictures, each as it was read, (y, x, c); empty of all else.
        grid: of the volumes that are written; None if the input has no affine.
        series: of DICOM, the volume with its headers.
    """

    scan: Scan
    images: tuple[NDArray[Any], ...] = ()
    grid: Grid | None = None
    series: DicomVolume | None = field(default=None, repr=False)


def load_input(entry: Input, *, series: str | None = None, max_bytes: int) -> LoadedScan:
    """Return an input's scan; where T1 was named, with three channels, of which a missing one is a copy of FLAIR.

    Args:
        entry: of `list_inputs` or `join_sequences`.
        series: UID or number of the DICOM series of FLAIR; None chooses.
        max_bytes: what prediction may take in memory for it, about.

    Raises:
        FormatError: a file is missing, damaged or of another kind.
        DataError: the DICOM series cannot be chosen.
        GeometryError: slices do not fit each other, or sequences lie on different grids.
        ResourceError: it needs more memory.
        MissingExtraError: DICOM is given and its extra is not installed.
    """
    others = {"t1": entry.t1, "t1ce": entry.t1ce}
    share = max_bytes // (1 + sum(other is not None for other in others.values()))
    flair = _load(entry, series=series, max_bytes=share)
    if entry.t1 is None and entry.t1ce is None:
        return flair
    return _joined(
        flair,
        {name: _load(other, series=None, max_bytes=share).scan for name, other in others.items() if other is not None},
    )


def _load(entry: Input, *, series: str | None, max_bytes: int) -> LoadedScan:
    if entry.kind is Kind.VOLUME:
        volume = read_volume(entry.path, max_bytes=max_bytes)
        return LoadedScan(volume.scan, grid=volume.grid)
    if entry.kind is Kind.SERIES:
        return _load_series(entry, series=series, max_bytes=max_bytes)
    if entry.kind is Kind.PAGES:
        slices = read_pages(entry.path, max_bytes=max_bytes)
        return LoadedScan(Scan(slices, str(entry.path)))
    images = tuple(read_picture(file) for file in entry.pictures)
    return LoadedScan(stack_slices(images, entry.pictures), images)


def _load_series(entry: Input, *, series: str | None, max_bytes: int) -> LoadedScan:
    from gliomaseg.formats.dicom import read_dicom

    volume = read_dicom(entry.path, series=series, max_bytes=max_bytes * _VOXEL_BYTES // _ALL_BYTES)
    voxels = volume.voxels
    low, high = voxels.min(), voxels.max()
    if not np.isfinite([low, high]).all():
        raise FormatError("its rescaling gives what is no number", where=entry.path, cure="export it again")
    if low == high:
        raise FormatError("holds one value everywhere", where=entry.path, cure="give a series with a picture in it")
    z, y, x = voxels.shape
    scan = Scan(voxels[..., None], str(entry.path), volume.affine)
    return LoadedScan(scan, grid=Grid((z, y, x), volume.affine), series=volume)


def _joined(flair: LoadedScan, others: dict[str, Scan]) -> LoadedScan:
    """Return FLAIR with its other sequences as channels: before contrast, FLAIR, after contrast."""
    for scan in (flair.scan, *others.values()):
        if scan.voxels.shape[-1] != 1:
            raise GeometryError("has colours: it is no single sequence", where=scan.source, cure="give grey pictures")
    for scan in others.values():
        _require_same_grid(flair.scan, scan)
    channels = [others.get("t1", flair.scan), flair.scan, others.get("t1ce", flair.scan)]
    voxels = np.concatenate([scan.voxels for scan in channels], axis=3)
    return replace(flair, scan=replace(flair.scan, voxels=voxels, sequences=()))


def _require_same_grid(flair: Scan, other: Scan) -> None:
    cure = "resample it to FLAIR's grid, or leave it out: FLAIR alone is enough"
    if other.voxels.shape != flair.voxels.shape:
        shapes = [" x ".join(map(str, reversed(scan.voxels.shape[:3]))) for scan in (other, flair)]
        raise GeometryError(f"is {shapes[0]} voxels (x, y, z), FLAIR {shapes[1]}", where=other.source, cure=cure)
    if (flair.affine is None) != (other.affine is None):
        raise GeometryError("is a file of another kind than FLAIR", where=other.source, cure=cure)
    if flair.affine is None or other.affine is None:
        if flair.voxels.dtype != other.voxels.dtype:
            raise GeometryError("has another depth than FLAIR", where=other.source, cure="give both in 8 or 16 bits")
    elif _farthest_mm(flair, other) > _SAME_PLACE_MM:
        raise GeometryError("lies elsewhere than FLAIR, or otherwise", where=other.source, cure=cure)


def _farthest_mm(one: Scan, other: Scan) -> float:
    """Return how far corners of two equal boxes of voxels lie apart, at most."""
    z, y, x = one.voxels.shape[:3]
    corners = np.array([[i, j, k, 1] for i in (0, x - 1) for j in (0, y - 1) for k in (0, z - 1)], np.float64)
    apart = corners @ (np.asarray(one.affine) - np.asarray(other.affine)).T
    return float(np.linalg.norm(apart[:, :3], axis=1).max())
