"""Read a segmentation (SEG) or a structure set (RTSTRUCT) as one mask for each label, on the grid of its series."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gliomaseg.errors import DataError, FormatError
from gliomaseg.formats.dicom import headers
from gliomaseg.formats.dicom.contours import read_contours
from gliomaseg.formats.dicom.errors import translated_errors
from gliomaseg.formats.dicom.files import open_source_files
from gliomaseg.formats.dicom.headers import HEADER_BYTES, MASKS, STRUCTURE_SET
from gliomaseg.formats.dicom.label_masks import LabelMasks, References, SeriesIdentity
from gliomaseg.formats.dicom.segmentation_reader import read_segments
from gliomaseg.formats.dicom.sources import Source
from gliomaseg.formats.dicom.values import items, texts_of, uid, uid_name
from gliomaseg.formats.scan_file import Grid

if TYPE_CHECKING:
    from pydicom import Dataset

REFERENCE_KEYWORDS = (
    "SOPClassUID",
    "FrameOfReferenceUID",
    "ReferencedSeriesSequence",
    "ReferencedFrameOfReferenceSequence",
    "StructureSetROISequence",
)


def references_of(header: Dataset) -> References:
    """Return the references of a segmentation or structure set."""
    holders = [header]
    frames = [uid(header, "FrameOfReferenceUID")]
    for frame in items(header, "ReferencedFrameOfReferenceSequence"):
        frames.append(uid(frame, "FrameOfReferenceUID"))
        holders += items(frame, "RTReferencedStudySequence")
    named = [
        uid(entry, "SeriesInstanceUID")
        for holder in holders
        for keyword in ("ReferencedSeriesSequence", "RTReferencedSeriesSequence")
        for entry in items(holder, keyword)
    ]
    frames += [uid(roi, "ReferencedFrameOfReferenceUID") for roi in items(header, "StructureSetROISequence")]
    return References(*(tuple(dict.fromkeys(name for name in names if name)) for names in (named, frames)))


def read_labels(
    path: Path, grid: Grid, *, series: SeriesIdentity | None, labels: Collection[int] | None, max_bytes: int
) -> LabelMasks:
    """Implement `gliomaseg.formats.dicom.read_labels`."""
    with open_source_files(path) as found:
        source, kind = _mask_source(found.sources, path)
        syntax, data = headers.read(source, pixels=True, max_bytes=max_bytes)
        with translated_errors(source.name):
            _require_reference(references_of(data), series, where=source.name)
            if kind == STRUCTURE_SET:
                return read_contours(data, grid, labels=labels, name=source.name)
            return read_segments(data, syntax, grid, labels=labels, name=source.name, max_bytes=max_bytes)


def _mask_source(sources: Sequence[Source], path: Path) -> tuple[Source, str]:
    """Return the only segmentation or structure set, and its SOP class."""
    kinds = [uid(headers.read(source, pixels=False, max_bytes=HEADER_BYTES)[1], "SOPClassUID") for source in sources]
    masks = [(source, kind) for source, kind in zip(sources, kinds, strict=True) if kind in MASKS]
    if len(masks) > 1:
        what = f"has {len(masks)} segmentations or structure sets ({texts_of([m.relative for m, _ in masks])})"
        raise DataError(f"{what}, expected 1", where=path, cure="name one of the files")
    if not masks:
        shown = texts_of([uid_name(kind) or "an object without SOP class" for kind in dict.fromkeys(kinds)])
        what = f"is {shown}, expected a DICOM segmentation or structure set"
        raise FormatError(what, where=path, cure="name the file of the mask")
    return masks[0]


def _require_reference(references: References, series: SeriesIdentity | None, *, where: str) -> None:
    """Refuse a mask of another series.

    Raises:
        DataError: naming the UIDs.
    """
    if series is None or references.include(series):
        return
    if references.series:
        found, expected = f"series {texts_of(references.series)}", f"series {series.uid}"
    else:
        found = f"frame of reference {texts_of(references.frames) or 'missing'}"
        expected = f"{series.frame_of_reference or 'that'} of series {series.uid}"
    what = f"refers to {found}, expected {expected}"
    raise DataError(what, where=where, cure="give the mask that was drawn on this series")
