"""From a scan to what a network takes, and from its probabilities back to the scan's own grid.

`prepare` and `restore` are one matched pair, used alike in training and in use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gliomaseg.arrays import Batch, Mask, Probability, Stored, Voxels
from gliomaseg.config import Preparation
from gliomaseg.geometry import Field, Orientation, field_of, line_weights, orientation_to, places_between
from gliomaseg.intensity import eight_bits, window_of
from gliomaseg.scan import Scan

FLAIR_CHANNEL = 1
HEAD_LEVEL, HEAD_SHARE = 32, 0.01


@dataclass(frozen=True)
class Placement:
    """How a volume was turned, cut and resampled: what it takes to go back.

    Attributes:
        shape: of the scan, (z, y, x).
        orientation: turns the scan to axial slices.
        field: of each axial slice, what the network sees.
        slice_ratio: how many axial slices of the scan make one; 1 where they were left alone.
    """

    shape: tuple[int, int, int]
    orientation: Orientation
    field: Field
    slice_ratio: float = 1.0


@dataclass(frozen=True)
class Prepared:
    """A scan's slices, ready for a network, and the grid to go back to.

    Attributes:
        slices: uint8, shape (z, c, size, size): c is 1 for "grey" and "flair", 3 for "all".
        grid: the (y, x) of the scan's slices, in pixels; of a volume, those of its axial slices.
        placement: of a volume; None for pictures.
    """

    slices: Stored
    grid: tuple[int, int]
    placement: Placement | None = None


def prepare(scan: Scan, preparation: Preparation) -> Prepared:
    """Return the scan's slices in the network's size and channels, still as 8 bits.

    Pictures (scans without an affine) are axial already. 16-bit voxels are scaled to 8 bits so that the 99.5
    percentile of what is not zero becomes 255. Slices are resized (bilinear, aspect not kept, as the
    reference does), then mixed to one channel.

    Volumes are turned to axial slices. Each sequence is scaled to 8 bits by its own window, then the field of
    `field_mm` is cut out, black where there is nothing, and resampled to the network's pixels (bilinear).
    Slices thinner than `slice_mm` are merged to that distance, thicker ones left alone.
    """
    if scan.affine is not None:
        return _prepare_volume(scan, preparation)
    pixels = _scaled_pictures(scan.voxels)
    count = 3 if preparation.channels == "all" else 1
    slices = np.empty((len(pixels), count, preparation.size_px, preparation.size_px), np.uint8)
    for plane, target in zip(pixels, slices, strict=True):
        _prepare_slice(plane, target, preparation)
    return Prepared(slices, grid=(pixels.shape[1], pixels.shape[2]))


def prepare_mask(mask: Mask, preparation: Preparation) -> Mask:
    """Return masks (z, y, x) in the network's size (nearest pixel): bool, shape (z, size, size)."""
    size = preparation.size_px
    if mask.shape[1:] == (size, size):
        return mask
    pictures = (
        Image.fromarray(plane.astype(np.uint8)).resize((size, size), Image.Resampling.NEAREST) for plane in mask
    )
    return np.stack([np.asarray(picture) for picture in pictures]) > 0


def normalise(slices: Stored, preparation: Preparation) -> Batch:
    """Return 8-bit slices as the network takes them: float32, (v / 255 - mean) / std, three channels.

    A single channel is repeated three times, as the reference does.
    """
    scale = np.float32(1 / (255 * preparation.std))
    values = slices.astype(np.float32) * scale - np.float32(preparation.mean / preparation.std)
    return np.repeat(values, 3, axis=1) if values.shape[1] == 1 else values


def restore(probability: Probability, prepared: Prepared) -> Probability:
    """Return probabilities (z, size, size) on the scan's own grid: float32 in [0, 1], shape (z, y, x).

    What the network did not see of a volume has the probability 0.
    """
    if prepared.placement is not None:
        return _restore_volume(probability, prepared.placement)
    rows, columns = prepared.grid
    if probability.shape[1:] == (rows, columns):
        return probability
    pictures = (Image.fromarray(plane).resize((columns, rows), Image.Resampling.BILINEAR) for plane in probability)
    return np.stack([np.asarray(picture) for picture in pictures])


def _scaled_pictures(voxels: Voxels) -> Voxels:
    if voxels.dtype == np.uint8:
        return voxels
    bright = voxels[voxels > 0]
    top = float(np.percentile(bright, 99.5)) if bright.size else 1.0
    return np.rint(np.clip(voxels * (255 / top), 0, 255)).astype(np.uint8)


def _prepare_slice(plane: Voxels, target: Stored, preparation: Preparation) -> None:
    """Fill `target` (c, size, size) from one slice (y, x, 1 or 3)."""
    picture = Image.fromarray(plane if plane.shape[2] == 3 else plane[..., 0])
    size = (preparation.size_px, preparation.size_px)
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.BILINEAR)
    if preparation.channels == "grey":
        target[0] = np.asarray(picture.convert("L"))  # 0.299 R + 0.587 G + 0.114 B, rounded
    elif preparation.channels == "flair":
        target[0] = np.asarray(picture if picture.mode == "L" else picture.getchannel(FLAIR_CHANNEL))
    else:
        target[:] = np.moveaxis(np.asarray(picture.convert("RGB")), 2, 0)


