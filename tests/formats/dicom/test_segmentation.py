"""A mask as a DICOM segmentation: what it refers to, what it says, and the same voxels back."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from gliomaseg.errors import FormatError, GeometryError, GliomasegError
from gliomaseg.formats.dicom import DicomVolume, write_segmentation
from gliomaseg.geometry import from_lps


def mask_of(volume: DicomVolume) -> NDArray[np.bool_]:
    mask = np.zeros(volume.voxels.shape, bool)
    mask[1, 4:20, 6:18] = True
    mask[2:4, 30, 35] = True
    return mask


def write(path: Path, volume: DicomVolume, mask: NDArray[np.bool_] | None = None, *, deidentify: bool = False) -> Path:
    mask = mask_of(volume) if mask is None else mask
    write_segmentation(
        path, mask=mask, volume=volume, model_name="unet_small", model_version="1.2", deidentify=deidentify
    )
    return path


def as_stored(file: Path, volume: DicomVolume) -> NDArray[np.bool_]:
    """Return the frames in the order of the volume's slices, by their places, read with pydicom alone."""
    data = pydicom.dcmread(file)
    places = np.array(
        [group.PlanePositionSequence[0].ImagePositionPatient for group in data.PerFrameFunctionalGroupsSequence], float
    )
    lps = from_lps(volume.affine)
    slices = [(lps @ [0, 0, z, 1])[:3] for z in range(len(volume.voxels))]
    nearest = [int(np.argmin(np.linalg.norm(places - place, axis=1))) for place in slices]
    assert sorted(nearest) == list(range(len(places)))
    return data.pixel_array.astype(bool).reshape(len(places), data.Rows, data.Columns)[nearest]


def test_mask_comes_back_voxel_by_voxel(volume: DicomVolume, tmp_path: Path) -> None:
    file = write(tmp_path / "seg.dcm", volume)
    assert np.array_equal(as_stored(file, volume), mask_of(volume))


def test_mask_comes_back_through_highdicom(volume: DicomVolume, tmp_path: Path) -> None:
    read = highdicom.seg.segread(write(tmp_path / "seg.dcm", volume))
    if volume.frames:
        uid = volume.headers[0].SOPInstanceUID
        frames = [frame + 1 for frame in volume.frames]
        pixels = read.get_pixels_by_source_frame(uid, frames)
    else:
        pixels = read.get_pixels_by_source_instance([header.SOPInstanceUID for header in volume.headers])
    assert np.array_equal(pixels[..., 0].astype(bool), mask_of(volume))


def test_grid_in_space_comes_back_through_highdicom(volume: DicomVolume, tmp_path: Path) -> None:
    grid = highdicom.seg.segread(write(tmp_path / "seg.dcm", volume)).get_volume(combine_segments=True)
    # highdicom counts (slice, row, column) in LPS; the tumour's voxels must lie where ours do.
    theirs = np.argwhere(grid.array) @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    ours = np.argwhere(mask_of(volume))[:, ::-1] @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    ours = ours * (-1, -1, 1)
    assert np.allclose(sorted(theirs.round(4).tolist()), sorted(ours.round(4).tolist()), atol=1e-3)


def test_object_stands_the_check_of_dciodvfy(volume: DicomVolume, tmp_path: Path) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("there is no dciodvfy (Debian: dicom3tools)")
    for deidentify in (False, True):
        file = write(tmp_path / "seg.dcm", volume, deidentify=deidentify)
        done = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True, check=False)
        assert done.returncode == 0
        assert "Error" not in done.stderr, done.stderr


@pytest.fixture
def plain(make: Any, folder: Path) -> DicomVolume:
    """Return the small axial series."""
    return make.read(folder)


def test_it_refers_to_every_slice_of_its_series(plain: DicomVolume, tmp_path: Path) -> None:
    data = pydicom.dcmread(write(tmp_path / "seg.dcm", plain))
    source = plain.headers[0]
    assert data.Modality == "SEG"
    assert data.SegmentationType == "BINARY"
    assert data.StudyInstanceUID == source.StudyInstanceUID
    assert data.FrameOfReferenceUID == source.FrameOfReferenceUID
    assert data.SeriesInstanceUID != source.SeriesInstanceUID
    (series,) = data.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == plain.series_uid
    referred = {item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence}
    assert referred == {header.SOPInstanceUID for header in plain.headers}
    assert data.NumberOfFrames == 5


