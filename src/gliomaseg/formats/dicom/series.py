"""The series in a folder: listed, chosen, and in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.errors import DataError, FormatError
from gliomaseg.formats.dicom.headers import Instance
from gliomaseg.formats.dicom.label_masks import SeriesIdentity
from gliomaseg.formats.dicom.values import item, number, numbers, text, uid, value_of, whole, words
from gliomaseg.formats.scan_file import Grid
from gliomaseg.geometry import spacing_of

if TYPE_CHECKING:
    from pydicom import Dataset

# "Dark fluid" is Siemens' name for FLAIR. Only letters are compared: scanners write spaces, hyphens and underscores.
_NAMES = ("flair", "darkfluid", "dafl")
_DERIVED_IMAGE_TYPES = {"LOCALIZER", "PROJECTION IMAGE", "MIP"}
# FLAIR has an inversion time of 1.3 s or more, which darkens fluid, and a long echo time, which brightens lesions.
_MIN_INVERSION_MS = 1_300.0
_MIN_ECHO_MS = 70.0
# With a shorter echo time a series is not FLAIR, in spite of its name: T1 FLAIR.
_NO_ECHO_MS = 50.0
_MAX_LISTED = 20


@dataclass(frozen=True)
class Series:
    """One MR series, as it is listed for the user.

    Attributes:
        uid: its SeriesInstanceUID, for `--series`.
        number: its SeriesNumber, for `--series` too; None if it is missing.
        modality: `MR`, or the value in the files.
        slices: number of slices.
        rows: rows of a slice in the first file.
        columns: columns of a slice in the first file.
        is_flair: whether name and parameters look like FLAIR.
        description: SeriesDescription, else ProtocolName: free text, which may contain a name. It is shown only in
            the list from which the user chooses, and never in logs, results or file names.
    """

    uid: str
    number: int | None
    modality: str
    slices: int
    rows: int
    columns: int
    is_flair: bool
    description: str = field(repr=False)

    def line(self) -> str:
        """Return the series as one entry of a list, with its description."""
        number = "without number" if self.number is None else f"number {self.number}"
        flair = ", like FLAIR" if self.is_flair else ""
        size = f"{self.slices} slices of {self.columns} x {self.rows}"
        return f"[{self.uid}] {number}, {self.description!r}, {size}{flair}"


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
        skipped: `<name>: <reason>` for each file that was not read, and for each series that was not chosen.
        warnings: restrictions of the pixels, such as a compression with loss.
    """

    voxels: NDArray[Any] = field(repr=False)
    affine: NDArray[np.float64]
    series: Series
    headers: tuple[Dataset, ...] = field(repr=False)
    frames: tuple[int, ...] = field(repr=False)
    path: str = ""
    skipped: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

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
        rows=whole(first, "Rows") or 0,
        columns=whole(first, "Columns") or 0,
        is_flair=looks_like_flair(first),
        description=text(first, "SeriesDescription") or text(first, "ProtocolName"),
    )


def _slices(instance: Instance) -> int:
    return (whole(instance.header, "NumberOfFrames") or 1) if instance.is_multi_frame else 1


def choose_series(found: Sequence[Series], *, wanted: str | None, where: str | PathLike[str]) -> Series:
    """Return the series to read.

    Args:
        found: from `list_series`.
        wanted: a series' UID or number. None chooses the only series, or the only one that looks like FLAIR.
        where: the path for the error message.

    Raises:
        DataError: the series is missing, or not exactly one looks like FLAIR; the message lists all series.
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
    raise DataError(f"{what}: {listed}{more}", where=where, cure="choose one (--series, in Python series)")


def looks_like_flair(header: Dataset) -> bool:
    """Return whether name and parameters look like FLAIR.

    The name is decisive unless the times contradict it (T1 FLAIR is not FLAIR here). Without such a name, the
    inversion time must be 1,300 ms or more and the echo time 70 ms or more.
    """
    if is_derived(header):
        return False
    echo_ms, inversion_ms = echo_and_inversion_ms(header)
    short_echo = echo_ms is not None and echo_ms < _NO_ECHO_MS
    short_inversion = inversion_ms is not None and inversion_ms < _MIN_INVERSION_MS
    if short_echo or short_inversion:
        return False
    if any(name in _letters(header) for name in _NAMES):
        return True
    if inversion_ms is None or echo_ms is None:
        return False
    return inversion_ms >= _MIN_INVERSION_MS and echo_ms >= _MIN_ECHO_MS


def is_derived(header: Dataset) -> bool:
    """Return whether an image is a localiser or a projection."""
    return bool(_DERIVED_IMAGE_TYPES & set(words(header, "ImageType")))


def _letters(header: Dataset) -> str:
    both = text(header, "SeriesDescription") + " " + text(header, "ProtocolName")
    return "".join(letter for letter in both.lower() if letter.isalpha())


def echo_and_inversion_ms(header: Dataset) -> tuple[float | None, float | None]:
    """Return echo and inversion time in ms; None for a missing value, for which scanners may write 0."""
    inversion, echo = number(header, "InversionTime"), number(header, "EchoTime")
    groups = [item(header, f"{kind}FunctionalGroupsSequence") for kind in ("Shared", "PerFrame")]
    modifier, timing = (
        item(groups[0], keyword) or item(groups[1], keyword) for keyword in ("MRModifierSequence", "MREchoSequence")
    )
    if modifier is not None and value_of(modifier, "InversionTimes") is not None:
        times = numbers(modifier, "InversionTimes", 1)
        inversion = None if times is None else float(times[0])
    if timing is not None:
        echo = number(timing, "EffectiveEchoTime")
    return echo or None, inversion or None
