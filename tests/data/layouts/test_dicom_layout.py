"""DICOM data sets: series and masks are matched by their UIDs, and nothing that was not used is silent."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from dicom_masks import outlines, write_segments, write_structures
from gliomaseg.data.case import Case, VolumeFile, Volumes, read_case
from gliomaseg.data.case_audit import examine_case
from gliomaseg.data.case_list import CaseList, DataOptions
from gliomaseg.data.layouts import read_cases
from gliomaseg.data.layouts.dicom import recognise
from gliomaseg.data.masks import MaskLabels
from gliomaseg.errors import DataError, MissingExtraError
from gliomaseg.formats import Grid, write_volume
from gliomaseg.formats.dicom import Acquisition, DicomVolume, read_dicom, write_segmentation, write_series
from gliomaseg.formats.dicom.files import open_source_files
from gliomaseg.types import Sequence

SHAPE = (4, 20, 18)
AFFINE = np.array([[-0.8, 0, 0, 40.5], [0, -0.9, 0, 20.25], [0, 0, 5, -7], [0, 0, 0, 1.0]])
T1 = {"repetition_ms": 500, "echo_ms": 10, "inversion_ms": None}
ACQUISITIONS: dict[str, Any] = {
    "flair": {"description": "AX T2 FLAIR", "number": 1},
    "t1": {"description": "AX T1 SE", "number": 2, **T1},
    "t1ce": {"description": "AX T1 SE +C", "number": 3, **T1},
}


def write(folder: Path, kind: str, patient: str, *, affine: NDArray[np.float64] = AFFINE, **changes: Any) -> Path:
    voxels = np.random.default_rng(len(kind)).integers(0, 4096, SHAPE, np.uint16)
    acquisition = Acquisition(**{**ACQUISITIONS[kind], "patient": patient, **changes})
    write_series(folder, voxels, affine, acquisition=acquisition)
    return folder


def volume_of(folder: Path, series: str | None = None) -> DicomVolume:
    return read_dicom(folder, series=series, max_bytes=1 << 28)


def mask(seed: int = 0) -> NDArray[np.bool_]:
    return np.random.default_rng(seed).random(SHAPE) < 0.1


def write_patient(folder: Path, patient: str, sequences: tuple[str, ...] = ("flair", "t1", "t1ce")) -> Path:
    """Write series in folders of their own, and the mask in the patient's folder."""
    for kind in sequences:
        write(folder / kind, kind, patient)
    write_segments(folder / "seg.dcm", volume_of(folder / "flair"), {1: mask()})
    return folder


def read(data: Path, **options: Any) -> CaseList:
    return read_cases(data, DataOptions(**options))


def volumes_of(case: Case) -> Volumes:
    assert case.volumes is not None
    return case.volumes


def problems(cases: CaseList) -> dict[str, str]:
    return {entry.where: entry.what for entry in cases.problems}


def skipped(cases: CaseList) -> dict[str, str]:
    return {entry.where: entry.what for entry in cases.skipped}


def test_series_of_a_study_are_a_case(tmp_path: Path) -> None:
    write_patient(tmp_path / "set" / "P1", "4711")
    (case,) = read(tmp_path / "set").cases
    assert (case.name, case.patient, case.site, case.date) == ("P1", "P1", "unknown", None)
    images = volumes_of(case).images
    assert {key: volume.path.name for key, volume in images.items()} == {key: key.value for key in images}
    assert set(images) == {Sequence.FLAIR, Sequence.T1, Sequence.T1CE}
    loaded = read_case(case)
    assert np.array_equal(loaded.reference, mask())
    assert loaded.scan.available == set(images)


@pytest.mark.parametrize("write_mask", ["seg", "rtstruct"])
def test_all_files_may_lie_in_one_folder(write_mask: str, tmp_path: Path) -> None:
    folder = tmp_path / "set" / "Müller 1"
    for kind in ("flair", "t1"):
        for file in write(tmp_path / kind, kind, "4711").iterdir():
            folder.mkdir(parents=True, exist_ok=True)
            shutil.move(file, folder / f"{kind}{file.stem}")  # without a suffix
    volume = volume_of(folder)
    if write_mask == "seg":
        write_segments(folder / "mask", volume, {1: mask()})
    else:
        write_structures(folder / "mask", volume, {1: outlines(mask())})
    (case,) = read(tmp_path / "set").cases
    assert case.name == "Müller 1"
    assert set(volumes_of(case).images) == {Sequence.FLAIR, Sequence.T1}
    assert np.array_equal(read_case(case).reference, mask())


