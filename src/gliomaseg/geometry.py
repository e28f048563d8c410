"""Where voxels lie in the patient, and how an array is turned so that a network sees axial slices.

An affine is a 4 x 4 matrix, float64. It takes a voxel's place (x, y, z, 1), the reverse of the order in
which arrays are indexed, to millimetres in the patient: x to the right, y to the front, z upwards (RAS+).

Networks see slices as the training data show them. Slices ascend, rows run from front to back, and columns
from the patient's right to the left, which is how radiologists look at them: the array axes (z, y, x) point
to S, P, L. The data set itself does not say where left is; the other two directions can be seen.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gliomaseg.errors import GeometryError

Affine = NDArray[np.float64]
"""Voxel places (x, y, z, 1) to millimetres, RAS+: float64, shape (4, 4)."""

Spacing = tuple[float, float, float]
"""Between voxels' centres along z, y, x, in millimetres."""

AXIAL = "SPL"
SMALLEST_MM, LARGEST_MM, FARTHEST_MM = 0.01, 100.0, 1e6
_ENDS = ("LR", "PA", "IS")
A = TypeVar("A", bound=np.generic)


@dataclass(frozen=True)
class Orientation:
    """How the first three axes of an array are exchanged and reversed; the inverse is exact.

    Attributes:
        axes: which axis of the array becomes the first, second and third.
        reversed: whether each of the three is then reversed.
    """

    axes: tuple[int, int, int] = (0, 1, 2)
    reversed: tuple[bool, bool, bool] = (False, False, False)

    def turn(self, array: NDArray[A]) -> NDArray[A]:
        """Return an array (and what axes it has after the third) turned: a view, nothing is copied."""
        turned = array.transpose(*self.axes, *range(3, array.ndim))
        return turned[self._steps()]

    def turn_back(self, array: NDArray[A]) -> NDArray[A]:
        """Return what `turn` was given, of what it returned: a view, voxel for voxel the same."""
        back = np.argsort(self.axes)
        return array[self._steps()].transpose(*(int(axis) for axis in back), *range(3, array.ndim))

    def turn_spacing(self, spacing_mm: Spacing) -> Spacing:
        """Return the spacing along the turned array's axes."""
        first, second, third = (spacing_mm[axis] for axis in self.axes)
        return first, second, third

    def turn_affine(self, affine: Affine, shape: tuple[int, ...]) -> Affine:
        """Return the affine of the turned array: every voxel stays where it lies in the patient.

        Args:
            affine: of the array before.
            shape: of the array before, (z, y, x) first.
        """
        step = np.zeros((4, 4))
        step[3, 3] = 1
        for new, (old, backwards) in enumerate(zip(self.axes, self.reversed, strict=True)):
            # Places are (x, y, z): the reverse of the axes' order.
            step[2 - old, 2 - new] = -1 if backwards else 1
            step[2 - old, 3] = shape[old] - 1 if backwards else 0
        turned: Affine = affine @ step
        return turned

    def _steps(self) -> tuple[slice, ...]:
        return tuple(slice(None, None, -1 if backwards else 1) for backwards in self.reversed)


def orientation_to(affine: Affine, codes: str = AXIAL) -> Orientation:
    """Return how to turn an array so that its axes (z, y, x) point to `codes`.

    An oblique axis counts as the patient's axis that it is nearest to.

    Args:
        affine: of the array.
        codes: where the turned axes (z, y, x) point: each one of L R, P A, I S.
    """
    places = [next(k for k, ends in enumerate(_ENDS) if code in ends) for code in codes]
    towards = [1 if code == _ENDS[place][1] else -1 for place, code in zip(places, codes, strict=True)]
    along = _nearest_axes(affine)
    axes, backwards = [], []
    for place, sign in zip(places, towards, strict=True):
        column = along.index(place)
        axes.append(2 - column)
        backwards.append(bool(affine[place, column] * sign < 0))
    return Orientation((axes[0], axes[1], axes[2]), (backwards[0], backwards[1], backwards[2]))


def axis_codes(affine: Affine) -> str:
    """Return where a voxel's x, y and z point in the patient, as three letters of L R, P A, I S.

    >>> axis_codes(np.diag([-1.0, -1.0, 1.0, 1.0]))
    'LPS'
    """
    along = _nearest_axes(affine)
    return "".join(_ENDS[place][int(affine[place, column] > 0)] for column, place in enumerate(along))


