"""Statistics of a mask: volume, area, position and components of the tumour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.metrics.volume import volume_ml
from gliomaseg.scan import Scan
from gliomaseg.types import Mask


@dataclass(frozen=True)
class MaskStatistics:
    """The statistics of one mask. If the spacing is unknown, those in ml, mm and mm2 are None.

    Attributes:
        tumour_voxels: number of tumour voxels.
        tumour_volume_ml: their volume.
        largest_area_mm2: tumour area of the axial slice with the largest area.
        diameters_mm: longest diameter of the largest component in that slice, and the longest one at right angles to
            it; None for an empty mask.
        tumour_slices: number of axial slices with tumour.
        bounding_box: first and last voxel along the file's x, y and z, from 0; None for an empty mask.
        components: number of connected components (26-connectivity).
        extent_mm: lengths of the bounding box's edges, along the same axes; None for an empty mask. If the affine is
            sheared, the edges are not at right angles.
    """

    tumour_voxels: int
    tumour_volume_ml: float | None
    largest_area_mm2: float | None
    diameters_mm: list[float] | None
    tumour_slices: int
    bounding_box: dict[str, list[int]] | None
    components: int
    extent_mm: dict[str, float] | None


def measure_mask(mask: Mask, scan: Scan) -> MaskStatistics:
    """Return the statistics of a mask, bool, shape (z, y, x), on the grid of its scan."""
    spacing_mm = scan.spacing_mm
    orientation = scan.axial
    planes = orientation.turn(mask)
    areas = np.array([np.count_nonzero(plane) for plane in planes])
    box = bounding_box(mask)
    voxels, extent, area, diameters = int(areas.sum()), None, None, None
    if spacing_mm is not None and scan.axial_pixel_mm2 is not None:
        area = round(float(areas.max()) * scan.axial_pixel_mm2, 2)
        if box is not None:
            lengths = ((part.stop - part.start) * mm for part, mm in zip(box, spacing_mm, strict=True))
            extent = {axis: round(length, 2) for axis, length in zip("zyx", lengths, strict=True)}
            _, row_mm, column_mm = orientation.turn_spacing(spacing_mm)
            diameters = measure_diameters(planes[int(areas.argmax())], row_mm, column_mm)
    return MaskStatistics(
        tumour_voxels=voxels,
        tumour_volume_ml=None if scan.affine is None else round(volume_ml(voxels, affine=scan.affine), 4),
        largest_area_mm2=area,
        diameters_mm=None if diameters is None else [round(length, 1) for length in diameters],
        tumour_slices=int(np.count_nonzero(areas)),
        bounding_box=None if box is None else _named(box),
        components=0 if box is None else _count_components(mask[box]),
        extent_mm=None if extent is None else {axis: extent[axis] for axis in "xyz"},
    )


def measure_diameters(plane: Mask, row_mm: float, column_mm: float) -> tuple[float, float] | None:
    """Return the longest diameter of a slice's largest component, and the longest one at right angles to it.

    Both are between centres of pixels, plus the mean side of a pixel: one pixel of 1 mm has the diameters 1 and 1 mm.
    The second one is the longest distance of two tumour pixels on a line at right angles; what lies between them may
    be a gap. Lines are a pixel wide. Of several longest diameters, the one with the longest second one counts.

    Args:
        plane: bool, shape (y, x).
        row_mm: distance of two rows.
        column_mm: distance of two columns.

    Returns:
        Both in mm; None for an empty mask.
    """
    from scipy import ndimage

    labelled, count = ndimage.label(plane, structure=np.ones((3, 3)))
    if not count:
        return None
    largest = labelled == np.argmax(np.bincount(labelled.ravel())[1:]) + 1
    outline = largest & ~ndimage.binary_erosion(largest)
    points = np.argwhere(outline).astype(np.float64) * (row_mm, column_mm)
    pairs = _farthest(points)
    pixel_mm = (row_mm + column_mm) / 2
    length = float(np.hypot(*(pairs[0][1] - pairs[0][0])))
    if length == 0:
        return pixel_mm, pixel_mm
    return length + pixel_mm, max(_widest(points, pair, pixel_mm) for pair in pairs) + pixel_mm


def _widest(points: NDArray[Any], ends: NDArray[Any], pixel_mm: float) -> float:
    """Return the longest distance of two points on a line at right angles to that between the ends, in mm."""
    y, x = (ends[1] - ends[0]) / np.hypot(*(ends[1] - ends[0]))
    # From the middle, with halves rounded to it: the same if the slice is mirrored, as on the page of `serve`.
    places = (points - ends.mean(axis=0)) @ (y, x) / pixel_mm
    lines = (np.sign(places) * np.floor(np.abs(places) + 0.5 - 1e-6)).astype(int)
    lines -= lines.min()
    across = points @ (-x, y)
    low, high = np.full(lines.max() + 1, np.inf), np.full(lines.max() + 1, -np.inf)
    np.minimum.at(low, lines, across)
    np.maximum.at(high, lines, across)
    return float((high - low).max())


def _farthest(points: NDArray[Any]) -> NDArray[Any]:
    """Return the pairs of points, of shape (n, 2) and sorted by row, that are farthest apart: shape (pairs, 2, 2)."""
    from scipy.spatial import ConvexHull, QhullError, distance

    try:
        corners = points[ConvexHull(points).vertices]
    except QhullError:  # all on one line, or fewer than three
        return np.stack([points[0], points[-1]])[None]
    between = np.triu(distance.cdist(corners, corners))
    return np.asarray(corners[np.argwhere(between > between.max() - 1e-6)])


def bounding_box(mask: Mask) -> tuple[slice, slice, slice] | None:
    """Return the smallest box around a mask (z, y, x); None for an empty mask."""
    spans = []
    for axis in range(3):
        places = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        if not places.size:
            return None
        spans.append(slice(int(places[0]), int(places[-1]) + 1))
    return spans[0], spans[1], spans[2]


def _named(box: tuple[slice, slice, slice]) -> dict[str, list[int]]:
    return {axis: [part.start, part.stop - 1] for axis, part in zip("xyz", reversed(box), strict=True)}


def _count_components(mask: Mask) -> int:
    from scipy import ndimage

    from gliomaseg.metrics.lesions import NEIGHBOURS

    labelled: Any = ndimage.label(mask, structure=NEIGHBOURS)
    return int(labelled[1])
