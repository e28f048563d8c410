"""A series read: what comes back, in every form it is stored in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from gliomaseg.formats.dicom import write_series

NATIVE = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian]
COMPRESSED = [RLELossless, JPEG2000Lossless, JPEGLSLossless]
every_syntax = pytest.mark.parametrize("syntax", [*NATIVE, *COMPRESSED], ids=lambda uid: uid.keyword)


@every_syntax
def test_series_comes_back_from_every_transfer_syntax(make: Any, folder: Path, syntax: Any) -> None:
    volume = make.read(make.encode(folder, syntax))
    assert volume.voxels.dtype == np.uint16
    assert np.array_equal(volume.voxels, make.voxels())
    assert np.array_equal(volume.affine, make.affine)
    assert volume.spacing_mm == (5, 0.9, 0.8)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, *COMPRESSED], ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [3, 0, 4, 1, 2]])
def test_enhanced_series_is_read(make: Any, folder: Path, syntax: Any, order: list[int]) -> None:
    file = make.enhanced(folder, folder.parent / "enhanced.dcm", order)
    make.store(pydicom.dcmread(file), file, syntax)
    volume = make.read(file)
    assert np.array_equal(volume.voxels, make.voxels())
    assert np.array_equal(volume.affine, make.affine)
    assert [order[frame] for frame in volume.frames] == [0, 1, 2, 3, 4]
    assert len(volume.headers) == 1


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, *COMPRESSED], ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("dtype", ["uint8", "int16"])
def test_values_of_8_and_of_signed_16_bits_come_back(make: Any, tmp_path: Path, syntax: Any, dtype: str) -> None:
    limits = np.iinfo(dtype)
    voxels = np.random.default_rng(0).integers(limits.min, limits.max, (3, 40, 36), dtype, endpoint=True)
    write_series(tmp_path / "a", voxels, make.affine)
    volume = make.read(make.encode(tmp_path / "a", syntax))
    assert volume.voxels.dtype == dtype
    assert np.array_equal(volume.voxels, voxels)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, *COMPRESSED], ids=lambda uid: uid.keyword)
def test_signed_values_of_12_bits_keep_their_sign(make: Any, tmp_path: Path, syntax: Any) -> None:
    voxels = np.random.default_rng(0).integers(-2048, 2048, (3, 40, 36), np.int16)
    write_series(tmp_path / "a", voxels, make.affine)
    volume = make.read(make.encode(tmp_path / "a", syntax, BitsStored=12, HighBit=11))
    assert np.array_equal(volume.voxels, voxels)


def test_bits_above_the_stored_bits_are_ignored(make: Any, tmp_path: Path) -> None:
    voxels = np.full((2, 2, 2), 0xF123, np.uint16)  # an overlay in the upper four bits
    write_series(tmp_path / "a", voxels, make.affine)
    volume = make.read(make.encode(tmp_path / "a", ExplicitVRLittleEndian, BitsStored=12, HighBit=11))
    assert (volume.voxels == 0x123).all()


def test_lossy_jpeg_2000_is_read(make: Any, folder: Path) -> None:
    make.encode(folder, JPEG2000Lossless)
    for file in folder.iterdir():
        data = pydicom.dcmread(file)
        data.file_meta.TransferSyntaxUID = JPEG2000
        data.save_as(file)
    assert np.array_equal(make.read(folder).voxels, make.voxels())


def test_rescaled_values_are_float32(make: Any, folder: Path) -> None:
    for k, file in enumerate(sorted(folder.iterdir())):
        make.change(file, RescaleSlope=k + 1, RescaleIntercept=-10)
    volume = make.read(folder)
    assert volume.voxels.dtype == np.float32
    expected = make.voxels().astype(np.float32) * np.arange(1, 6, dtype=np.float32)[:, None, None] - 10
    assert np.array_equal(volume.voxels, expected)


def test_slope_of_one_keeps_the_stored_type(make: Any, folder: Path) -> None:
    for file in folder.iterdir():
        make.change(file, RescaleSlope=1, RescaleIntercept=0)
    assert make.read(folder).voxels.dtype == np.uint16


def test_frames_of_an_enhanced_file_are_rescaled_one_by_one(make: Any, folder: Path) -> None:
    file = make.enhanced(folder, folder.parent / "enhanced.dcm")
    data = pydicom.dcmread(file)
    for k, group in enumerate(data.PerFrameFunctionalGroupsSequence):
        item = pydicom.Dataset()
        item.RescaleSlope, item.RescaleIntercept, item.RescaleType = 2, k, "US"
        group.PixelValueTransformationSequence = pydicom.Sequence([item])
    data.save_as(file)
    expected = make.voxels().astype(np.float32) * 2 + np.arange(5, dtype=np.float32)[:, None, None]
    assert np.array_equal(make.read(file).voxels, expected)


def test_slices_are_sorted_by_their_place_and_not_by_their_names(make: Any, folder: Path) -> None:
    for k, file in enumerate(sorted(folder.iterdir())):
        file.rename(folder / f"{(k * 2) % 5}-{k}.dcm")
        make.change(folder / f"{(k * 2) % 5}-{k}.dcm", InstanceNumber=9 - k)
    volume = make.read(folder)
    assert np.array_equal(volume.voxels, make.voxels())
    assert [float(header.ImagePositionPatient[2]) for header in volume.headers] == [-7, -2, 3, 8, 13]


def test_headers_are_without_pixels_and_private_elements(make: Any, folder: Path) -> None:
    for file in folder.iterdir():
        data = pydicom.dcmread(file)
        data.private_block(0x29, "SOMEONE", create=True).add_new(1, "LO", "secret")
        data.save_as(file)
    headers = make.read(folder).headers
    assert len(headers) == 5
    assert not any("PixelData" in header or any(element.tag.is_private for element in header) for header in headers)


def test_zip_and_its_folder_give_the_same_volume(make: Any, folder: Path, tmp_path: Path) -> None:
    volume = make.read(make.zip(folder, tmp_path / "a.zip"))
    assert np.array_equal(volume.voxels, make.voxels())


def test_one_file_is_a_volume_of_one_slice(make: Any, folder: Path) -> None:
    volume = make.read(folder / "0002.dcm")
    assert np.array_equal(volume.voxels, make.voxels()[1:2])
    assert np.allclose(volume.affine[:, 3], [-40.5, 20.25, -2, 1])
    assert volume.spacing_mm == (5, 0.9, 0.8)


def test_files_below_and_beside_are_passed_over(make: Any, folder: Path) -> None:
    (folder / "notes.txt").write_text("nothing")
    (folder / "below").mkdir()
    (folder / "0003.dcm").rename(folder / "below" / "0003.dcm")
    assert np.array_equal(make.read(folder).voxels, make.voxels())
