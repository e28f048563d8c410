"""A volume on the grid of another one: where they overlap, and the resampled voxels.

Positions follow from the affines alone: movement of the patient between two sequences is not corrected.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.geometry import SAME_POSITION_MM, Affine, farthest_corner_mm
from gliomaseg.types import Mask

EDGE = 0.501  # voxels end half a voxel from their centres; rounding stays below the rest
HEAD_FRACTION, TOP_SHARE = 0.1, 99.5


@dataclass(frozen=True)
class VolumeGrid:
    """A size, (z, y, x), and an affine."""

    shape: tuple[int, int, int]
    affine: Affine


def head_of(volume: NDArray[Any]) -> Mask:
    """Return the voxels that differ from the background by over a tenth of the 99.5 percentile: bool, same shape.

    The background is the median of the eight corners, so z-scored and skull-stripped volumes have a head too.

    Args:
        volume: finite real numbers, shape (z, y, x), not empty.
    """
    ends = tuple(slice(None, None, max(1, length - 1)) for length in volume.shape)
    distance = np.abs(volume.astype(np.float32) - np.float32(np.median(volume[ends])))
    return np.asarray(distance > HEAD_FRACTION * np.percentile(distance, TOP_SHARE))


def covered_share(wanted: Mask, grid: VolumeGrid, source: VolumeGrid) -> float:
    """Return the share of some voxels of a grid that lie in the field of view of another volume, 0 to 1.

    Args:
        wanted: bool, shape (z, y, x), on `grid`; if it is empty, the share is 0.
        grid: of `wanted`.
        source: grid of the other volume.
    """
    planes = zip(wanted, positions(grid, source), strict=True)
    inside = sum(int(np.count_nonzero(plane & _is_inside(places, source.shape))) for plane, places in planes)
    return inside / max(1, int(np.count_nonzero(wanted)))


def resample(volume: NDArray[Any], source: VolumeGrid, grid: VolumeGrid) -> NDArray[Any]:
    """Return a volume on another grid, by linear interpolation: same dtype, shape `grid.shape`; integers are rounded.

    If the new voxels are at least twice as large along an axis of the volume, the means of so many of its voxels are
    interpolated, which prevents aliasing. If both grids have the same voxels in another order, values are copied
    exactly. Voxels outside of the volume get 0, or its smallest value if that is negative.

    Args:
        volume: finite real numbers, shape `source.shape`.
        source: grid of the volume.
        grid: the new grid.
    """
    from scipy import ndimage

    # The distance of neighbouring new voxels along each axis of the volume, in its voxels.
    steps = np.linalg.norm(_matrix(grid, source)[:3, :3], axis=1)[::-1]
    factors = [max(1, int(step + 1e-6)) for step in steps]
    means = _block_means(volume, factors)
    column = np.reshape(factors, (3, 1, 1))
    background = min(volume.min(), 0)
    resampled = np.empty(grid.shape, volume.dtype)
    for target, places in zip(resampled, positions(grid, source), strict=True):
        values = ndimage.map_coordinates(
            means, (places - (column - 1) / 2) / column, np.float64, order=1, mode="nearest"
        )
        values[~_is_inside(places, source.shape)] = background
        target[:] = np.rint(values) if volume.dtype.kind in "iu" else values
    return resampled


def _matrix(grid: VolumeGrid, source: VolumeGrid) -> Affine:
    """Return the matrix from voxel indices (x, y, z, 1) of a grid to those of another volume.

    If it is a turn and a shift by whole voxels, up to rounding, the result has whole numbers only.
    """
    matrix: Affine = np.linalg.solve(source.affine, grid.affine).astype(np.float64)
    whole = np.rint(matrix)
    if farthest_corner_mm(grid.shape, grid.affine, source.affine @ whole) <= SAME_POSITION_MM:
        return whole
    return matrix


def positions(grid: VolumeGrid, source: VolumeGrid) -> Iterator[NDArray[np.float64]]:
    """Yield the indices (z, y, x) in another volume of the voxels of each slice: float64, shape (3, y, x)."""
    matrix = _matrix(grid, source)
    y, x = np.ogrid[: grid.shape[1], : grid.shape[2]]
    for z in range(grid.shape[0]):
        yield np.stack([row[0] * x + row[1] * y + (row[2] * z + row[3]) for row in matrix[2::-1]])


def _is_inside(places: NDArray[np.float64], shape: tuple[int, int, int]) -> Mask:
    last = np.reshape(shape, (3, 1, 1)) - 1
    return np.asarray(((places >= -EDGE) & (places <= last + EDGE)).all(axis=0))


def _block_means(volume: NDArray[Any], factors: list[int]) -> NDArray[Any]:
    """Return the means of blocks of voxels; the last block of an axis may be smaller."""
    for axis, factor in enumerate(factors):
        if factor > 1:
            starts = np.arange(0, volume.shape[axis], factor)
            counts = np.diff(starts, append=volume.shape[axis])
            sums = np.add.reduceat(volume, starts, axis=axis, dtype=np.float32)
            volume = sums / np.expand_dims(counts.astype(np.float32), [k for k in range(3) if k != axis])
    return volume
