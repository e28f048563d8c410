"""From a scan to what a network takes, and from its probabilities back to the scan's own grid.

`prepare` and `restore` are one matched pair, used alike in training and in use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gliomaseg.config import Preprocessing
from gliomaseg.geometry import Field, Orientation, field_of, line_weights, orientation_to, places_between
from gliomaseg.intensity import eight_bits, window_of
from gliomaseg.scan import Scan, flair_channel
from gliomaseg.types import Batch, Mask, PreparedSlices, Probability, SliceIndices, Voxels

HEAD_LEVEL, HEAD_SHARE = 32, 0.01
TOP_SHARE, HEAD_FRACTION = 0.995, 0.1


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
        slices: uint8, shape (z, c, size, size): c is 1 for "grey" and "flair", 2 for "t1_flair", 3 for "all".
        grid: the (y, x) of the scan's slices, in pixels; of a volume, those of its axial slices.
        placement: of a volume; None for pictures.
    """

    slices: PreparedSlices
    grid: tuple[int, int]
    placement: Placement | None = None


def prepare(scan: Scan, preprocessing: Preprocessing) -> Prepared:
    """Return the scan's slices in the network's size and channels, still as 8 bits.

    Pictures (scans without an affine) are axial already. 16-bit voxels are scaled to 8 bits so that the 99.5
    percentile of what is not zero becomes 255. Slices are resized (bilinear, aspect not kept, as the
    reference does), then mixed to one channel.

    Volumes are turned to axial slices. Each sequence is scaled to 8 bits by its own window, then the field of
    `fov_mm` is cut out, black where there is nothing, and resampled to the network's pixels (bilinear).
    Slices thinner than `min_slice_spacing_mm` are merged to that distance, thicker ones left alone.
    """
    if scan.affine is not None:
        return _prepare_volume(scan, preprocessing)
    pixels = _scaled_pictures(scan.voxels)
    slices = np.empty((len(pixels), preprocessing.sequences, preprocessing.size_px, preprocessing.size_px), np.uint8)
    for plane, target in zip(pixels, slices, strict=True):
        _prepare_slice(plane, target, preprocessing)
    return Prepared(slices, grid=(pixels.shape[1], pixels.shape[2]))


def prepare_mask(mask: Mask, preprocessing: Preprocessing) -> Mask:
    """Return masks (z, y, x) in the network's size (nearest pixel): bool, shape (z, size, size)."""
    size = preprocessing.size_px
    if mask.shape[1:] == (size, size):
        return mask
    pictures = (
        Image.fromarray(plane.astype(np.uint8)).resize((size, size), Image.Resampling.NEAREST) for plane in mask
    )
    return np.stack([np.asarray(picture) for picture in pictures]) > 0


def neighbour_places(
    places: SliceIndices, first: SliceIndices, last: SliceIndices, *, context_slices: int
) -> SliceIndices:
    """Return where each slice's own picture and those of its neighbours stand: int64, shape (n, 2 neighbours + 1).

    At a stack's ends the last slice is repeated.

    Args:
        places: of the slices, shape (n,).
        first: where the stack of each slice begins, shape (n,) or (1,).
        last: where its last slice stands.
        context_slices: how many on each side, 0 or more.

    >>> neighbour_places(np.array([4, 5]), np.array([4]), np.array([9]), context_slices=1).tolist()
    [[4, 4, 5], [4, 5, 6]]
    """
    beside = places[:, None] + np.arange(-context_slices, context_slices + 1)
    inside: SliceIndices = np.clip(beside, first[:, None], last[:, None])
    return inside


def with_neighbours(slices: PreparedSlices, places: SliceIndices) -> PreparedSlices:
    """Return pictures as channels of one: uint8, shape (n, k c, y, x), of slices (z, c, y, x) and places (n, k)."""
    count, k = places.shape
    return slices[places].reshape(count, k * slices.shape[1], *slices.shape[2:])


def level_counts(stack: PreparedSlices) -> NDArray[np.int64]:
    """Return how often each of the 256 levels occurs in the slices of one stack: int64, shape (c, 256)."""
    return np.stack([np.bincount(stack[:, k].ravel(), minlength=256) for k in range(stack.shape[1])])


