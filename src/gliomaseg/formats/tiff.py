"""TIFF, through tifffile."""

from __future__ import annotations

import logging
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from gliomaseg.errors import FormatError, GliomasegError, ResourceError

MAX_PIXELS = 64_000_000
_PLAIN = (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.RGB)
_DEFLATE = (tifffile.COMPRESSION.ADOBE_DEFLATE, tifffile.COMPRESSION.DEFLATE)
_COMPRESSIONS = (tifffile.COMPRESSION.NONE, *_DEFLATE, tifffile.COMPRESSION.PACKBITS, tifffile.COMPRESSION.LZW)
# tifffile logs its exceptions too; an error must be one line.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


def read(path: Path) -> NDArray[Any]:
    """Return the pixels of a single-page TIFF: shape (y, x) or (y, x, samples), as the file stores them.

    Raises:
        FormatError: the file is missing, damaged, has several pages, declares over 64 million values or
            unpacks to more than it declares, or is neither plain grey nor RGB (a palette, inverted grey).
    """
    with _opened(path) as file:
        if len(file.pages) != 1:
            raise FormatError(f"has {len(file.pages)} pages, expected 1", where=path, cure="save one image a file")
        return _read_page(file.pages[0], path)


def count_pages(path: Path) -> int:
    """Return the number of pages; 1 for an unreadable file, which is reported when it is read."""
    try:
        with _opened(path) as file:
            return len(file.pages)
    except FormatError:
        return 1


def read_pages(path: Path, *, most_values: int) -> NDArray[Any]:
    """Return the pages of a TIFF as slices: shape (z, y, x) or (z, y, x, samples).

    Args:
        path: the file.
        most_values: limit of the declared number of values, checked before memory is allocated.

    Raises:
        FormatError: as for `read`, or the pages differ in size or data type.
        ResourceError: the pages declare more than `most_values`.
    """
    with _opened(path) as file:
        first = file.pages[0]
        _check_pages(file, path)
        if first.size * len(file.pages) > most_values:
            what = f"declares {len(file.pages)} pages of {first.size:,} values, over the limit of {most_values:,}"
            cure = "crop it, or raise the memory limit (--max-memory, in Python max_bytes)"
            raise ResourceError(what, where=path, cure=cure)
        stack = np.empty((len(file.pages), *first.shape), first.dtype)
        for number, (page, target) in enumerate(zip(file.pages, stack, strict=True), start=1):
            if page.shape != first.shape or page.dtype != first.dtype:
                what = f"page {number} is {page.shape} {page.dtype}, expected {first.shape} {first.dtype} as in page 1"
                raise FormatError(what, where=path, cure="save pages of one size and data type")
            target[:] = _read_page(page, path)
        return stack


def _check_pages(file: tifffile.TiffFile, path: Path) -> None:
    """Refuse pages that are too large, or that the file declares as channels or times."""
    if file.pages[0].size > MAX_PIXELS:
        what = f"declares {file.pages[0].size:,} values a page, over {MAX_PIXELS:,}"
        raise FormatError(what, where=path, cure="crop it")
    series = file.series[0]
    for axis, name in (("C", "channels"), ("T", "times")):
        count = dict(zip(series.axes, series.shape, strict=False)).get(axis, 1)
        if count > 1:
            raise FormatError(f"has a stack of {count} {name}, expected 1", where=path, cure="save a file for each")


@contextmanager
def _opened(path: Path) -> Iterator[tifffile.TiffFile]:
    try:
        with tifffile.TiffFile(path) as file:
            yield file
    except GliomasegError:
        raise
    except FileNotFoundError as fault:
        raise FormatError("there is no such file", where=path, cure="check the path") from fault
    # tifffile raises the exceptions of its decoders (struct.error, ValueError, KeyError, zlib.error, ...).
    except Exception as fault:
        raise FormatError(f"is not a readable TIFF ({type(fault).__name__}: {fault})", where=path) from fault


def _read_page(page: Any, path: Path) -> NDArray[Any]:
    _check_kind(page, path)
    # A few kilobytes can declare gigabytes: tifffile has no limit of its own.
    declared = max(page.size, math.prod(page.chunks))
    if declared > MAX_PIXELS:
        raise FormatError(f"declares {declared:,} values, over {MAX_PIXELS:,}", where=path, cure="crop it")
    # One page may be the first of a stack that only its description declares.
    if page.index == 0 and len(page.parent.pages) == 1 and page.parent.series[0].size != page.size:
        shape = page.parent.series[0].shape
        what = f"has a stack of shape {shape}, expected one image"
        raise FormatError(what, where=path, cure="save one image a file")
    if page.compression in _DEFLATE:
        _check_deflate(page, path)
    return np.asarray(page.asarray())


def _check_kind(page: Any, path: Path) -> None:
    """Refuse layouts that tifffile does not convert: palette indices, inverted grey, separate colour planes."""
    if page.photometric not in _PLAIN or page.axes not in ("YX", "YXS"):
        kind = getattr(page.photometric, "name", page.photometric)
        what = f"pixel layout is {kind} {page.axes}, expected MINISBLACK or RGB"
        raise FormatError(what, where=path, cure="save it as plain grey or RGB")
    if page.compression not in _COMPRESSIONS:
        kind = getattr(page.compression, "name", page.compression)
        what = f"compression is {kind}, expected none, deflate, LZW or PackBits"
        raise FormatError(what, where=path, cure="save it uncompressed or with deflate")


def _check_deflate(page: Any, path: Path) -> None:
    """Refuse a strip that decompresses to more bytes than declared: 0.5 MB can give 500, and zlib sets no limit."""
    limit = math.prod(page.chunks) * page.dtype.itemsize
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        page.parent.filehandle.seek(offset)
        if len(zlib.decompressobj().decompress(page.parent.filehandle.read(count), limit + 1)) > limit:
            raise FormatError("decompresses to more bytes than it declares", where=path, cure="save it again")


def write(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write pixels (y, x) or (y, x, 3), uint8, without loss."""
    tifffile.imwrite(path, pixels, photometric="minisblack" if pixels.ndim == 2 else "rgb", compression="zlib")


def write_pages(path: Path, slices: NDArray[np.uint8]) -> None:
    """Write slices (z, y, x), uint8, as pages, without loss."""
    with tifffile.TiffWriter(path) as file:
        for plane in slices:
            file.write(plane, photometric="minisblack", compression="zlib", metadata=None)
