"""NIfTI-1 and NIfTI-2, in one file or as a pair (.hdr and .img), plain or gzipped.

nibabel parses the header, everything else is checked here.

Source: https://nifti.nimh.nih.gov/nifti-1 (nifti1.h) and https://nifti.nimh.nih.gov/nifti-2.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

import gliomaseg
from gliomaseg.errors import FormatError
from gliomaseg.formats.nifti_header import (
    Header,
    affine_of,
    grid_only,
    is_header,
    is_pair,
    new_header,
    parse_header,
    scaling_of,
    shape_of,
    template_of,
)
from gliomaseg.formats.scan_file import Grid, ScanFile
from gliomaseg.formats.voxels import (
    CHUNK_BYTES,
    COPY_AGAIN,
    MAX_DEFLATE_RATIO,
    Readable,
    VoxelLayout,
    read_exactly,
    read_voxels,
    translated_errors,
)
from gliomaseg.geometry import require_affine
from gliomaseg.scan import Scan

PAIR_SUFFIXES = (".hdr", ".img", ".hdr.gz", ".img.gz")
_GZIP = b"\x1f\x8b"
_TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
_REFUSED = {1: "single bits", 32: "complex", 128: "RGB", 1536: "128-bit float", 1792: "complex", 2048: "complex"}
_REFUSED |= {2304: "RGBA"}


@dataclass(frozen=True)
class NiftiGrid(Grid):
    """The grid of a NIfTI file.

    Attributes:
        header: the file's header with the fields of the grid only. A mask gets the same fields, bit for bit.
    """

    header: Header


def read(path: Path, *, max_bytes: int, channel: int | None = None) -> ScanFile:
    """Return a file's volume, or one volume of a 4D file.

    If the volume is a pair, `path` may be either file. The scan's source is then the header.

    If both qform and sform are absent, the axes are assumed to point to R, A and S (method 1 of the standard), and the
    scan records this.

    Args:
        path: the file.
        max_bytes: limit of the memory that prediction needs for the volume; checked before memory is allocated.
        channel: which volume of a 4D file, from 0; None for a file with one volume.

    Raises:
        FormatError: the file is missing, damaged, too short or too long, has several volumes or an unsupported
            data type, or all its voxels are equal or not finite.
        GeometryError: its spacing or affine is invalid.
        ResourceError: prediction needs more memory for it.
    """
    path = header_of_pair(path) or path
    with translated_errors(path, "NIfTI"):
        with _open_unpacked(path) as stream:
            header = _read_header(stream, path)
            window = None if channel is None else _select_channel(header, channel, path)
            shape = shape_of(header, path)
            affine, assumed = affine_of(header, path)
            require_affine(affine, where=str(path))
            if not is_pair(header):
                _skip(stream, int(header["vox_offset"]) - int(header["sizeof_hdr"]), path)
                flat = read_voxels(_within(stream, window, path), _layout(header, path), path, max_bytes=max_bytes)
        if is_pair(header):
            flat = _read_second_file(header, path, window, max_bytes=max_bytes)
        template = template_of(header)
        scan = Scan(flat.reshape(*shape, 1), str(path), affine, orientation_assumed=assumed, template=template)
        return ScanFile(scan, NiftiGrid(shape, affine, grid_only(header)))


def header_of_pair(path: Path) -> Path | None:
    """Return the header file of a pair, if `path` is its voxel file and the header lies beside it; else None."""
    return _other_half(path, ".img", ".hdr")


def _other_half(path: Path, own: str, other: str) -> Path | None:
    """Return the existing file of a pair that has the suffix `other`, if `path` has the suffix `own`, of any case."""
    name = path.name.lower()
    packed = name.endswith(".gz")
    stem = path.name[: -len(".gz")] if packed else path.name
    if not stem.lower().endswith(own):
        return None
    stem = stem[: -len(own)]
    suffixes = [other + ".gz", other] if packed else [other, other + ".gz"]
    candidates = [path.with_name(stem + form(suffix)) for suffix in suffixes for form in (str.lower, str.upper)]
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _read_second_file(header: Header, path: Path, window: Window | None, *, max_bytes: int) -> NDArray[Any]:
    """Return the voxels of a pair, one axis, from the file beside its header."""
    voxels = _other_half(path, ".hdr", ".img")
    if voxels is None:
        what = "is the header of a NIfTI pair, and its .img file is missing"
        raise FormatError(what, where=path, cure="copy the .img file beside it, or convert the pair to one .nii file")
    with translated_errors(voxels, "NIfTI"), _open_unpacked(voxels) as stream:
        _skip(stream, int(header["vox_offset"]), voxels)
        return read_voxels(_within(stream, window, voxels), _layout(header, voxels), voxels, max_bytes=max_bytes)


@contextmanager
def _open_unpacked(path: Path) -> Iterator[BinaryIO]:
    """Open a file, and decompress it if its first bytes are gzip's; the suffix is ignored."""
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP
        file.seek(0)
        if not packed:
            yield file
            return
        with gzip.GzipFile(fileobj=file) as stream:
            yield stream  # type: ignore[misc]


