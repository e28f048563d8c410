"""NRRD with its voxels in the same file, raw or gzipped: pynrrd parses the header, this module checks everything else.

Source: https://teem.sourceforge.net/nrrd/format.html.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

import gliomaseg
from gliomaseg.errors import FormatError, GeometryError, import_extra
from gliomaseg.formats.scan_file import Grid, ScanFile
from gliomaseg.formats.voxels import (
    CHUNK_BYTES,
    COPY_AGAIN,
    MAX_DEFLATE_RATIO,
    VoxelLayout,
    little_endian_bytes,
    read_scan,
    shape_from_sizes,
    stored_type,
    translated_errors,
)
from gliomaseg.geometry import Affine, from_lps, require_affine

MAX_HEADER_BYTES = 2**20
_NAMES = {
    "i1": "signed char, int8, int8_t",
    "u1": "uchar, unsigned char, uint8, uint8_t",
    "i2": "short, short int, signed short, signed short int, int16, int16_t",
    "u2": "ushort, unsigned short, unsigned short int, uint16, uint16_t",
    "i4": "int, signed int, int32, int32_t",
    "u4": "uint, unsigned int, uint32, uint32_t",
    "i8": "longlong, long long, long long int, signed long long, signed long long int, int64, int64_t",
    "u8": "ulonglong, unsigned long long, unsigned long long int, uint64, uint64_t",
    "f4": "float",
    "f8": "double",
}
_TYPES = {name: code for code, names in _NAMES.items() for name in names.split(", ")}
_GZIP = ("gzip", "gz")
# The supported spaces, as factors that turn x, y and z to RAS.
_SPACES = {
    "right-anterior-superior": (1, 1, 1), "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1), "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1), "lps": (-1, -1, 1),
}  # fmt: skip
_EXPORT = "export it again as one .nrrd file"


def read(path: Path, *, max_bytes: int) -> ScanFile:
    """Return a file's volume.

    If the header has spacings but no space, the axes are assumed to point to L, P and S, and the scan records this.

    Args:
        path: the file.
        max_bytes: limit of the memory that prediction needs for the volume; checked before memory is allocated.

    Raises:
        FormatError: the file is missing, damaged, too short or too long, does not have three axes of voxels, has an
            unsupported data type or encoding, or all its voxels are equal or not finite.
        GeometryError: its space, spacing or origin is missing or invalid.
        ResourceError: prediction needs more memory for it.
        MissingExtraError: the extra `nrrd` is not installed.
    """
    with translated_errors(path, "NRRD"), path.open("rb") as file:
        header = _read_header(file, path)
        shape = _shape(header, path)
        affine, assumed = _affine(header, path)
        require_affine(affine, where=str(path))
        layout, grid = _layout(header, shape, path), Grid(shape, affine)
        with gzip.GzipFile(fileobj=file) if _is_gzipped(header) else nullcontext(file) as stream:
            return read_scan(stream, layout, grid, path, orientation_assumed=assumed, max_bytes=max_bytes)


def _read_header(file: BinaryIO, path: Path) -> Mapping[str, Any]:
    """Return the fields, and leave the file at its first voxel, after the empty line."""
    parser = import_extra("nrrd", "nrrd", purpose="reading NRRD files")
    lines, remaining_bytes = [], MAX_HEADER_BYTES
    while (line := file.readline(remaining_bytes)).strip():
        lines.append(line)
        remaining_bytes -= len(line)
        if remaining_bytes <= 0:
            raise FormatError(f"header is over {MAX_HEADER_BYTES:,} bytes", where=path, cure=COPY_AGAIN)
    if not lines or not lines[0].startswith(b"NRRD"):
        raise FormatError("is not a readable NRRD (it does not begin with NRRD)", where=path)
    if not line and not any(field.startswith((b"data file", b"datafile")) for field in lines):
        raise FormatError("is cut short: the empty line after its header is missing", where=path, cure=COPY_AGAIN)
    header: Mapping[str, Any] = parser.read_header(lines)
    for field in ("data file", "datafile"):
        if field in header:
            raise FormatError("keeps its voxels in another file", where=path, cure=_EXPORT)
    skipped = [field for field in ("line skip", "lineskip", "byte skip", "byteskip") if header.get(field)]
    if skipped:
        raise FormatError(f"{skipped[0]} is {header[skipped[0]]}, expected 0", where=path, cure=_EXPORT)
    return header


def _shape(header: Mapping[str, Any], path: Path) -> tuple[int, int, int]:
    """Return (z, y, x)."""
    sizes = [int(size) for size in header.get("sizes", [])]
    return shape_from_sizes(sizes, path, field="sizes are", dimensions=str(header.get("dimension")))


def _affine(header: Mapping[str, Any], path: Path) -> tuple[Affine, bool]:
    """Return the affine, and whether its directions are assumed."""
    units = {str(unit).strip('"').lower() for unit in header.get("space units", [])}
    if units - {"mm", "millimeter", "millimeters", "millimetre"}:
        raise GeometryError(f"space units are {' '.join(sorted(units))}, expected mm", where=path, cure=_EXPORT)
    if "space" not in header:
        spacings = np.abs(np.array(header.get("spacings", []), np.float64))
        if spacings.shape != (3,):
            raise GeometryError("has neither space directions nor three spacings", where=path, cure=_EXPORT)
        return from_lps(np.diag([*spacings, 1.0])), True
    space = str(header["space"]).lower()
    if space not in _SPACES:
        known = "left-posterior-superior, right-anterior-superior or left-anterior-superior"
        raise GeometryError(f"space is {space}, expected {known}", where=path, cure=_EXPORT)
    directions = np.array(header.get("space directions", []), np.float64)
    origin = np.array(header.get("space origin", (0, 0, 0)), np.float64)
    if directions.shape != (3, 3) or origin.shape != (3,):
        raise GeometryError("space directions are not three vectors of three numbers", where=path, cure=_EXPORT)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = directions.T, origin
    return np.diag([*_SPACES[space], 1.0]) @ affine + 0.0, False  # no negative zeros


def _layout(header: Mapping[str, Any], shape: tuple[int, int, int], path: Path) -> VoxelLayout:
    stored = stored_type(str(header.get("type")).lower(), _TYPES, path, field="type")
    encoding = str(header.get("encoding")).lower()
    if encoding not in ("raw", *_GZIP):
        raise FormatError(f"encoding is {encoding}, expected raw or gzip", where=path, cure=_EXPORT)
    endian = str(header.get("endian", "")).lower()
    if stored.itemsize > 1:
        if endian not in ("little", "big"):
            raise FormatError(f"endian is {endian or 'missing'}, expected little or big", where=path, cure=_EXPORT)
        stored = stored.newbyteorder("<" if endian == "little" else ">")
    capacity = path.stat().st_size * (MAX_DEFLATE_RATIO if _is_gzipped(header) else 1)
    return VoxelLayout(shape, stored, capacity)


def _is_gzipped(header: Mapping[str, Any]) -> bool:
    return str(header.get("encoding")).lower() in _GZIP


def write(path: Path, voxels: NDArray[Any], grid: Grid, *, description: str) -> None:
    """Write voxels (z, y, x) on a grid, gzipped, in LPS as ITK does; the same voxels give the same bytes.

    Raises:
        ValueError: the voxels do not have the grid's shape, or an unsupported data type.
        OSError: the disk is full or the folder cannot be written.
    """
    data = little_endian_bytes(voxels, grid, _NAMES)
    lps = from_lps(grid.affine) + 0.0
    columns = ["({})".format(",".join(repr(float(value)) for value in lps[:3, k])) for k in range(4)]
    lines = [
        "NRRD0005",
        f"# gliomaseg {gliomaseg.__version__}: {description}, research only",
        f"type: {_NAMES[voxels.dtype.str[1:]].split(', ')[-1]}",
        "dimension: 3",
        "space: left-posterior-superior",
        f"sizes: {' '.join(str(size) for size in reversed(voxels.shape))}",
        f"space directions: {' '.join(columns[:3])}",
        "kinds: domain domain domain",
        "endian: little",
        "encoding: gzip",
        f"space origin: {columns[3]}",
    ]
    with path.open("wb") as file:
        file.write("\n".join([*lines, "", ""]).encode("ascii"))
        with gzip.GzipFile("", "wb", compresslevel=4, fileobj=file, mtime=0) as packed:
            for start in range(0, len(data), CHUNK_BYTES):
                packed.write(data[start : start + CHUNK_BYTES])
