"""MetaImage: files of ITK are read, and unsupported headers are refused in one line."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

from gliomaseg.errors import FormatError, GeometryError, GliomasegError
from gliomaseg.formats import Grid, read_volume, write_volume
from read_error import read_error

GIB = 2**30
VOXELS = np.arange(24, dtype=np.int16).reshape(4, 3, 2)  # z, y, x
# ITK's NIfTI writer gives this affine for the image below.
AFFINE = np.array([[0, 2.0, 0, -4], [-1, 0, 0, -5], [0, 0, 3, 6], [0, 0, 0, 1]])
# The headers that SimpleITK 2.5 writes for VOXELS with spacing (1, 2, 3), origin (4, 5, 6) and a rotation around z.
HEADER_FORMAT = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = {compressed}\n"
    "{size}TransformMatrix = 0 1 0 -1 0 0 0 0 1\nOffset = 4 5 6\nCenterOfRotation = 0 0 0\n"
    "AnatomicalOrientation = ALI\n"
    "ElementSpacing = 1 2 3\nDimSize = 2 3 4\nElementType = MET_SHORT\nElementDataFile = {file}\n"
)
MHD = HEADER_FORMAT.format(compressed="False", size="", file="a.raw")
# The compressed voxels as SimpleITK wrote them.
ITK_ZLIB = (
    b'x^\x05\xc1\x85\x01\x80 \x00\x00\xb0Y\x18\x80\x01"\xff\x7f\xea\xc6`4\x99-\x82\xd5fw\x88\x92\xect\xb9=\x8a\xea'
    b"\xd5|\xba\x1f\x12(\x01\x15"
)
MHA = HEADER_FORMAT.format(compressed="True", size="CompressedDataSize = 44\n", file="LOCAL").encode() + ITK_ZLIB


def save(folder: Path, header: str = MHD, data: bytes | None = None) -> Path:
    """Write a header and its voxels as two files."""
    (folder / "a.mhd").write_text(header)
    (folder / "a.raw").write_bytes(VOXELS.astype("<i2").tobytes() if data is None else data)
    return folder / "a.mhd"


def test_a_compressed_file_of_itk_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.mha").write_bytes(MHA)
    scan = read_volume(tmp_path / "a.mha", max_bytes=GIB).scan
    assert np.array_equal(scan.voxels[..., 0], VOXELS)
    assert np.array_equal(scan.affine, AFFINE)
    assert scan.orientation == "PRS"


def test_a_header_and_a_raw_file_of_itk_are_read(tmp_path: Path) -> None:
    scan = read_volume(save(tmp_path), max_bytes=GIB).scan
    assert np.array_equal(scan.voxels[..., 0], VOXELS)
    assert np.array_equal(scan.affine, AFFINE)


def test_big_endian_voxels_are_read(tmp_path: Path) -> None:
    header = MHD.replace("MSB = False", "MSB = True")
    scan = read_volume(save(tmp_path, header, VOXELS.astype(">i2").tobytes()), max_bytes=GIB).scan
    assert np.array_equal(scan.voxels[..., 0], VOXELS)


@pytest.mark.parametrize(
    ("name", "dtype"), [("CHAR", "i1"), ("UCHAR", "u1"), ("LONG", "<i4"), ("FLOAT", "<f4"), ("DOUBLE", "<f8")]
)
def test_every_type_is_read(tmp_path: Path, name: str, dtype: str) -> None:
    header = MHD.replace("MET_SHORT", f"MET_{name}")
    scan = read_volume(save(tmp_path, header, VOXELS.astype(dtype).tobytes()), max_bytes=GIB).scan
    assert np.array_equal(scan.voxels[..., 0], VOXELS)


def test_written_fields_are_those_of_itk(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.mha", VOXELS, Grid((4, 3, 2), AFFINE), description="mask")
    head, data = (tmp_path / "a.mha").read_bytes().split(b"ElementDataFile = LOCAL\n")
    fields = dict(line.split(" = ") for line in head.decode().splitlines())
    assert [float(value) for value in fields["TransformMatrix"].split()] == [0, 1, 0, -1, 0, 0, 0, 0, 1]
    assert [float(value) for value in fields["Offset"].split()] == [4, 5, 6]
    assert [float(value) for value in fields["ElementSpacing"].split()] == [1, 2, 3]
    assert (fields["DimSize"], fields["ElementType"]) == ("2 3 4", "MET_SHORT")
    assert int(fields["CompressedDataSize"]) == len(data)
    assert zlib.decompress(data) == VOXELS.astype("<i2").tobytes()


def test_without_a_matrix_the_orientation_is_assumed(tmp_path: Path) -> None:
    header = MHD.replace("TransformMatrix = 0 1 0 -1 0 0 0 0 1\n", "")
    scan = read_volume(save(tmp_path, header), max_bytes=GIB).scan
    assert scan.orientation_assumed
    assert scan.affine is not None
    assert scan.affine.diagonal().tolist() == [-1, -2, 3, 1]


@pytest.mark.parametrize("name", ["/etc/passwd", "../a.raw", "LIST", "slice%03d.raw 1 4 1", "..\\a.raw", ""])
def test_voxels_outside_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    assert "ElementDataFile is" in read_error(save(tmp_path, MHD.replace("a.raw", name)))


def test_a_missing_raw_file_is_named(tmp_path: Path) -> None:
    path = save(tmp_path)
    (tmp_path / "a.raw").unlink()
    assert "its voxels are in a.raw, which is missing; copy both files" in read_error(path)


@pytest.mark.parametrize(
    ("old", "new", "kind", "words"),
    [
        ("NDims = 3", "NDims = 4", FormatError, "DimSize is"),
        ("DimSize = 2 3 4", "DimSize = 2 3 0", FormatError, "DimSize is [2, 3, 0]"),
        ("DimSize = 2 3 4", "DimSize = 2 3 4\nElementNumberOfChannels = 3", FormatError, "Channels is 3, expected 1"),
        ("DimSize = 2 3 4", "DimSize = 2 3 four", FormatError, "is not a readable MetaImage"),
        ("MET_SHORT", "MET_STRING", FormatError, "ElementType is MET_STRING"),
        ("BinaryData = True", "BinaryData = False", FormatError, "BinaryData is False"),
        ("NDims = 3", "NDims = 3\nHeaderSize = 12", FormatError, "HeaderSize is 12"),
        ("NDims = 3", "NDims", FormatError, "line 2 is not `name = value`"),
        ("NDims = 3\n", "NDims = 3\n" + 1000 * "Comment = x\n", FormatError, "header is over 1,000 lines"),
        ("ElementSpacing = 1 2 3\n", "", GeometryError, "has no ElementSpacing"),
        ("ElementSpacing = 1 2 3", "ElementSpacing = 1 2", GeometryError, "ElementSpacing has 2 numbers, expected 3"),
        ("CompressedData = False", "CompressedData = True", FormatError, "compressed data are damaged"),
    ],
)
def test_an_unsupported_header_is_refused(
    tmp_path: Path, old: str, new: str, kind: type[GliomasegError], words: str
) -> None:
    assert old in MHD
    assert words in read_error(save(tmp_path, MHD.replace(old, new)), kind)


def test_a_compressed_file_that_is_too_large_is_refused_in_small_steps(tmp_path: Path) -> None:
    header = MHD.replace("CompressedData = False", "CompressedData = True")
    path = save(tmp_path, header, zlib.compress(bytes(50_000_000)))
    assert "has bytes after its last voxel" in read_error(path)