def _read_header(stream: BinaryIO, path: Path) -> Header:
    """Return the header; the stream is then behind it."""
    first = stream.read(348)
    if first[:4] in (b"\x1c\x02\0\0", b"\0\0\x02\x1c"):  # 540: NIfTI-2
        first += stream.read(192)
    if path.name.lower().endswith((".img", ".img.gz")) and not is_header(first):
        what = "is the voxel file of a NIfTI pair, and its .hdr file is missing"
        raise FormatError(what, where=path, cure="copy the .hdr file beside it, or convert the pair to one .nii file")
    return parse_header(first, path)


def _skip(stream: Readable, count: int, path: Path) -> None:
    while count > 0:
        count -= len(read_exactly(stream, min(count, CHUNK_BYTES), path))


@dataclass(frozen=True)
class Window:
    """One volume of a 4D file: the bytes before it, from the first voxel of the file, its own and those after it."""

    start_bytes: int
    size_bytes: int
    rest_bytes: int


class _OneVolume:
    """The bytes of one volume of a 4D file.

    At its end the volumes after it are read too: a file that is cut short or damaged behind the volume is refused.
    """

    def __init__(self, stream: Readable, window: Window, path: Path) -> None:
        self._stream = stream
        self._left_bytes = window.size_bytes
        self._rest_bytes = window.rest_bytes
        self._path = path

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes; none at the end of the volume, or those that follow the last volume."""
        if not self._left_bytes:
            _skip(self._stream, self._rest_bytes, self._path)
            self._rest_bytes = 0
            return self._stream.read(size)
        part = self._stream.read(min(size, self._left_bytes))
        self._left_bytes -= len(part)
        return part


def _select_channel(header: Header, channel: int, path: Path) -> Window:
    """Return where the voxels of one channel lie; the header becomes that of a 3D file.

    Raises:
        FormatError: the file is not 4D, or has fewer channels.
    """
    dim = [int(size) for size in header["dim"]]
    channels = dim[4] if dim[0] == 4 else 1
    if not 0 <= channel < channels:
        what = f"has {channels} channels, expected more than {channel}"
        raise FormatError(what, where=path, cure="correct the channels in its dataset.json")
    header["dim"][0], header["dim"][4] = 3, 1
    size_bytes = math.prod(dim[1:4]) * int(header["bitpix"]) // 8
    return Window(channel * size_bytes, size_bytes, (channels - 1 - channel) * size_bytes)


def _within(stream: Readable, window: Window | None, path: Path) -> Readable:
    """Return the stream, or the part of it that a window shows."""
    if window is None:
        return stream
    _skip(stream, window.start_bytes, path)
    return _OneVolume(stream, window, path)


def _layout(header: Header, path: Path) -> VoxelLayout:
    code, bits = int(header["datatype"]), int(header["bitpix"])
    if code not in _TYPES:
        what = f"datatype is {code} ({_REFUSED.get(code, 'unknown')}), expected an integer or float type"
        raise FormatError(what, where=path, cure="save it as grey values of 8, 16 or 32 bits")
    stored = np.dtype(header.endianness + _TYPES[code])
    if bits != 8 * stored.itemsize:
        what = f"bitpix is {bits}, expected {8 * stored.itemsize} for {stored.name}"
        raise FormatError(what, where=path, cure=COPY_AGAIN)
    capacity = path.stat().st_size
    with path.open("rb") as file:
        capacity *= MAX_DEFLATE_RATIO if file.read(2) == _GZIP else 1
    return VoxelLayout(shape_of(header, path), stored, capacity, scaling_of(header, path))


def write(path: Path, voxels: NDArray[Any], grid: Grid, *, description: str) -> None:
    """Write voxels (z, y, x), uint8, int16 or float32, on a grid; gzipped where the suffix is .gz.

    The same voxels give the same bytes: neither a time nor a name is written.

    Raises:
        ValueError: the voxels do not have the grid's shape, or another data type.
        OSError: the disk is full or the folder cannot be written.
    """
    if voxels.shape != grid.shape:
        raise ValueError(f"voxels {voxels.shape} for a grid of {grid.shape}")
    written = grid_only(grid.header) if isinstance(grid, NiftiGrid) else new_header(grid.shape, grid.affine)
    written.set_data_dtype(voxels.dtype)
    written["descrip"] = f"gliomaseg {gliomaseg.__version__}: {description}, research only".encode()[:79]
    written["scl_slope"], written["scl_inter"] = 1, 0
    written["cal_max"] = 1 if description != "image" else 0  # otherwise viewers show a mask too dark
    written["vox_offset"] = written.single_vox_offset
    written["magic"] = written.single_magic
    ordered = np.ascontiguousarray(voxels, voxels.dtype.newbyteorder(written.endianness))
    with path.open("wb") as file:
        if path.suffix.lower() == ".gz":
            with gzip.GzipFile("", "wb", compresslevel=4, fileobj=file, mtime=0) as packed:
                _write_parts(packed, written, ordered)
        else:
            _write_parts(file, written, ordered)


def _write_parts(file: Any, header: Header, voxels: NDArray[Any]) -> None:
    file.write(header.binaryblock + bytes(int(header["vox_offset"]) - int(header["sizeof_hdr"])))
    data = voxels.reshape(-1).view(np.uint8).data
    for start in range(0, len(data), CHUNK_BYTES):
        file.write(data[start : start + CHUNK_BYTES])
