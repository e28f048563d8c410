"""Affines and orientations: where voxels lie in the patient, and how to turn an array to axial slices.

An affine is a 4 x 4 matrix, float64. It maps voxel indices (x, y, z, 1), the reverse of an array's axis order, to
millimetres in the patient: x to the right, y to the front, z upwards (RAS+).

Networks take slices as the training data have them. Slices ascend, rows run from front to back, and columns from the
patient's right to the left, as radiologists view them: the array axes (z, y, x) point to S, P, L. The data set does not
record which side is left; the other two directions are visible.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gliomaseg.errors import GeometryError

Affine = NDArray[np.float64]
"""Voxel indices (x, y, z, 1) to millimetres, RAS+: float64, shape (4, 4)."""

Spacing = tuple[float, float, float]
"""Distance between voxel centres along z, y, x, in millimetres."""

AXIAL = "SPL"
SMALLEST_MM, LARGEST_MM, FARTHEST_MM = 0.01, 100.0, 1e6
LARGEST_COSINE = 1e-4
SAME_POSITION_MM = 0.01  # rounding of an affine to float32 stays below it
A = TypeVar("A", bound=np.generic)


@dataclass(frozen=True)
class Orientation:
    """A permutation and reversal of the first three axes of an array.

    Attributes:
        axes: which axis of the array becomes the first, second and third.
        reversed: whether each of the three is then reversed.
    """

    axes: tuple[int, int, int] = (0, 1, 2)
    reversed: tuple[bool, bool, bool] = (False, False, False)

    def turn(self, array: NDArray[A]) -> NDArray[A]:
        """Return an array, with any further axes, turned: a view, nothing is copied."""
        turned = array.transpose(*self.axes, *range(3, array.ndim))
        return turned[tuple(slice(None, None, -1 if backwards else 1) for backwards in self.reversed)]

    def turn_back(self, array: NDArray[A]) -> NDArray[A]:
        """Return a turned array as it was before `turn`: a view, nothing is copied."""
        unreversed = array[tuple(slice(None, None, -1 if backwards else 1) for backwards in self.reversed)]
        return unreversed.transpose(*np.argsort(self.axes), *range(3, array.ndim))

    def turn_affine(self, affine: Affine, shape: tuple[int, ...]) -> Affine:
        """Return the affine of the turned array.

        Args:
            affine: of the array before `turn`.
            shape: of the array before `turn`, (z, y, x).
        """
        steps = np.diag([0.0, 0.0, 0.0, 1.0])
        for new, (old, backwards) in enumerate(zip(self.axes, self.reversed, strict=True)):
            steps[2 - old, 2 - new] = -1 if backwards else 1
            steps[2 - old, 3] = shape[old] - 1 if backwards else 0
        turned: Affine = affine @ steps
        return turned

    def turn_spacing(self, spacing_mm: Spacing) -> Spacing:
        """Return the spacing along the turned array's axes."""
        first, second, third = (spacing_mm[axis] for axis in self.axes)
        return first, second, third


def orientation_to(affine: Affine, codes: str = AXIAL) -> Orientation:
    """Return how to turn an array so that its axes (z, y, x) point to `codes`.

    An oblique axis counts as the patient's axis that it is nearest to.

    Args:
        affine: of the array.
        codes: directions of the turned axes (z, y, x): one of L R, of P A and of I S each.
    """
    from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

    wanted = axcodes2ornt(tuple(reversed(codes)))  # nibabel's axes are x, y, z
    transform = ornt_transform(io_orientation(affine), wanted)
    axes, backwards = [0, 0, 0], [False, False, False]
    for old, (new, direction) in enumerate(transform.astype(int).tolist()):
        axes[2 - new], backwards[2 - new] = 2 - old, direction < 0
    return Orientation((axes[0], axes[1], axes[2]), (backwards[0], backwards[1], backwards[2]))


def axis_codes(affine: Affine) -> str:
    """Return the directions of x, y and z in the patient, as three letters of L R, P A, I S.

    >>> axis_codes(np.diag([-1.0, -1.0, 1.0, 1.0]))
    'LPS'
    """
    from nibabel.orientations import aff2axcodes

    return "".join(aff2axcodes(affine))


