"""NIfTI-1 and NIfTI-2 in one file, plain or gzipped: nibabel knows the headers, everything else is checked here.

Source: https://nifti.nimh.nih.gov/nifti-1 (nifti1.h) and https://nifti.nimh.nih.gov/nifti-2.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

import gliomaseg
from gliomaseg.errors import FormatError, GliomasegError, ResourceError
from gliomaseg.formats.nifti_header import AGAIN, Header, affine_of, grid_only, parse_header, scaling_of, shape_of
from gliomaseg.geometry import require_affine
from gliomaseg.scan import Scan

MAX_BYTES = 4 * 2**30
CHUNK_BYTES = 4 * 2**20
MAX_GZIP_RATIO = 1032  # deflate cannot do better
LARGEST = 1e30
_GZIP = b"\x1f\x8b"
_KINDS = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
_REFUSED = {1: "single bits", 32: "complex numbers", 128: "colours", 1536: "128-bit numbers", 1792: "complex numbers"}
_REFUSED |= {2048: "complex numbers", 2304: "colours"}


@dataclass(frozen=True)
class NiftiVolume:
    """A volume, and what its file says of the grid, field by field: its mask's file will say the same.

    Attributes:
        scan: voxels (z, y, x, 1): the file's numbers, scaled as its header says. What is no number became the
            lowest of the others, or 0 where none of them is negative.
        header: with the fields of the grid only: names and descriptions are left behind.
    """

    scan: Scan
    header: Header


def read(path: Path, *, max_bytes: int = MAX_BYTES) -> NiftiVolume:
    """Return a file's volume.

    Where both qform and sform are absent, the axes are taken to point to R, A and S, as the standard's
    method 1 has it, and the scan says that this is assumed.

    Args:
        path: of the file.
        max_bytes: what prediction may take in memory for it, about; checked before anything is allocated.

    Raises:
        FormatError: the file is missing, damaged, cut short, longer than it says, of several volumes or of
            another kind of numbers, or all its voxels are equal or no numbers.
        GeometryError: its spacing or affine places no voxels.
        ResourceError: it declares a volume that needs more memory.
    """
    with _faults_told(path):
        with _opened(path) as stream:
            header = _read_header(stream, path)
            shape = shape_of(header, path)
            affine, assumed = affine_of(header, path)
            require_affine(affine, where=str(path))
            flat = _read_voxels(stream, header, path, max_bytes)
        scan = Scan(flat.reshape(*shape, 1), str(path), affine, orientation_assumed=assumed)
        return NiftiVolume(scan, grid_only(header))


@contextmanager
def _faults_told(path: Path) -> Iterator[None]:
    """Turn whatever a file's bytes can make others raise into an error of ours."""
    try:
        yield
    except GliomasegError:
        raise
    except FileNotFoundError as fault:
        raise FormatError("there is no such file", where=path) from fault
    except MemoryError as fault:
        raise ResourceError("there is not enough memory for it", where=path, cure="crop or downsample it") from fault
    except EOFError as fault:
        raise FormatError("its compressed data are cut short", where=path, cure=AGAIN) from fault
    except (gzip.BadGzipFile, zlib.error) as fault:
        raise FormatError(
            "its compressed data are damaged, or other bytes follow them", where=path, cure=AGAIN
        ) from fault
    except OSError as fault:
        raise FormatError(f"cannot be read ({fault.strerror or type(fault).__name__})", where=path) from fault
    # nibabel raises whatever NumPy and struct do for headers of nonsense.
    except Exception as fault:
        raise FormatError(f"is not a readable NIfTI ({type(fault).__name__})", where=path) from fault


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Give the file's bytes, unpacked where they are gzipped, whatever the suffix says."""
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP
        file.seek(0)
        if not packed:
            yield file
            return
        with gzip.GzipFile(fileobj=file) as stream:
            yield stream  # type: ignore[misc]


def _exactly(stream: BinaryIO, count: int, path: Path) -> bytes:
    parts, missing = [], count
    while missing and (part := stream.read(missing)):
        parts.append(part)
        missing -= len(part)
    if missing:
        raise FormatError("is cut short", where=path, cure=AGAIN)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _read_header(stream: BinaryIO, path: Path) -> Header:
    """Return the header, and leave the stream where the voxels begin."""
    first = stream.read(348)
    if first[:4] in (b"\x1c\x02\0\0", b"\0\0\x02\x1c"):  # 540: NIfTI-2
        first += stream.read(192)
    header = parse_header(first, path)
    skipped = int(header["vox_offset"]) - len(first)
    while skipped:
        skipped -= len(_exactly(stream, min(skipped, CHUNK_BYTES), path))
    return header


