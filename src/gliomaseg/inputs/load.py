"""Read an input of `predict`: its scan, and the headers to write masks on its grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.data.case import stack_slices
from gliomaseg.errors import DataError, FormatError, GliomasegError
from gliomaseg.formats import Grid, read_orientation, read_pages, read_picture, read_volume
from gliomaseg.formats.dicom import DicomVolume, SeriesChoiceError
from gliomaseg.formats.dicom.sequences import SEQUENCE_NAMES
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


def load_input(entry: Input, *, max_bytes: int) -> LoadedScan:
    """Return an input's scan; if T1 or T1ce is named, with the channels T1, FLAIR and T1ce.

    A T1 on another grid is resampled to that of FLAIR, or left out if it covers too little of the head. The notes of
    the scan name both.

    Args:
        entry: of `list_inputs`, `join_sequences` or `with_series`.
        max_bytes: approximate memory limit of the prediction.

    Raises:
        FormatError: a file is missing, damaged or of another format.
        DataError: the DICOM series is ambiguous or missing, or one series is named as two sequences.
        GeometryError: slices or sequences differ in size, or only one sequence has a known affine.
        ResourceError: prediction needs more than `max_bytes`.
        MissingExtraError: the input is DICOM and the extra `dicom` is not installed.
    """
    if entry.fault is not None:
        raise entry.fault
    named = {name: other for name, other in ((Sequence.T1, entry.t1), (Sequence.T1CE, entry.t1ce)) if other is not None}
    share = max_bytes // (1 + len(named))
    flair = _load(entry, max_bytes=share)
    if not named:
        return flair
    read: dict[Sequence, LoadedScan] = {}
    for name, other in named.items():
        read[name] = _load_other(name, other, {Sequence.FLAIR: flair, **read}, max_bytes=share)
    scans = {name: _with_notes(name, other, flair) for name, other in read.items()}
    joined = replace(flair, scan=join_scans(flair.scan, scans, partial=True))
    return _without_used(joined, read)


def _load_other(name: Sequence, entry: Input, read: Mapping[Sequence, LoadedScan], *, max_bytes: int) -> LoadedScan:
    """Return T1 or T1ce. If it is a series among others, an error names it: their path is that of FLAIR.

    Raises:
        DataError: it is the series of another sequence.
        GliomasegError: it cannot be read.
    """
    if entry.series is None:
        try:
            return _load(entry, max_bytes=max_bytes)
        except SeriesChoiceError as fault:  # --series is for FLAIR
            raise DataError(fault.what, where=fault.where, cure="pass the folder of one series") from fault
    where = f"{name.value.capitalize()} (series {entry.series})"
    cure = f"choose another one (--{name}-series, in Python {name}_series)"
    try:
        loaded = _load(entry, max_bytes=max_bytes)
    except GliomasegError as fault:
        is_choice = isinstance(fault, SeriesChoiceError)
        advice = cure if is_choice else fault.cure.replace("another --", f"another --{name}-")
        raise type(fault)(f"{where}: {fault.what}", where=fault.where, cure=advice) from fault
    for known, other in read.items():
        if loaded.series and other.series and loaded.series.series_uid == other.series.series_uid:
            raise DataError(f"{where}: is the series of {SEQUENCE_NAMES[known]} too", where=entry.path, cure=cure)
    return loaded


def _with_notes(name: Sequence, other: LoadedScan, flair: LoadedScan) -> Scan:
    """Return the scan of a sequence, with notes if its header disagrees with the name or with that of FLAIR."""
    if other.series is None:
        return other.scan
    label, by_header, notes = name.value.capitalize(), other.series.series.sequence, []
    if by_header not in (None, name):
        found, expected = SEQUENCE_NAMES[by_header], SEQUENCE_NAMES[name]
        notes.append(f"{label} is {found} by its DICOM header, expected {expected}")
    frames = [getattr(one.series.headers[0], "FrameOfReferenceUID", "") for one in (other, flair) if one.series]
    if len(set(frames)) == 2:
        notes.append(f"{label} has another FrameOfReferenceUID than FLAIR: check by eye that they are aligned")
    return replace(other.scan, notes=tuple(notes))


def _without_used(loaded: LoadedScan, read: Mapping[Sequence, LoadedScan]) -> LoadedScan:
    """Return a scan whose series that is T1 or T1ce does not count as one that was not chosen."""
    if loaded.series is None:
        return loaded
    used = {other.series.series_uid for other in read.values() if other.series is not None}
    others = tuple(other for other in loaded.series.others if other.uid not in used)
    return replace(loaded, series=replace(loaded.series, others=others))


def _load(entry: Input, *, max_bytes: int) -> LoadedScan:
    if entry.kind is Kind.VOLUME:
        volume = read_volume(entry.path, max_bytes=max_bytes)
        return LoadedScan(volume.scan, grid=volume.grid)
    if entry.kind is Kind.SERIES:
        return _load_series(entry, max_bytes=max_bytes)
    if entry.kind is Kind.PAGES:
        slices = read_pages(entry.path, max_bytes=max_bytes)
        return LoadedScan(Scan(slices, str(entry.path)), orientations=(read_orientation(entry.path),))
    count = len(entry.pictures)
    images = tuple(read_picture(file, max_bytes=max_bytes, slices=count) for file in entry.pictures)
    return LoadedScan(stack_slices(images, entry.pictures), images, tuple(map(read_orientation, entry.pictures)))


def _load_series(entry: Input, *, max_bytes: int) -> LoadedScan:
    from gliomaseg.formats.dicom import read_dicom

    return loaded_series(read_dicom(entry.path, series=entry.series, max_bytes=max_bytes))


def loaded_series(volume: DicomVolume) -> LoadedScan:
    """Return a DICOM volume as a scan.

    Raises:
        FormatError: its voxels are not finite, or all equal.
    """
    voxels = volume.voxels
    low, high = voxels.min(), voxels.max()
    if not np.isfinite([low, high]).all():
        raise FormatError(
            "RescaleSlope and RescaleIntercept give NaN or infinity", where=volume.path, cure="export the series again"
        )
    if low == high:
        raise FormatError("all voxels have the same value", where=volume.path, cure="give a series with an image in it")
    scan = Scan(voxels[..., None], volume.path, volume.affine)
    return LoadedScan(scan, grid=volume.grid, series=volume)
