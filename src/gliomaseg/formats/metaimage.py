"""MetaImage: .mha, or .mhd with its voxels in a second file; raw or compressed with zlib.

Source: https://itk.org/Wiki/MetaIO/Documentation. ITK writes the direction of each axis as a row of TransformMatrix.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

import gliomaseg
from gliomaseg.errors import FormatError, GeometryError
from gliomaseg.formats.scan_file import Grid, ScanFile
from gliomaseg.formats.voxels import (
    COPY_AGAIN,
    MAX_DEFLATE_RATIO,
    Readable,
    VoxelLayout,
    ZlibStream,
    little_endian_bytes,
    read_scan,
    shape_from_sizes,
    stored_type,
    translated_errors,
)
from gliomaseg.geometry import Affine, from_lps, require_affine

MAX_LINES, MAX_LINE_BYTES = 1_000, 4_096
_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
_NAMES = {code: name for name, code in reversed(_TYPES.items())}
_LOCAL = "LOCAL"
_EXPORT = "export it again as .mha"
_Fields = Mapping[str, str]


def read(path: Path, *, max_bytes: int) -> ScanFile:
    """Return a file's volume.

    If TransformMatrix is missing, the axes are assumed to point to L, P and S, and the scan records this.

    Args:
        path: the file. The voxels of an .mhd are read from a file in the same folder.
        max_bytes: limit of the memory that prediction needs for the volume; checked before memory is allocated.

    Raises:
        FormatError: the file is missing, damaged, too short or too long, does not have three axes of grey values, has
            an unsupported data type, or all its voxels are equal or not finite.
        GeometryError: its spacing, directions or offset is missing or invalid.
        ResourceError: prediction needs more memory for it.
    """
    with translated_errors(path, "MetaImage"), path.open("rb") as file:
        fields = _read_header(file, path)
        shape = _shape(fields, path)
        affine, assumed = _affine(fields, path)
        require_affine(affine, where=str(path))
        with _open_voxels(fields, file, path) as (stream, capacity_bytes):
            layout, grid = VoxelLayout(shape, _stored(fields, path), capacity_bytes), Grid(shape, affine)
            return read_scan(stream, layout, grid, path, orientation_assumed=assumed, max_bytes=max_bytes)


def _read_header(file: BinaryIO, path: Path) -> _Fields:
    """Return the fields by their names in lower case, and leave the file after ElementDataFile, the last field."""
    fields: dict[str, str] = {}
    for number in range(1, MAX_LINES + 1):
        line = file.readline(MAX_LINE_BYTES).decode("latin-1")
        name, equals, value = (part.strip() for part in line.partition("="))
        if not equals:
            raise FormatError(f"is not a readable MetaImage (line {number} is not `name = value`)", where=path)
        fields[name.lower()] = value
        if name.lower() == "elementdatafile":
            return fields
    raise FormatError(f"header is over {MAX_LINES:,} lines", where=path, cure=COPY_AGAIN)


def _is_true(fields: _Fields, name: str) -> bool:
    return fields.get(name, "").lower().startswith(("t", "1"))


def _numbers(fields: _Fields, names: tuple[str, ...], count: int, path: Path) -> NDArray[np.float64] | None:
    """Return the numbers of the first of several fields that the header has; None if all are missing."""
    for name in names:
        if name.lower() in fields:
            numbers = np.array(fields[name.lower()].split(), np.float64)
            if len(numbers) != count:
                raise GeometryError(f"{name} has {len(numbers)} numbers, expected {count}", where=path, cure=_EXPORT)
            return numbers
    return None


def _shape(fields: _Fields, path: Path) -> tuple[int, int, int]:
    """Return (z, y, x)."""
    sizes = [int(size) for size in fields.get("dimsize", "").split()]
    channels = fields.get("elementnumberofchannels", "1")
    if channels != "1":
        what = f"ElementNumberOfChannels is {channels}, expected 1"
        raise FormatError(what, where=path, cure="save one grey volume a file")
    return shape_from_sizes(sizes, path, field="DimSize is", dimensions=fields.get("ndims", "missing"))


def _affine(fields: _Fields, path: Path) -> tuple[Affine, bool]:
    """Return the affine, and whether its directions are assumed."""
    spacing = _numbers(fields, ("ElementSpacing", "ElementSize"), 3, path)
    if spacing is None:
        raise GeometryError("has no ElementSpacing", where=path, cure=_EXPORT)
    directions = _numbers(fields, ("TransformMatrix", "Rotation", "Orientation"), 9, path)
    offset = _numbers(fields, ("Offset", "Position", "Origin"), 3, path)
    lps = np.eye(4)
    lps[:3, :3] = (np.eye(3) if directions is None else directions.reshape(3, 3).T) * np.abs(spacing)
    lps[:3, 3] = 0 if offset is None else offset
    return from_lps(lps) + 0.0, directions is None  # no negative zeros


def _stored(fields: _Fields, path: Path) -> np.dtype[Any]:
    stored = stored_type(fields.get("elementtype", "missing").upper(), _TYPES, path, field="ElementType")
    if not _is_true({"binarydata": "True", **fields}, "binarydata"):
        raise FormatError("BinaryData is False, expected True", where=path, cure=_EXPORT)
    big_endian = _is_true(fields, "binarydatabyteordermsb") or _is_true(fields, "elementbyteordermsb")
    return stored.newbyteorder(">" if big_endian else "<")


@contextmanager
def _open_voxels(fields: _Fields, file: BinaryIO, path: Path) -> Iterator[tuple[Readable, int]]:
    """Open the voxels; yield their stream and the upper limit of its size in bytes."""
    name, header_size = fields["elementdatafile"], fields.get("headersize", "0")
    if header_size not in ("0", "-1"):  # -1: the voxels are the last bytes of the file
        raise FormatError(f"HeaderSize is {header_size}, expected 0 or -1", where=path, cure=_EXPORT)
    if name == _LOCAL:
        yield _decompressed(fields, file, path.stat().st_size)
        return
    # Neither another folder nor a list or pattern of files: a header must not choose which files are read.
    if not name or name.upper().startswith("LIST") or "%" in name or Path(name).name != name or "\\" in name:
        what = f"ElementDataFile is {name!r}, expected LOCAL or one file in the same folder"
        raise FormatError(what, where=path, cure=_EXPORT)
    voxels = path.with_name(name)
    if not voxels.is_file():
        raise FormatError(f"its voxels are in {name}, which is missing", where=path, cure="copy both files")
    with voxels.open("rb") as voxel_file:
        yield _decompressed(fields, voxel_file, voxels.stat().st_size)


def _decompressed(fields: _Fields, file: BinaryIO, size_bytes: int) -> tuple[Readable, int]:
    """Return the stream of the voxels and the upper limit of its size in bytes."""
    if _is_true(fields, "compresseddata"):
        return ZlibStream(file), size_bytes * MAX_DEFLATE_RATIO
    return file, size_bytes


def write(path: Path, voxels: NDArray[Any], grid: Grid, *, description: str) -> None:
    """Write voxels (z, y, x) on a grid as one compressed file; the same voxels give the same bytes.

    Raises:
        ValueError: the voxels do not have the grid's shape, or an unsupported data type.
        OSError: the disk is full or the folder cannot be written.
    """
    data = zlib.compress(little_endian_bytes(voxels, grid, _NAMES), 4)
    lps = from_lps(grid.affine) + 0.0
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    fields = {
        "ObjectType": "Image",
        "NDims": "3",
        "Comment": f"gliomaseg {gliomaseg.__version__}: {description}, research only",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "True",
        "CompressedDataSize": str(len(data)),
        "TransformMatrix": _text((lps[:3, :3] / spacing).T),
        "Offset": _text(lps[:3, 3]),
        "ElementSpacing": _text(spacing),
        "DimSize": " ".join(str(size) for size in reversed(voxels.shape)),
        "ElementType": _NAMES[voxels.dtype.str[1:]],
        "ElementDataFile": _LOCAL,
    }
    path.write_bytes("".join(f"{name} = {value}\n" for name, value in fields.items()).encode("ascii") + data)


def _text(values: NDArray[np.float64]) -> str:
    return " ".join(repr(float(value)) for value in values.ravel())
