"""The grid that two masks share: the common checks of a pair of masks."""

from __future__ import annotations

import math

import numpy as np

from gliomaseg.errors import GeometryError
from gliomaseg.types import Mask

Spacing = tuple[float, float, float]
"""How far neighbouring voxels' centres lie apart along z, y, x: in mm, or (1, 1, 1) for voxels."""

VOXELS: Spacing = (1.0, 1.0, 1.0)


def require_pair(*, reference: Mask, predicted: Mask) -> None:
    """Refuse two arrays that are not masks (z, y, x) of one shape.

    Raises:
        TypeError: a mask is not bool.
        GeometryError: a mask is not 3D, or the shapes differ.
    """
    for name, mask in (("reference", reference), ("predicted", predicted)):
        if mask.dtype != np.bool_:
            raise TypeError(f"the {name} mask is {mask.dtype}, not bool")
        if mask.ndim != 3:
            raise GeometryError(
                f"the {name} mask is {mask.shape}, not (z, y, x)", cure="give one slice as mask[None], a stack of one"
            )
    if reference.shape != predicted.shape:
        raise GeometryError(f"the reference mask is {reference.shape}, the predicted one {predicted.shape}")


def require_spacing(spacing: Spacing) -> None:
    """Refuse a spacing that is not three positive lengths.

    Raises:
        GeometryError: there are not three, or one is zero, negative or no number.
    """
    if len(spacing) != 3 or not all(math.isfinite(length) and length > 0 for length in spacing):
        raise GeometryError(f"the spacing {tuple(spacing)} is not three positive lengths (z, y, x)")


def diagonal(shape: tuple[int, ...], spacing: Spacing) -> float:
    """Return the length between the centres of opposite corner voxels, in the spacing's unit: 0 or more.

    No two voxels of the grid lie farther apart. A grid without voxels has 0.

    >>> diagonal((1, 4, 5), (5.0, 1.0, 1.0))
    5.0
    """
    return math.hypot(*(max(size - 1, 0) * length for size, length in zip(shape, spacing, strict=True)))


def joint_box(*, reference: Mask, predicted: Mask) -> tuple[slice, slice, slice]:
    """Return the smallest box of the grid that contains both masks; the whole grid where both are empty.

    >>> masks = np.zeros((2, 3, 9, 9), bool)
    >>> masks[0, 1, 2, 3] = masks[1, 1, 4, 5] = True
    >>> joint_box(reference=masks[0], predicted=masks[1])
    (slice(1, 2, None), slice(2, 5, None), slice(3, 6, None))
    """
    either = reference | predicted
    if not either.any():
        return slice(0, either.shape[0]), slice(0, either.shape[1]), slice(0, either.shape[2])
    z = _extent(either, (1, 2))
    filled = either[z]
    return z, _extent(filled, (0, 2)), _extent(filled, (0, 1))


def _extent(mask: Mask, across: tuple[int, int]) -> slice:
    places = np.flatnonzero(mask.any(axis=across))
    return slice(int(places[0]), int(places[-1]) + 1)