def _nearest_axes(affine: Affine) -> tuple[int, ...]:
    """Return for x, y and z which of the patient's axes is nearest: the pairing that turns them least."""
    columns = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    # Rounded: of two equally good pairings the last bit must not choose.
    return max(
        itertools.permutations(range(3)),
        key=lambda pairing: round(sum(abs(float(columns[place, k])) for k, place in enumerate(pairing)), 6),
    )


def spacing_of(affine: Affine) -> Spacing:
    """Return how far neighbouring voxels' centres lie apart along z, y, x, in millimetres."""
    x, y, z = (float(length) for length in np.linalg.norm(affine[:3, :3], axis=0))
    return z, y, x


def require_affine(affine: Affine, *, where: str) -> None:
    """Refuse an affine that places no voxels.

    Raises:
        GeometryError: it is not 4 x 4, holds what is no number or over a kilometre, puts voxels on one plane,
            or spaces them by less than 0.01 or more than 100 mm.
    """
    cure = "correct its header"
    # NaN is not less than anything; a square of what is larger would overflow.
    numbers = affine.shape == (4, 4) and bool((np.abs(affine) < FARTHEST_MM).all())
    if not numbers or affine[3].tolist() != [0, 0, 0, 1]:
        raise GeometryError("its affine is no 4 x 4 matrix of millimetres", where=where, cure=cure)
    spacing_mm = spacing_of(affine)
    if not all(SMALLEST_MM <= length <= LARGEST_MM for length in spacing_mm):
        shown = " x ".join(f"{length:g}" for length in reversed(spacing_mm))
        raise GeometryError(f"its voxels are {shown} mm (x, y, z): that is no head", where=where, cure=cure)
    if abs(float(np.linalg.det(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)))) < 1e-3:
        raise GeometryError("its affine puts two axes in one direction", where=where, cure=cure)


def from_lps(affine: Affine) -> Affine:
    """Return a matrix whose millimetres are LPS+, as DICOM counts them, as one of RAS+; and the other way round."""
    # NIfTI is RAS+, DICOM is LPS+: the first two rows change sign.
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


@dataclass(frozen=True)
class Field:
    """The square of a slice that a network sees, in the slice's own pixels; it may reach over the slice's edges.

    Attributes:
        top, left: of its corner, from the corner of the first pixel.
        height, width: more than 0; the pixels need not be square.
    """

    top: float
    left: float
    height: float
    width: float


def field_of(
    shape: tuple[int, int], spacing_mm: tuple[float, float], *, fov_mm: float, head: tuple[slice, slice] | None = None
) -> Field:
    """Return the square around the middle of a slice, moved no further than it takes to have the head in it.

    Args:
        shape: rows and columns of the slice.
        spacing_mm: between rows and between columns.
        fov_mm: side of the square.
        head: rows and columns that should be seen; a head that is larger than the square is centred.
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
    return Field(starts[0], starts[1], sizes[0], sizes[1])


def line_weights(
    count: int, wanted: NDArray[np.floating[Any]], *, reach: float = 1.0, repeated: bool = False
) -> NDArray[np.float32]:
    """Return the weights that resample a line of points linearly: float32, shape (len(wanted), count).

    Args:
        count: how many points there are, at 0, 1, 2 ...
        wanted: where to resample, in the same unit.
        reach: 1 interpolates between neighbours. Where the wanted places lie farther apart than 1, their
            distance: each is then the mean of what lies around it, weighted by a triangle, and nothing is lost.
        repeated: whether the first and last point go on for ever; else there is nothing beyond them, and
            rows of places outside are 0. All other rows add up to 1.

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


def places_between(count: int, start: float, step: float) -> NDArray[np.float64]:
    """Return where the middles of new pixels lie on a line of old ones: float64, shape (count,).

    Args:
        count: how many new pixels.
        start: where the first one begins, in old pixels from the edge of the first.
        step: how wide they are, in old pixels.

    Returns:
        Places as `line_weights` takes them: the middle of the first old pixel is 0.

    >>> places_between(2, 0.0, 2.0)
    array([0.5, 2.5])
    """
    return np.asarray(start - 0.5 + step * (np.arange(count) + 0.5), np.float64)
