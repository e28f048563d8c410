"""Checks of two masks and their common grid, shared by all measures."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np

from gliomaseg.errors import GeometryError
from gliomaseg.geometry import Affine, Spacing
from gliomaseg.types import Mask

VOXELS: Spacing = (1.0, 1.0, 1.0)


def require_masks(*, reference: Mask, predicted: Mask) -> None:
    """Check that two arrays are masks of one shape, with any number of axes.

    Raises:
        TypeError: a mask is not a NumPy array of bool. Labels are refused because `4 & True` is 0.
        GeometryError: the shapes differ.
    """
    for name, mask in (("reference", reference), ("predicted", predicted)):
        _require_bool(mask, name)
    if reference.shape != predicted.shape:
        raise GeometryError(f"reference mask has shape {reference.shape}, predicted mask has {predicted.shape}")


def require_pair(*, reference: Mask, predicted: Mask) -> None:
    """Check that two arrays are masks (z, y, x) of one shape.

    Raises:
        TypeError: a mask is not a NumPy array of bool.
        GeometryError: a mask is not 3D, or the shapes differ.
    """
    for name, mask in (("reference", reference), ("predicted", predicted)):
        _require_bool(mask, name)
        if mask.ndim != 3:
            raise GeometryError(
                f"{name} mask has shape {mask.shape}, expected (z, y, x)", cure="give one slice as mask[None]"
            )
    require_masks(reference=reference, predicted=predicted)


def _require_bool(mask: Any, name: str) -> None:
    if not isinstance(mask, np.ndarray):
        raise TypeError(f"{name} mask is {type(mask).__name__}, expected a NumPy array of bool")
    if mask.dtype != np.bool_:
        raise TypeError(f"{name} mask has dtype {mask.dtype}, expected bool; write mask > 0 or mask == label")


def lengths_of(spacing: Any) -> Spacing | None:
    """Return a spacing as three floats; None if it is not three positive, finite numbers.

    >>> lengths_of([5, 1, 1]), lengths_of((5, 1)), lengths_of("511")
    ((5.0, 1.0, 1.0), None, None)
    """
    try:
        z, y, x = spacing
    except (TypeError, ValueError):
        return None
    if not all(isinstance(length, Real) for length in (z, y, x)):
        return None
    lengths = float(z), float(y), float(x)
    return lengths if all(math.isfinite(length) and length > 0 for length in lengths) else None


def require_spacing(spacing: Spacing) -> None:
    """Check that a spacing is three positive lengths.

    Raises:
        GeometryError: it is not three numbers, or one is zero, negative, infinite or NaN.
    """
    if lengths_of(spacing) is None:
        raise GeometryError(f"spacing is {spacing!r}, expected three positive lengths (z, y, x)")


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
