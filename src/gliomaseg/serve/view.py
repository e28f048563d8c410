"""The grid that the page draws: the scan's voxels with axes to the patient's right, front and top (RAS)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.atomic import new_file
from gliomaseg.errors import UsageError
from gliomaseg.formats import Grid, write_volume
from gliomaseg.geometry import Affine, Orientation, Spacing, orientation_to, spacing_of
from gliomaseg.scan import Scan
from gliomaseg.types import Mask

_RAS = "SAR"  # directions of the array axes z, y, x
# Images without an affine count as axial slices from below in the radiological view, as everywhere in the package.
_AXIAL_TO_RAS = Orientation(reversed=(False, True, True))
_WRITTEN = (np.uint8, np.int16, np.float32)


@dataclass(frozen=True)
class View:
    """How a scan's voxels are turned for the page; nothing is resampled.

    Attributes:
        orientation: from the axes of the scan's array to z, y, x of the page.
        affine: of the turned array; spacings are 1 mm if the scan has none.
        shape: of the turned array, (z, y, x).
        spacing_mm: of the turned array along x, y and z; None if it is unknown.
    """

    orientation: Orientation
    affine: Affine
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float] | None

    @property
    def shape_xyz(self) -> tuple[int, int, int]:
        """The number of voxels along x, y and z."""
        z, y, x = self.shape
        return x, y, z

    @property
    def scan_spacing_mm(self) -> Spacing | None:
        """The spacing of the scan's own array along z, y and x in mm; None if it is unknown."""
        if self.spacing_mm is None:
            return None
        turned = dict(zip(self.orientation.axes, reversed(self.spacing_mm), strict=True))
        return turned[0], turned[1], turned[2]

    def to_json(self) -> str:
        """Return the view as JSON, for `from_json`."""
        axes = {"axes": self.orientation.axes, "reversed": self.orientation.reversed}
        return json.dumps(axes | {"affine": self.affine.tolist(), "shape": self.shape, "spacing_mm": self.spacing_mm})

    @classmethod
    def from_json(cls, text: str) -> View:
        """Return the view that `to_json` wrote."""
        document = json.loads(text)
        orientation = Orientation(tuple(document["axes"]), tuple(document["reversed"]))
        spacing_mm = document["spacing_mm"]
        shape = tuple(document["shape"])
        return cls(orientation, np.array(document["affine"]), shape, None if spacing_mm is None else tuple(spacing_mm))

    def to_bytes(self, mask: Mask) -> bytes:
        """Return a mask of the scan, bool (z, y, x), as one byte for each voxel of the page, x fastest."""
        return self.orientation.turn(mask).astype(np.uint8).tobytes()

    def from_bytes(self, content: bytes) -> NDArray[np.uint8]:
        """Return values that the page sent, on the scan's own grid: uint8, shape (z, y, x).

        Raises:
            UsageError: their number is not that of the voxels.
        """
        count = int(np.prod(self.shape))
        if len(content) != count:
            raise UsageError(f"body has {len(content):,} bytes, expected {count:,}", cure="send one for each voxel")
        turned = np.frombuffer(content, np.uint8).reshape(self.shape)
        return np.ascontiguousarray(self.orientation.turn_back(turned))


def view_of(scan: Scan) -> View:
    """Return how to turn a scan for the page."""
    shape = scan.voxels.shape[:3]
    orientation = _AXIAL_TO_RAS if scan.affine is None else orientation_to(scan.affine, _RAS)
    affine = np.eye(4) if scan.affine is None else orientation.turn_affine(scan.affine, shape)
    z, y, x = (shape[axis] for axis in orientation.axes)
    spacing = None if scan.affine is None else spacing_of(affine)
    return View(orientation, affine, (z, y, x), None if spacing is None else (spacing[2], spacing[1], spacing[0]))


def write_view(path: Path, voxels: NDArray[Any], view: View) -> None:
    """Write an array of the scan, shape (z, y, x), as NIfTI on the grid of the page.

    Raises:
        OSError: the disk is full.
    """
    turned = np.ascontiguousarray(view.orientation.turn(voxels))
    if turned.dtype not in _WRITTEN:
        turned = turned.astype(np.float32)
    path.parent.mkdir(exist_ok=True)
    with new_file(path) as temporary:
        write_volume(temporary, turned, Grid(view.shape, view.affine), description="image")
