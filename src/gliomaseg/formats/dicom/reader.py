"""Read a series: find its files, choose it, check its geometry, then decode its pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.errors import FormatError, GeometryError, GliomasegError, counted
from gliomaseg.formats.dicom import headers
from gliomaseg.formats.dicom.dicomdir import IS_MISSING, missing_files
from gliomaseg.formats.dicom.errors import translated_errors
from gliomaseg.formats.dicom.files import SourceFiles, is_dicom, locate, open_source_files
from gliomaseg.formats.dicom.geometry import Frame, Stack, frames_of, stack
from gliomaseg.formats.dicom.headers import HEADER_BYTES, Instance, OtherObject, mr_instances
from gliomaseg.formats.dicom.pixels import Layout, is_lossy, layout_of, stored_frames
from gliomaseg.formats.dicom.series import DicomVolume, Series, choose_series, grouped, series_of
from gliomaseg.formats.dicom.sources import Skipped, Source
from gliomaseg.formats.dicom.values import numbers, texts_of, uid, uid_name, words
from gliomaseg.formats.limits import needed_bytes, require_memory
from gliomaseg.geometry import from_lps

if TYPE_CHECKING:
    from pydicom import Dataset

_FLOAT_BYTES = 4
_MAX_TRIED = 5
# An object of another SOP class continues a series if its position is as near to the next slice's as this.
_SAME_LINE_MM = 1.0
_SHARE_OF_GAP = 0.1
_HIDDEN = "is a hidden folder with files of the chosen series, and is not searched"
_PIXEL_KEYWORDS = ("PixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths")


def study_of(folder: Path) -> str:
    """Implement `gliomaseg.formats.dicom.study_of`; the first five DICOM files are tried."""
    entries = (entry for entry in sorted(folder.iterdir()) if entry.suffix.lower() != ".zip" and is_dicom(entry))
    for file in islice(entries, _MAX_TRIED):
        try:
            with open_source_files(file) as found:
                _, header = headers.read(found.sources[0], pixels=False, max_bytes=HEADER_BYTES)
        except GliomasegError:  # reported when the series is read
            continue
        if study := uid(header, "StudyInstanceUID"):
            return study
    return ""


def list_series(path: Path) -> list[Series]:
    """Implement `gliomaseg.formats.dicom.list_series`."""
    with open_source_files(path) as found:
        instances, _ = mr_instances(found, where=str(path))
        return _listed(grouped(instances))


def _listed(groups: dict[str, list[Instance]]) -> list[Series]:
    found = [series_of(instances) for instances in groups.values()]
    return sorted(found, key=lambda series: (series.number is None, series.number or 0, series.uid))


def read_dicom(path: Path, *, series: str | None, max_bytes: int) -> DicomVolume:
    """Implement `gliomaseg.formats.dicom.read_dicom`."""
    with open_source_files(path) as found:
        instances, objects = mr_instances(found, where=str(path))
        groups = grouped(instances)
        listed = _listed(groups)
        chosen = choose_series(listed, wanted=series, where=path)
        missing = _missing_files(found, instances, chosen, path)
        volume = _read(groups[chosen.uid], chosen, where=str(path), max_bytes=max_bytes)
        for other in objects:
            _refuse_slice(other, volume)
        hidden = [Skipped(name, _HIDDEN) for name, files in found.hidden.items() if _have_series(files, chosen.uid)]
        unread = (*found.skipped, *missing, *hidden, *(other.skipped for other in objects))
        return replace(volume, unread=unread, others=tuple(other for other in listed if other is not chosen))


def read_every_series(path: Path, *, max_bytes: int) -> Iterator[tuple[Series, DicomVolume | Exception]]:
    """Implement `gliomaseg.formats.dicom.read_every_series`."""
    with open_source_files(path) as found:
        instances, _ = mr_instances(found, where=str(path))
        groups = grouped(instances)
        for series in _listed(groups):
            try:
                volume = _read(groups[series.uid], series, where=str(path), max_bytes=max_bytes)
            except Exception as fault:  # a person may choose another series
                yield series, fault
            else:
                yield series, volume


def _missing_files(found: SourceFiles, instances: Sequence[Instance], series: Series, path: Path) -> list[Skipped]:
    """Return the files that a DICOMDIR lists and that are missing.

    Raises:
        FormatError: one of them is of the series: a missing slice at an end would leave no gap.
    """
    names = [file.relative for file in found.sources] + [file.name for file in found.skipped]
    uids = {uid(instance.header, "SOPInstanceUID") for instance in instances}
    missing = [file for index in found.indexes for file in missing_files(index, names, uids, root=path)]
    own = [file.name for file in missing if file.series == series.uid]
    if own:
        what = f"lacks {counted(len(own), 'file')} of the series in its DICOMDIR: {texts_of(own)}"
        raise FormatError(what, where=path, cure="copy the whole disc again, or remove the DICOMDIR")
    return [Skipped(file.name, IS_MISSING) for file in missing]


def _have_series(files: Sequence[Source], series: str) -> bool:
    """Return whether one of the files is DICOM and of a series; damage does not matter."""
    for file in files:
        with suppress(GliomasegError):
            source, _ = locate(file)
            if source is None:
                continue
            _, header = headers.read(source, pixels=False, max_bytes=HEADER_BYTES, is_checked=False)
            if uid(header, "SeriesInstanceUID") == series:
                return True
    return False


def _refuse_slice(other: OtherObject, volume: DicomVolume) -> None:
    """Refuse an object of another SOP class that may be the series' next slice at one of its ends.

    Between two slices it would leave a gap, which is refused when the slices are sorted.
    """
    header = other.header()
    if header is None or uid(header, "SeriesInstanceUID") != volume.series.uid:
        return
    position_mm = numbers(header, "ImagePositionPatient", 3)
    if position_mm is None:
        return
    affine = from_lps(volume.affine)
    offset_mm, step_mm = position_mm - affine[:3, 3], affine[:3, 2]
    z = float(offset_mm @ step_mm / (step_mm @ step_mm))
    is_beside = np.linalg.norm(offset_mm - z * step_mm) > _SAME_LINE_MM
    if is_beside or abs(z - round(z)) > _SHARE_OF_GAP or 0 <= round(z) < len(volume.voxels):
        return
    what = f"is {uid_name(other.kind)}, not an MR image, and continues the slices of the chosen series"
    raise FormatError(what, where=other.source.name, cure="export the series again, or remove the file")


def _read(instances: list[Instance], series: Series, *, where: str, max_bytes: int) -> DicomVolume:
    layouts = [layout_of(instance) for instance in instances]
    _check_one_grid(instances, layouts, where=where)
    shape = (sum(layout.frames for layout in layouts), layouts[0].rows, layouts[0].columns)
    needed = needed_bytes(shape, _FLOAT_BYTES, slices=max(shape))
    require_memory(f"declares {math.prod(shape):,} voxels", needed, where=where, max_bytes=max_bytes)
    frames = [frames_of(instance, layout.frames) for instance, layout in zip(instances, layouts, strict=True)]
    slices = stack([frame.plane for own in frames for frame in own], where=where)
    filled, kept = _decode(instances, layouts, frames, slices)
    return DicomVolume(
        filled,
        slices.affine,
        series,
        headers=tuple(kept) if instances[0].is_multi_frame else tuple(kept[index] for index in slices.order),
        frames=slices.order if instances[0].is_multi_frame else (),
        path=where,
        warnings=_loss_warnings(instances),
    )


def _loss_warnings(instances: Sequence[Instance]) -> tuple[str, ...]:
    lossy = [instance for instance in instances if is_lossy(instance)]
    if not lossy:
        return ()
    return (f"{len(lossy)} of {len(instances)} files are compressed with loss ({uid_name(lossy[0].syntax)})",)


def _check_one_grid(instances: Sequence[Instance], layouts: Sequence[Layout], *, where: str) -> None:
    """Refuse a series whose files cannot be one grid, before pixels are decoded."""
    if len(instances) > 1 and any(instance.is_multi_frame for instance in instances):
        what = f"has {len(instances)} files, some of them multi-frame, expected one multi-frame file"
        raise GeometryError(what, where=where, cure="pass one of them")
    sizes = {(layout.columns, layout.rows) for layout in layouts}
    if len(sizes) > 1:
        shown = ", ".join(f"{columns} x {rows}" for columns, rows in sorted(sizes)[:3])
        raise GeometryError(
            f"has slices of {len(sizes)} sizes ({shown})", where=where, cure="remove the files of other sizes"
        )
    mosaics = [instance.name for instance in instances if "MOSAIC" in words(instance.header, "ImageType")]
    if mosaics:
        raise GeometryError(
            f"has mosaics of slices ({texts_of(mosaics)})", where=where, cure="split the mosaics into slices"
        )
    places = {uid(instance.header, "FrameOfReferenceUID") for instance in instances}
    if len(places) > 1:
        raise GeometryError(
            f"has slices of {len(places)} frames of reference", where=where, cure="split it into series"
        )


def _decode(
    instances: Sequence[Instance], layouts: Sequence[Layout], frames: Sequence[Sequence[Frame]], slices: Stack
) -> tuple[NDArray[Any], list[Dataset]]:
    """Decode file by file into one array; return it and the headers in the order of the files."""
    place = {index: z for z, index in enumerate(slices.order)}
    plain = all(frame.slope == 1 and frame.intercept == 0 for own in frames for frame in own)
    dtypes = {layout.dtype for layout in layouts}
    dtype = dtypes.pop() if plain and len(dtypes) == 1 else np.dtype(np.float32)
    voxels = np.zeros((len(place), layouts[0].rows, layouts[0].columns), dtype)
    kept: list[Dataset] = []
    at = 0
    for instance, layout, own in zip(instances, layouts, frames, strict=True):
        limit_bytes = layout.bytes + HEADER_BYTES
        syntax, data = headers.read(instance.source, pixels=True, max_bytes=limit_bytes)
        with translated_errors(instance.name):
            stored = stored_frames(data, syntax, layout, name=instance.name)
            for frame, values in zip(own, stored, strict=True):
                z = place[at + frame.index]
                voxels[z] = values
                if dtype == np.float32:
                    voxels[z] = voxels[z] * np.float32(frame.slope) + np.float32(frame.intercept)
            kept.append(_without_pixels(data))
        at += len(own)
    return voxels, kept


def _without_pixels(data: Dataset) -> Dataset:
    """Remove pixels, which are large, and private elements, which may contain the patient's name."""
    for tag in [tag for tag in data.keys() if tag.is_private]:  # noqa: SIM118 - a data set iterates over elements
        del data[tag]
    for keyword in _PIXEL_KEYWORDS:
        if keyword in data:
            del data[keyword]
    return data