def test_masks_may_lie_apart_and_folders_may_be_deep(tmp_path: Path) -> None:
    data = tmp_path / "set"
    for patient in ("P1", "P2"):
        write(data / "images" / patient / "20010101" / "MR 1", "flair", patient)
        volume = volume_of(data / "images" / patient)
        (data / "masks").mkdir(exist_ok=True)
        write_segments(data / "masks" / f"{patient}.dcm", volume, {1: mask(len(patient))})
    cases = read(data)
    assert [case.name for case in cases.cases] == ["P1", "P2"]
    assert [volumes_of(case).mask.path.name for case in cases.cases] == ["P1.dcm", "P2.dcm"]
    assert cases.problems == ()


def test_examinations_with_one_patient_id_are_one_patient(tmp_path: Path) -> None:
    data = tmp_path / "set"
    for folder, patient in (("P1/first", "A"), ("P1/second", "A"), ("P2", "B"), ("other name", "B")):
        write(data / folder / "flair", "flair", patient, description=f"FLAIR {folder}")
        write_segments(data / folder / "seg.dcm", volume_of(data / folder / "flair"), {1: mask()})
    cases = read(data)
    patients = {case.name: case.patient for case in cases.cases}
    assert patients == {"P1_first": "P1", "P1_second": "P1", "P2": "P2", "other name": "P2"}


def test_patient_ids_that_say_nothing_do_not_join_patients(tmp_path: Path) -> None:
    for folder in ("P1", "P2"):
        write(tmp_path / folder / "flair", "flair", "Anonymous", description=f"FLAIR {folder}")
        write_segments(tmp_path / folder / "seg.dcm", volume_of(tmp_path / folder / "flair"), {1: mask()})
    assert [case.patient for case in read(tmp_path).cases] == ["P1", "P2"]


def test_site_and_date_are_those_of_the_folder(tmp_path: Path) -> None:
    write_patient(tmp_path / "TCGA_CS_4941_19960909", "4711", ("flair",))
    (case,) = read(tmp_path).cases
    assert (case.patient, case.site, case.date) == ("TCGA_CS_4941", "CS", "19960909")


def test_sequences_without_a_name_are_recognised_by_their_header(tmp_path: Path) -> None:
    folder = tmp_path / "P1"
    write(folder / "1", "flair", "A", description="series 1")
    write(folder / "2", "t1", "A", description="series 2")
    write(folder / "3", "t1", "A", description="series 3", number=3)
    for file in (folder / "3").iterdir():
        data = pydicom.dcmread(file)
        data.ContrastBolusAgent = "Gadovist"
        data.save_as(file)
    write_segments(folder / "seg.dcm", volume_of(folder / "1"), {1: mask()})
    (case,) = read(tmp_path).cases
    named = {sequence: volume.path.name for sequence, volume in volumes_of(case).images.items()}
    assert named == {Sequence.FLAIR: "1", Sequence.T1: "2", Sequence.T1CE: "3"}


def test_sequences_that_cannot_be_used_are_skipped_with_the_reason(tmp_path: Path) -> None:
    folder = write_patient(tmp_path / "P1", "A", ("flair",))
    write(folder / "t1", "t1", "A", affine=moved(3))
    for file in (folder / "t1").iterdir():
        data = pydicom.dcmread(file)
        data.FrameOfReferenceUID = "1.2.3"
        data.save_as(file)
    write(folder / "t1ce", "t1ce", "A")
    write(folder / "t1ce again", "t1ce", "A", number=4)
    write(folder / "dwi", "flair", "A", description="DWI b1000", number=7, inversion_ms=None)
    cases = read(tmp_path)
    (case,) = cases.cases
    assert set(volumes_of(case).images) == {Sequence.FLAIR}
    reasons = skipped(cases)
    assert "series number 2 (4 files, t1) has another FrameOfReferenceUID and another grid" in reasons["P1/t1"]
    for name in ("P1/t1ce", "P1/t1ce again"):
        assert "is one of several t1ce series of its study" in reasons[name]
    assert reasons["P1/dwi"] == "series number 7 (4 files) is not recognised as FLAIR, T1 or T2"
    assert cases.problems == ()


