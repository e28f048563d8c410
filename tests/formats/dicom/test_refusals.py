"""What is refused, and with what words."""

from __future__ import annotations

import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import (
    MPEG2MPML,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    MRImageStorage,
    RLELossless,
)

from gliomaseg.errors import FormatError, GeometryError, ResourceError
from gliomaseg.formats.dicom import Acquisition, SeriesChoiceError, read_dicom, write_series

NATIVE = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian]
every_syntax = pytest.mark.parametrize(
    "syntax", [*NATIVE, RLELossless, JPEG2000Lossless, JPEGLSLossless], ids=lambda uid: uid.keyword
)
every_file = pytest.mark.parametrize("name", ["0001.dcm", "0003.dcm", "0005.dcm"])


@pytest.mark.parametrize(("name", "words"), [("missing", "there is no such"), ("text.txt", "is not a DICOM file")])
def test_missing_and_other_files_are_refused(make: Any, tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "text.txt").write_text("hello" * 100)
    assert words in make.refusal(tmp_path / name, FormatError)


def test_folder_without_dicom_is_refused(make: Any, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("hello" * 100)
    assert "has 0 DICOM files and 1 other files" in make.refusal(tmp_path, FormatError)


def test_other_modality_is_named(make: Any, folder: Path) -> None:
    for file in folder.iterdir():
        make.change(file, SOPClassUID=CTImageStorage)
    assert "has 0 MR images, but 5 x CT Image Storage" in make.refusal(folder, FormatError)


@every_syntax
@every_file
def test_truncated_file_is_refused_at_every_length(make: Any, folder: Path, syntax: Any, name: str) -> None:
    content = (make.encode(folder, syntax) / name).read_bytes()
    for length in [*range(0, len(content) - 16, 331), len(content) - 16]:
        (folder / name).write_bytes(content[:length])
        assert name in make.refusal(folder, FormatError)


def test_inner_slice_that_is_missing_is_named_by_its_neighbours(make: Any, folder: Path) -> None:
    (folder / "0003.dcm").unlink()
    line = make.refusal(folder, GeometryError)
    assert "is missing 1 slice, the first between" in line
    assert "0002.dcm" in line
    assert "0004.dcm" in line


def test_copy_of_a_slice_is_refused(make: Any, folder: Path) -> None:
    shutil.copy(folder / "0002.dcm", folder / "copy.dcm")
    line = make.refusal(folder, GeometryError)
    assert "1 place with two slices" in line
    assert "copy.dcm" in line


def test_uneven_spacing_is_refused(make: Any, folder: Path) -> None:
    make.change(folder / "0005.dcm", ImagePositionPatient=[40.5, -20.25, 15])
    assert "slice spacing is 5.00 to 7.00 mm" in make.refusal(folder, GeometryError)


def test_other_size_is_refused(make: Any, folder: Path, tmp_path: Path) -> None:
    write_series(tmp_path / "b", make.voxels(shape=(1, 20, 30)), make.affine)
    shutil.copy(tmp_path / "b" / "0001.dcm", folder / "odd.dcm")
    assert "slices of 2 sizes (30 x 20, 36 x 40)" in make.refusal(folder, GeometryError)


def test_localiser_among_the_slices_is_refused(make: Any, folder: Path) -> None:
    shutil.copy(folder / "0005.dcm", folder / "scout.dcm")
    make.change(folder / "scout.dcm", ImageOrientationPatient=[0, 1, 0, 0, 0, -1], SOPInstanceUID="1.2.3")
    line = make.refusal(folder, GeometryError)
    assert "scout.dcm differs by 90 degrees from the other slices, expected one direction" in line


def test_other_pixel_spacing_is_refused(make: Any, folder: Path) -> None:
    make.change(folder / "0002.dcm", PixelSpacing=[0.7, 0.8])
    assert "several pixel spacings" in make.refusal(folder, GeometryError)


def test_other_frame_of_reference_is_refused(make: Any, folder: Path) -> None:
    make.change(folder / "0002.dcm", FrameOfReferenceUID="1.2.3")
    assert "2 frames of reference" in make.refusal(folder, GeometryError)


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"])
def test_missing_geometry_is_named(make: Any, folder: Path, keyword: str) -> None:
    make.change(folder / "0002.dcm", **{keyword: None})
    line = make.refusal(folder, GeometryError)
    assert keyword in line
    assert "0002.dcm" in line


def test_one_slice_without_thickness_is_refused(make: Any, folder: Path) -> None:
    make.change(folder / "0002.dcm", SliceThickness=None, SpacingBetweenSlices=None)
    assert "SliceThickness" in make.refusal(folder / "0002.dcm", GeometryError)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"PhotometricInterpretation": "MONOCHROME1"}, "PhotometricInterpretation is MONOCHROME1"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PhotometricInterpretation is PALETTE COLOR"),
        ({"SamplesPerPixel": 3}, "SamplesPerPixel is 3"),
        ({"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31}, "BitsAllocated is 32"),
        ({"BitsStored": 17}, "BitsStored is 17"),
        ({"HighBit": 11, "BitsStored": 8}, "HighBit is 11, expected 7"),
        ({"Rows": 0}, "Rows is 0"),
        ({"Rows": None}, "Rows is missing"),
        ({"Rows": 41}, "pixel data are 2,880 bytes, expected 2,952"),
        ({"Rows": 20}, "pixel data are 2,880 bytes, expected 1,440"),
        ({"NumberOfFrames": 2}, "NumberOfFrames is 2, expected 1"),
        ({"RescaleSlope": 0, "RescaleIntercept": 0}, "RescaleSlope is 0"),
        ({"RescaleSlope": 2}, "RescaleIntercept is missing"),
        ({"ModalityLUTSequence": [pydicom.Dataset()]}, "ModalityLUTSequence"),
        ({"PixelData": None}, "pixel data are missing"),
        ({"SeriesInstanceUID": None}, "SeriesInstanceUID"),
    ],
)
def test_pixels_that_are_not_plain_are_refused(make: Any, folder: Path, values: dict[str, Any], words: str) -> None:
    make.change(folder / "0002.dcm", **values)
    assert words in make.refusal(folder / "0002.dcm", FormatError)