def spacing_of(affine: Affine) -> Spacing:
    """Return the distance between neighbouring voxel centres along z, y, x, in millimetres.

    Their product is the volume of a voxel only if the axes are at right angles; see `voxel_volume_mm3`.
    """
    x, y, z = (float(length) for length in np.linalg.norm(affine[:3, :3], axis=0))
    return z, y, x


def describe_grid(shape: tuple[int, ...], affine: Affine | None) -> str:
    """Return size, spacing, orientation and first voxel of a grid, in words for a message.

    Args:
        shape: of the array, (z, y, x) or (z, y, x, c).
        affine: of the array; None if its format has none.

    >>> describe_grid((2, 3, 4), np.diag([-1.0, -1.0, 5.0, 1.0]))
    '4 x 3 x 2 voxels of 1 x 1 x 5 mm, LPS, from (0, 0, 0) mm'
    """
    if affine is None:
        return f"{' x '.join(map(str, reversed(shape[:3])))} pixels without an affine"
    origin = ", ".join(f"{value:g}" for value in np.round(affine[:3, 3], 2) + 0.0)
    return f"{describe_voxels(shape, affine)}, {axis_codes(affine)}, from ({origin}) mm"


def describe_voxels(shape: tuple[int, ...], affine: Affine) -> str:
    """Return size and spacing of a grid, in words for a message.

    Args:
        shape: of the array, (z, y, x) or (z, y, x, c).
        affine: of the array.

    >>> describe_voxels((2, 3, 4), np.diag([-1.0, -1.0, 5.0, 1.0]))
    '4 x 3 x 2 voxels of 1 x 1 x 5 mm'
    """
    spacing = " x ".join(f"{length:g}" for length in np.round(spacing_of(affine)[::-1], 3))
    return f"{' x '.join(map(str, reversed(shape[:3])))} voxels of {spacing} mm"


def farthest_corner_mm(shape: tuple[int, ...], one: Affine, other: Affine) -> float:
    """Return the largest distance between the same corners of two volumes of equal size, in mm.

    Args:
        shape: of both, (z, y, x) or (z, y, x, c).
        one: affine of the first.
        other: affine of the second.
    """
    z, y, x = shape[:3]
    corners = np.array([[i, j, k, 1] for i in (0, x - 1) for j in (0, y - 1) for k in (0, z - 1)], np.float64)
    apart = corners @ (one - other).T
    return float(np.linalg.norm(apart[:, :3], axis=1).max())


def voxel_volume_mm3(affine: Affine) -> float:
    """Return the volume of a voxel in mm3: the determinant, which is right for axes that are not at right angles.

    >>> voxel_volume_mm3(np.array([[1.0, 0, 2, 0], [0, 1, 0, 0], [0, 0, 5, 0], [0, 0, 0, 1]]))  # sheared along x
    5.0
    """
    x, y, z = affine[:3, :3].T
    return abs(float(np.cross(x, y) @ z))


def pixel_area_mm2(affine: Affine, axis: int) -> float:
    """Return the area that a voxel takes in a slice across one axis, in mm2.

    Args:
        affine: of the array.
        axis: of the array (z, y, x), 0 to 2, along which the slices are stacked.
    """
    first, second = (affine[:3, 2 - other] for other in range(3) if other != axis)
    return float(np.linalg.norm(np.cross(first, second)))


def is_sheared(affine: Affine) -> bool:
    """Return whether two axes are not at right angles: their cosine is over 0.0001.

    Registration with 12 degrees of freedom gives such affines. Rounding of a rotated float32 affine stays far below.
    """
    columns = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    cosines = columns.T @ columns - np.eye(3)
    return bool(np.abs(cosines).max() > LARGEST_COSINE)


