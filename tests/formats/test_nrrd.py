"""NRRD: pynrrd and this package agree, and unsupported headers are refused in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import nrrd as pynrrd
import numpy as np
import pytest

from gliomaseg.errors import FormatError, GeometryError, GliomasegError
from gliomaseg.formats import Grid, read_volume, write_volume
from read_error import read_error

GIB = 2**30
VOXELS = np.random.default_rng(0).integers(0, 900, (4, 3, 2), np.int16)  # z, y, x
HEADER = {
    "space": "left-posterior-superior",
    "space directions": [[0, 1, 0], [-2, 0, 0], [0, 0, 3]],
    "space origin": [4, 5, 6],
}
# ITK's NIfTI writer gives this affine for the same image.
AFFINE = np.array([[0, 2.0, 0, -4], [-1, 0, 0, -5], [0, 0, 3, 6], [0, 0, 0, 1]])
# The file that SimpleITK 2.5 writes for np.arange(24) with spacing (1, 2, 3), origin (4, 5, 6) and the direction above.
ITK = (
    b"NRRD0004\n# Complete NRRD file format specification at:\n# http://teem.sourceforge.net/nrrd/format.html\n"
    b"type: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 2 3 4\n"
    b"space directions: (0,1,0) (-2,0,0) (0,0,3)\nkinds: domain domain domain\nendian: little\nencoding: gzip\n"
    b"space origin: (4,5,6)\n\n"
    b'\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x05\xc1\x85\x01\x80 \x00\x00\xb0Y\x18\x80\x01"\xff\x7f\xea\xc6`4\x99-'
    b"\x82\xd5fw\x88\x92\xect\xb9=\x8a\xea\xd5|\xba\x1f|\xdd\x19\xd30\x00\x00\x00"
)


def save(path: Path, data: Any = VOXELS, **header: Any) -> Path:
    """Write a file with pynrrd."""
    fields = {**HEADER, **header}
    pynrrd.write(str(path), data, {key: value for key, value in fields.items() if value is not None}, index_order="C")
    return path


def test_a_file_of_itk_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.nrrd").write_bytes(ITK)
    scan = read_volume(tmp_path / "a.nrrd", max_bytes=GIB).scan
    assert np.array_equal(scan.voxels.ravel(), np.arange(24))
    assert scan.voxels.shape == (4, 3, 2, 1)
    assert np.array_equal(scan.affine, AFFINE)
    assert scan.orientation == "PRS"


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "<i2", ">i2", "u2", "i4", "u4", "i8", "u8", "f4", ">f4", "f8"])
def test_a_file_of_pynrrd_is_read(tmp_path: Path, encoding: str, dtype: str) -> None:
    data = (VOXELS % 100).astype(dtype)
    scan = read_volume(save(tmp_path / "a.nrrd", data, encoding=encoding), max_bytes=GIB).scan
    assert np.array_equal(scan.voxels[..., 0], data)
    assert scan.voxels.dtype.isnative
    assert np.array_equal(scan.affine, AFFINE)


def test_pynrrd_reads_a_written_file(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.nrrd", VOXELS, Grid((4, 3, 2), AFFINE), description="mask")
    data, header = pynrrd.read(str(tmp_path / "a.nrrd"), index_order="C")
    assert np.array_equal(data, VOXELS)
    assert header["space"] == "left-posterior-superior"
    assert np.array_equal(header["space directions"], HEADER["space directions"])
    assert np.array_equal(header["space origin"], HEADER["space origin"])


@pytest.mark.parametrize(
    ("space", "signs"), [("right-anterior-superior", (1, 1)), ("LAS", (-1, 1)), ("left-posterior-superior", (-1, -1))]
)
def test_the_affine_is_ras_in_every_space(tmp_path: Path, space: str, signs: tuple[int, int]) -> None:
    path = save(tmp_path / "a.nrrd")
    path.write_bytes(path.read_bytes().replace(b"left-posterior-superior", space.encode()))
    scan = read_volume(path, max_bytes=GIB).scan
    assert scan.affine is not None
    assert scan.affine[:3, 3].tolist() == [4 * signs[0], 5 * signs[1], 6]
    assert scan.affine[1, 0] == signs[1]


def test_without_a_space_the_orientation_is_assumed(tmp_path: Path) -> None:
    fields = {"space": None, "space directions": None, "space origin": None}
    scan = read_volume(save(tmp_path / "a.nrrd", **fields, spacings=[1, 2, 3]), max_bytes=GIB).scan
    assert scan.orientation_assumed
    assert scan.orientation is None
    assert scan.spacing_mm == (3, 2, 1)


@pytest.mark.parametrize(
    ("header", "kind", "words"),
    [
        ({"space": "scanner-xyz"}, GeometryError, "space is scanner-xyz"),
        ({"space units": ["cm", "cm", "cm"]}, GeometryError, "space units are cm, expected mm"),
        ({"space": None, "space directions": None, "space origin": None}, GeometryError, "neither space directions"),
        ({"encoding": "bzip2"}, FormatError, "encoding is bzip2, expected raw or gzip"),
        ({"encoding": "ascii"}, FormatError, "encoding is ascii"),
    ],
)
def test_an_unsupported_header_is_refused(
    tmp_path: Path, header: dict[str, Any], kind: type[GliomasegError], words: str
) -> None:
    assert words in read_error(save(tmp_path / "a.nrrd", **header), kind)


def test_a_fourth_axis_is_refused(tmp_path: Path) -> None:
    pynrrd.write(str(tmp_path / "a.nrrd"), np.zeros((4, 3, 2, 2), np.int16), {})
    assert "sizes are [4, 3, 2, 2]" in read_error(tmp_path / "a.nrrd")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"endian: little", b"endian: middle", "endian is middle"),
        (b"endian: little\n", b"", "endian is missing"),
        (b"type: int16", b"type: block", "type is block"),
        (b"dimension: 3", b"data file: /etc/passwd\ndimension: 3", "keeps its voxels in another file"),
        (b"dimension: 3", b"byte skip: -1\ndimension: 3", "byte skip is -1, expected 0"),
        (b"sizes: 2 3 4", b"sizes: 2 3 -4", "sizes are [2, 3, -4]"),
        (b"sizes: 2 3 4", b"sizes: 2 3 many", "is not a readable NRRD"),
        (b"encoding: gzip\n", b"encoding: gzip\n" + b"#" * 2**20 + b"\n", "header is over 1,048,576 bytes"),
    ],
)
def test_a_changed_header_is_refused(tmp_path: Path, old: bytes, new: bytes, words: str) -> None:
    path = save(tmp_path / "a.nrrd", encoding="gzip")
    content = path.read_bytes().replace(b"type: short", b"type: int16")
    assert old in content
    path.write_bytes(content.replace(old, new))
    assert words in read_error(path)


def test_a_file_that_ends_within_its_header_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nrrd")
    path.write_bytes(path.read_bytes()[:150])
    assert "is cut short" in read_error(path)


def test_without_pynrrd_the_extra_is_named(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nrrd")
    code = f"""
import sys
from pathlib import Path
sys.modules["nrrd"] = None
from gliomaseg.errors import MissingExtraError
from gliomaseg.formats import read_volume
try:
    read_volume(Path({str(path)!r}), max_bytes=1 << 30)
except MissingExtraError as fault:
    print(fault.line())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.strip().endswith('pip install "gliomaseg[nrrd]"'), done.stderr
