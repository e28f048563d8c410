"""Volumes with an affine: axial orientation, field of view and slice spacing, there and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.config import Preprocessing
from gliomaseg.geometry import FieldOfView, Orientation, field_of_view, line_weights, pixel_centres
from gliomaseg.preprocessing.intensity import eight_bits, window_of
from gliomaseg.scan import Scan
from gliomaseg.types import Mask, PreparedSlices, Probability

HEAD_LEVEL, HEAD_SHARE = 32, 0.01
HALF_LEVEL = 128  # of 255


@dataclass(frozen=True)
class Placement:
    """Where the network's slices lie in a volume: `restore_volume` needs it.

    Attributes:
        shape: of the scan, (z, y, x).
        orientation: turns the scan to axial slices.
        field: the square of each axial slice that the network gets.
        slice_ratio: how many axial slices of the scan are merged to one; 1 if they are kept.
    """

    shape: tuple[int, int, int]
    orientation: Orientation
    field: FieldOfView
    slice_ratio: float = 1.0


def volume_levels(scan: Scan, *, p99_5_level: float) -> NDArray[np.uint8]:
    """Return a volume's voxels as 8 bits, each sequence with its own window: uint8, shape (z, y, x, c)."""
    levels = np.empty(scan.voxels.shape, np.uint8)
    for channel in range(len(scan.sequences)):
        volume: NDArray[Any] = scan.voxels[:, :, :, channel]
        levels[..., channel] = eight_bits(volume, window_of(volume), p99_5_level=p99_5_level)
    return levels


def place_volume(scan: Scan, levels: NDArray[np.uint8], settings: Preprocessing) -> Placement:
    """Return where the network's slices lie in a volume.

    Args:
        scan: with an affine.
        levels: its voxels as 8 bits, shape (z, y, x, c).
        settings: field of view and slice spacing.

    Raises:
        ValueError: the scan has no affine.
    """
    if scan.spacing_mm is None:
        raise ValueError("the scan has no affine")
    turned = scan.axial.turn(levels[..., scan.flair_index])
    slice_mm, row_mm, column_mm = scan.axial.turn_spacing(scan.spacing_mm)
    field = field_of_view(
        (turned.shape[1], turned.shape[2]), (row_mm, column_mm), fov_mm=settings.fov_mm, head=_head(turned)
    )
    least_mm = settings.min_slice_spacing_mm
    ratio = 1.0 if least_mm is None else max(1.0, least_mm / slice_mm)
    if merged_count(len(turned), ratio) == len(turned):  # slices of 4.9 mm that would be merged to as many of 5 mm
        ratio = 1.0
    z, y, x = levels.shape[:3]
    return Placement((z, y, x), scan.axial, field, ratio)


def resample_axial(levels: NDArray[np.uint8], placement: Placement, *, size_px: int) -> NDArray[np.uint8]:
    """Return the axial slices of a volume in the network's pixels: uint8, shape (slices, size, size, c).

    Args:
        levels: of the volume, shape (z, y, x, c).
        placement: of the network's slices; slices are not merged here.
        size_px: side of the network's input.
    """
    turned: NDArray[np.uint8] = placement.orientation.turn(levels)
    field = placement.field
    down, across = field.height / size_px, field.width / size_px
    rows = _sparse(line_weights(turned.shape[1], pixel_centres(size_px, field.top, down), reach=max(1.0, down)))
    columns = _sparse(line_weights(turned.shape[2], pixel_centres(size_px, field.left, across), reach=max(1.0, across)))
    resampled = np.empty((len(turned), size_px, size_px, turned.shape[3]), np.uint8)
    for plane, target in zip(turned, resampled, strict=True):
        channels = [_resampled(plane[..., channel], rows, columns) for channel in range(turned.shape[3])]
        target[:] = np.rint(np.stack(channels, axis=2)).astype(np.uint8)
    return resampled


def merge_slices(slices: PreparedSlices, ratio: float, *, shifted: bool = False) -> PreparedSlices:
    """Return slices (z, c, y, x) merged, `ratio` to one, each a weighted mean: uint8, shape (fewer, c, y, x).

    Args:
        slices: uint8.
        ratio: the spacing of the merged slices, divided by that of the given ones.
        shifted: shift the merged slices by half a slice. One more then covers both ends.
    """
    count = len(slices)
    fewer = merged_count(count, ratio) + shifted
    wanted = (np.arange(fewer) - (fewer - 1) / 2) * ratio + (count - 1) / 2
    weights = line_weights(count, wanted, reach=ratio, repeated=True)
    return np.rint(np.tensordot(weights, slices.astype(np.float32), 1)).astype(np.uint8)


