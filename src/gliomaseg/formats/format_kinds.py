"""The kinds of formats: single images, volumes, and series of several files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from gliomaseg.choices import MaskFormat
from gliomaseg.formats.dicom import DicomVolume
from gliomaseg.formats.scan_file import Grid, ScanFile


class FileKind(StrEnum):
    """The content of a file."""

    IMAGE = "image"
    VOLUME = "volume"
    SERIES = "series"


class ReadsVolume(Protocol):
    """The reader of a volume format."""

    def __call__(self, path: Path, *, max_bytes: int) -> ScanFile:
        """Return a file's volume. `read_volume` lists the exceptions."""


class WritesVolume(Protocol):
    """The writer of a volume format."""

    def __call__(self, path: Path, voxels: NDArray[Any], grid: Grid, *, description: str) -> None:
        """Write voxels on a grid; `write_volume` describes the arguments."""


class ReadsImage(Protocol):
    """The reader of an image format."""

    def __call__(self, path: Path, *, max_bytes: int, slices: int = 1) -> NDArray[Any]:
        """Return the pixels as viewers show them, (y, x) or (y, x, c). `read_picture` lists the exceptions."""


@dataclass(frozen=True)
class ImageFormat:
    """A format of single images.

    Attributes:
        read: returns the pixels as viewers show them, (y, x) or (y, x, c).
        write: writes uint8 pixels, (y, x) or (y, x, 3); None for a format that loses information.
        mask_formats: the formats of the masks of such files, unless the user chooses others.
    """

    kind: ClassVar = FileKind.IMAGE
    read: ReadsImage
    write: Callable[[Path, NDArray[np.uint8]], None] | None
    mask_formats: tuple[MaskFormat, ...]


@dataclass(frozen=True)
class VolumeFormat:
    """A format of volumes with an affine.

    Attributes:
        read: returns the scan and its grid.
        write: writes an array on a grid; None for a format of two files.
        mask_formats: the formats of the masks of such files, unless the user chooses others.
    """

    kind: ClassVar = FileKind.VOLUME
    read: ReadsVolume
    write: WritesVolume | None
    mask_formats: tuple[MaskFormat, ...] = (MaskFormat.nifti,)


@dataclass(frozen=True)
class SeriesFormat:
    """A format whose volumes are spread over several files.

    Attributes:
        read: returns one series.
        mask_formats: the formats of the masks of such files, unless the user chooses others.
    """

    kind: ClassVar = FileKind.SERIES
    read: Callable[..., DicomVolume]
    mask_formats: tuple[MaskFormat, ...] = (MaskFormat.nifti, MaskFormat.dicom_seg)


Format = ImageFormat | VolumeFormat | SeriesFormat