def moved(x_mm: float) -> NDArray[np.float64]:
    affine = AFFINE.copy()
    affine[0, 3] += x_mm
    return affine


def test_a_sequence_on_another_grid_is_resampled(tmp_path: Path) -> None:
    folder = write_patient(tmp_path / "P1", "A", ("flair",))
    write(folder / "t1", "t1", "A", affine=moved(0.8))  # a voxel to the right: FLAIR begins at its second column
    (case,) = read(tmp_path).cases
    scan = read_case(case).scan
    assert "T1 was resampled to the grid of FLAIR, from 18 x 20 x 4 voxels of 0.8 x 0.9 x 5 mm" in scan.notes[0]
    stored = read_dicom(folder / "t1", max_bytes=1 << 28).voxels
    assert np.array_equal(scan.voxels[..., 1:-1, 0], stored[..., 2:])


def test_the_series_on_the_grid_of_flair_is_used_before_another(tmp_path: Path) -> None:
    folder = write_patient(tmp_path / "P1", "A", ("flair", "t1"))
    write(folder / "t1 sagittal", "t1", "A", number=9, affine=moved(0.8))
    (case,) = read(tmp_path).cases
    assert volumes_of(case).images[Sequence.T1].path.name == "t1"


def test_several_masks_of_one_series_are_a_problem_that_names_them(tmp_path: Path) -> None:
    write_patient(tmp_path / "P1", "A", ("flair",))
    folder = write_patient(tmp_path / "P2", "B", ("flair",))
    write_structures(folder / "rt.dcm", volume_of(folder / "flair"), {1: outlines(mask())})
    cases = read(tmp_path)
    assert [case.name for case in cases.cases] == ["P1"]
    assert problems(cases) == {"P2/flair": "has 2 masks that refer to FLAIR (P2/rt.dcm, P2/seg.dcm), expected 1"}


def test_mask_of_another_series_is_a_problem(tmp_path: Path) -> None:
    write_patient(tmp_path / "P1", "A", ("flair",))
    write(tmp_path / "P2" / "flair", "flair", "B")
    write(tmp_path / "P2" / "t1ce", "t1ce", "B")
    write_segments(tmp_path / "P2" / "seg.dcm", volume_of(tmp_path / "P2" / "t1ce"), {1: mask()})
    write(tmp_path / "gone", "flair", "C")
    uid = volume_of(tmp_path / "gone").series_uid
    write_segments(tmp_path / "P2" / "lost.dcm", volume_of(tmp_path / "gone"), {1: mask()})
    shutil.rmtree(tmp_path / "gone")
    cases = read(tmp_path)
    assert problems(cases) == {
        "P2/lost.dcm": f"SEG refers to series {uid}, which is not in the data set",
        "P2/seg.dcm": "SEG refers to series number 3 (4 files, t1ce), which is not recognised as FLAIR",
    }
    assert "has no SEG or RTSTRUCT that refers to it" in skipped(cases)["P2/flair"]
    assert cases.notes == ("1 FLAIR series without a mask are skipped",)


def test_mask_without_a_series_is_matched_by_its_frame_of_reference(tmp_path: Path) -> None:
    for patient in ("P1", "P2"):
        folder = tmp_path / patient
        write(folder / "flair", "flair", patient)
        volume = volume_of(folder / "flair")
        write_structures(folder / "rt.dcm", volume, {1: outlines(mask(len(patient)))}, names_series=False)
    cases = read(tmp_path)
    assert [case.name for case in cases.cases] == ["P1", "P2"]
    assert np.array_equal(read_case(cases.cases[1]).reference, mask(2))


def test_labels_are_segments_and_regions(tmp_path: Path) -> None:
    folder = tmp_path / "P1"
    write(folder / "flair", "flair", "A")
    volume = volume_of(folder / "flair")
    parts = {1: mask(1), 2: mask(1) | mask(2), 3: mask(3)}
    write_segments(folder / "seg.dcm", volume, parts)
    (case,) = read(tmp_path, labels=MaskLabels(frozenset({1, 3}))).cases
    assert np.array_equal(read_case(case).reference, parts[1] | parts[3])
    write_structures(folder / "seg.dcm", volume, {number * 50: outlines(part) for number, part in parts.items()})
    (case,) = read(tmp_path).cases
    assert np.array_equal(read_case(case).reference, parts[2] | parts[3])
    (case,) = read(tmp_path, labels=MaskLabels(frozenset({150}))).cases
    assert np.array_equal(read_case(case).reference, parts[3])


