"""Intensities of any scale to 8 bits, as in the training data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.scan import Scan

TOP_PERCENTILE = 99.5
_BLOCK = 1 << 22
PADDING_SHARE = 0.1
BELOW_SHARE = 0.05
OFFSET_SHARE = 0.1
DISPLAY_LEVEL = 220


@dataclass(frozen=True)
class Window:
    """The intensity range of a volume that maps to 8 bits.

    Attributes:
        floor: intensity that becomes 0.
        top: the 99.5 percentile of the foreground; more than `floor`.
        padding: the value of voxels without signal, which become 0; None if there is no such value.
    """

    floor: float
    top: float
    padding: float | None = None


def window_of(volume: NDArray[Any]) -> Window:
    """Return the window of one sequence; the order of the voxels does not matter, apart from the corners.

    Background is determined as follows:

    - A value that most of the eight corners and a tenth of all voxels have is padding, as in a skull-stripped or
      masked volume. Padding is background, whatever its value. If more than a twentieth of the other voxels are
      below it (z-scores), the floor is the 0.5 percentile of the other voxels.
    - Without padding, the floor is 0 if the darkest voxels are near 0, as in magnitude images. Volumes with an offset
      or with negative values have their 0.1 percentile as floor.

    Args:
        volume: any real numbers, all finite, shape (z, y, x), not empty.
    """
    padding = _padding(volume)
    if padding is None:
        low = float(np.percentile(volume, 0.1))
        top = _percentile(volume, TOP_PERCENTILE, above=max(low, 0.0) if low >= 0 else low)
        floor = 0.0 if 0 <= low <= OFFSET_SHARE * top else low
        return _window(floor, top, None)
    others = volume[volume != padding]
    if not others.size:
        return Window(padding, padding + 1, padding)
    floor = padding
    if np.count_nonzero(others < padding) > BELOW_SHARE * others.size:
        floor = float(np.percentile(others, 0.5))
    return _window(floor, float(np.percentile(others, TOP_PERCENTILE, overwrite_input=True)), padding)


def eight_bits(volume: NDArray[Any], window: Window, *, p99_5_level: float) -> NDArray[np.uint8]:
    """Return a volume with `window.floor` at 0 and `window.top` at `p99_5_level`: uint8, same shape.

    Intensities above the top are scaled alike and clipped at 255.
    """
    scale = p99_5_level / (window.top - window.floor)
    levels = np.empty(volume.shape, np.uint8)
    for plane, target in zip(volume, levels, strict=True):  # one slice at a time: a volume of float64 is large
        shown = np.rint(np.clip((plane.astype(np.float64) - window.floor) * scale, 0, 255))
        if window.padding is not None:
            shown[plane == window.padding] = 0
        target[:] = shown
    return levels


def image_levels(voxels: NDArray[Any]) -> NDArray[np.uint8]:
    """Return 8- or 16-bit images (z, y, x, c) as 8 bits: uint8, same shape.

    16 bits are scaled so that the 99.5 percentile of the pixels above 0 becomes 255; 8 bits are returned unchanged.
    """
    if voxels.dtype == np.uint8:
        return voxels
    bright = voxels[voxels > 0]
    top = float(np.percentile(bright, TOP_PERCENTILE)) if bright.size else 1.0
    levels = np.empty(voxels.shape, np.uint8)
    given, result = np.ascontiguousarray(voxels).reshape(-1), levels.reshape(-1)
    for start in range(0, len(given), _BLOCK):  # a block at a time: an image of float64 is large
        result[start : start + _BLOCK] = np.rint(np.clip(given[start : start + _BLOCK] * (255 / top), 0, 255))
    return levels


def _window(floor: float, top: float, padding: float | None) -> Window:
    """Return a window of positive width, even for a constant volume."""
    return Window(floor, top if top > floor else floor + max(1.0, abs(floor)), padding)


def _padding(volume: NDArray[Any]) -> float | None:
    ends = tuple(slice(None, None, max(1, length - 1)) for length in volume.shape)
    values, counts = np.unique(volume[ends], return_counts=True)
    value = values[counts.argmax()]
    share = np.count_nonzero(volume == value) / volume.size
    return float(value) if counts.max() * 2 > counts.sum() and share >= PADDING_SHARE else None


def _percentile(volume: NDArray[Any], percentile: float, *, above: float) -> float:
    bright = volume[volume > above]
    return float(np.percentile(bright, percentile, overwrite_input=True)) if bright.size else above


def display_levels(voxels: NDArray[Any]) -> NDArray[np.uint8]:
    """Return an array of one sequence as 8-bit grey for people: the 99.5 percentile is level 220; uint8, same shape."""
    return eight_bits(voxels, window_of(voxels), p99_5_level=DISPLAY_LEVEL)


def axial_flair(scan: Scan) -> NDArray[np.uint8]:
    """Return the axial FLAIR slices of a scan as 8-bit grey, shape (z, y, x); 8-bit images stay as they are."""
    flair = scan.axial.turn(scan.voxels[..., scan.flair_index])
    return flair if flair.dtype == np.uint8 else display_levels(flair)
