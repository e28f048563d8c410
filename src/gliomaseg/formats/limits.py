"""Limits on the cost of an input: checked on its header, before memory is allocated, and the same for all formats."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from os import PathLike

from gliomaseg.errors import FormatError, ResourceError

MAX_PIXELS = 64_000_000
DEFAULT_BYTES = 4 * 2**30
# Measured peaks of `predict`: the file's voxels and a copy; probabilities, labels of components and the mask.
_VOXEL_BYTES = 16
# A slice in the network's size of 256 x 256 pixels: 8-bit levels, and the probabilities of two views.
_SLICE_BYTES = 9 * 256 * 256


def needed_bytes(shape: Sequence[int], itemsize: int, *, channels: int = 1, slices: int | None = None) -> int:
    """Return the memory that prediction needs for a scan, in bytes, beyond that of the program itself.

    Args:
        shape: numbers of voxels along the axes, the slices first.
        itemsize: bytes of a value in memory.
        channels: values of a voxel.
        slices: the most slices that the network may get; None for the first axis.

    >>> needed_bytes((2, 10, 10), 1)  # 200 voxels of 18 bytes, and 2 slices
    1183248
    """
    planes = shape[0] if slices is None else slices
    return math.prod(shape) * (2 * itemsize * channels + _VOXEL_BYTES) + planes * _SLICE_BYTES


def require_memory(declared: str, needed: int, *, where: str | PathLike[str], max_bytes: int) -> None:
    """Refuse an input for which prediction needs too much memory.

    Args:
        declared: the content that the header declares, with its verb: "declares 40 voxels".
        needed: of `needed_bytes`.
        where: the file or folder.
        max_bytes: the limit.

    Raises:
        ResourceError: `needed` is more than `max_bytes`.
    """
    if needed > max_bytes:
        raise ResourceError(
            f"{declared}, which take {size_text(needed)} to predict, over the limit of {size_text(max_bytes)}",
            where=where,
            cure="crop or downsample it, or raise the memory limit (--max-memory, in Python max_bytes)",
        )


def require_image(
    size: tuple[int, int], itemsize: int, *, channels: int, slices: int, where: str | PathLike[str], max_bytes: int
) -> None:
    """Refuse an image that is too large, or whose stack is.

    Args:
        size: width and height in pixels.
        itemsize: bytes of a value in memory.
        channels: values of a pixel.
        slices: the number of images of this size that are read together.
        where: the file.
        max_bytes: limit of the memory that prediction needs for all of them.

    Raises:
        FormatError: the image has over 64 million pixels.
        ResourceError: prediction needs more than `max_bytes`.
    """
    width, height = size
    if width * height > MAX_PIXELS:
        raise FormatError(f"declares {width} x {height} pixels, over {MAX_PIXELS:,}", where=where, cure="crop it")
    declared = f"declares {width} x {height} pixels" + (f" in each of {slices:,} slices" if slices > 1 else "")
    needed = needed_bytes((slices, height, width), itemsize, channels=channels)
    require_memory(declared, needed, where=where, max_bytes=max_bytes)


def inflated_length(packed: bytes, limit: int) -> int:
    """Return the length of deflated bytes, at most `limit` + 1."""
    return len(zlib.decompressobj().decompress(packed, limit + 1))


def packbits_length(packed: bytes, limit: int) -> int:
    """Return the length of PackBits bytes, counted until it exceeds `limit`.

    A byte below 128 is followed by one more byte than its value. After a byte above 128, the next byte is repeated 257
    minus the value times. The byte 128 has no effect.

    Source: TIFF 6.0, section 9.
    """
    at = length = 0
    while at < len(packed) and length <= limit:
        code = packed[at]
        if code < 128:
            length += code + 1
            at += code + 2
        else:
            length += 257 - code if code > 128 else 0
            at += 2 if code > 128 else 1
    return length


def size_text(size_bytes: int) -> str:
    """Return a size in KiB, MiB or GiB.

    >>> size_text(100 * 2**10), size_text(3 * 2**29)
    ('100.0 KiB', '1.5 GiB')
    """
    size = size_bytes / 2**10
    for unit in ("KiB", "MiB"):
        if size < 1024:
            return f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
