"""A volume file in memory: its scan, and the grid on which a mask of it is written."""

from __future__ import annotations

from dataclasses import dataclass

from gliomaseg.geometry import Affine
from gliomaseg.scan import Scan


@dataclass(frozen=True)
class Grid:
    """Size and position of a volume's voxels. A format may derive a class that keeps more of its file's header.

    Attributes:
        shape: number of voxels along (z, y, x).
        affine: takes a voxel index (x, y, z, 1) to millimetres, RAS+.
    """

    shape: tuple[int, int, int]
    affine: Affine


@dataclass(frozen=True)
class ScanFile:
    """The content of one volume file.

    Attributes:
        scan: voxels (z, y, x, 1), scaled as the file's header declares. NaN and infinite values are replaced by the
            lowest finite value, or by 0 if no finite value is negative.
        grid: for `write_volume`.
    """

    scan: Scan
    grid: Grid
