"""Checks of two masks and their common grid, shared by all measures."""

from __future__ import annotations

import math

import numpy as np

from gliomaseg.errors import GeometryError
from gliomaseg.geometry import Affine, Spacing
from gliomaseg.types import Mask

VOXELS: Spacing = (1.0, 1.0, 1.0)


def require_pair(*, reference: Mask, predicted: Mask) -> None:
    """Check that two arrays are masks (z, y, x) of one shape.

    Raises:
        TypeError: a mask is not bool.
        GeometryError: a mask is not 3D, or the shapes differ.
    """
    for name, mask in (("reference", reference), ("predicted", predicted)):
        if mask.dtype != np.bool_:
            raise TypeError(f"{name} mask has dtype {mask.dtype}, expected bool")
        if mask.ndim != 3:
            raise GeometryError(
                f"{name} mask has shape {mask.shape}, expected (z, y, x)", cure="give one slice as mask[None]"
            )
    if reference.shape != predicted.shape:
        raise GeometryError(f"reference mask has shape {reference.shape}, predicted mask has {predicted.shape}")


def require_spacing(spacing: Spacing) -> None:
    """Check that a spacing is three positive lengths.

    Raises:
        GeometryError: the number of lengths is not three, or one is zero, negative, infinite or NaN.
    """
    if len(spacing) != 3 or not all(math.isfinite(length) and length > 0 for length in spacing):
        raise GeometryError(f"spacing is {tuple(spacing)}, expected three positive lengths (z, y, x)")


def diagonal(shape: tuple[int, ...], spacing: Spacing) -> float:
    """Return the distance of opposite corner voxels, centre to centre, in the spacing's unit: the largest distance.

    0 for a grid without voxels.

    >>> diagonal((1, 4, 5), (5.0, 1.0, 1.0))
    5.0
    """
    return math.hypot(*(max(size - 1, 0) * length for size, length in zip(shape, spacing, strict=True)))


def sheared_diagonal_mm(shape: tuple[int, ...], affine: Affine) -> float:
    """Return the longest of the four diagonals of a grid whose axes may be at any angle, centre to centre, in mm."""
    steps = np.array([max(size - 1, 0) for size in reversed(shape)])
    signs = np.array([[1, 1, 1], [1, 1, -1], [1, -1, 1], [1, -1, -1]])
    return float(np.linalg.norm((signs * steps) @ affine[:3, :3].T, axis=1).max())


def joint_box(*, reference: Mask, predicted: Mask) -> tuple[slice, slice, slice]:
    """Return the bounding box of both masks; the whole grid if both are empty.

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
