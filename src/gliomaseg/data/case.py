"""A case of a data set: the names of its files, and the scan and reference mask that they contain."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Sequence as Many
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.data.masks import (
    MaskLabels,
    is_dicom_volume,
    mask_of_labels,
    read_mask_image,
    read_tumour,
    read_tumour_and_values,
    require_same_size,
)
from gliomaseg.errors import DataError, GeometryError
from gliomaseg.formats import read_picture, read_volume
from gliomaseg.formats.dicom import SeriesIdentity, read_dicom
from gliomaseg.scan import Scan, join_scans
from gliomaseg.types import Mask, Sequence

UNKNOWN = "unknown"
MAX_BYTES = 4 * 2**30
SCAN_SEQUENCES = (Sequence.T1, Sequence.FLAIR, Sequence.T1CE)  # T2 has no channel: it is not read


@dataclass(frozen=True)
class Slice:
    """One axial slice: its number in the stack, its image and the expert's mask."""

    number: int
    image: Path
    mask: Path


@dataclass(frozen=True)
class VolumeFile:
    """One volume: a file, or a folder with one DICOM series.

    Attributes:
        path: the file or folder.
        channel: index in a 4D file whose channels are sequences; None for a 3D file.
        series: UID of the DICOM series; None if the folder has one series only.
    """

    path: Path
    channel: int | None = None
    series: str | None = None


@dataclass(frozen=True)
class Volumes:
    """The volumes of one examination.

    Attributes:
        images: each sequence that the examination has; FLAIR is one of them.
        mask: the expert's mask.
    """

    images: dict[Sequence, VolumeFile]
    mask: VolumeFile