def _read_voxels(stream: BinaryIO, header: Header, path: Path, max_bytes: int) -> NDArray[Any]:
    """Return the voxels in the file's order, of a type that holds them scaled; the stream is read to its end."""
    code, bits = int(header["datatype"]), int(header["bitpix"])
    if code not in _KINDS:
        kind = _REFUSED.get(code, f"an unknown kind of numbers ({code})")
        raise FormatError(f"holds {kind}", where=path, cure="save it as grey values of 8, 16 or 32 bits")
    stored = np.dtype(header.endianness + _KINDS[code])
    if bits != 8 * stored.itemsize:
        raise FormatError(f"declares {bits} bits for {stored.name}", where=path, cure=AGAIN)
    scaling = scaling_of(header, path)
    wide = scaling is not None or stored.itemsize > 4
    loaded = np.dtype(np.float32) if wide else stored.newbyteorder("=")
    count = math.prod(shape_of(header, path))
    _require_room(count, stored, loaded, path, max_bytes)
    flat = np.empty(count, loaded)
    step = CHUNK_BYTES // stored.itemsize
    with np.errstate(
        over="ignore", invalid="ignore"
    ):  # what is too large for float32 becomes infinite, and is refused below
        for start in range(0, count, step):
            part = np.frombuffer(_exactly(stream, min(step, count - start) * stored.itemsize, path), stored)
            flat[start : start + len(part)] = part if scaling is None else part * scaling[0] + scaling[1]
    if stream.read(1):  # of a gzip file, this checks the checksum too
        raise FormatError("goes on after its last voxel", where=path, cure=AGAIN)
    return _numbers_only(flat, path)


def _require_room(count: int, stored: np.dtype[Any], loaded: np.dtype[Any], path: Path, max_bytes: int) -> None:
    # At its peak, prediction holds the voxels and a sorted copy, or the voxels, 8-bit levels, probability and mask.
    needed = count * max(2 * loaded.itemsize + 2, loaded.itemsize + 7)
    if needed > max_bytes:
        raise ResourceError(
            f"declares {count:,} voxels, which take {needed / 2**30:.1f} GiB to predict, over {max_bytes / 2**30:.1f}",
            where=path,
            cure="crop or downsample it, or raise --max-memory",
        )
    size = path.stat().st_size
    with path.open("rb") as file:
        size *= MAX_GZIP_RATIO if file.read(2) == _GZIP else 1
    if count * stored.itemsize > size:
        raise FormatError("is cut short", where=path, cure=AGAIN)


def _numbers_only(flat: NDArray[Any], path: Path) -> NDArray[Any]:
    """Return voxels that are all finite; refuse those that are no picture."""
    low, high = flat.min(), flat.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        finite = np.isfinite(flat)
        if not finite.any():
            raise FormatError("holds no numbers, only NaN or infinity", where=path, cure=AGAIN)
        low, high = flat[finite].min(), flat[finite].max()
        flat[~finite] = min(low, 0)
    if max(abs(float(low)), abs(float(high))) > LARGEST:
        raise FormatError(f"holds numbers up to {max(abs(float(low)), abs(float(high))):.0e}", where=path, cure=AGAIN)
    if low == high:
        raise FormatError("holds one value everywhere", where=path, cure="give a volume with a picture in it")
    return flat


def write(path: Path, voxels: NDArray[Any], header: Header, *, description: str) -> None:
    """Write voxels (z, y, x), uint8, int16 or float32, on the grid of a header; gzipped where the suffix is .gz.

    The same voxels give the same bytes: no time and no name is written.

    Raises:
        ValueError: the voxels do not have the header's shape, or are of another type.
        OSError: the disk is full or the folder cannot be written.
    """
    if voxels.shape != shape_of(header, path):
        raise ValueError(f"voxels {voxels.shape} for a grid of {shape_of(header, path)}")
    written = grid_only(header)
    written.set_data_dtype(voxels.dtype)
    written["descrip"] = f"gliomaseg {gliomaseg.__version__}: {description}, research only".encode()[:79]
    written["scl_slope"], written["scl_inter"] = 1, 0
    written["cal_max"] = 1 if description != "image" else 0  # viewers would show a mask of 1 in a scan's window
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
