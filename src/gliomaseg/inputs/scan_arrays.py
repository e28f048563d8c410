"""NumPy arrays and nibabel images as scans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from gliomaseg.errors import GeometryError, UsageError
from gliomaseg.geometry import LARGEST_MM, SMALLEST_MM, Affine, Spacing
from gliomaseg.metrics.mask_checks import lengths_of
from gliomaseg.scan import Scan

Axes = Literal["zyx", "xyz"]
ACCEPTED = "a path, a Scan, a nibabel image or an array of numbers"
ADD_SLICE_AXIS = "add the slice axis: array[None]"


class NibabelImage(Protocol):
    """The attributes of a nibabel image that `scan_of_array` reads."""

    @property
    def affine(self) -> Any:
        """Voxel indices (x, y, z, 1) to mm, RAS+."""

    @property
    def dataobj(self) -> Any:
        """Voxels, shape (x, y, z)."""


class SupportsArray(Protocol):
    """An object that NumPy converts to an array, such as a tensor."""

    def __array__(self) -> NDArray[Any]:
        """Return the array."""


ArrayInput = NDArray[Any] | Sequence[NDArray[Any]] | SupportsArray | NibabelImage
"""An array, a list of slices of one shape, an object that NumPy converts to an array, or a nibabel image."""


@dataclass(frozen=True, eq=False)
class ArrayGeometry:
    """The grid of an array.

    Attributes:
        spacing_mm: voxel spacing along z, y, x; the slices are axial.
        affine: instead of `spacing_mm`: voxel indices (x, y, z, 1) to mm, RAS+.
        axes: axis order of the array; None for "zyx".
    """

    spacing_mm: Spacing | None = None
    affine: Affine | None = None
    axes: Axes | None = None

    def __post_init__(self) -> None:
        """Check all values, and set the affine if the spacing is given.

        Raises:
            UsageError: a value has another form, or spacing and affine are both given.
        """
        if self.axes not in (None, "zyx", "xyz"):
            raise UsageError(f"axes is {self.axes!r}, expected 'zyx' or 'xyz'")
        if self.spacing_mm is not None and self.affine is not None:
            raise UsageError("spacing_mm and affine are both given", cure="give one of them")
        if self.spacing_mm is not None:
            object.__setattr__(self, "affine", _axial_affine(self.spacing_mm))
        elif self.affine is not None:
            object.__setattr__(self, "affine", _matrix(self.affine))

    def require_absent(self, where: str) -> None:
        """Refuse geometry beside an input that defines its own.

        Raises:
            UsageError: a value is given.
        """
        if any(value is not None for value in (self.spacing_mm, self.affine, self.axes)):
            what = "spacing_mm, affine and axes are only for arrays"
            raise UsageError(what, where=where, cure="omit them: the input defines its grid")


def scan_of_array(given: ArrayInput, geometry: ArrayGeometry, *, name: str) -> tuple[Scan, Axes]:
    """Return an array or a nibabel image as a scan, and its axis order.

    Args:
        given: of the axis order of `geometry`: (z, y, x), RGB slices (z, y, x, 3), or (x, y, z). Further axes of
            length 1 after (x, y, z) are dropped, as for NIfTI files.
        geometry: of an array; a nibabel image has its own.
        name: of the argument, for error messages.

    Raises:
        UsageError: geometry is given for a nibabel image.
        GeometryError: the array has another shape or data type, or masked voxels.
        TypeError: the input is not an array of numbers.
    """
    if hasattr(given, "affine") and hasattr(given, "dataobj"):
        geometry.require_absent("nibabel image")
        geometry = ArrayGeometry(affine=given.affine, axes="xyz")
        given = given.dataobj
    axes = geometry.axes or "zyx"
    array = _as_array(given, name)
    voxels = _channel_last_from_xyz(array, name) if axes == "xyz" else _channel_last(array, name)
    if geometry.affine is None and voxels.dtype not in (np.uint8, np.uint16):
        raise GeometryError(
            f"data type is {voxels.dtype} and the grid is unknown", where=name, cure="give spacing_mm or affine"
        )
    return Scan(voxels, name, geometry.affine, orientation_assumed=geometry.spacing_mm is not None), axes


def _axial_affine(spacing_mm: Spacing) -> Affine:
    lengths = lengths_of(spacing_mm)
    if lengths is None or not all(SMALLEST_MM <= length <= LARGEST_MM for length in lengths):
        raise UsageError(
            f"spacing_mm is {spacing_mm!r}, expected three numbers from {SMALLEST_MM:g} to {LARGEST_MM:g}",
            cure="give the voxel spacing along z, y and x in mm",
        )
    z, y, x = lengths
    return np.diag([-x, -y, z, 1.0])  # columns run to the patient's left, rows to the back


def _matrix(affine: Any) -> Affine:
    try:
        matrix = np.asarray(affine, np.float64)
    except (TypeError, ValueError) as fault:
        raise UsageError(f"affine is {type(affine).__name__}, expected a 4 x 4 matrix of numbers") from fault
    if matrix.shape != (4, 4):
        raise UsageError(f"affine has shape {matrix.shape}, expected (4, 4)")
    return matrix


def _as_array(given: Any, name: str) -> NDArray[Any]:
    if np.ma.is_masked(given):
        what = f"has {int(np.ma.getmaskarray(given).sum()):,} masked voxels, expected an array without a mask"
        raise GeometryError(what, where=name, cure="replace them: array.filled(0)")
    try:
        array = np.asarray(given)
    except ValueError as fault:  # a list of slices of several shapes
        what = "slices have several shapes, expected one array"
        raise GeometryError(what, where=name, cure="crop or pad them to one shape") from fault
    if array.ndim == 0 or array.dtype.kind in "OSU":
        contents = f" of {type(given[0]).__name__}" if isinstance(given, list | tuple) and given else ""
        raise TypeError(f"{name} is {type(given).__name__}{contents}, expected {ACCEPTED}")
    return array


def _channel_last_from_xyz(array: NDArray[Any], name: str) -> NDArray[Any]:
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != 3:
        cure = "select one volume" if array.ndim > 3 else "add the missing axes: array[..., None]"
        raise GeometryError(f"shape is {array.shape}, expected (x, y, z)", where=name, cure=cure)
    return array.T[..., None]


def _channel_last(array: NDArray[Any], name: str) -> NDArray[Any]:
    if array.ndim == 3 and array.shape[2] in (3, 4):
        what = f"shape is {array.shape}, one RGB image (y, x, c), expected (z, y, x) or (z, y, x, 3)"
        cure = ADD_SLICE_AXIS if array.shape[2] == 3 else "add the slice axis and omit alpha: array[None, ..., :3]"
        raise GeometryError(what, where=name, cure=cure)
    if array.ndim not in (3, 4):
        cure = ADD_SLICE_AXIS if array.ndim == 2 else "select one volume"
        raise GeometryError(f"shape is {array.shape}, expected (z, y, x) or (z, y, x, 3)", where=name, cure=cure)
    return array[..., None] if array.ndim == 3 else array
