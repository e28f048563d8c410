"""Read the contours of a DICOM structure set (RTSTRUCT), and fill them on the grid of a series.

A voxel is inside if its centre is inside of a contour, by the even-odd rule over all contours of a region in a plane:
so holes may be contours of their own (XOR), or be joined to the outer contour by a line (keyhole). A centre on a
contour is inside: several programs draw contours through the centres of the outermost voxels.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.errors import FormatError, GeometryError
from gliomaseg.formats.dicom.label_masks import LabelMasks
from gliomaseg.formats.dicom.values import items, text, value_of, whole
from gliomaseg.formats.scan_file import Grid
from gliomaseg.geometry import describe_grid, from_lps
from gliomaseg.types import Mask

if TYPE_CHECKING:
    from pydicom import Dataset

Points = NDArray[np.float64]
"""The points of a contour, as voxel indices (z, y, x): float64, shape (n, 3)."""

_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_FLAT = 0.1  # voxels: contours are rounded to a hundredth of a millimetre, or less
_SAME = 1e-3  # voxels
_NEAR = 1.5
_THICKEST_MM = 10.0
_EXPORT = "export the structure set again"


def read_contours(data: Dataset, grid: Grid, *, labels: Collection[int] | None, name: str) -> LabelMasks:
    """Return a mask for each region of interest.

    Args:
        data: the whole structure set.
        grid: of the series.
        labels: the ROI numbers to read; None for all.
        name: of the file, for errors.

    Raises:
        FormatError: a contour or a ROI number is missing or invalid.
        GeometryError: a contour is not parallel to a plane of the grid, or lies outside of the grid.
    """
    if "ROIContourSequence" not in data:
        raise FormatError("ROIContourSequence is missing", where=name, cure=_EXPORT)
    regions = {whole(roi, "ROINumber"): text(roi, "ROIName") for roi in items(data, "StructureSetROISequence")}
    if not regions or None in regions:
        raise FormatError("ROINumber of a region is missing or invalid", where=name, cure=_EXPORT)
    names = {number: label for number, label in regions.items() if number is not None}
    contours: dict[int, list[Points]] = {label: [] for label in names if labels is None or label in labels}
    for entry in items(data, "ROIContourSequence"):
        number = whole(entry, "ReferencedROINumber")
        if number in contours:
            contours[number] += [_points(own, grid, name=name) for own in _closed(entry)]
    flat = {label: _by_axis(own, grid, name=name) for label, own in contours.items()}
    spacing = _spacing([planes for own in flat.values() for planes in own.items()], grid)
    masks = {label: np.zeros(grid.shape, np.bool_) for label in contours}
    for label, own in flat.items():
        for axis, planes in own.items():
            _fill_planes(planes, spacing[axis], np.moveaxis(masks[label], axis, 0))
    return LabelMasks(masks, names, grid.shape)


def _closed(region: Dataset) -> list[Dataset]:
    contours = items(region, "ContourSequence")
    return [own for own in contours if text(own, "ContourGeometricType").upper() in _CLOSED]


def _points(contour: Dataset, grid: Grid, *, name: str) -> Points:
    """Return the points of a contour as voxel indices."""
    value: Any = value_of(contour, "ContourData")
    try:
        numbers = np.array(value, np.float64).reshape(-1, 3)
    except (TypeError, ValueError) as fault:
        raise FormatError("ContourData of a contour is missing or invalid", where=name, cure=_EXPORT) from fault
    if not len(numbers) or not np.isfinite(numbers).all():
        raise FormatError("ContourData of a contour is missing or invalid", where=name, cure=_EXPORT)
    to_voxels = np.linalg.inv(from_lps(grid.affine))
    points = (numbers @ to_voxels[:3, :3].T + to_voxels[:3, 3])[:, ::-1]
    near = np.rint(points)
    return np.asarray(np.where(np.abs(points - near) < _SAME, near, points))


def _by_axis(contours: Sequence[Points], grid: Grid, *, name: str) -> dict[int, dict[float, list[Points]]]:
    """Return the contours of a region by the axis (z, y, x) across which they lie, and their position on it.

    Raises:
        GeometryError: a contour is not parallel to a plane of the grid, or lies outside of it.
    """
    flat_axes = [[axis for axis in range(3) if np.ptp(points[:, axis]) <= _FLAT] for points in contours]
    usual = Counter(axis for axes in flat_axes for axis in axes)
    planes: dict[int, dict[float, list[Points]]] = defaultdict(lambda: defaultdict(list))
    for points, axes in zip(contours, flat_axes, strict=True):
        if not axes:
            raise _error("contour is not parallel to a plane of the grid", points, grid, name=name)
        if ((points < -1) | (points > np.array(grid.shape))).any():
            raise _error("contour lies outside of the grid", points, grid, name=name)
        # A contour with one or two points is flat along several axes.
        axis = max(axes, key=lambda flat: (usual[flat], -flat))
        position = float(np.mean(points[:, axis]))
        near = round(position)
        on_slice = abs(position - near) <= _FLAT
        planes[axis][float(near) if on_slice else round(position, 2)].append(np.delete(points, axis, axis=1))
    return planes


def _error(what: str, points: Points, grid: Grid, *, name: str) -> GeometryError:
    first = (grid.affine @ [*points[0, ::-1], 1])[:3]
    place = ", ".join(f"{value:g}" for value in np.round(first, 1) + 0.0)
    described = describe_grid(grid.shape, grid.affine)
    what = f"{what}: it starts at ({place}) mm, and the grid has {described}"
    return GeometryError(what, where=name, cure="draw the contours on this series")


def _spacing(planes: Sequence[tuple[int, dict[float, list[Points]]]], grid: Grid) -> dict[int, float]:
    """Return the usual distance between neighbouring contour planes of each axis, in voxels.

    It is at most one voxel, unless it occurs twice and is at most 10 mm: two slices of tumour far from each other must
    not be joined.
    """
    gaps: dict[int, list[float]] = defaultdict(list)
    for axis, own in planes:
        gaps[axis] += [float(gap) for gap in np.diff(sorted(own))]
    spacing = {axis: 1.0 for axis, _ in planes}
    for axis, found in gaps.items():
        if found:
            usual = [gap for gap in found if gap <= _NEAR * min(found)]
            gap, voxel_mm = float(np.median(usual)), float(np.linalg.norm(grid.affine[:3, 2 - axis]))
            if gap <= 1 or (len(usual) > 1 and gap * voxel_mm <= _THICKEST_MM):
                spacing[axis] = gap
    return spacing


def _fill_planes(planes: dict[float, list[Points]], spacing: float, mask: Mask) -> None:
    """Fill each slice with the nearest plane of contours that reaches it.

    A plane reaches half-way to a near neighbour, and else half of the spacing.
    """
    positions = np.array(sorted(planes))
    filled: dict[float, Mask] = {}
    for z in range(len(mask)):
        above = int(np.searchsorted(positions, z, side="left"))
        nearest = [positions[k] for k in (above - 1, above) if 0 <= k < len(positions)]
        joined = len(nearest) == 2 and nearest[1] - nearest[0] <= _NEAR * spacing
        reach = (nearest[1] - nearest[0]) / 2 if joined else spacing / 2
        position = min(nearest, key=lambda place: abs(place - z))  # the lower one of two at the same distance
        distance = z - position
        if -reach + _SAME < distance <= reach + _SAME:
            if position not in filled:
                filled[position] = fill(planes[position], (mask.shape[1], mask.shape[2]))
            mask[z] |= filled[position]


def fill(contours: Sequence[NDArray[np.float64]], shape: tuple[int, int]) -> Mask:
    """Return the pixels whose centres are inside of contours by the even-odd rule, or on one of them.

    Args:
        contours: points of each, shape (n, 2): (row, column), in pixels from the centre of the first pixel.
        shape: rows and columns.

    Returns:
        bool, shape (row, column); all false without contours.
    """
    rows, columns = shape
    crossings = np.zeros((rows, columns + 1), np.int64)
    border = np.zeros(shape, np.bool_)
    for points in contours:
        one, other = points, np.roll(points, -1, axis=0)
        row, column = _crossings(one, other, rows)
        # An edge toggles all pixels at its right, and a pixel whose centre is on it.
        np.add.at(crossings, (row, np.clip(np.ceil(column), 0, columns).astype(int)), 1)
        _mark_border(one, other, border)
    inside = np.cumsum(crossings, axis=1)[:, :columns] % 2 == 1
    return np.asarray(inside | border)


def _crossings(
    one: NDArray[np.float64], other: NDArray[np.float64], rows: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return row and column of each crossing of an edge with a row of centres; its lower end does not count."""
    low = np.clip(np.ceil(np.minimum(one[:, 0], other[:, 0])), 0, rows).astype(np.int64)
    high = np.clip(np.ceil(np.maximum(one[:, 0], other[:, 0])), 0, rows).astype(np.int64)
    edge = np.repeat(np.arange(len(one)), high - low)
    first = np.repeat(np.cumsum(high - low) - (high - low), high - low)
    row = low[edge] + np.arange(len(edge)) - first
    slope = (other[edge, 1] - one[edge, 1]) / (other[edge, 0] - one[edge, 0])
    column = one[edge, 1] + (row - one[edge, 0]) * slope
    near = np.rint(column)
    return row, np.where(np.abs(column - near) < _SAME, near, column)


def _mark_border(one: NDArray[np.float64], other: NDArray[np.float64], border: Mask) -> None:
    """Set the pixels whose centres are on an edge."""
    rows, columns = border.shape
    row, column = _crossings(one, other, rows)
    on_centre = (column == np.rint(column)) & (column >= 0) & (column < columns)
    border[row[on_centre], column[on_centre].astype(int)] = True
    corners = one[(one == np.rint(one)).all(axis=1) & (one >= 0).all(axis=1) & (one < border.shape).all(axis=1)]
    border[corners[:, 0].astype(int), corners[:, 1].astype(int)] = True
    level = (one[:, 0] == other[:, 0]) & (one[:, 0] == np.rint(one[:, 0])) & (one[:, 0] >= 0) & (one[:, 0] < rows)
    for start, end in zip(one[level], other[level], strict=True):
        low, high = sorted((start[1], end[1]))
        border[int(start[0]), max(0, int(np.ceil(low))) : max(0, int(np.floor(high)) + 1)] = True
