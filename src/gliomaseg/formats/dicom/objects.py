"""The objects in DICOM files: MR series, segmentations and structure sets. This module does not need the extra."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gliomaseg.formats.dicom.label_masks import References, SeriesIdentity
from gliomaseg.formats.scan_file import Grid
from gliomaseg.types import Sequence


@dataclass(frozen=True)
class SeriesObject:
    """One MR series.

    Attributes:
        identity: its UIDs.
        number: its SeriesNumber; None if it is missing.
        study: its StudyInstanceUID.
        patient: its PatientID, which only groups examinations and is never shown.
        files: its files, sorted.
        sequence: by name, contrast agent and times; None for another or an unknown one.
        grid: None if the slices are not one grid; `fault` is then the reason.
        fault: an empty string if there is a grid.
    """

    identity: SeriesIdentity
    number: int | None
    study: str
    patient: str = field(repr=False)
    files: tuple[Path, ...]
    sequence: Sequence | None
    grid: Grid | None
    fault: str = ""


@dataclass(frozen=True)
class MaskObject:
    """One segmentation or structure set.

    Attributes:
        path: its file.
        kind: "SEG" or "RTSTRUCT".
        study: its StudyInstanceUID.
        references: the series to which it refers.
    """

    path: Path
    kind: str
    study: str
    references: References


@dataclass(frozen=True)
class DicomObjects:
    """The content of some files.

    Attributes:
        series: sorted by the path of their first file.
        masks: sorted by path.
        skipped: files that are not one of these, with the reason.
        faults: files that may be part of a series or mask, and are damaged.
    """

    series: tuple[SeriesObject, ...] = ()
    masks: tuple[MaskObject, ...] = ()
    skipped: tuple[tuple[Path, str], ...] = ()
    faults: tuple[tuple[Path, str], ...] = ()
