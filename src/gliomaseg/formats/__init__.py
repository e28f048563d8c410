"""File formats: one file a member, chosen by a file's suffix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.errors import FormatError
from gliomaseg.formats import png, tiff

FORMATS: dict[str, Any] = {".tif": tiff, ".tiff": tiff, ".png": png}


def read_picture(path: Path) -> NDArray[Any]:
    """Return one picture's pixels: uint8 or uint16, shape (y, x, c) with c = 1 or 3.

    Raises:
        FormatError: the suffix is unknown, or the file is missing, damaged, too large or of another kind.
    """
    read: Callable[[Path], NDArray[Any]] = _member(path).read
    if path.exists() and not path.is_file():  # to open a pipe would wait for ever
        raise FormatError("is no file", where=path)
    pixels = read(path)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        pixels = pixels[..., :3]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or 0 in pixels.shape:
        raise FormatError(f"holds an array of shape {pixels.shape}, not one grey or RGB picture", where=path)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise FormatError(f"has {pixels.dtype} pixels", where=path, cure="convert it to 8 or 16 bits")
    return pixels


def write_picture(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write uint8 pixels (y, x) or (y, x, 3) in the format of the suffix.

    Raises:
        FormatError: the suffix is unknown.
        OSError: the disk is full or the folder cannot be written.
    """
    _member(path).write(path, pixels)


def _member(path: Path) -> Any:
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        known = " ".join(sorted(FORMATS))
        raise FormatError(
            f"is of no format known here ({path.suffix or 'no suffix'})", where=path, cure=f"give {known}"
        ) from None