def require_affine(affine: Affine, *, where: str) -> None:
    """Check that an affine is usable.

    Raises:
        GeometryError: it is not a 4 x 4 matrix of finite numbers below one kilometre, two axes have the same
            direction, or a voxel spacing is below 0.01 or above 100 mm.
    """
    cure = "correct the affine"
    # NaN is not less than anything; a square of what is larger would overflow.
    numbers = affine.shape == (4, 4) and bool((np.abs(affine) < FARTHEST_MM).all())
    if not numbers or affine[3].tolist() != [0, 0, 0, 1]:
        raise GeometryError("affine is not a 4 x 4 matrix of finite millimetres", where=where, cure=cure)
    spacing_mm = spacing_of(affine)
    if not all(SMALLEST_MM <= length <= LARGEST_MM for length in spacing_mm):
        shown = " x ".join(f"{length:g}" for length in reversed(spacing_mm))
        raise GeometryError(
            f"voxel spacing is {shown} mm (x, y, z), expected {SMALLEST_MM:g} to {LARGEST_MM:g} mm",
            where=where,
            cure=cure,
        )
    if abs(float(np.linalg.det(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)))) < 1e-3:
        raise GeometryError("affine has two axes in one direction", where=where, cure=cure)


def from_lps(affine: Affine) -> Affine:
    """Return an LPS+ matrix (DICOM, NRRD, MetaImage) as RAS+, or an RAS+ matrix as LPS+."""
    # NIfTI is RAS+, DICOM is LPS+: the first two rows change sign.
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


@dataclass(frozen=True)
class FieldOfView:
    """The square of a slice that the network gets, in the slice's pixels; it may extend beyond the slice.

    Attributes:
        top, left: its corner, from the corner of the first pixel.
        height, width: more than 0; they differ if the pixels are not square.
    """

    top: float
    left: float
    height: float
    width: float


def field_of_view(
    shape: tuple[int, int], spacing_mm: tuple[float, float], *, fov_mm: float, head: tuple[slice, slice] | None = None
) -> FieldOfView:
    """Return the square around the centre of a slice, moved just as far as needed to contain the head.

    Args:
        shape: rows and columns of the slice.
        spacing_mm: between rows and between columns.
        fov_mm: side of the square.
        head: rows and columns of the head; a head larger than the square is centred.
    """
    starts, sizes = [], []
    for k in (0, 1):
        size = fov_mm / spacing_mm[k]
        start = (shape[k] - size) / 2
        if head is not None:
            first, last = float(head[k].start), float(head[k].stop)
            fits = last - first <= size
            start = min(max(start, last - size), first) if fits else (first + last - size) / 2
        starts.append(start)
        sizes.append(size)
    return FieldOfView(starts[0], starts[1], sizes[0], sizes[1])


def line_weights(
    count: int, wanted: NDArray[np.floating[Any]], *, reach: float = 1.0, repeated: bool = False
) -> NDArray[np.float32]:
    """Return the weights that resample a line of points linearly: float32, shape (len(wanted), count).

    Args:
        count: number of points, at 0, 1, 2 ...
        wanted: positions to resample at, in the same unit.
        reach: half-width of the triangular kernel. 1 interpolates between neighbours. For positions farther apart
            than 1, give their distance: the kernel then averages, which prevents aliasing.
        repeated: whether the first and last point extend to infinity. If not, rows of positions outside are 0. All
            other rows add up to 1.

    >>> line_weights(3, np.array([-1.0, 0.5, 2.0]))
    array([[0. , 0. , 0. ],
           [0.5, 0.5, 0. ],
           [0. , 0. , 1. ]], dtype=float32)
    """
    inside = np.clip(wanted, 0, count - 1)
    weights = np.clip(1 - np.abs(inside[:, None] - np.arange(count)[None, :]) / reach, 0, None)
    weights /= weights.sum(axis=1, keepdims=True)
    if not repeated:
        weights[(wanted < -0.5) | (wanted > count - 0.5)] = 0
    return np.asarray(weights, np.float32)


def pixel_centres(count: int, start: float, step: float) -> NDArray[np.float64]:
    """Return the centres of new pixels on a line of old ones: float64, shape (count,).

    Args:
        count: number of new pixels.
        start: edge of the first new pixel, in old pixels from the edge of the first old one.
        step: width of a new pixel, in old pixels.

    Returns:
        Positions as `line_weights` takes them: the centre of the first old pixel is 0.

    >>> pixel_centres(2, 0.0, 2.0)
    array([0.5, 2.5])
    """
    return np.asarray(start - 0.5 + step * (np.arange(count) + 0.5), np.float64)
