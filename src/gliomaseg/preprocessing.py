"""From a scan to what a network takes, and from its probabilities back to the scan's own grid.

`prepare` and `restore` are one matched pair, used alike in training and in use.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from gliomaseg.arrays import Batch, Mask, Probability, Stored, Voxels
from gliomaseg.config import Preparation
from gliomaseg.scan import Scan

FLAIR_CHANNEL = 1


@dataclass(frozen=True)
class Prepared:
    """A scan's slices, ready for a network, and the grid to go back to.

    Attributes:
        slices: uint8, shape (z, c, size, size): c is 1 for "grey" and "flair", 3 for "all".
        grid: the scan's own (y, x), in pixels.
    """

    slices: Stored
    grid: tuple[int, int]


def prepare(scan: Scan, preparation: Preparation) -> Prepared:
    """Return the scan's slices in the network's size and channels, still as 8 bits.

    16-bit voxels are scaled to 8 bits so that the 99.5 percentile of what is not zero becomes 255.
    Slices are resized (bilinear, aspect not kept, as the reference does), then mixed to one channel.
    """
    pixels = _eight_bits(scan.voxels)
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
    """Return probabilities (z, size, size) on the scan's own grid: float32 in [0, 1], shape (z, y, x)."""
    rows, columns = prepared.grid
    if probability.shape[1:] == (rows, columns):
        return probability
    pictures = (Image.fromarray(plane).resize((columns, rows), Image.Resampling.BILINEAR) for plane in probability)
    return np.stack([np.asarray(picture) for picture in pictures])


def _eight_bits(voxels: Voxels) -> Voxels:
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
