"""TIFF, through tifffile; pages that tifffile cannot decode by itself, through Pillow."""

from __future__ import annotations

import logging
import math
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from gliomaseg.errors import FormatError, GliomasegError
from gliomaseg.formats.limits import MAX_PIXELS, inflated_length, packbits_length, require_image
from gliomaseg.formats.orientation_tag import TAG, UPRIGHT, turn_as_stored, turn_upright, valid_orientation

_WHITE_IS_ZERO = tifffile.PHOTOMETRIC.MINISWHITE
_PLAIN = (tifffile.PHOTOMETRIC.MINISBLACK, _WHITE_IS_ZERO, tifffile.PHOTOMETRIC.RGB)
_DEFLATE = (tifffile.COMPRESSION.ADOBE_DEFLATE, tifffile.COMPRESSION.DEFLATE)
_BY_TIFFFILE = (tifffile.COMPRESSION.NONE, *_DEFLATE, tifffile.COMPRESSION.PACKBITS)
_JPEG = tifffile.COMPRESSION.JPEG
# tifffile needs the package imagecodecs for these; Pillow brings libtiff, which decodes no more than a page declares.
_BY_PILLOW = (
    tifffile.COMPRESSION.LZW, tifffile.COMPRESSION.CCITTRLE, tifffile.COMPRESSION.CCITTFAX3,
    tifffile.COMPRESSION.CCITTFAX4, _JPEG, tifffile.COMPRESSION.ZSTD, tifffile.COMPRESSION.LZMA,
)  # fmt: skip
_DESCRIBED = ("is_imagej", "is_ome", "is_shaped", "is_lsm", "is_micromanager", "is_fluoview", "is_nih")
_STDERR_LOCK = Lock()
# tifffile logs its exceptions too; an error must be one line.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


def read(path: Path, *, max_bytes: int, slices: int = 1) -> NDArray[Any]:
    """Return the pixels of a single-page TIFF as viewers show them: shape (y, x) or (y, x, samples).

    They are turned by the Orientation tag, and grey is inverted if 0 is white. One bit becomes 0 and 255.

    Args:
        path: the file.
        max_bytes: limit of the memory that prediction needs; checked before memory is allocated.
        slices: the number of such images that are read together.

    Raises:
        FormatError: the file is missing, damaged, has several pages, declares over 64 million values or
            unpacks to more than it declares, or is neither grey nor RGB (a palette).
        ResourceError: prediction needs more than `max_bytes`.
    """
    with _opened(path) as file:
        if len(file.pages) != 1:
            raise FormatError(f"has {len(file.pages)} pages, expected 1", where=path, cure="save one image a file")
        page = file.pages[0]
        _require_memory(page, path, slices=slices, max_bytes=max_bytes)
        return _read_page(page, path)


def read_orientation(path: Path) -> int:
    """Return the Orientation tag of a file's first page, 1 to 8; 1 (upright) if it is missing or not valid.

    Raises:
        FormatError: the file is missing or damaged.
    """
    with _opened(path) as file:
        return _orientation(file.pages[0])


def count_pages(path: Path) -> int:
    """Return the number of pages; 1 for an unreadable file, which is reported when it is read."""
    try:
        with _opened(path) as file:
            return len(file.pages)
    except FormatError:
        return 1


def read_pages(path: Path, *, max_bytes: int) -> NDArray[Any]:
    """Return the pages of a TIFF as slices, as viewers show them: shape (z, y, x) or (z, y, x, samples).

    Args:
        path: the file.
        max_bytes: limit of the memory that prediction needs; checked before memory is allocated.

    Raises:
        FormatError: as for `read`, or the pages differ in size, data type or Orientation.
        ResourceError: prediction needs more than `max_bytes`.
    """
    with _opened(path) as file:
        first = file.pages[0]
        _require_memory(first, path, slices=len(file.pages), max_bytes=max_bytes)
        _check_pages(file, path)
        sample = _read_page(first, path)
        stack = np.empty((len(file.pages), *sample.shape), sample.dtype)
        # An OME description may order the pages, and its series leaves frames without tags.
        pages: Any = file.series[0].pages if file.is_ome else file.pages
        for number, (frame, target) in enumerate(zip(pages, stack, strict=True), start=1):
            page = frame.aspage()
            _require_same_kind(page, first, number, path)
            target[:] = sample if page.index == first.index else _read_page(page, path)
        return stack