def test_segmentation_names_finding_algorithm_and_purpose(plain: DicomVolume, tmp_path: Path) -> None:
    data = pydicom.dcmread(write(tmp_path / "seg.dcm", plain))
    (segment,) = data.SegmentSequence

    def code(item: Any) -> tuple[str, str]:
        return item.CodeValue, item.CodingSchemeDesignator

    assert code(segment.SegmentedPropertyCategoryCodeSequence[0]) == ("49755003", "SCT")
    assert code(segment.SegmentedPropertyTypeCodeSequence[0]) == ("108369006", "SCT")
    assert code(segment.AnatomicRegionSequence[0]) == ("12738006", "SCT")
    (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
    assert code(algorithm.AlgorithmFamilyCodeSequence[0]) == ("123110", "DCM")
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("unet_small", "1.2")
    assert (segment.SegmentLabel, segment.SegmentAlgorithmType) == ("Tumour", "AUTOMATIC")
    assert len(segment.RecommendedDisplayCIELabValue) == 3
    for text in (data.SeriesDescription, data.ContentDescription, segment.SegmentDescription):
        assert "Research only, not for diagnosis" in text


def test_empty_mask_is_a_valid_object_of_empty_frames(plain: DicomVolume, tmp_path: Path) -> None:
    empty = np.zeros(plain.voxels.shape, bool)
    file = write(tmp_path / "seg.dcm", plain, empty)
    assert np.array_equal(as_stored(file, plain), empty)
    assert pydicom.dcmread(file).NumberOfFrames == 5


def test_full_mask_comes_back(plain: DicomVolume, tmp_path: Path) -> None:
    full = np.ones(plain.voxels.shape, bool)
    assert np.array_equal(as_stored(write(tmp_path / "seg.dcm", plain, full), plain), full)


def test_one_slice_is_segmented(make: Any, folder: Path, tmp_path: Path) -> None:
    one = make.read(folder / "0001.dcm")
    mask = one.voxels > 2000
    assert np.array_equal(as_stored(write(tmp_path / "seg.dcm", one, mask), one), mask)


def test_only_uids_and_times_differ_between_two_calls(plain: DicomVolume, tmp_path: Path) -> None:
    first, second = (pydicom.dcmread(write(tmp_path / name, plain)) for name in ("a.dcm", "b.dcm"))

    def leaves(data: Any) -> list[tuple[Any, Any]]:
        return [(e.tag, e.value) for e in data.iterall() if e.VR not in ("UI", "DA", "TM", "DT", "SQ")]

    assert leaves(first) == leaves(second)
    assert first.SOPInstanceUID != second.SOPInstanceUID


def test_existing_file_is_replaced_without_leftovers(plain: DicomVolume, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "seg.dcm").write_text("old")
    write(tmp_path / "out" / "seg.dcm", plain)
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["seg.dcm"]


def test_mask_of_another_shape_is_refused(plain: DicomVolume, tmp_path: Path) -> None:
    with pytest.raises(GeometryError, match="shape"):
        write(tmp_path / "seg.dcm", plain, np.zeros((4, 40, 36), bool))
    assert not (tmp_path / "seg.dcm").exists()


def test_mask_of_numbers_is_a_fault_of_the_caller(plain: DicomVolume, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="bool"):
        write(tmp_path / "seg.dcm", plain, np.zeros(plain.voxels.shape, np.uint8))


def changed(make: Any, folder: Path, **values: Any) -> DicomVolume:
    for file in folder.iterdir():
        make.change(file, **values)
    return make.read(folder)


@pytest.mark.parametrize("value", [None, "", "ANONYMOUS"])
def test_series_without_a_study_is_refused_by_its_name(make: Any, folder: Path, tmp_path: Path, value: Any) -> None:
    volume = changed(make, folder, StudyInstanceUID=value)
    with pytest.raises(FormatError) as caught:
        write(tmp_path / "seg.dcm", volume)
    what = "StudyInstanceUID of the series is missing or invalid, and a DICOM segmentation needs it"
    assert caught.value.line() == f"{folder}: {what}; export the series again, or pass --to nifti"
    assert not (tmp_path / "seg.dcm").exists()


@pytest.mark.parametrize("value", [None, "", "ANONYMOUS"])
def test_missing_frame_of_reference_is_made_from_the_series(
    make: Any, folder: Path, tmp_path: Path, value: Any
) -> None:
    volume = changed(make, folder, FrameOfReferenceUID=value)
    (warning,) = write_segmentation(
        tmp_path / "a.dcm", mask=mask_of(volume), volume=volume, model_name="", model_version="", deidentify=False
    )
    assert warning.startswith("FrameOfReferenceUID of the series is missing or invalid")
    first = highdicom.seg.segread(tmp_path / "a.dcm")
    second = highdicom.seg.segread(write(tmp_path / "b.dcm", volume, deidentify=True))
    assert pydicom.uid.UID(first.FrameOfReferenceUID).is_valid
    assert first.FrameOfReferenceUID == second.FrameOfReferenceUID
    assert np.array_equal(as_stored(tmp_path / "a.dcm", volume), mask_of(volume))


@pytest.mark.parametrize("value", [None, "", 0, -5, b"5,4 "])
@pytest.mark.parametrize("deidentify", [False, True])
def test_missing_slice_thickness_is_taken_from_the_positions(
    make: Any, folder: Path, tmp_path: Path, value: Any, deidentify: bool
) -> None:
    if isinstance(value, bytes):  # pydicom does not write such a number
        for file in folder.iterdir():
            make.change(file, SliceThickness="5.5")
            file.write_bytes(file.read_bytes().replace(b"DS\x04\x005.5 ", b"DS\x04\x00" + value))
        volume = make.read(folder)
    else:
        volume = changed(make, folder, SliceThickness=value)
    file = write(tmp_path / "seg.dcm", volume, deidentify=deidentify)
    (shared,) = highdicom.seg.segread(file).SharedFunctionalGroupsSequence
    assert shared.PixelMeasuresSequence[0].SliceThickness == pytest.approx(5)  # the slices are 5 mm apart
    assert np.array_equal(as_stored(file, volume), mask_of(volume))


@pytest.mark.parametrize("value", [None, "", 0, -5])
def test_invalid_spacing_between_slices_is_tolerated(make: Any, folder: Path, tmp_path: Path, value: Any) -> None:
    volume = changed(make, folder, SpacingBetweenSlices=value)
    file = write(tmp_path / "seg.dcm", volume)
    assert np.array_equal(as_stored(file, volume), mask_of(volume))
    assert highdicom.seg.segread(file).get_volume(combine_segments=True).spacing[0] == pytest.approx(5)


def test_element_that_highdicom_lacks_is_named(make: Any, folder: Path, tmp_path: Path) -> None:
    volume = make.read(folder)
    del volume.headers[0].PixelSpacing
    with pytest.raises(FormatError, match="PixelSpacing of the series is missing or invalid") as caught:
        write(tmp_path / "seg.dcm", volume)
    assert caught.value.where == str(folder)
    assert caught.value.cure.endswith("--to nifti")


@pytest.mark.parametrize(
    "values",
    [
        {"PatientName": None, "PatientID": None, "PatientBirthDate": None, "PatientSex": None, "StudyID": None},
        {"StudyDate": None, "StudyTime": None, "AccessionNumber": None, "ReferringPhysicianName": None},
        {"PatientBirthDate": "unknown", "StudyDate": "00000000", "StudyTime": "99"},
        {"PatientSex": "X"},
        {"PatientName": "A" * 70, "PatientID": "B" * 70},
        {"LossyImageCompression": "01"},
    ],
)
def test_invalid_source_values_are_tolerated(make: Any, folder: Path, tmp_path: Path, values: dict[str, Any]) -> None:
    for file in folder.iterdir():
        make.change(file, **values)
    volume = make.read(folder)
    assert np.array_equal(as_stored(write(tmp_path / "seg.dcm", volume), volume), mask_of(volume))


def test_name_in_other_letters_is_kept(make: Any, folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        make.change(file, SpecificCharacterSet="ISO_IR 144", PatientName="Пример^Анна")
    data = pydicom.dcmread(write(tmp_path / "seg.dcm", make.read(folder)))
    assert str(data.PatientName) == "Пример^Анна"


def test_folder_that_cannot_be_made_is_one_line(plain: DicomVolume, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(GliomasegError) as caught:
        write(tmp_path / "file" / "seg.dcm", plain)
    assert "\n" not in caught.value.line()
