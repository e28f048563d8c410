"""The Orientation tag of TIFF and EXIF: which side of an image is stored first.

Viewers turn an image by this tag, so masks and overlays must follow it.

Source: TIFF 6.0, section 8, tag 274; Exif 2.32, section 4.6.4.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

TAG = 274
UPRIGHT = 1
_INVERSE = {6: 8, 8: 6}  # quarter turns; all others are their own inverse


def turn_upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return stored pixels (y, x) or (y, x, c) as viewers show them.

    Args:
        pixels: in the order of the file.
        orientation: the tag, 1 to 8; 1 is upright.

    >>> turn_upright(np.array([[1, 2], [3, 4]]), 6).tolist()  # a quarter turn clockwise
    [[3, 1], [4, 2]]
    """
    if orientation == UPRIGHT:
        return pixels
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def turn_as_stored(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return upright pixels (y, x) or (y, x, c) in the order of a file with this tag: undoes `turn_upright`."""
    return turn_upright(pixels, _INVERSE.get(orientation, orientation))


def valid_orientation(value: Any) -> int:
    """Return the value of a tag if it is 1 to 8, else 1, as viewers do."""
    return int(value) if value in range(1, 9) else UPRIGHT


def exif_orientation(picture: Image.Image) -> int:
    """Return the orientation in an image's EXIF data; 1 if they are missing or damaged."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of damaged EXIF data
        try:
            return valid_orientation(picture.getexif().get(TAG))
        except Exception:  # Pillow raises SyntaxError, struct.error and others; the pixels are not concerned
            return UPRIGHT