def _require_memory(page: Any, path: Path, *, slices: int, max_bytes: int) -> None:
    size, itemsize = (page.imagewidth, page.imagelength), page.dtype.itemsize if page.dtype else 1
    channels = page.samplesperpixel
    require_image(size, itemsize, channels=channels, slices=slices, where=path, max_bytes=max_bytes)


def _require_same_kind(page: Any, first: Any, number: int, path: Path) -> None:
    if page.shape != first.shape or page.dtype != first.dtype:
        what = f"page {number} is {page.shape} {page.dtype}, expected {first.shape} {first.dtype} as in page 1"
        raise FormatError(what, where=path, cure="save pages of one size and data type")
    if _orientation(page) != _orientation(first):
        what = f"Orientation is {_orientation(page)} in page {number}, expected {_orientation(first)} as in page 1"
        raise FormatError(what, where=path, cure="save pages of one orientation")


def _check_pages(file: tifffile.TiffFile, path: Path) -> None:
    """Refuse pages that are too large, or that the file does not declare as the slices of one image."""
    if file.pages[0].size > MAX_PIXELS:
        what = f"declares {file.pages[0].size:,} values a page, over {MAX_PIXELS:,}"
        raise FormatError(what, where=path, cure="crop it")
    if not _describes_axes(file):
        return
    series = file.series[0]
    for axis, name in (("C", "channels"), ("T", "times")):
        count = dict(zip(series.axes, series.shape, strict=False)).get(axis, 1)
        if count > 1:
            raise FormatError(f"has a stack of {count} {name}, expected 1", where=path, cure="save a file for each")
    if len(file.series) > 1 and file.is_ome:
        raise FormatError(f"has {len(file.series)} images, expected 1", where=path, cure="save a file for each")
    if series.size != file.pages[0].size * len(file.pages) and file.is_ome:
        what = f"has {len(file.pages)} pages, and its OME description has shape {series.shape}"
        raise FormatError(what, where=path, cure="save all slices of one image in one file")


def _describes_axes(file: tifffile.TiffFile) -> bool:
    """Return whether a program's description declares axes beyond the pages.

    Otherwise `file.series` gives nothing new, and tifffile does not end if the pages of a damaged file run in a circle.
    """
    return any(getattr(file, name) for name in _DESCRIBED)


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
    alone = page.index == 0 and len(page.parent.pages) == 1 and _describes_axes(page.parent)
    if alone and page.parent.series[0].size != page.size:
        shape = page.parent.series[0].shape
        what = f"has a stack of shape {shape}, expected one image"
        raise FormatError(what, where=path, cure="save one image a file")
    if page.compression in _LENGTHS:
        _check_strips(page, path)
    if page.compression in _BY_PILLOW or page.bitspersample < 8:
        return _decoded_by_pillow(page, path)
    pixels = np.asarray(page.asarray())
    return turn_upright(_inverted(pixels) if page.photometric == _WHITE_IS_ZERO else pixels, _orientation(page))


def _orientation(page: Any) -> int:
    return valid_orientation(page.tags.valueof(TAG))


