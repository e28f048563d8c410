"""Voxels of a volume file: size checked before memory is allocated, read in chunks, checked, and written."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from gliomaseg.errors import FormatError, GliomasegError, ResourceError
from gliomaseg.formats.limits import needed_bytes, require_memory
from gliomaseg.formats.scan_file import Grid, ScanFile
from gliomaseg.scan import Scan

COPY_AGAIN = "copy or export it again"
CHUNK_BYTES = 4 * 2**20
MAX_DEFLATE_RATIO = 1032  # the highest compression ratio of deflate
MAX_ABSOLUTE_VALUE = 1e30


class Readable(Protocol):
    """A stream of bytes that is read from its start to its end."""

    def read(self, size: int, /) -> bytes:
        """Return 1 to `size` bytes, or no bytes at the end."""


@dataclass(frozen=True)
class VoxelLayout:
    """How a file stores its voxels.

    Attributes:
        shape: numbers of voxels (z, y, x).
        stored: data type in the file, with its byte order.
        capacity_bytes: upper limit of the decompressed size of the file.
        scaling: slope and intercept; None if the stored values are the voxels' values.
    """

    shape: tuple[int, int, int]
    stored: np.dtype[Any]
    capacity_bytes: int
    scaling: tuple[float, float] | None = None

    @property
    def count(self) -> int:
        """The number of voxels."""
        return math.prod(self.shape)

    @property
    def loaded(self) -> np.dtype[Any]:
        """The data type in memory: float32 for scaled voxels and for 64-bit types, else the stored type."""
        converted = self.scaling is not None or self.stored.itemsize > 4
        return np.dtype(np.float32) if converted else self.stored.newbyteorder("=")


@contextmanager
def translated_errors(path: Path, format_name: str) -> Iterator[None]:
    """Translate every exception that a file's bytes can cause into one line about the file.

    Raises:
        FormatError: the file is missing, unreadable or damaged.
        ResourceError: the memory is exhausted.
    """
    try:
        yield
    except GliomasegError:
        raise
    except FileNotFoundError as fault:
        raise FormatError("there is no such file", where=path, cure="check the path") from fault
    except MemoryError as fault:
        raise ResourceError("memory is exhausted", where=path, cure="crop or downsample it") from fault
    except EOFError as fault:
        raise FormatError("compressed data are cut short", where=path, cure=COPY_AGAIN) from fault
    except (gzip.BadGzipFile, zlib.error) as fault:
        raise FormatError(
            "compressed data are damaged, or other bytes follow them", where=path, cure=COPY_AGAIN
        ) from fault
    except OSError as fault:
        what = f"cannot be read ({fault.strerror or type(fault).__name__})"
        raise FormatError(what, where=path, cure="check its permissions") from fault
    # The libraries raise any exception of NumPy and struct for damaged headers.
    except Exception as fault:
        what = f"is not a readable {format_name} ({type(fault).__name__})"
        raise FormatError(what, where=path, cure=COPY_AGAIN) from fault


def shape_from_sizes(sizes: list[int], path: Path, *, field: str, dimensions: str) -> tuple[int, int, int]:
    """Return (z, y, x) from the sizes (x, y, z) of a header.

    Args:
        sizes: numbers of voxels along the axes.
        path: for error messages.
        field: name of the field of the sizes, with its verb ("sizes are").
        dimensions: number of axes that the header declares.

    Raises:
        FormatError: the volume does not have three axes, or an axis is empty.
    """
    if dimensions != "3" or len(sizes) != 3 or min(sizes) < 1:
        what = f"{field} {sizes}, expected three numbers above 0: one grey volume"
        raise FormatError(what, where=path, cure="save one grey volume a file")
    x, y, z = sizes
    return z, y, x


def stored_type(name: str, types: Mapping[str, str], path: Path, *, field: str) -> np.dtype[Any]:
    """Return the data type for a type name of a header.

    Args:
        name: the value in the header.
        types: codes of NumPy data types by type name.
        path: for error messages.
        field: name of the field in the header.

    Raises:
        FormatError: the type is not supported.
    """
    if name not in types:
        what = f"{field} is {name}, expected an integer or float type"
        raise FormatError(what, where=path, cure="save it as grey values of 8, 16 or 32 bits")
    return np.dtype(types[name])


def read_exactly(stream: Readable, count: int, path: Path) -> bytes:
    """Return exactly `count` bytes.

    Raises:
        FormatError: the stream ends earlier.
    """
    parts, missing = [], count
    while missing and (part := stream.read(missing)):
        parts.append(part)
        missing -= len(part)
    if missing:
        raise FormatError("is cut short", where=path, cure=COPY_AGAIN)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def read_voxels(stream: Readable, layout: VoxelLayout, path: Path, *, max_bytes: int) -> NDArray[Any]:
    """Return the voxels in the file's order, one axis, scaled; the stream is read to its end.

    Args:
        stream: begins with the first voxel.
        layout: count, data type and scaling of the voxels.
        path: for error messages.
        max_bytes: limit of the memory that prediction needs for the volume; checked before memory is allocated.

    Raises:
        FormatError: the stream is too short or too long, or no voxel is finite.
        ResourceError: prediction needs more than `max_bytes`.
    """
    _require_memory(layout, path, max_bytes)
    stored, scaling = layout.stored, layout.scaling
    flat = np.empty(layout.count, layout.loaded)
    step = CHUNK_BYTES // stored.itemsize
    with np.errstate(over="ignore", invalid="ignore"):  # values beyond float32 become infinite, and are refused below
        for start in range(0, layout.count, step):
            size = min(step, layout.count - start) * stored.itemsize
            part = np.frombuffer(read_exactly(stream, size, path), stored)
            flat[start : start + len(part)] = part if scaling is None else part * scaling[0] + scaling[1]
    if stream.read(1):  # at the end of a compressed stream, this verifies the checksum too
        raise FormatError("has bytes after its last voxel", where=path, cure=COPY_AGAIN)
    return _finite(flat, path)


def read_scan(
    stream: Readable, layout: VoxelLayout, grid: Grid, path: Path, *, orientation_assumed: bool, max_bytes: int
) -> ScanFile:
    """Return the scan of one grey volume, shape (z, y, x, 1); see `read_voxels` for the limits and errors."""
    flat = read_voxels(stream, layout, path, max_bytes=max_bytes)
    scan = Scan(flat.reshape(*grid.shape, 1), str(path), grid.affine, orientation_assumed=orientation_assumed)
    return ScanFile(scan, grid)


def little_endian_bytes(voxels: NDArray[Any], grid: Grid, types: Container[str]) -> memoryview:
    """Return the bytes of voxels (z, y, x) for a file, little-endian, x fastest.

    Args:
        voxels: the voxels.
        grid: grid of the file; only its shape is used.
        types: codes of the data types that the format can store, such as "i2".

    Raises:
        ValueError: the voxels do not have the grid's shape, or an unsupported data type.
    """
    if voxels.shape != grid.shape or voxels.dtype.str[1:] not in types:
        raise ValueError(f"voxels {voxels.shape} of {voxels.dtype} for a grid of {grid.shape}")
    return np.ascontiguousarray(voxels, voxels.dtype.newbyteorder("<")).reshape(-1).view(np.uint8).data


def _require_memory(layout: VoxelLayout, path: Path, max_bytes: int) -> None:
    # Any axis may be that of the network's slices.
    needed = needed_bytes(layout.shape, layout.loaded.itemsize, slices=max(layout.shape))
    require_memory(f"declares {layout.count:,} voxels", needed, where=path, max_bytes=max_bytes)
    if layout.count * layout.stored.itemsize > layout.capacity_bytes:
        raise FormatError("is cut short", where=path, cure=COPY_AGAIN)


def _finite(flat: NDArray[Any], path: Path) -> NDArray[Any]:
    """Return voxels that are all finite; refuse a volume with impossible values."""
    low, high = flat.min(), flat.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        finite = np.isfinite(flat)
        if not finite.any():
            raise FormatError("voxels are all NaN or infinite", where=path, cure=COPY_AGAIN)
        low, high = flat[finite].min(), flat[finite].max()
        flat[~finite] = min(low, 0)
    largest = max(abs(float(low)), abs(float(high)))
    if largest > MAX_ABSOLUTE_VALUE:
        what = f"largest absolute value is {largest:.0e}, expected at most {MAX_ABSOLUTE_VALUE:.0e}"
        raise FormatError(what, where=path, cure=COPY_AGAIN)
    return flat


class ZlibStream:
    """The decompressed bytes of a zlib stream that reaches to the end of a file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._inflater = zlib.decompressobj()

    def read(self, size: int, /) -> bytes:
        """Return 1 to `size` bytes, or no bytes at the end.

        Raises:
            EOFError: the stream is cut short.
            zlib.error: the stream is damaged, or other bytes follow it.
        """
        while not self._inflater.eof:
            packed = self._inflater.unconsumed_tail or self._file.read(CHUNK_BYTES)
            if plain := self._inflater.decompress(packed, size):
                return plain
            if not packed and not self._inflater.eof:
                raise EOFError
        if self._inflater.unused_data or self._file.read(1):
            raise zlib.error("bytes follow the compressed data")
        return b""
