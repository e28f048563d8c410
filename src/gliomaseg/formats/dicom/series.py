"""The series in a folder: listed, chosen, and in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.errors import DataError, FormatError
from gliomaseg.formats.dicom.files import skipped_lines
from gliomaseg.formats.dicom.headers import Instance
from gliomaseg.formats.dicom.label_masks import SeriesIdentity
from gliomaseg.formats.dicom.sequences import SEQUENCE_NAMES, sequence_of
from gliomaseg.formats.dicom.sources import Skipped
from gliomaseg.formats.dicom.values import text, uid, whole
from gliomaseg.formats.scan_file import Grid
from gliomaseg.geometry import spacing_of
from gliomaseg.types import Sequence as MriSequence

if TYPE_CHECKING:
    from pydicom import Dataset

_MAX_LISTED = 20


@dataclass(frozen=True)
class Series:
    """One MR series, as it is listed for the user.

    Attributes:
        uid: its SeriesInstanceUID, for `--series`.
        number: its SeriesNumber, which `--series` also takes; None if it is missing.
        modality: `MR`, or the value in the files.
        slices: number of slices.
        files: number of files.
        rows: rows of a slice in the first file.
        columns: columns of a slice in the first file.
        study: its StudyInstanceUID; empty if it is missing.
        sequence: by name, contrast agent and times; None for another or an unknown one.
        description: SeriesDescription, else ProtocolName: free text, which may contain a name. It is shown only in
            the list from which the user chooses, and never in logs, results or file names.
    """

    uid: str
    number: int | None
    modality: str
    slices: int
    files: int
    rows: int
    columns: int
    study: str
    sequence: MriSequence | None
    description: str = field(repr=False)

    @property
    def is_flair(self) -> bool:
        """Whether name and times are those of FLAIR."""
        return self.sequence is MriSequence.FLAIR

    @property
    def not_chosen(self) -> Skipped:
        """The entry of the series among the skipped files."""
        number = self.uid if self.number is None else f"number {self.number}"
        count = f"{self.files} {'file' if self.files == 1 else 'files'}"
        return Skipped(f"series {number} ({count})", "is not the chosen series")

    def line(self) -> str:
        """Return the series as one entry of a list, with its description."""
        number = "without number" if self.number is None else f"number {self.number}"
        like = f", like {SEQUENCE_NAMES[self.sequence]}" if self.sequence else ""
        size = f"{self.slices} slices of {self.columns} x {self.rows}"
        return f"[{self.uid}] {number}, {self.description!r}, {size}{like}"


@dataclass(frozen=True)
class DicomVolume:
    """One MR series on its own grid.

    Attributes:
        voxels: shape (z, y, x) = (slice, row, column), slices along their normal. The stored type (uint8, int8,
            uint16 or int16), or float32 with rescaling: slope x stored + intercept.
        affine: float64, shape (4, 4): takes voxel indices (x, y, z) = (column, row, slice) to millimetres RAS+.
        series: its UID, number and description.
        headers: the headers of its files, without pixels and private elements: one a slice in the order of z, or one
            for a multi-frame file. They contain the patient's name and are never shown.
        frames: for each z, the frame (from 0) in a multi-frame file; empty for single-frame files.
        path: the file, folder or zip, for error messages.
        unread: the files that were not read.
        others: the series beside it that were not chosen.
        warnings: restrictions of the pixels, such as a compression with loss.
    """

    voxels: NDArray[Any] = field(repr=False)
    affine: NDArray[np.float64]
    series: Series
    headers: tuple[Dataset, ...] = field(repr=False)
    frames: tuple[int, ...] = field(repr=False)
    path: str = ""
    unread: tuple[Skipped, ...] = ()
    others: tuple[Series, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def skipped(self) -> tuple[str, ...]:
        """`<name>: <reason>` for each file that was not read, and for each series that was not chosen."""
        return skipped_lines([*self.unread, *(other.not_chosen for other in self.others)])

    def only_other(self, sequence: MriSequence) -> Series | None:
        """Return the only other series of the study that is of a sequence by its header; None if there are several."""
        study = self.series.study
        found = [other for other in self.others if other.sequence is sequence and study and other.study == study]
        return found[0] if len(found) == 1 else None

    def key_of(self, series: Series) -> str:
        """Return the number of a series, which selects it; its UID if it has none, or another one has the same."""
        numbers = [one.number for one in (self.series, *self.others)]
        return series.uid if series.number is None or numbers.count(series.number) > 1 else str(series.number)

    @property
    def series_uid(self) -> str:
        """The SeriesInstanceUID."""
        return self.series.uid

    @property
    def identity(self) -> SeriesIdentity:
        """The UIDs by which a mask refers to it."""
        return SeriesIdentity(self.series_uid, uid(self.headers[0], "FrameOfReferenceUID"))

    @property
    def grid(self) -> Grid:
        """The grid of the voxels."""
        z, y, x = self.voxels.shape
        return Grid((z, y, x), self.affine)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """The size of a voxel along (z, y, x) in millimetres."""
        return spacing_of(self.affine)


def grouped(instances: Sequence[Instance]) -> dict[str, list[Instance]]:
    """Return the files of each series by its UID.

    Raises:
        FormatError: a file lacks SeriesInstanceUID or SOPInstanceUID.
    """
    groups: dict[str, list[Instance]] = {}
    for instance in instances:
        for keyword in ("SeriesInstanceUID", "SOPInstanceUID"):
            if not uid(instance.header, keyword):
                raise FormatError(f"{keyword} is missing or invalid", where=instance.name, cure="export it again")
        groups.setdefault(uid(instance.header, "SeriesInstanceUID"), []).append(instance)
    return groups


def series_of(instances: Sequence[Instance]) -> Series:
    """Return the list entry of one series, from its files."""
    first = instances[0].header
    modality = text(first, "Modality")
    return Series(
        uid=uid(first, "SeriesInstanceUID"),
        number=whole(first, "SeriesNumber"),
        modality=modality if modality.isalnum() and len(modality) <= 4 else "",
        slices=sum(_slices(instance) for instance in instances),
        files=len(instances),
        rows=whole(first, "Rows") or 0,
        columns=whole(first, "Columns") or 0,
        study=uid(first, "StudyInstanceUID"),
        sequence=sequence_of(first),
        description=text(first, "SeriesDescription") or text(first, "ProtocolName"),
    )


def _slices(instance: Instance) -> int:
    return (whole(instance.header, "NumberOfFrames") or 1) if instance.is_multi_frame else 1


class SeriesChoiceError(DataError):
    """The series to read is missing, or not exactly one looks like FLAIR."""


def choose_series(found: Sequence[Series], *, wanted: str | None, where: str | PathLike[str]) -> Series:
    """Return the series to read.

    Args:
        found: from `list_series`.
        wanted: a series' UID or number. None chooses the only series, or the only one that looks like FLAIR.
        where: the path for the error message.

    Raises:
        SeriesChoiceError: the series is missing, or not exactly one looks like FLAIR; the message lists all series.
    """
    if wanted is not None:
        fitting = [series for series in found if wanted in (series.uid, str(series.number))]
        what = f"has {len(fitting)} series {wanted}, expected 1"
    else:
        fitting = list(found) if len(found) == 1 else [series for series in found if series.is_flair]
        what = f"has {len(found)} series, and {len(fitting)} of them look like FLAIR"
    if len(fitting) == 1:
        return fitting[0]
    listed = "; ".join(series.line() for series in found[:_MAX_LISTED])
    more = f"; and {len(found) - _MAX_LISTED} more" if len(found) > _MAX_LISTED else ""
    raise SeriesChoiceError(f"{what}: {listed}{more}", where=where, cure="choose one (--series, in Python series)")
