"""One examination in memory, and where it came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.errors import GeometryError
from gliomaseg.geometry import Affine, Spacing, axis_codes, require_affine, spacing_of
from gliomaseg.types import Voxels

SEQUENCES = {1: ("flair",), 3: ("t1", "flair", "t1ce")}
SAME_LEVEL = 0.01  # of a slice's brightest: rounding to 8 bits stays below it


@dataclass(frozen=True)
class Scan:
    """The slices of one examination, on its own grid.

    Attributes:
        voxels: real numbers, all finite, shape (z, y, x, c): c is 1 (FLAIR, or a grey picture) or 3 (T1 before
            contrast, FLAIR, T1 after contrast: the order of the LGG data set). Without an affine they are
            pictures of 8 or 16 bits, axial as the training data are; with one, z may be any direction.
        source: the file or folder it was read from.
        affine: takes a voxel's place (x, y, z, 1) to millimetres in the patient, RAS+; None where the file
            does not say.
        orientation_assumed: whether the affine's directions are the format's default, and not the file's word.
        sequences: the channels' names; "flair", or "t1", "flair", "t1ce", if none are given.
    """

    voxels: Voxels
    source: str
    affine: Affine | None = None
    orientation_assumed: bool = False
    sequences: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        """Refuse what is not a stack of slices.

        Raises:
            GeometryError: the voxels have another number of axes or channels, or no slice, or the affine
                places no voxels.
            ValueError: there is not one name for each channel.
        """
        shape = self.voxels.shape
        if len(shape) != 4 or shape[3] not in (1, 3) or 0 in shape:
            raise GeometryError(
                f"expected slices of 1 or 3 channels, found an array of shape {shape}", where=self.source
            )
        if self.affine is None and self.voxels.dtype not in (np.uint8, np.uint16):
            raise GeometryError(f"expected 8 or 16 bits, found {self.voxels.dtype}", where=self.source)
        if self.affine is not None:
            if self.voxels.dtype.kind not in "iuf":
                raise GeometryError(f"expected real numbers, found {self.voxels.dtype}", where=self.source)
            require_affine(self.affine, where=self.source)
        if not self.sequences:
            object.__setattr__(self, "sequences", SEQUENCES[shape[3]])
        if len(self.sequences) != shape[3]:
            raise ValueError(f"{len(self.sequences)} sequences named for {shape[3]} channels")

    @property
    def spacing_mm(self) -> Spacing | None:
        """Between voxels' centres along (z, y, x), in millimetres; None where the file does not say."""
        return None if self.affine is None else spacing_of(self.affine)

    @property
    def orientation(self) -> str | None:
        """Where x, y and z point in the patient, such as LPS; None where the file does not say."""
        return None if self.affine is None or self.orientation_assumed else axis_codes(self.affine)

    @property
    def held(self) -> frozenset[str]:
        """The sequences that are there: FLAIR, and what has its own to show in nine of ten slices where FLAIR does.

        What is missing is a copy of FLAIR, as in the data set. A copy may have another scale; black is nothing.
        """
        if "flair" not in self.sequences:
            return frozenset(self.sequences)
        place = self.sequences.index("flair")
        shown = [plane for plane in self.voxels if plane[..., place].min() < plane[..., place].max()]
        own = [[_has_own(plane[..., k], plane[..., place]) for k in range(len(self.sequences))] for plane in shown]
        shares = np.mean(own, axis=0) if own else np.zeros(len(self.sequences))
        return frozenset({"flair", *(name for name, share in zip(self.sequences, shares, strict=True) if share >= 0.9)})


def flair_channel(sequences: int) -> int:
    """Return where FLAIR stands among the sequences of a slice."""
    return 1 if sequences > 1 else 0


def _has_own(plane: NDArray[Any], flair: NDArray[Any]) -> bool:
    """Return whether a slice (y, x) is neither even nor, up to scale, FLAIR's in all but 1 % of its voxels."""
    return bool(plane.min() < plane.max() and (np.abs(_levels(plane) - _levels(flair)) > SAME_LEVEL).mean() > 0.01)


def _levels(plane: NDArray[Any]) -> NDArray[np.float32]:
    """Return a slice that is not even from 0 (its darkest voxel) to 1 (its brightest)."""
    low, high = np.float32(plane.min()), np.float32(plane.max())
    return (plane.astype(np.float32) - low) / (high - low)
