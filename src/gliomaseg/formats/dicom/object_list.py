"""List the MR series, segmentations and structure sets among files, by their headers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gliomaseg.errors import FormatError, GliomasegError, InputError, MissingExtraError
from gliomaseg.formats.dicom import headers
from gliomaseg.formats.dicom.dicomdir import IS_MISSING, missing_on_disc
from gliomaseg.formats.dicom.errors import translated_errors
from gliomaseg.formats.dicom.file_kinds import FILE_SUFFIXES
from gliomaseg.formats.dicom.files import UNREADABLE, locate
from gliomaseg.formats.dicom.geometry import Plane, frames_of, stack
from gliomaseg.formats.dicom.headers import HEADER_BYTES, KEYWORDS, MASKS, MR, STRUCTURE_SET, Instance
from gliomaseg.formats.dicom.label_masks import SeriesIdentity
from gliomaseg.formats.dicom.label_reader import REFERENCE_KEYWORDS, references_of
from gliomaseg.formats.dicom.objects import DicomObjects, MaskObject, SeriesObject
from gliomaseg.formats.dicom.sequences import sequence_of
from gliomaseg.formats.dicom.sources import IS_INDEX, Source, is_index, source_of
from gliomaseg.formats.dicom.values import text, uid, uid_name, whole
from gliomaseg.formats.scan_file import Grid
from gliomaseg.types import Sequence

if TYPE_CHECKING:
    from pydicom import Dataset

_KEYWORDS = (*KEYWORDS, *REFERENCE_KEYWORDS, "PatientID")


@dataclass
class _Slices:
    """The used values of the files of one series: all headers would fill the memory."""

    identity: SeriesIdentity
    first: Dataset
    sequence: Sequence | None
    files: list[Path] = field(default_factory=list)
    planes: list[Plane] = field(default_factory=list)
    sizes: set[tuple[int, int]] = field(default_factory=set)
    fault: str = ""


@dataclass
class _Listing:
    series: dict[str, _Slices] = field(default_factory=dict)
    masks: list[MaskObject] = field(default_factory=list)
    skipped: list[tuple[Path, str]] = field(default_factory=list)
    faults: list[tuple[Path, str]] = field(default_factory=list)
    indexes: list[Path] = field(default_factory=list)
    instances: set[str] = field(default_factory=set)


def list_objects(files: Iterable[Path]) -> DicomObjects:
    """Implement `gliomaseg.formats.dicom.list_objects`."""
    listing, paths = _Listing(), list(files)
    for path in paths:
        _add(path, listing)
    for index in listing.indexes:
        _add_missing(index, paths, listing)
    found = [_series_object(slices) for slices in listing.series.values()]
    return DicomObjects(
        tuple(sorted(found, key=lambda series: (series.files[0], series.identity.uid))),
        tuple(sorted(listing.masks, key=lambda mask: mask.path)),
        tuple(sorted(listing.skipped)),
        tuple(sorted(listing.faults)),
    )


def _add(path: Path, listing: _Listing) -> None:
    """Add a file to the list of its kind."""
    if is_index(path):
        listing.skipped.append((path, IS_INDEX))
        listing.indexes.append(path)
    elif not path.is_file():
        is_link = path.is_symlink() and not path.exists()
        state = "is a link to a missing file" if is_link else "is a pipe or a device"
        (listing.faults if is_link and _has_dicom_name(path) else listing.skipped).append((path, state))
    elif path.suffix.lower() == ".zip":
        listing.skipped.append((path, "is a zip: unpack it to use its files"))
    else:
        try:
            with translated_errors(path):
                _add_file(path, listing)
        except MissingExtraError:
            raise
        except GliomasegError as fault:
            listing.faults.append((path, fault.what))


def _add_missing(index: Path, paths: Iterable[Path], listing: _Listing) -> None:
    """Add the missing files that a DICOMDIR lists: faults of the series that have other files."""
    for path, series in missing_on_disc(index, paths, listing.instances):
        (listing.faults if series in listing.series else listing.skipped).append((path, IS_MISSING))


def _has_dicom_name(path: Path) -> bool:
    return path.suffix.lower() in FILE_SUFFIXES


def _add_file(path: Path, listing: _Listing) -> None:
    source, state = locate(replace(source_of(path), name=path.name))
    if source is None:
        is_slice = _has_dicom_name(path) or (not path.suffix and not path.name.startswith(".") and state in UNREADABLE)
        what = f"has the name of a DICOM file, and is {state}" if is_slice else f"is {state}, not DICOM"
        (listing.faults if is_slice else listing.skipped).append((path, what))
        return
    syntax, header = headers.read(source, pixels=False, max_bytes=HEADER_BYTES, kinds=(*MR, *MASKS), keywords=_KEYWORDS)
    kind = uid(header, "SOPClassUID")
    if kind in MR:
        _add_slices(path, Instance(source, syntax, header), listing)
    elif kind in MASKS:
        listing.masks.append(_mask_object(path, source, header))
    else:
        listing.skipped.append((path, f"is {uid_name(kind) or 'an object without SOP class'}, not an MR image or mask"))


def _mask_object(path: Path, source: Source, header: Dataset) -> MaskObject:
    references = references_of(header)
    kind = "RTSTRUCT" if uid(header, "SOPClassUID") == STRUCTURE_SET else "SEG"
    if not references.series and not references.frames:
        what = f"is a {kind} that refers to no series"
        raise FormatError(what, where=source.name, cure="export it again")
    return MaskObject(path, kind, uid(header, "StudyInstanceUID"), references)


def _add_slices(path: Path, instance: Instance, listing: _Listing) -> None:
    header = instance.header
    if not (name := uid(header, "SeriesInstanceUID")):
        raise FormatError("SeriesInstanceUID is missing or invalid", where=instance.name, cure="export it again")
    if name not in listing.series:
        identity = SeriesIdentity(name, uid(header, "FrameOfReferenceUID"))
        listing.series[name] = _Slices(identity, header, sequence_of(header))
    listing.instances.add(uid(header, "SOPInstanceUID"))
    slices = listing.series[name]
    slices.files.append(path)
    slices.sizes.add((whole(header, "Rows") or 0, whole(header, "Columns") or 0))
    try:
        count = (whole(header, "NumberOfFrames") or 1) if instance.is_multi_frame else 1
        slices.planes += [frame.plane for frame in frames_of(instance, count)]
    except InputError as fault:
        slices.fault = slices.fault or fault.what


def _series_object(slices: _Slices) -> SeriesObject:
    grid, fault = _grid(slices)
    return SeriesObject(
        slices.identity,
        whole(slices.first, "SeriesNumber"),
        uid(slices.first, "StudyInstanceUID"),
        text(slices.first, "PatientID"),
        tuple(sorted(slices.files)),
        slices.sequence,
        grid,
        fault,
    )


def _grid(slices: _Slices) -> tuple[Grid | None, str]:
    if slices.fault:
        return None, slices.fault
    if len(slices.sizes) > 1:
        return None, f"has slices of {len(slices.sizes)} sizes"
    try:
        affine = stack(slices.planes, where="").affine
    except InputError as fault:
        return None, fault.what
    return Grid((len(slices.planes), *next(iter(slices.sizes))), affine), ""
