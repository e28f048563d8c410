"""Distances between the surfaces of two masks.

A mask's surface is made of its voxels with at least one of six neighbours outside the mask or outside the
grid; a distance is the one between two voxels' centres. This is MONAI's surface. DeepMind's
surface-distance measures elements between voxels, weighted by their area: its largest distances differ from
these by a voxel's diagonal at most, its means and percentiles can by more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from gliomaseg.geometry import Affine, Spacing, is_sheared, spacing_of
from gliomaseg.metrics.mask_checks import (
    VOXELS,
    diagonal,
    joint_box,
    require_pair,
    require_spacing,
    sheared_diagonal_mm,
)
from gliomaseg.types import Mask

# A distance of 3 x 0.1 is 0.30000000000000004: it lies within 0.3.
ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """The distance from each surface voxel of one mask to the nearest one of the other, in the spacing's unit.

    Attributes:
        from_reference: one for each surface voxel of the reference, float64, shape (n,); infinite if
            the prediction is empty; shape (0,) if the reference is empty.
        from_predicted: the same from the predicted surface to the reference.
        grid_diagonal: the length between the centres of opposite corner voxels of the grid, used
            as the distance if one mask is empty.
    """

    from_reference: NDArray[np.float64]
    from_predicted: NDArray[np.float64]
    grid_diagonal: float


def surface_distances(
    *, reference: Mask, predicted: Mask, spacing: Spacing = VOXELS, affine: Affine | None = None
) -> SurfaceDistances:
    """Return the distances between two masks' surfaces, both ways.

    Args:
        reference: the expert's mask, bool, shape (z, y, x).
        predicted: the model's mask, bool, same shape.
        spacing: between voxels' centres along z, y, x: in mm, or (1, 1, 1) for distances in voxels.
        affine: of the grid, instead of `spacing`: distances are in mm, and right for a sheared grid too.

    Raises:
        GeometryError: a mask is not 3D, the shapes differ, or the spacing is not three positive lengths.
        TypeError: a mask is not bool.

    >>> reference, predicted = np.zeros((2, 1, 3, 8), bool)
    >>> reference[0, 1, 2:4] = predicted[0, 1, 3:6] = True
    >>> distances = surface_distances(reference=reference, predicted=predicted)
    >>> distances.from_reference.tolist(), distances.from_predicted.tolist()
    ([1.0, 0.0], [0.0, 1.0, 2.0])
    """
    require_pair(reference=reference, predicted=predicted)
    if affine is not None:
        spacing = spacing_of(affine)
    require_spacing(spacing)
    # Both masks lie in the box, so its border is outside of them as the grid's is: surfaces and nearest voxels stay.
    box = joint_box(reference=reference, predicted=predicted)
    reference_surface, predicted_surface = surface(reference[box]), surface(predicted[box])
    if affine is not None and is_sheared(affine):
        reference_mm, predicted_mm = (_positions_mm(each, affine) for each in (reference_surface, predicted_surface))
        return SurfaceDistances(
            _nearest_mm(reference_mm, predicted_mm),
            _nearest_mm(predicted_mm, reference_mm),
            sheared_diagonal_mm(reference.shape, affine),
        )
    return SurfaceDistances(
        _directed(reference_surface, predicted_surface, spacing),
        _directed(predicted_surface, reference_surface, spacing),
        diagonal(reference.shape, spacing),
    )


def surface(mask: Mask) -> Mask:
    """Return the voxels of a mask with one of six neighbours outside the mask or the grid: bool, same shape.

    >>> int(surface(np.ones((3, 4, 5), bool)).sum())  # all but the inner 1 x 2 x 3
    54
    """
    return np.asarray(mask & ~ndimage.binary_erosion(mask), np.bool_)


def hausdorff_95(distances: SurfaceDistances) -> float:
    """Return the 95th percentile of the distances, of the direction with the larger value.

    Returns:
        A length in the spacing's unit, 0 (equal surfaces) to the grid's diagonal. NaN if both masks are empty. If
        exactly one is, the grid's diagonal, the worst value. BraTS does the same, but measures its diagonal from edge
        to edge, not between voxel centres: 373.13 mm on its grid of 240 x 240 x 155, instead of 371.43.

    Between two values the percentile is interpolated, as NumPy and MONAI do.

    Source: D. P. Huttenlocher et al., IEEE TPAMI 15 (1993) 850, doi:10.1109/34.232073; the percentile:
    S. Bakas et al., doi:10.48550/arXiv.1811.02629; BraTS' empty case: F. Isensee et al.,
    doi:10.48550/arXiv.2011.00848.

    >>> reference, predicted = np.zeros((2, 1, 3, 8), bool)
    >>> reference[0, 1, 2:4] = predicted[0, 1, 3:6] = True
    >>> round(hausdorff_95(surface_distances(reference=reference, predicted=predicted)), 3)
    1.9
    """
    if (missing := _without_pair(distances)) is not None:
        return missing
    return max(float(np.percentile(way, 95)) for way in (distances.from_reference, distances.from_predicted))


def average_symmetric_surface_distance(distances: SurfaceDistances) -> float:
    """Return the mean over all distances of both directions together.

    Returns:
        A length in the spacing's unit, 0 (equal surfaces) to the grid's diagonal. NaN if both masks
        are empty; the grid's diagonal if exactly one is, as for `hausdorff_95`.

    Source: T. Heimann et al., IEEE TMI 28 (2009) 1251, doi:10.1109/TMI.2009.2013851.

    >>> reference, predicted = np.zeros((2, 1, 3, 8), bool)
    >>> reference[0, 1, 2:4] = predicted[0, 1, 3:6] = True
    >>> average_symmetric_surface_distance(surface_distances(reference=reference, predicted=predicted))
    0.8
    """
    if (missing := _without_pair(distances)) is not None:
        return missing
    return float(np.concatenate([distances.from_reference, distances.from_predicted]).mean())


def normalised_surface_dice(distances: SurfaceDistances, *, tolerance: float) -> float:
    """Return the share of both surfaces' voxels that lie within a tolerance of the other surface.

    Args:
        distances: from `surface_distances`.
        tolerance: largest accepted distance, in the spacing's unit, 0 or more.

    Returns:
        No unit, 0 to 1. NaN if both masks are empty, 0 if exactly one is.

    Raises:
        ValueError: the tolerance is negative or not finite.

    Source: S. Nikolov et al., J Med Internet Res 23 (2021) e26151, doi:10.2196/26151 (there weighted by
    area; here each surface voxel counts one).

    >>> reference, predicted = np.zeros((2, 1, 3, 8), bool)
    >>> reference[0, 1, 2:4] = predicted[0, 1, 3:6] = True
    >>> normalised_surface_dice(surface_distances(reference=reference, predicted=predicted), tolerance=1)
    0.8
    """
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise ValueError(f"tolerance is {tolerance}, expected 0 or more")
    both = np.concatenate([distances.from_reference, distances.from_predicted])
    within = both <= tolerance * (1 + ROUNDING)
    return float(within.mean()) if len(both) else float("nan")


def _directed(origin: Mask, target: Mask, spacing: Spacing) -> NDArray[np.float64]:
    """Return the distance from each voxel of one surface to the nearest of the other; infinite if it has none."""
    if not origin.any():
        return np.zeros(0, np.float64)
    if not target.any():
        return np.full(np.count_nonzero(origin), np.inf)
    return np.asarray(ndimage.distance_transform_edt(~target, sampling=spacing)[origin], np.float64)


def _positions_mm(mask: Mask, affine: Affine) -> NDArray[np.float64]:
    """Return the positions of a mask's voxels in mm, from the first voxel of its array: shape (n, 3)."""
    return np.argwhere(mask)[:, ::-1] @ affine[:3, :3].T


def _nearest_mm(origin: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance from each position to the nearest of the others; infinite if there are none."""
    if not len(target):
        return np.full(len(origin), np.inf)
    return np.asarray(KDTree(target).query(origin)[0], np.float64)


def _without_pair(distances: SurfaceDistances) -> float | None:
    """Return the value of a distance if a mask is empty; None if neither is."""
    empty = [len(way) == 0 for way in (distances.from_reference, distances.from_predicted)]
    if all(empty):
        return float("nan")
    return distances.grid_diagonal if any(empty) else None
