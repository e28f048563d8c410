"""Read the segments of a DICOM segmentation: frames are decoded by highdicom, and placed by their positions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.errors import FormatError, GeometryError, ResourceError
from gliomaseg.formats.dicom.geometry import Plane, affine_of, check_plane, frames_of_groups, stack
from gliomaseg.formats.dicom.headers import HEADER_BYTES
from gliomaseg.formats.dicom.label_masks import LabelMasks
from gliomaseg.formats.dicom.values import item, items, number, text, value_of, whole
from gliomaseg.formats.scan_file import Grid
from gliomaseg.geometry import describe_grid
from gliomaseg.types import Mask

if TYPE_CHECKING:
    from highdicom import Image
    from pydicom import Dataset

# Positions are rounded when they are written; a shift by half a voxel, or another spacing, is far more.
SAME_VOXEL = 0.1
_TUMOUR_SHARE = 0.5
_KINDS = ("BINARY", "FRACTIONAL", "LABELMAP")
_EXPORT = "export the segmentation again"


def read_segments(
    data: Dataset, syntax: str, grid: Grid, *, labels: Collection[int] | None, name: str, max_bytes: int
) -> LabelMasks:
    """Return a mask for each segment.

    Args:
        data: the whole object.
        syntax: its transfer syntax.
        grid: of the series.
        labels: the segments to read; None for all.
        name: of the file, for errors.
        max_bytes: limit of the decoded frames and of the masks.

    Raises:
        FormatError: the object lacks an element, or its frames cannot be decoded.
        GeometryError: its voxels are not voxels of the grid; the message names both grids.
        ResourceError: it declares more than `max_bytes`.
    """
    names = _segment_names(data, name=name)
    chosen = [segment for segment in names if labels is None or segment in labels]
    _require_size(data, grid, len(chosen), name=name, max_bytes=max_bytes)
    count = whole(data, "NumberOfFrames") or 1
    planes = [frame.plane for frame in frames_of_groups(data, count, name=name)]
    _require_slice_spacing(data, planes, grid, name=name)
    masks = {segment: np.zeros(grid.shape, np.bool_) for segment in chosen}
    image = _decoder(data, syntax)
    segments = _segments_of_frames(data, count, name=name)
    for index, plane in enumerate(planes):
        if segments and segments[index] not in masks:
            continue
        placed = _Placed(plane, planes, grid, shape=(data.Rows, data.Columns), name=name)
        values = image.get_stored_frame(index + 1)
        for segment, inside in _inside(data, values, segments[index] if segments else None, masks, name=name):
            placed.add(inside, masks[segment])
    return LabelMasks(masks, names, grid.shape)


def _decoder(data: Dataset, syntax: str) -> Image:
    from highdicom import Image
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID

    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = UID(syntax)
    return Image.from_dataset(data, copy=False)


def _segment_names(data: Dataset, *, name: str) -> dict[int, str]:
    names = {whole(entry, "SegmentNumber"): text(entry, "SegmentLabel") for entry in items(data, "SegmentSequence")}
    if not names or None in names:
        raise FormatError("SegmentNumber of a segment is missing or invalid", where=name, cure=_EXPORT)
    kind = _kind(data)
    if kind not in _KINDS:
        raise FormatError("SegmentationType is not BINARY, FRACTIONAL or LABELMAP", where=name, cure=_EXPORT)
    background = {0} if kind == "LABELMAP" else set()
    return {key: label for key, label in names.items() if key is not None and key not in background}


def _kind(data: Dataset) -> str:
    return text(data, "SegmentationType").upper()


def _require_size(data: Dataset, grid: Grid, segments: int, *, name: str, max_bytes: int) -> None:
    rows, columns = whole(data, "Rows") or 0, whole(data, "Columns") or 0
    if min(rows, columns) <= 0:
        raise FormatError(f"size is {columns} x {rows} pixels, expected positive numbers", where=name, cure=_EXPORT)
    frame_bytes = rows * columns * 8  # a decoded frame, its mask, and the indices of a dense one
    needed = segments * int(np.prod(grid.shape)) + frame_bytes
    if needed > max_bytes + HEADER_BYTES:
        what = f"declares {needed / 1e6:,.0f} MB of masks, over the limit of {max_bytes / 1e6:,.0f} MB"
        raise ResourceError(what, where=name, cure="check the source of the file, or name the labels with --labels")


def _segments_of_frames(data: Dataset, count: int, *, name: str) -> list[int]:
    """Return the segment of each frame; an empty list if the values of the frames are the segments."""
    if _kind(data) == "LABELMAP":
        return []
    shared = item(data, "SharedFunctionalGroupsSequence")
    segments = []
    for own in items(data, "PerFrameFunctionalGroupsSequence")[:count]:
        part = item(own, "SegmentIdentificationSequence") or item(shared, "SegmentIdentificationSequence")
        segment = None if part is None else whole(part, "ReferencedSegmentNumber")
        if segment is None:
            raise FormatError("ReferencedSegmentNumber of a frame is missing or invalid", where=name, cure=_EXPORT)
        segments.append(segment)
    return segments


def _inside(
    data: Dataset, values: NDArray[Any], segment: int | None, masks: Collection[int], *, name: str
) -> list[tuple[int, Mask]]:
    """Return the segments of a frame and their pixels, bool, shape (row, column)."""
    if segment is None:
        return [(label, values == label) for label in masks]
    if _kind(data) == "BINARY":
        return [(segment, values > 0)]
    full = number(data, "MaximumFractionalValue")
    if value_of(data, "MaximumFractionalValue") is None or full is None or full <= 0:
        raise FormatError("MaximumFractionalValue is missing or invalid", where=name, cure=_EXPORT)
    return [(segment, values >= _TUMOUR_SHARE * full)]


class _Placed:
    """A frame whose pixels are voxels of a grid, in any orientation."""

    def __init__(self, plane: Plane, planes: Sequence[Plane], grid: Grid, *, shape: tuple[int, int], name: str) -> None:
        """Compute the voxel of the first pixel and the steps along rows and columns.

        Raises:
            GeometryError: the pixels lie between the voxels, or have another size.
        """
        check_plane(plane)
        self._grid, self._planes, self._shape, self._name = grid, planes, shape, name
        matrix = np.linalg.inv(grid.affine) @ affine_of(plane, plane.normal)
        exact = matrix[:3, [3, 1, 0]][::-1]  # axes z, y, x; the first pixel, a step along rows, a step along columns
        self._start, *steps = np.rint(exact).astype(int).T
        self._steps = np.array(steps)
        off = np.abs(exact - np.rint(exact)) @ np.array([1, shape[0] - 1, shape[1] - 1])
        if off.max() > SAME_VOXEL or np.abs(self._steps).sum(axis=1).tolist() != [1, 1]:
            raise self._error()

    def add(self, inside: Mask, mask: Mask) -> None:
        """Set the voxels of the frame's true pixels.

        Raises:
            GeometryError: a true pixel lies outside of the grid.
        """
        voxels = self._start + np.argwhere(inside) @ self._steps
        if len(voxels) and ((voxels < 0) | (voxels >= mask.shape)).any():
            raise self._error()
        mask[tuple(voxels.T)] = True

    def _error(self) -> GeometryError:
        what = (
            f"grid is {_describe(self._planes, self._shape)}, "
            f"expected {describe_grid(self._grid.shape, self._grid.affine)}"
        )
        return GeometryError(what, where=self._name, cure="export the segmentation on the grid of its series")


def _describe(planes: Sequence[Plane], shape: tuple[int, int]) -> str:
    """Return the grid of a segmentation in words, from the positions that its frames have."""
    places = {tuple(np.round(plane.position_mm, 3)): plane for plane in planes}
    try:
        affine = stack(list(places.values()), where="").affine
    except GeometryError:
        affine = affine_of(planes[0], planes[0].normal * (planes[0].gap_mm or 1))
    return describe_grid((len(places), *shape), affine)


def _require_slice_spacing(data: Dataset, planes: Sequence[Plane], grid: Grid, *, name: str) -> None:
    """Refuse slices that are thicker than those of the grid: the slices between them would be empty."""
    groups = [item(data, f"{kind}FunctionalGroupsSequence") for kind in ("Shared", "PerFrame")]
    measures = item(groups[0], "PixelMeasuresSequence") or item(groups[1], "PixelMeasuresSequence")
    gap_mm = None if measures is None else number(measures, "SpacingBetweenSlices")
    along = sorted({round(float(plane.position_mm @ planes[0].normal), 2) for plane in planes})
    if gap_mm is None or len(along) < 2:
        return
    step = np.linalg.inv(grid.affine)[:3, :3] @ affine_of(planes[0], planes[0].normal)[:3, 2]
    voxel_mm = 1 / max(float(np.abs(step).max()), 1e-6)
    if gap_mm >= 1.5 * voxel_mm and min(np.diff(along)) >= 1.5 * voxel_mm:
        what = f"slice spacing is {gap_mm:g} mm, expected {voxel_mm:g} mm as in the series"
        raise GeometryError(what, where=name, cure="export the segmentation on the grid of its series")