def test_mosaic_is_refused(make: Any, folder: Path) -> None:
    make.change(folder / "0002.dcm", ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"])
    assert "mosaics" in make.refusal(folder, GeometryError)


@pytest.mark.parametrize(("uid", "shown"), [(MPEG2MPML, "MPEG2"), ("1.2.3.4", "1.2.3.4")])
def test_unsupported_transfer_syntax_is_named(make: Any, folder: Path, uid: str, shown: str) -> None:
    for file in make.encode(folder, RLELossless).iterdir():
        data = pydicom.dcmread(file)
        data.file_meta.TransferSyntaxUID = uid
        data.save_as(file, implicit_vr=False, little_endian=True)
    line = make.refusal(folder, FormatError)
    assert "transfer syntax is" in line
    assert shown in line


def test_compressed_pixels_without_a_file_header_are_refused(make: Any, folder: Path) -> None:
    file = make.encode(folder, RLELossless) / "0003.dcm"
    make.bare(file)
    line = make.refusal(folder, FormatError)
    assert "0003.dcm: transfer syntax is Explicit VR Little Endian, or missing, but the pixels are compressed" in line


def test_bytes_after_the_pixels_are_refused(make: Any, folder: Path) -> None:
    with (folder / "0002.dcm").open("ab") as file:
        file.write(b"\x10\x00\x20\x00LO\x04\x00abcd")
    assert "after PixelData" in make.refusal(folder, FormatError)


def test_two_enhanced_files_of_a_series_are_refused(make: Any, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "both").mkdir()
    for name in ("a.dcm", "b.dcm"):
        make.enhanced(folder, tmp_path / "both" / name)
    assert "2 files, some of them multi-frame" in make.refusal(tmp_path / "both", GeometryError)


def test_functional_groups_that_do_not_fit_are_refused(make: Any, folder: Path) -> None:
    file = make.enhanced(folder, folder.parent / "enhanced.dcm")
    make.change(file, NumberOfFrames=4)
    assert "NumberOfFrames is 4, expected 5" in make.refusal(file, FormatError)


def test_declared_size_over_the_limit_is_refused_before_memory_is_taken(make: Any, folder: Path) -> None:
    for file in folder.iterdir():
        make.change(file, Rows=60_000, Columns=60_000)
    tracemalloc.start()
    assert "declares 18,000,000,000 voxels, which take 435.3 GiB" in make.refusal(folder, ResourceError)
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_limit_is_of_all_slices_as_float32(make: Any, folder: Path) -> None:
    voxels = make.voxels()  # float32 and a copy, 16 bytes of prediction; the network's slices along the longest axis
    size = 24 * voxels.size + max(voxels.shape) * 9 * 256 * 256
    read_dicom(folder, max_bytes=size)
    with pytest.raises(ResourceError):
        read_dicom(folder, max_bytes=size - 1)


def test_several_series_are_listed_and_one_is_taken_by_uid_or_number(make: Any, folder: Path) -> None:
    make.series(folder / "b", seed=1, number=7, description="FLAIR again")
    line = make.refusal(folder, SeriesChoiceError)
    assert "has 2 series, and 2 of them look like FLAIR" in line
    assert "'FLAIR again', 5 slices of 36 x 40" in line
    assert "--series" in line
    volume = make.read(folder, "7")
    assert np.array_equal(volume.voxels, make.voxels(1))
    assert np.array_equal(make.read(folder, volume.series_uid).voxels, make.voxels(1))
    assert "has 0 series 8, expected 1" in make.refusal(folder, SeriesChoiceError, "8")


def test_flair_is_taken_among_others(make: Any, folder: Path) -> None:
    write_series(
        folder / "t1",
        make.voxels(1),
        make.affine,
        acquisition=Acquisition("T1 axial", number=2, echo_ms=9, repetition_ms=500, inversion_ms=None),
    )
    assert np.array_equal(make.read(folder).voxels, make.voxels())


def test_two_sop_classes_are_named(make: Any, folder: Path) -> None:
    file = folder / "0002.dcm"
    head, data = (
        file.read_bytes()[:300],
        file.read_bytes()[300:],
    )  # the UID in the file header is at 166, in the data set at 406
    file.write_bytes(head + data.replace(MRImageStorage.encode() + b"\0", CTImageStorage.encode() + b"\0", 1))
    line = make.refusal(folder, FormatError)
    assert "SOP class in the file header (MR Image Storage) and in the data set (CT Image Storage) disagree" in line
    assert line.endswith("export the file again")