def head_levels(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the levels above which stacks show a head, a tenth of their 99.5 percentile: shape (n, c)."""
    bright = np.cumsum(np.where(np.arange(256) > 0, counts, 0), axis=-1)
    top: NDArray[np.float64] = (bright < TOP_SHARE * bright[..., -1:]).sum(axis=-1) * HEAD_FRACTION
    return top


def level_scales(preprocessing: Preprocessing, counts: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return what 8-bit levels are multiplied by, and what is then taken off: float32, shape (n, channels, 1, 1).

    "volume" gives the head's pixels of a stack the mean 0 and the standard deviation 1. The head is what is brighter
    than a tenth of the stack's 99.5 percentile, and nothing where all is black.

    Args:
        preprocessing: how to normalise.
        counts: of each slice's whole stack, as `level_counts` gives them, shape (n, c, 256); not looked at if "fixed".
    """
    if preprocessing.normalisation == "fixed":
        scale, shift = np.float32(1 / (255 * preprocessing.std)), np.float32(preprocessing.mean / preprocessing.std)
        return np.full((1, 1, 1, 1), scale), np.full((1, 1, 1, 1), shift)
    levels = np.arange(256)
    head = np.where(levels > head_levels(counts)[..., None], counts, 0)
    pixels = np.maximum(head.sum(axis=-1, keepdims=True), 1)
    mean = (head * levels).sum(axis=-1, keepdims=True) / pixels
    variance = (head * (levels - mean) ** 2).sum(axis=-1, keepdims=True) / pixels
    std = np.maximum(np.sqrt(variance), 1.0)  # of an even picture, a level is a unit
    scale, shift = ((1 / std)[..., None], (mean / std)[..., None])
    repeats = (1, 2 * preprocessing.context_slices + 1, 1, 1)
    return np.tile(scale, repeats).astype(np.float32), np.tile(shift, repeats).astype(np.float32)


def normalise(slices: PreparedSlices, preprocessing: Preprocessing, counts: NDArray[np.int64] | None = None) -> Batch:
    """Return 8-bit slices as the network takes them: float32, shape (n, inputs, y, x).

    "fixed" gives (v / 255 - mean) / std. A single channel is repeated three times, as the reference does.

    Args:
        slices: of one stack, with their neighbours, shape (n, channels, y, x).
        preprocessing: how to normalise.
        counts: levels of the whole stack, shape (c, 256); those of `slices` if None.
    """
    counts = level_counts(slices) if counts is None else counts
    scale, shift = level_scales(preprocessing, counts[None])
    values = slices.astype(np.float32) * scale - shift
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


def _prepare_slice(plane: Voxels, target: PreparedSlices, preprocessing: Preprocessing) -> None:
    """Fill `target` (c, size, size) from one slice (y, x, 1 or 3)."""
    picture = Image.fromarray(plane if plane.shape[2] == 3 else plane[..., 0])
    size = (preprocessing.size_px, preprocessing.size_px)
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.BILINEAR)
    if preprocessing.input == "grey":
        target[0] = np.asarray(picture.convert("L"))  # 0.299 R + 0.587 G + 0.114 B, rounded
    elif preprocessing.input == "flair":
        target[0] = np.asarray(picture if picture.mode == "L" else picture.getchannel(flair_channel(3)))
    else:
        target[:] = np.moveaxis(np.asarray(picture.convert("RGB")), 2, 0)[: len(target)]  # T1 comes first


def _prepare_volume(scan: Scan, preprocessing: Preprocessing) -> Prepared:
    levels = volume_levels(scan, p99_5_level=preprocessing.p99_5_level)
    placement = place_volume(scan, levels, preprocessing)
    turned: NDArray[np.uint8] = placement.orientation.turn(levels)
    size, field = preprocessing.size_px, placement.field
    down, across = field.height / size, field.width / size
    rows = _sparse(line_weights(turned.shape[1], places_between(size, field.top, down), reach=max(1.0, down)))
    columns = _sparse(line_weights(turned.shape[2], places_between(size, field.left, across), reach=max(1.0, across)))
    slices = np.empty((len(turned), preprocessing.sequences, size, size), np.uint8)
    for plane, target in zip(turned, slices, strict=True):
        seen = [_resampled(plane[..., channel], rows, columns) for channel in range(turned.shape[3])]
        _prepare_slice(np.rint(np.stack(seen, axis=2)).astype(np.uint8), target, preprocessing)
    if placement.slice_ratio != 1:
        weights = _merging(len(slices), placement.slice_ratio)
        slices = np.rint(np.tensordot(weights, slices.astype(np.float32), 1)).astype(np.uint8)
    return Prepared(slices, (turned.shape[1], turned.shape[2]), placement)


def volume_levels(scan: Scan, *, p99_5_level: float) -> NDArray[np.uint8]:
    """Return a volume's voxels as 8 bits, each sequence by its own window: uint8, shape (z, y, x, c)."""
    levels = np.empty(scan.voxels.shape, np.uint8)
    for channel in range(len(scan.sequences)):
        volume: NDArray[Any] = scan.voxels[:, :, :, channel]
        levels[..., channel] = eight_bits(volume, window_of(volume), p99_5_level=p99_5_level)
    return levels


def place_volume(scan: Scan, levels: NDArray[np.uint8], preprocessing: Preprocessing) -> Placement:
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
        (turned.shape[1], turned.shape[2]), (row_mm, column_mm), fov_mm=preprocessing.fov_mm, head=_head(turned)
    )
    ratio = (
        1.0 if preprocessing.min_slice_spacing_mm is None else max(1.0, preprocessing.min_slice_spacing_mm / slice_mm)
    )
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