def _prepare_volume(scan: Scan, preparation: Preparation) -> Prepared:
    levels = volume_levels(scan, bright_level=preparation.bright_level)
    placement = place_volume(scan, levels, preparation)
    turned: NDArray[np.uint8] = placement.orientation.turn(levels)
    size, field = preparation.size_px, placement.field
    down, across = field.height / size, field.width / size
    rows = _sparse(line_weights(turned.shape[1], places_between(size, field.top, down), reach=max(1.0, down)))
    columns = _sparse(line_weights(turned.shape[2], places_between(size, field.left, across), reach=max(1.0, across)))
    count = 3 if preparation.channels == "all" else 1
    slices = np.empty((len(turned), count, size, size), np.uint8)
    for plane, target in zip(turned, slices, strict=True):
        seen = [_resampled(plane[..., channel], rows, columns) for channel in range(turned.shape[3])]
        _prepare_slice(np.rint(np.stack(seen, axis=2)).astype(np.uint8), target, preparation)
    if placement.slice_ratio != 1:
        weights = _merging(len(slices), placement.slice_ratio)
        slices = np.rint(np.tensordot(weights, slices.astype(np.float32), 1)).astype(np.uint8)
    return Prepared(slices, (turned.shape[1], turned.shape[2]), placement)


def volume_levels(scan: Scan, *, bright_level: float) -> NDArray[np.uint8]:
    """Return a volume's voxels as 8 bits, each sequence by its own window: uint8, shape (z, y, x, c)."""
    levels = np.empty(scan.voxels.shape, np.uint8)
    for channel in range(len(scan.sequences)):
        volume: NDArray[Any] = scan.voxels[:, :, :, channel]
        levels[..., channel] = eight_bits(volume, window_of(volume), bright_level=bright_level)
    return levels


def place_volume(scan: Scan, levels: NDArray[np.uint8], preparation: Preparation) -> Placement:
    """Return how a volume, with its 8-bit levels (z, y, x, c), becomes the network's slices.

    Raises:
        ValueError: the scan has no affine.
    """
    if scan.affine is None or scan.spacing_mm is None:
        raise ValueError("pictures are not placed: nobody knows how")
    orientation = orientation_to(scan.affine)
    turned = orientation.turn(levels[..., scan.sequences.index("flair") if "flair" in scan.sequences else 0])
    slice_mm, row_mm, column_mm = orientation.turn_spacing(scan.spacing_mm)
    field = field_of(
        (turned.shape[1], turned.shape[2]), (row_mm, column_mm), field_mm=preparation.field_mm, head=_head(turned)
    )
    ratio = 1.0 if preparation.slice_mm is None else max(1.0, preparation.slice_mm / slice_mm)
    z, y, x = levels.shape[:3]
    return Placement((z, y, x), orientation, field, ratio)


def _head(turned: NDArray[np.uint8]) -> tuple[slice, slice] | None:
    """Return the rows and columns of which a hundredth is bright, over all slices; None where there are none."""
    bright = np.zeros(turned.shape[1:], np.int64)
    for plane in turned:
        bright += plane > HEAD_LEVEL
    spans = []
    for across in (1, 0):
        places = np.flatnonzero(bright.sum(axis=across) > HEAD_SHARE * len(turned) * bright.shape[across])
        if not places.size:
            return None
        spans.append(slice(int(places[0]), int(places[-1]) + 1))
    return spans[0], spans[1]


def _merging(count: int, ratio: float) -> NDArray[np.float32]:
    """Return the weights that merge `count` slices, `ratio` to one: float32, shape (fewer, count)."""
    fewer = max(1, round(count / ratio))
    wanted = (np.arange(fewer) - (fewer - 1) / 2) * ratio + (count - 1) / 2
    return line_weights(count, wanted, reach=ratio, repeated=True)


def _restore_volume(probability: Probability, placement: Placement) -> Probability:
    restored = np.zeros(placement.shape, np.float32)
    turned = placement.orientation.turn(restored)  # a view: what is written here lies where it belongs
    size, field = probability.shape[1], placement.field
    down, across = field.height / size, field.width / size
    wanted_rows = places_between(turned.shape[1], -field.top / down, 1 / down)
    wanted_columns = places_between(turned.shape[2], -field.left / across, 1 / across)
    rows = _sparse(line_weights(size, wanted_rows, reach=max(1.0, 1 / down)))
    columns = _sparse(line_weights(size, wanted_columns, reach=max(1.0, 1 / across)))
    count, fewer = len(turned), len(probability)
    places = (np.arange(count) - (count - 1) / 2) / placement.slice_ratio + (fewer - 1) / 2
    for target, weights in zip(turned, line_weights(fewer, places, repeated=True), strict=True):
        near = np.flatnonzero(weights)
        plane = np.tensordot(weights[near], probability[near], 1) if len(near) > 1 else probability[near[0]]
        target[:] = np.clip(_resampled(plane, rows, columns), 0, 1)
    return restored


def _sparse(weights: NDArray[np.float32]) -> Any:
    from scipy import sparse

    # Of the weights of a pixel all but two or a few are 0.
    return sparse.csr_array(weights)


def _resampled(plane: NDArray[Any], rows: Any, columns: Any) -> NDArray[np.float32]:
    """Return a plane (y, x) with its rows and columns resampled by sparse weights: float32."""
    return np.asarray((columns @ (rows @ plane.astype(np.float32)).T).T)