def test_label_map_of_overlapping_segments_shows_the_smaller_one(tmp_path: Path) -> None:
    write(tmp_path / "flair", "flair", "A")
    volume = volume_of(tmp_path / "flair")
    file = write_segments(tmp_path / "seg.dcm", volume, {1: mask(1), 2: mask(1) | mask(2)})
    case = Case("a", "a", volumes=Volumes({Sequence.FLAIR: VolumeFile(tmp_path / "flair")}, VolumeFile(file)))
    values = read_case(case, with_values=True).values
    assert values is not None
    assert np.array_equal(values == 1, mask(1))
    assert np.array_equal(values > 0, mask(1) | mask(2))


def test_a_case_with_values_reads_each_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "flair", "flair", "A")
    file = write_segments(tmp_path / "seg.dcm", volume_of(tmp_path / "flair"), {1: mask(1)})
    opened: list[Path] = []

    def record(path: Path) -> Any:
        opened.append(path)
        return open_source_files(path)

    monkeypatch.setattr("gliomaseg.formats.dicom.reader.open_source_files", record)
    monkeypatch.setattr("gliomaseg.formats.dicom.label_reader.open_source_files", record)
    case = Case("a", "a", volumes=Volumes({Sequence.FLAIR: VolumeFile(tmp_path / "flair")}, VolumeFile(file)))
    assert examine_case(case).findings.labels == {"0": mask(1).size - mask(1).sum(), "1": mask(1).sum()}
    assert opened == [tmp_path / "flair", file]


def test_masks_and_images_may_be_of_different_formats(tmp_path: Path) -> None:
    write(tmp_path / "flair", "flair", "A")
    volume = volume_of(tmp_path / "flair")
    segmentation = write_segments(tmp_path / "seg.dcm", volume, {1: mask()})
    grid = Grid(SHAPE, volume.affine)
    write_volume(tmp_path / "flair.nii.gz", volume.voxels.astype(np.int16), grid, description="image")
    write_volume(tmp_path / "seg.nii.gz", mask().astype(np.uint8), grid, description="mask")
    for image, reference in ((tmp_path / "flair.nii.gz", segmentation), (tmp_path / "flair", tmp_path / "seg.nii.gz")):
        case = Case("a", "a", volumes=Volumes({Sequence.FLAIR: VolumeFile(image)}, VolumeFile(reference)))
        assert np.array_equal(read_case(case).reference, mask())


def test_mask_of_another_series_is_refused_when_a_case_is_read(tmp_path: Path) -> None:
    write(tmp_path / "flair", "flair", "A")
    write(tmp_path / "other", "flair", "B")
    file = write_segments(tmp_path / "seg.dcm", volume_of(tmp_path / "other"), {1: mask()})
    case = Case("a", "a", volumes=Volumes({Sequence.FLAIR: VolumeFile(tmp_path / "flair")}, VolumeFile(file)))
    with pytest.raises(DataError, match=volume_of(tmp_path / "flair").series_uid) as caught:
        read_case(case)
    assert volume_of(tmp_path / "other").series_uid in caught.value.line()


def break_file(file: Path, how: str) -> Path:
    if how == "empty":
        file.write_bytes(b"")
    elif how == "zeros":
        file.write_bytes(bytes(500))
    elif how == "cut":
        file.write_bytes(file.read_bytes()[:300])
    elif how == "text":
        file.write_text("not DICOM\n")
    else:
        file.unlink()
        file.symlink_to("nowhere")
    return file


@pytest.mark.parametrize("how", ["empty", "zeros", "cut", "text", "link"])
def test_damaged_file_is_one_problem(how: str, tmp_path: Path) -> None:
    write_patient(tmp_path / "P1", "A", ("flair",))
    folder = write_patient(tmp_path / "P2", "B", ("flair", "t1"))
    break_file(folder / "t1" / "0002.dcm", how)
    cases = read(tmp_path)
    assert list(problems(cases)) == ["P2/t1/0002.dcm"]
    assert "\n" not in problems(cases)["P2/t1/0002.dcm"]
    assert [case.name for case in cases.cases] == ["P1", "P2"]


