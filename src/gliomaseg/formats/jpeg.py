"""JPEG, through Pillow: read only, because masks must be written without loss."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gliomaseg.errors import FormatError, GliomasegError
from gliomaseg.formats.limits import require_image
from gliomaseg.formats.orientation_tag import exif_orientation, turn_upright


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Drop Pillow's warnings of damaged EXIF data: the pixels are not concerned."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read(path: Path, *, max_bytes: int, slices: int = 1) -> NDArray[Any]:
    """Return the pixels as viewers show them, turned by the EXIF orientation: uint8 (y, x) or (y, x, 3).

    Args:
        path: the file.
        max_bytes: limit of the memory that prediction needs; checked before memory is allocated.
        slices: the number of such images that are read together.

    Raises:
        FormatError: the file is missing, damaged, declares over 64 million pixels, or is neither grey nor RGB.
        ResourceError: prediction needs more than `max_bytes`.
    """
    try:
        with _quiet_pillow(), Image.open(path, formats=["JPEG"]) as picture:
            channels = len(picture.getbands())
            require_image(picture.size, 1, channels=channels, slices=slices, where=path, max_bytes=max_bytes)
            if picture.mode not in ("L", "RGB"):
                raise FormatError(
                    f"colour space is {picture.mode}, expected grey or RGB", where=path, cure="save it as grey or RGB"
                )
            return turn_upright(np.asarray(picture), exif_orientation(picture))
    except GliomasegError:
        raise
    except FileNotFoundError as fault:
        raise FormatError("there is no such file", where=path, cure="check the path") from fault
    # Pillow raises OSError, SyntaxError, struct.error and others for damaged files.
    except Exception as fault:
        raise FormatError(f"is not a readable JPEG ({type(fault).__name__}: {fault})", where=path) from fault