def merged_count(count: int, ratio: float) -> int:
    """Return how many slices `count` slices are merged to, `ratio` to one: at least 1."""
    return max(1, round(count / ratio))


def prepare_volume_mask(mask: Mask, placement: Placement, *, size_px: int) -> Mask:
    """Return a volume's mask on the network's grid, where at least half of a pixel is tumour.

    Args:
        mask: of the volume, shape (z, y, x).
        placement: of the network's slices.
        size_px: side of the network's input.

    Returns:
        bool, shape (slices, size, size), with thin slices merged.
    """
    levels = mask[..., None].view(np.uint8) * np.uint8(255)
    slices = np.moveaxis(resample_axial(levels, placement, size_px=size_px), 3, 1)
    if placement.slice_ratio != 1:
        slices = merge_slices(slices, placement.slice_ratio)
    return np.asarray(slices[:, 0] >= HALF_LEVEL)


def restore_volume(probability: Probability, placement: Placement) -> Probability:
    """Return probabilities (slices, size, size) on the volume's grid, 0 outside the field of view."""
    restored = np.zeros(placement.shape, np.float32)
    turned = placement.orientation.turn(restored)  # a view: writing to it fills `restored`
    size, field = probability.shape[1], placement.field
    down, across = field.height / size, field.width / size
    row_centres = pixel_centres(turned.shape[1], -field.top / down, 1 / down)
    column_centres = pixel_centres(turned.shape[2], -field.left / across, 1 / across)
    rows = _sparse(line_weights(size, row_centres, reach=max(1.0, 1 / down)))
    columns = _sparse(line_weights(size, column_centres, reach=max(1.0, 1 / across)))
    for target, weights in zip(turned, _slice_weights(placement, len(probability)), strict=True):
        near = np.flatnonzero(weights)
        plane = np.tensordot(weights[near], probability[near], 1) if len(near) > 1 else probability[near[0]]
        target[:] = np.clip(_resampled(plane, rows, columns), 0, 1)
    return restored


def restore_volume_slices(values: NDArray[np.float64], placement: Placement) -> NDArray[np.float64]:
    """Return one value of each axial slice of a volume, interpolated between the network's slices: float64.

    Args:
        values: of the network's slices.
        placement: of these slices.

    Returns:
        Shape (axial slices,), from the lowest slice upwards.
    """
    restored: NDArray[np.float64] = _slice_weights(placement, len(values)) @ values
    return restored


def _slice_weights(placement: Placement, fewer: int) -> NDArray[np.float32]:
    """Return the weights of the network's `fewer` slices in each axial slice: shape (axial slices, fewer)."""
    count = placement.shape[placement.orientation.axes[0]]
    positions = (np.arange(count) - (count - 1) / 2) / placement.slice_ratio + (fewer - 1) / 2
    return line_weights(fewer, positions, repeated=True)


def _head(turned: NDArray[np.uint8]) -> tuple[slice, slice] | None:
    """Return the rows and columns in which more than 1 % of the pixels of all slices are bright; None without any."""
    bright = np.zeros(turned.shape[1:], np.int64)
    for plane in turned:
        bright += plane > HEAD_LEVEL
    spans = []
    for across in (1, 0):
        lines = np.flatnonzero(bright.sum(axis=across) > HEAD_SHARE * len(turned) * bright.shape[across])
        if not lines.size:
            return None
        spans.append(slice(int(lines[0]), int(lines[-1]) + 1))
    return spans[0], spans[1]


def _sparse(weights: NDArray[np.float32]) -> Any:
    from scipy import sparse

    # Each pixel has two to a few weights that are not 0.
    return sparse.csr_array(weights)


def _resampled(plane: NDArray[Any], rows: Any, columns: Any) -> NDArray[np.float32]:
    """Return a plane (y, x) with its rows and columns resampled by sparse weights: float32."""
    return np.asarray((columns @ (rows @ plane.astype(np.float32)).T).T)