@dataclass(frozen=True)
class Case:
    """One patient's examination: slices in files of their own, or volumes.

    Attributes:
        name: unique in the data set.
        patient: the same for all examinations of a patient.
        site: the hospital; "unknown" if the names do not tell it.
        slices: sorted by number; empty if the case has volumes.
        volumes: None if the case has slices.
        date: of the examination, as in the data set; None if unknown.
        labels: which values of the mask are tumour.
    """

    name: str
    patient: str
    site: str = UNKNOWN
    slices: tuple[Slice, ...] = ()
    volumes: Volumes | None = None
    date: str | None = None
    labels: MaskLabels = field(default_factory=MaskLabels)

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of the case, in order; those of a DICOM series are sorted by path."""
        if self.volumes is None:
            return tuple(file for entry in self.slices for file in (entry.image, entry.mask))
        named = [*(self.volumes.images[key] for key in sorted(self.volumes.images)), self.volumes.mask]
        return tuple(dict.fromkeys(file for volume in named for file in _files_of(volume.path)))

    @property
    def slice_names(self) -> list[str]:
        """`case/number` of each slice, in the order of the stack.

        Raises:
            DataError: the case has volumes, whose slices are not files.
        """
        if self.volumes is not None:
            what = "has volumes, expected slices in files of their own"
            raise DataError(what, where=self.name, cure="split by patient or by site")
        return [f"{self.name}/{entry.number}" for entry in self.slices]


@dataclass(frozen=True)
class LoadedCase:
    """One case in memory.

    Attributes:
        case: names and files of the case.
        scan: the images, shape (z, y, x, c).
        reference: the expert's mask, bool, shape (z, y, x).
        numbers: the number of each slice in the stack; 1 to z for volumes.
        values: of the mask of volumes before `Case.labels`, same shape; None unless they were asked for.
    """

    case: Case
    scan: Scan
    reference: Mask
    numbers: tuple[int, ...]
    values: NDArray[Any] | None = field(default=None, repr=False)

    def axial_number(self, k: int) -> int:
        """Return the number of axial slice k, from 0; those of a volume are numbered from below."""
        return self.numbers[k] if self.case.volumes is None else k + 1


def read_case(
    case: Case, *, partial: bool = False, with_values: bool = False, max_bytes: int = MAX_BYTES
) -> LoadedCase:
    """Return a case's scan and mask; sequences on another grid are resampled to FLAIR, as the scan's notes tell.

    Args:
        case: of a data set.
        partial: whether a T1 that covers too little of the head is left out with a note, and not refused.
        with_values: whether the values of the mask of volumes are kept, and all regions of a DICOM mask are read.
        max_bytes: approximate memory limit for a volume, as of `predict`.

    Raises:
        FormatError: a file cannot be read, or a mask is not one.
        GeometryError: a mask and its image are on different grids, or a sequence cannot be resampled to FLAIR.
        DataError: a DICOM mask refers to another series.
        ResourceError: a volume needs more than `max_bytes`.
        MissingExtraError: a format needs an extra that is not installed.
    """
    if case.volumes is not None:
        return _read_volumes(case, case.volumes, max_bytes, partial=partial, with_values=with_values)
    images, masks = zip(*(read_slice(entry, case.labels) for entry in case.slices), strict=True)
    scan = stack_slices(images, [entry.image for entry in case.slices])
    return LoadedCase(case, scan, np.stack(masks), tuple(entry.number for entry in case.slices))


def with_sequences(case: Case, sequences: Collection[Sequence]) -> Case:
    """Return a case with only some of its sequences, for example FLAIR; slices keep all of their channels."""
    if case.volumes is None:
        return case
    images = {name: volume for name, volume in case.volumes.images.items() if name in sequences}
    return replace(case, volumes=replace(case.volumes, images=images))


def _read_volumes(case: Case, volumes: Volumes, max_bytes: int, *, partial: bool, with_values: bool) -> LoadedCase:
    images = {name: volume for name, volume in volumes.images.items() if name in SCAN_SEQUENCES}
    share = max_bytes // len(images)
    flair, series = _read_volume(images.pop(Sequence.FLAIR), max_bytes=share)
    others = {name: read_volume_file(volume, max_bytes=share) for name, volume in images.items()}
    values = None
    if with_values:
        reference, values = read_tumour_and_values(volumes.mask, flair, case.labels, image=series)
    else:
        reference = read_tumour(volumes.mask, flair, case.labels, image=series)
    scan = join_scans(flair, others, partial=partial) if others else flair
    return LoadedCase(case, scan, reference, _count_from_1(scan), values)


def _count_from_1(scan: Scan) -> tuple[int, ...]:
    return tuple(range(1, len(scan.voxels) + 1))


def read_volume_file(volume: VolumeFile, *, max_bytes: int) -> Scan:
    """Return the scan of one sequence.

    Raises:
        FormatError: the file or series cannot be read.
        DataError: the folder has several series, and none is named.
        GeometryError: its affine is invalid.
        ResourceError: it needs more memory than `max_bytes`.
        MissingExtraError: it needs an extra that is not installed.
    """
    return _read_volume(volume, max_bytes=max_bytes)[0]


def _read_volume(volume: VolumeFile, *, max_bytes: int) -> tuple[Scan, SeriesIdentity | None]:
    """Return the scan of one sequence, and the DICOM series if it is one."""
    if is_dicom_volume(volume):
        series = read_dicom(volume.path, series=volume.series, max_bytes=max_bytes)
        return Scan(series.voxels[..., None], str(volume.path), series.affine), series.identity
    return read_volume(volume.path, max_bytes=max_bytes, channel=volume.channel).scan, None


def read_slice(entry: Slice, labels: MaskLabels | None = None) -> tuple[NDArray[Any], Mask]:
    """Return a slice's image (y, x, c), as stored, and its mask, bool (y, x).

    Raises:
        FormatError: a file cannot be read, or the mask is not one.
        GeometryError: the mask and the image differ in size.
    """
    image, values = read_slice_values(entry)
    return image, mask_of_labels(values, labels or MaskLabels(), where=entry.mask)


def read_slice_values(entry: Slice) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return a slice's image (y, x, c) and the values of its mask (y, x), both as stored.

    Raises:
        FormatError: a file cannot be read.
        GeometryError: the mask and the image differ in size.
    """
    image = read_picture(entry.image)
    values = read_mask_image(entry.mask)
    require_same_size(values, image.shape[:2], where=entry.mask)
    return image, values


def stack_slices(images: Many[NDArray[Any]], files: Many[Path]) -> Scan:
    """Return images (y, x, c) of one shape and data type as a scan (z, y, x, c).

    Args:
        images: at least one slice, in the order of the stack.
        files: the file of each slice. The source of the scan is their folder, or the file if there is one slice.

    Raises:
        GeometryError: an image differs from the first in size, data type or number of channels.
    """
    first = images[0]
    for image, file in zip(images, files, strict=True):
        if image.shape != first.shape or image.dtype != first.dtype:
            raise GeometryError(
                f"is {image.shape} {image.dtype}, the first slice {first.shape} {first.dtype}",
                where=file,
                cure="give slices of one size and kind",
            )
    source = files[0] if len(files) == 1 else files[0].parent
    return Scan(np.stack(images), source=str(source))


def _files_of(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
