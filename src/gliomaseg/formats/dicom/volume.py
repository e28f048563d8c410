"""A DICOM series in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.formats.dicom.series import Series

if TYPE_CHECKING:
    from pydicom import Dataset


@dataclass(frozen=True)
class DicomVolume:
    """One MR series on its own grid.

    Attributes:
        voxels: shape (z, y, x) = (slice, row, column), slices along their normal. The stored type (uint8, int8,
            uint16 or int16) where nothing is rescaled, else float32: slope x stored + intercept.
        affine: float64, shape (4, 4): takes voxel indices (x, y, z) = (column, row, slice) to millimetres RAS+.
        series: which it is, and what a list shows of it.
        headers: of the files, without pixels and private elements: one a slice in the order of z, or one for all.
            They hold the patient's name: never shown.
        frames: for each z, the frame (from 0) of the one multi-frame file; empty for single-frame files.
    """

    voxels: NDArray[Any] = field(repr=False)
    affine: NDArray[np.float64]
    series: Series
    headers: tuple[Dataset, ...] = field(repr=False)
    frames: tuple[int, ...] = field(repr=False)

    @property
    def series_uid(self) -> str:
        """The SeriesInstanceUID."""
        return self.series.uid

    @property
    def description(self) -> str:
        """The series' description: free text, not for logs."""
        return self.series.description

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """The size of a voxel along (z, y, x) in millimetres."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(z), float(y), float(x)
