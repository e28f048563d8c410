"""One examination in memory, and where it came from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gliomaseg.arrays import Voxels
from gliomaseg.errors import GeometryError


@dataclass(frozen=True)
class Scan:
    """The slices of one examination, on its own grid.

    Attributes:
        voxels: uint8 or uint16, shape (z, y, x, c): c is 1 (FLAIR, or a grey picture) or 3
            (T1 before contrast, FLAIR, T1 after contrast: the order of the LGG data set).
        source: the file or folder it was read from.
        spacing_mm: the size of a voxel along (z, y, x) in millimetres; None where the file does not say.
    """

    voxels: Voxels
    source: str
    spacing_mm: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        """Refuse what is not a stack of slices.

        Raises:
            GeometryError: the voxels have another number of axes or channels, or no slice.
        """
        shape = self.voxels.shape
        if len(shape) != 4 or shape[3] not in (1, 3) or 0 in shape:
            raise GeometryError(
                f"expected slices of 1 or 3 channels, found an array of shape {shape}", where=self.source
            )
        if self.voxels.dtype not in (np.uint8, np.uint16):
            raise GeometryError(f"expected 8 or 16 bits, found {self.voxels.dtype}", where=self.source)