def _inverted(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return grey values of which 0 is white, with 0 as black; other types than unsigned integers are refused later."""
    return np.iinfo(pixels.dtype).max - pixels if pixels.dtype.kind == "u" else pixels


@contextmanager
def _quiet_libtiff() -> Iterator[None]:
    """Drop Pillow's warnings, and the lines that libtiff prints to stderr itself: an error must be one line."""
    with _STDERR_LOCK, warnings.catch_warnings(), Path(os.devnull).open("wb") as nowhere:
        warnings.simplefilter("ignore")
        kept = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _decoded_by_pillow(page: Any, path: Path) -> NDArray[Any]:
    """Return a page's pixels; Pillow turns them by the Orientation tag itself."""
    if page.bitspersample == 16 and page.axes != "YX":
        what = f"compression of 16-bit colours is {page.compression.name}, expected none or deflate"
        raise FormatError(what, where=path, cure="save it uncompressed, or with 8 bits a channel")
    # A file object and not its name: Pillow 13 maps named raw files into memory, and then turns them wrongly.
    with _quiet_libtiff(), path.open("rb") as file, Image.open(file, formats=["TIFF"]) as picture:
        picture.seek(page.index)
        picture.load()
        if picture.mode == "1":
            return np.asarray(picture.convert("L"))
        pixels = np.asarray(picture)
        # Pillow inverts grey of up to 8 bits itself.
        inverted = page.photometric == _WHITE_IS_ZERO and page.bitspersample == 16
        return _inverted(pixels) if inverted else pixels


def _check_kind(page: Any, path: Path) -> None:
    """Refuse layouts that are not converted: palette indices, separate colour planes, lossy colour spaces."""
    known = _PLAIN + ((tifffile.PHOTOMETRIC.YCBCR,) if page.compression == _JPEG else ())
    if page.photometric not in known or page.axes not in ("YX", "YXS"):
        kind = getattr(page.photometric, "name", page.photometric)
        what = f"pixel layout is {kind} {page.axes}, expected grey or RGB"
        raise FormatError(what, where=path, cure="save it as plain grey or RGB")
    if page.compression not in _BY_TIFFFILE + _BY_PILLOW:
        kind = getattr(page.compression, "name", page.compression)
        what = f"compression is {kind}, expected none, deflate, LZW, PackBits, CCITT, JPEG, LZMA or Zstandard"
        raise FormatError(what, where=path, cure="save it uncompressed or with deflate")


def _check_strips(page: Any, path: Path) -> None:
    """Refuse a strip that unpacks to more bytes than declared: 0.5 MB can give 500, and the decoders set no limit."""
    limit = math.prod(page.chunks) * page.dtype.itemsize
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        if offset + count > page.parent.filehandle.size:
            raise FormatError("is cut short", where=path, cure="copy it again")
        page.parent.filehandle.seek(offset)
        if _LENGTHS[page.compression](page.parent.filehandle.read(count), limit) > limit:
            raise FormatError("decompresses to more bytes than it declares", where=path, cure="save it again")


_LENGTHS: dict[int, Callable[[bytes, int], int]] = {
    **dict.fromkeys(_DEFLATE, inflated_length),
    tifffile.COMPRESSION.PACKBITS: packbits_length,
}


def write(path: Path, pixels: NDArray[np.uint8], *, orientation: int = UPRIGHT) -> None:
    """Write upright pixels (y, x) or (y, x, 3), uint8, without loss.

    Args:
        path: the new file.
        pixels: as viewers show them.
        orientation: the Orientation tag to write, 1 to 8; the pixels are stored in its order.
    """
    tifffile.imwrite(
        path,
        turn_as_stored(pixels, orientation),
        photometric="minisblack" if pixels.ndim == 2 else "rgb",
        compression="zlib",
        extratags=_orientation_tag(orientation),
    )


def write_pages(path: Path, slices: NDArray[np.uint8], *, orientation: int = UPRIGHT) -> None:
    """Write upright slices (z, y, x), uint8, as pages, without loss; `write` describes the orientation."""
    tag = _orientation_tag(orientation)
    with tifffile.TiffWriter(path) as file:
        for plane in slices:
            stored = turn_as_stored(plane, orientation)
            file.write(stored, photometric="minisblack", compression="zlib", metadata=None, extratags=tag)


def _orientation_tag(orientation: int) -> list[tuple[int, str, int, int, bool]]:
    return [] if orientation == UPRIGHT else [(TAG, "H", 1, orientation, True)]
