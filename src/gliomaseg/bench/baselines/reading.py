"""The peer of the cache: each slice is decoded, made grey and resized whenever it is asked for.

Fair: OpenCV where it is installed, the fastest reader in common use, else Pillow; one read a file, nothing checked; no
resizing where the size is right already; float32 from 8 bits in one step.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

READER = "OpenCV" if find_spec("cv2") else "Pillow"
MEAN, STD = 0.5, 0.5


def read_pair(image: Path, mask: Path, *, size_px: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return a slice, float32, normalised, shape (3, size, size), and its mask, bool, shape (size, size)."""
    grey, tumour = (_read_opencv if READER == "OpenCV" else _read_pillow)(image, mask, size_px)
    values = (grey.astype(np.float32) / 255 - MEAN) / STD
    return np.stack([values.astype(np.float32)] * 3), tumour > 0


def _read_pillow(image: Path, mask: Path, size_px: int) -> tuple[NDArray[Any], NDArray[Any]]:
    from PIL import Image

    size = (size_px, size_px)
    with Image.open(image) as opened, Image.open(mask) as opened_mask:
        picture, tumour = opened.convert("L"), opened_mask.convert("L")
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.BILINEAR)
        tumour = tumour.resize(size, Image.Resampling.NEAREST)
    return np.asarray(picture), np.asarray(tumour)


def _read_opencv(image: Path, mask: Path, size_px: int) -> tuple[NDArray[Any], NDArray[Any]]:
    import cv2

    size = (size_px, size_px)
    picture = cv2.cvtColor(cv2.imread(str(image), cv2.IMREAD_COLOR), cv2.COLOR_BGR2GRAY)
    tumour = cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE)
    if picture.shape != size:
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)
        tumour = cv2.resize(tumour, size, interpolation=cv2.INTER_NEAREST)
    return np.asarray(picture), np.asarray(tumour)
