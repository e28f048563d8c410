"""PNG, through Pillow."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gliomaseg.errors import FormatError, GliomasegError
from gliomaseg.formats.limits import require_image
from gliomaseg.formats.orientation_tag import exif_orientation, turn_upright

# zlib level 3 compresses outlined slices as well as level 6, the default, in two fifths of its time.
COMPRESSION = 3
_HEADER = struct.Struct(">12x4sIIBB")  # the chunk's name, width, height, bits a channel, colour type
_CHUNK = struct.Struct(">I4s")  # length and name
_SIGNATURE_BYTES, _CHECKSUM_BYTES = 8, 4
_GREY, _GREY_ALPHA = 0, 4
_GREYS = (_GREY, _GREY_ALPHA)


def read(path: Path, *, max_bytes: int, slices: int = 1) -> NDArray[Any]:
    """Return the pixels: uint8 (y, x) or (y, x, 3), or uint16 (y, x) for a 16-bit grey image.

    They are turned by the EXIF orientation, if the file has one.

    Args:
        path: the file.
        max_bytes: limit of the memory that prediction needs; checked before memory is allocated.
        slices: the number of such images that are read together.

    Raises:
        FormatError: the file is missing, damaged, declares over 64 million pixels, or has 16-bit colours.
        ResourceError: prediction needs more than `max_bytes`.
    """
    try:
        _check_header(path, max_bytes=max_bytes, slices=slices)
        with Image.open(path, formats=["PNG"]) as picture:
            return turn_upright(_pixels(picture), exif_orientation(picture))
    except GliomasegError:
        raise
    except FileNotFoundError as fault:
        raise FormatError("there is no such file", where=path, cure="check the path") from fault
    # Pillow raises SyntaxError, struct.error, zlib.error and others for damaged files.
    except Exception as fault:
        raise FormatError(f"is not a readable PNG ({type(fault).__name__}: {fault})", where=path) from fault


def _pixels(picture: Image.Image) -> NDArray[Any]:
    if picture.mode in ("I;16", "I"):
        return np.asarray(picture).astype(np.uint16)
    grey = picture.mode in ("1", "L", "LA")
    if picture.mode == "P":
        # Pillow warns about partly transparent palettes unless the image is converted to RGBA first.
        return np.asarray(picture.convert("RGBA").convert("RGB"))
    return np.asarray(picture.convert("L" if grey else "RGB"))


def _check_chunks(file: BinaryIO, path: Path) -> None:
    """Refuse a chunk that declares more bytes than the file has: Pillow allocates memory for it."""
    size, at = path.stat().st_size, _SIGNATURE_BYTES
    while at < size:
        file.seek(at)
        length, kind = _CHUNK.unpack(file.read(_CHUNK.size))
        at += _CHUNK.size + length + _CHECKSUM_BYTES
        if at > size:
            raise FormatError("is cut short", where=path, cure="copy it again")
        if kind == b"IEND":
            return


def _check_header(path: Path, *, max_bytes: int, slices: int) -> None:
    """Refuse large images, for which Pillow only warns, and 16-bit colours, which Pillow reduces to 8 bits."""
    with path.open("rb") as file:
        chunk, width, height, bits, colour = _HEADER.unpack(file.read(_HEADER.size))
        if chunk != b"IHDR":
            raise FormatError("is not a readable PNG (its header is not the first chunk)", where=path)
        _check_chunks(file, path)
    channels = 1 if colour in _GREYS else 3
    itemsize = 2 if bits == 16 else 1
    require_image((width, height), itemsize, channels=channels, slices=slices, where=path, max_bytes=max_bytes)
    if bits == 16 and colour != _GREY:
        what = "has 16-bit colours, expected 8-bit colours or 16-bit grey"
        raise FormatError(what, where=path, cure="convert it to 8 bits a channel")


def write(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write pixels (y, x) or (y, x, 3), uint8."""
    Image.fromarray(pixels).save(path, format="PNG", compress_level=COMPRESSION)