def test_series_with_a_missing_slice_is_a_problem(tmp_path: Path) -> None:
    write_patient(tmp_path / "P1", "A", ("flair",))
    folder = write_patient(tmp_path / "P2", "B", ("flair",))
    (folder / "flair" / "0002.dcm").unlink()
    cases = read(tmp_path)
    assert [case.name for case in cases.cases] == ["P1"]
    reason = problems(cases)["P2/flair"]
    assert reason.startswith("FLAIR is not one volume: slice spacing is 5.00 to 10.00 mm")
    assert str(tmp_path) not in reason


def test_other_files_are_skipped_with_the_reason(tmp_path: Path) -> None:
    folder = write_patient(tmp_path / "P1", "A", ("flair",))
    for name in ("notes.txt", "._0001.dcm", "scan.zip", "DICOMDIR"):
        (folder / name).write_bytes(b"text")
    report = pydicom.dcmread(folder / "flair" / "0001.dcm")
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    report.save_as(folder / "capture.dcm")
    reasons = skipped(read(tmp_path))
    assert reasons["P1/notes.txt"] == "is a text file, not DICOM"
    assert "is a zip" in reasons["P1/scan.zip"]
    assert "DICOMDIR" in reasons["P1/DICOMDIR"]
    assert reasons["P1/capture.dcm"] == "is Secondary Capture Image Storage, not an MR image or mask"
    assert reasons["P1/._0001.dcm"]


def test_folder_without_a_case_is_one_line(tmp_path: Path) -> None:
    write(tmp_path / "P1", "flair", "A")
    with pytest.raises(DataError, match="has no case: 1 MR series, 1 of them FLAIR, and 0 masks"):
        read(tmp_path)


def test_no_result_has_a_value_of_the_header(tmp_path: Path) -> None:
    write_patient(tmp_path / "P1", "Secret", ("flair", "t1"))
    write(tmp_path / "P1" / "more", "flair", "Secret", description="Secret", number=9, inversion_ms=None, echo_ms=1)
    cases = read(tmp_path)
    assert "Secret" not in repr(cases)


def test_layout_is_recognised_by_suffix_or_first_bytes(tmp_path: Path) -> None:
    assert not recognise(tmp_path)
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "a.tif").write_bytes(b"II*\0")
    (tmp_path / "a_mask.dcm").write_bytes(b"DICM")  # a result of predict beside volumes
    (tmp_path / "sourcedata").mkdir()
    (tmp_path / "sourcedata" / "0001.dcm").write_bytes(b"DICM")  # in a data set in BIDS
    assert not recognise(tmp_path)
    write(tmp_path / "P1", "flair", "A")
    assert recognise(tmp_path)
    for file in (tmp_path / "P1").iterdir():
        file.rename(file.with_suffix(".1.2.3"))
    assert recognise(tmp_path)
    assert not recognise(tmp_path / "a.txt")


def test_missing_extra_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_patient(tmp_path / "P1", "A", ("flair",))
    forget: Callable[[str], None] = lambda name: monkeypatch.delitem(sys.modules, name)  # noqa: E731
    for name in [name for name in sys.modules if name.startswith("gliomaseg.formats.dicom.")]:
        if name.rpartition(".")[2] in ("object_list", "label_reader"):
            forget(name)
    for name in ("pydicom", "highdicom"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r'pip install "gliomaseg\[dicom\]"') as caught:
        read(tmp_path)
    assert "\n" not in caught.value.line()


def test_real_series_is_not_taken_for_flair(real_scans: Path, tmp_path: Path) -> None:
    shutil.unpack_archive(real_scans / "dicom_t1_sagittal.zip", tmp_path / "set" / "P1")
    volume = volume_of(tmp_path / "set")
    reference = np.random.default_rng(0).random(volume.voxels.shape) < 0.05
    file = tmp_path / "set" / "P1" / "reference.dcm"
    write_segmentation(file, mask=reference, volume=volume, model_name="m", model_version="1", deidentify=True)
    with pytest.raises(DataError, match=r"reference\.dcm SEG refers to .* t1\), which is not recognised as FLAIR"):
        read(tmp_path / "set")
    case = Case("a", "a", volumes=Volumes({Sequence.FLAIR: VolumeFile(tmp_path / "set")}, VolumeFile(file)))
    assert np.array_equal(read_case(case).reference, reference)
