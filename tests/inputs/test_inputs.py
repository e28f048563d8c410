"""Files and folders become inputs: how they are grouped into scans, and the names of their results."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile

from files import touch
from gliomaseg.errors import DataError, FormatError, MissingExtraError
from gliomaseg.formats.dicom import Acquisition, write_series
from gliomaseg.inputs.case_selection import sequence_warnings
from gliomaseg.inputs.input import Input, Kind
from gliomaseg.prediction import join_sequences, list_inputs

VOXELS = np.arange(3 * 6 * 5, dtype=np.uint16).reshape(3, 6, 5)


def series(folder: Path, patient: str = "A", number: int = 1, description: str = "FLAIR") -> Path:
    write_series(folder, VOXELS, np.eye(4), acquisition=Acquisition(description, patient, number))
    return folder


def inputs_of(*paths: Path) -> list[tuple[str, Kind]]:
    return [(entry.name, entry.kind) for entry in list_inputs(list(paths))]


# --- DICOM


def test_a_folder_of_dicom_files_is_one_scan(tmp_path: Path) -> None:
    assert inputs_of(series(tmp_path / "anna")) == [("anna", Kind.SERIES)]


def test_a_study_with_one_folder_for_each_series_is_one_scan(tmp_path: Path) -> None:
    series(tmp_path / "anna" / "1", number=1)
    series(tmp_path / "anna" / "2", number=2, description="T1")
    assert inputs_of(tmp_path / "anna") == [("anna", Kind.SERIES)]


def test_a_folder_of_studies_gives_one_scan_for_each_study(tmp_path: Path) -> None:
    for patient in ("anna", "berta"):
        series(tmp_path / patient / "flair", patient, number=1)
        series(tmp_path / patient / "t1", patient, number=2)
    assert inputs_of(tmp_path) == [("anna", Kind.SERIES), ("berta", Kind.SERIES)]


@pytest.mark.parametrize("other", ["pat2.nii.gz", "scans/slice.tif", "deep/er/pat5.nii"])
def test_an_only_study_beside_other_scans_is_its_own_folder(tmp_path: Path, other: str) -> None:
    for number, name in enumerate(("flair", "t1"), start=1):
        series(tmp_path / "anna" / name, number=number)
    touch(tmp_path, "anna/report.pdf", "pat2_mask.nii.gz", "notes.txt")
    assert inputs_of(tmp_path) == [(tmp_path.name, Kind.SERIES)]
    touch(tmp_path, other)
    found = list_inputs([tmp_path])
    (study,) = (entry for entry in found if entry.kind is Kind.SERIES)
    assert (study.name, study.path, len(found)) == ("anna", tmp_path / "anna", 2)
    assert {file.path.name for file in found.skipped} == {"pat2_mask.nii.gz", "notes.txt"}


def test_an_only_series_beside_other_scans_has_the_folder_of_its_case_in_its_name(tmp_path: Path) -> None:
    flair = series(tmp_path / "anna" / "flair")
    touch(tmp_path, "pat2.nii.gz")
    assert [(entry.name, entry.path) for entry in list_inputs([tmp_path]) if entry.kind is Kind.SERIES] == [
        ("anna_flair", flair)
    ]


def test_folders_with_equal_names_are_named_after_their_parents(tmp_path: Path) -> None:
    for patient in ("anna", "berta"):
        series(tmp_path / patient / "flair", patient)
    assert inputs_of(tmp_path) == [("anna_flair", Kind.SERIES), ("berta_flair", Kind.SERIES)]


def test_series_of_two_studies_in_one_folder_are_two_scans(tmp_path: Path) -> None:
    for patient, names in {"A": ("one", "three"), "B": ("two", "four")}.items():
        for name in names:
            series(tmp_path / name, patient)
    assert [name for name, _ in inputs_of(tmp_path)] == ["four", "one", "three", "two"]


def test_files_without_a_suffix_are_dicom_by_their_first_bytes(tmp_path: Path) -> None:
    for file in series(tmp_path / "anna").iterdir():
        file.rename(file.with_name(f"IM.{file.stem}"))
    assert inputs_of(tmp_path / "anna") == [("anna", Kind.SERIES)]
    assert inputs_of(tmp_path / "anna" / "IM.0001") == [("IM.0001", Kind.SERIES)]


def test_a_zip_of_dicom_files_is_one_scan_and_another_zip_is_skipped(tmp_path: Path) -> None:
    folder = series(tmp_path / "files" / "anna")
    shutil.make_archive(str(tmp_path / "in" / "anna"), "zip", folder)
    with zipfile.ZipFile(tmp_path / "in" / "other.zip", "w") as box:
        box.writestr("thesis.txt", "precious")
    assert inputs_of(tmp_path / "in") == [("anna", Kind.SERIES)]


def test_a_zip_beside_a_folder_of_its_name_has_results_of_its_own(tmp_path: Path) -> None:
    folder = series(tmp_path / "anna", "A")
    shutil.make_archive(str(tmp_path / "anna"), "zip", series(tmp_path / "files", "B"))
    shutil.rmtree(tmp_path / "files")
    assert [name for name, _ in inputs_of(tmp_path)] == ["anna", "anna_zip"]
    assert [name for name, _ in inputs_of(tmp_path / "anna.zip", folder)] == ["anna_zip", "anna"]


def test_two_flair_images_of_a_case_are_two_inputs_that_name_each_other(tmp_path: Path) -> None:
    entries = list_inputs([touch(tmp_path, "p1_FLAIR_2.nii.gz", "p1_flair.nii.gz", "p2_flair.nii.gz")])
    what = "its case has another FLAIR ({}): each is predicted by itself; name one file to choose it"
    expected = [(what.format("p1_flair.nii.gz"),), (what.format("p1_FLAIR_2.nii.gz"),), ()]
    assert [entry.warnings for entry in entries] == expected


def test_dicomdir_and_predicted_segmentations_are_skipped(tmp_path: Path) -> None:
    folder = series(tmp_path / "disc" / "anna")
    shutil.copy(folder / "0001.dcm", tmp_path / "disc" / "DICOMDIR")
    shutil.copy(folder / "0001.dcm", tmp_path / "disc" / "anna_mask.dcm")
    series(tmp_path / "disc" / "berta", "B")
    assert inputs_of(tmp_path / "disc") == [("anna", Kind.SERIES), ("berta", Kind.SERIES)]


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    series(tmp_path / "anna")
    (tmp_path / "again").symlink_to(tmp_path)
    assert len(inputs_of(tmp_path)) == 1


# --- pictures


@pytest.mark.parametrize("names", [["a_1.png", "a_2.png", "a_10.png"], ["1.tif", "2.tif", "10.tif"]])
def test_numbered_images_of_one_name_are_one_stack_sorted_by_number(names: list[str], tmp_path: Path) -> None:
    (entry,) = list_inputs([touch(tmp_path / "anna", *names)])
    assert (entry.name, entry.kind) == ("anna", Kind.STACK)
    assert [file.name for file in entry.pictures] == names


@pytest.mark.parametrize(
    "names", [["a.png", "b.png"], ["a_1.png", "b_2.png"], ["a_1.png", "a_01.png"], ["a_1.png", "a_2.tif"], ["a_1.png"]]
)
def test_other_images_are_one_scan_each(names: list[str], tmp_path: Path) -> None:
    entries = list_inputs([touch(tmp_path / "anna", *names)])
    assert {entry.kind for entry in entries} == {Kind.PICTURE}
    assert len(entries) == len(names)


def test_a_tiff_of_several_pages_is_one_scan(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "anna.tif", np.zeros((3, 8, 8), np.uint8), photometric="minisblack")
    assert inputs_of(tmp_path / "anna.tif") == [("anna", Kind.PAGES)]


def test_the_working_directory_gives_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "anna", "1.png", "2.png")
    monkeypatch.chdir(tmp_path / "anna")
    assert inputs_of(Path()) == [("anna", Kind.STACK)]


# --- sequences


def test_joined_sequences_are_one_scan_named_after_flair(tmp_path: Path) -> None:
    touch(tmp_path, "a_flair.nii.gz", "a_t1.nii.gz")
    entry = join_sequences(tmp_path / "a_flair.nii.gz", t1=tmp_path / "a_t1.nii.gz", t1ce=None)
    assert entry.name == "a_flair"
    assert entry.t1 is not None
    assert entry.t1ce is None


def test_a_sequence_path_with_several_scans_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii.gz", "b.nii.gz")
    with pytest.raises(DataError, match="has 2 scans"):
        join_sequences(tmp_path, t1=None, t1ce=None)


def test_two_scans_of_one_name_get_the_names_of_their_folders(tmp_path: Path) -> None:
    paths = series(tmp_path / "a" / "flair"), series(tmp_path / "b" / "flair", "B")
    assert inputs_of(*paths) == [("a_flair", Kind.SERIES), ("b_flair", Kind.SERIES)]


def test_an_unreadable_zip_is_an_input_with_an_error(tmp_path: Path) -> None:
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04")
    with zipfile.ZipFile(tmp_path / "flipped.zip", "w", zipfile.ZIP_DEFLATED) as box:
        box.writestr("a", b"DICM" * 1000)
    damaged = bytearray((tmp_path / "flipped.zip").read_bytes())
    damaged[31:36] = b"\xff" * 5
    (tmp_path / "flipped.zip").write_bytes(damaged)
    assert [name for name, _ in inputs_of(tmp_path)] == ["cut", "flipped"]


def test_gaps_in_a_stack_are_detected(tmp_path: Path) -> None:
    (entry,) = list_inputs([touch(tmp_path / "anna", "a1.png", "a2.png", "a5.png")])
    assert entry.gaps == [(2, 5)]


# --- files that are not inputs


def reasons(*paths: Path) -> dict[str, str]:
    return {file.path.name: file.reason for file in list_inputs(list(paths)).skipped}


def test_system_files_and_hidden_files_are_counted_and_not_read(tmp_path: Path) -> None:
    touch(tmp_path / "PatZ", "PatZ_1.tif", "PatZ_2.tif", "._PatZ_1.tif", "._PatZ_2.tif", "Thumbs.db", ".DS_Store")
    touch(tmp_path / "__MACOSX" / "PatZ", "._PatZ_1.tif")
    inputs = list_inputs([tmp_path])
    assert [(entry.name, entry.kind, len(entry.pictures)) for entry in inputs] == [("PatZ", Kind.STACK, 2)]
    assert inputs.system_files == 5  # four in PatZ, and the folder __MACOSX
    assert not inputs.skipped


def test_beside_flair_other_sequences_and_masks_are_skipped_with_their_reasons(tmp_path: Path) -> None:
    names = ("sub-01_FLAIR", "sub-01_T1w", "sub-01_ce-gadolinium_T1w", "sub-01_T2w", "sub-01_PD", "sub-01_dseg")
    (entry,) = list_inputs([touch(tmp_path, *(f"{name}.nii.gz" for name in names))])
    assert entry.name == "sub-01_FLAIR"
    assert {file.path.name: file.reason for file in entry.skipped} == {
        "sub-01_T1w.nii.gz": "is T1 beside FLAIR",
        "sub-01_ce-gadolinium_T1w.nii.gz": "is T1 after contrast beside FLAIR",
        "sub-01_T2w.nii.gz": "is T2 beside FLAIR",
        "sub-01_PD.nii.gz": "is another sequence beside FLAIR",
        "sub-01_dseg.nii.gz": "is a mask by its name",
    }
    assert len(entry.warnings) == 1
    assert "sub-01_T1w.nii.gz" in entry.warnings[0]
    assert "--t1" in entry.warnings[0]


@pytest.mark.parametrize(
    ("flair", "others"),
    [
        ("UCSF-PDGM-0004_FLAIR", ("UCSF-PDGM-0004_FLAIR_bias", "UCSF-PDGM-0004_T1gad", "UCSF-PDGM-0004_ADC")),
        ("UCSF-PDGM-0004_FLAIR", ("UCSF-PDGM-0004_brain_segmentation", "UCSF-PDGM-0004_tumor_segmentation")),
        ("UPENN-GBM-00001_11_FLAIR", ("UPENN-GBM-00001_11_T1GD", "UPENN-GBM-00001_11_segm")),
        ("BraTS20_Training_001_flair", ("BraTS20_Training_001_t1ce", "BraTS20_Training_001_seg")),
        ("t2_tirm_tra_dark-fluid", ("t1_mprage_sag", "lesion", "adc")),
        ("7_t2_flair", ("5_t1_mprage", "3_dwi")),
        ("p1_flair", ("p1_T1_to_FLAIR", "p1_label", "p1_roi", "p1_consensus", "p1_GT")),
    ],
)
def test_a_case_of_a_data_set_or_hospital_is_its_flair(flair: str, others: tuple[str, ...], tmp_path: Path) -> None:
    touch(tmp_path, *(f"{name}.nii.gz" for name in (flair, *others)))
    inputs = list_inputs([tmp_path])
    assert [entry.name for entry in inputs] == [flair]
    assert {file.path.name for file in inputs.skipped} == {f"{name}.nii.gz" for name in others}


def test_sequences_in_folders_of_one_case_are_one_input(tmp_path: Path) -> None:
    for folder in ("FLAIR", "T1", "seg"):
        touch(tmp_path / "p1" / folder, "p1.nii.gz")
    (entry,) = list_inputs([tmp_path])
    assert entry.path.parent.name == "FLAIR"
    assert {file.path.parent.name for file in entry.skipped} == {"T1", "seg"}


def test_bids_derivatives_of_a_raw_flair_are_skipped(tmp_path: Path) -> None:
    touch(tmp_path / "sub-01" / "anat", "sub-01_FLAIR.nii.gz")
    touch(tmp_path / "derivatives" / "prep" / "sub-01" / "anat", "sub-01_space-MNI_FLAIR.nii.gz", "sub-01_dseg.nii.gz")
    inputs = list_inputs([tmp_path])
    assert [entry.name for entry in inputs] == ["sub-01_FLAIR"]
    assert len(inputs.skipped) == 2


def test_a_case_without_flair_is_predicted_with_a_warning(tmp_path: Path) -> None:
    (entry,) = list_inputs([touch(tmp_path, "anna_t1.nii.gz")])
    assert entry.warnings == ("is T1 by its name, expected FLAIR",)


def test_a_mask_that_is_named_is_predicted_with_a_warning(tmp_path: Path) -> None:
    (entry,) = list_inputs([touch(tmp_path, "anna_seg.nii.gz") / "anna_seg.nii.gz"])
    assert entry.warnings == ("is a mask by its name, expected FLAIR",)


@pytest.mark.parametrize(
    ("option", "name", "warning"),
    [
        ("t1", "anna_t1.nii.gz", None),
        ("t1", "t1_registered_to_flair.nii.gz", None),
        ("t1", "anything.nii.gz", None),
        ("t1", "anna_t2.nii.gz", "anna_t2.nii.gz is T2 by its name, expected T1"),
        ("t1", "bert_flair.nii.gz", "bert_flair.nii.gz is FLAIR by its name, expected T1"),
        ("t1", "anna_t1ce.nii.gz", "anna_t1ce.nii.gz is T1 after contrast by its name, expected T1"),
        ("t1ce", "anna_t1.nii.gz", "anna_t1.nii.gz is T1 by its name, expected T1 after contrast"),
        ("t1ce", "anna_seg.nii.gz", "anna_seg.nii.gz is a mask by its name, expected T1 after contrast"),
    ],
)
def test_a_sequence_with_the_name_of_another_gets_a_warning(
    option: str, name: str, warning: str | None, tmp_path: Path
) -> None:
    flair, given = (touch(tmp_path, "anna_flair.nii.gz", name) / file for file in ("anna_flair.nii.gz", name))
    entry = join_sequences(flair, **{"t1": None, "t1ce": None, option: given})
    assert sequence_warnings(entry) == ([warning] if warning else [])


def test_a_folder_of_masks_only_is_refused_with_their_names(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"anna_seg\.nii\.gz is a mask by its name; name a file to predict it anyway"):
        list_inputs([touch(tmp_path, "anna_seg.nii.gz")])


def test_images_in_a_folder_of_masks_are_skipped(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        touch(tmp_path / folder, *(f"slice_{k}.png" for k in range(1, 4)))
    inputs = list_inputs([tmp_path])
    assert [(entry.path.name, entry.kind) for entry in inputs] == [("images", Kind.STACK)]
    assert {file.reason for file in inputs.skipped} == {"is in a folder of masks"}


@pytest.mark.parametrize("index", ["DICOMDIR", "dicomdir"])
def test_a_logo_beside_dicom_files_is_skipped(tmp_path: Path, index: str) -> None:
    series(tmp_path / "disc" / "DICOM")
    touch(tmp_path / "disc", "logo.png", index)
    touch(tmp_path / "disc" / "viewer" / "icons", "ok.png")
    inputs = list_inputs([tmp_path / "disc"])
    assert [entry.kind for entry in inputs] == [Kind.SERIES]
    assert reasons(tmp_path / "disc") == dict.fromkeys(["logo.png", "ok.png"], "is an image beside DICOM files")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_slices_with_the_suffix_of_an_image_are_not_skipped(tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / "anna"
    series(folder)
    last = max(folder.glob("*.dcm"))
    last.rename(last.with_suffix(suffix))
    touch(folder, "logo" + suffix)
    inputs = list_inputs([folder])
    assert [(entry.path, entry.kind) for entry in inputs] == [(folder, Kind.SERIES)]
    assert reasons(folder) == {"logo" + suffix: "is an image beside DICOM files"}


def test_files_of_other_formats_are_named(tmp_path: Path) -> None:
    assert reasons(touch(tmp_path, "a.nii", "notes.txt")) == {"notes.txt": "is not an image, a volume or DICOM"}


# --- depth and links


def test_volumes_are_found_at_any_depth_and_named_after_their_cases(tmp_path: Path) -> None:
    touch(tmp_path / "p1", "flair.nii.gz")
    touch(tmp_path / "p2" / "mri", "flair.nii.gz")
    touch(tmp_path / "sub-03" / "ses-1" / "anat", "sub-03_ses-1_FLAIR.nii.gz")
    assert inputs_of(tmp_path) == [
        ("p1_flair", Kind.VOLUME), ("p2_flair", Kind.VOLUME), ("sub-03_ses-1_FLAIR", Kind.VOLUME)
    ]  # fmt: skip


def test_a_broken_link_to_a_volume_is_an_input_with_a_fault(tmp_path: Path) -> None:
    touch(tmp_path, "a_flair.nii.gz")
    (tmp_path / "b_flair.nii.gz").symlink_to("../.git/annex/objects/b.nii.gz")
    first, second = list_inputs([tmp_path])
    assert first.fault is None
    assert second.fault is not None
    assert "link target is ../.git/annex/objects/b.nii.gz, which does not exist; fetch" in second.fault.line()


def test_a_broken_link_among_slices_makes_the_stack_a_fault(tmp_path: Path) -> None:
    touch(tmp_path / "anna", "1.png", "3.png")
    (tmp_path / "anna" / "2.png").symlink_to("away.png")
    (entry,) = list_inputs([tmp_path / "anna"])
    assert (entry.kind, len(entry.pictures)) == (Kind.STACK, 3)
    assert "2.png" in (entry.fault.line() if entry.fault else "")


def test_a_broken_link_among_dicom_files_makes_the_series_a_fault(tmp_path: Path) -> None:
    (series(tmp_path / "anna") / "0009.dcm").symlink_to("away.dcm")
    (entry,) = list_inputs([tmp_path / "anna"])
    assert "0009.dcm" in (entry.fault.line() if entry.fault else "")


def test_a_link_to_a_folder_of_volumes_is_followed_once(tmp_path: Path) -> None:
    touch(tmp_path / "store", "flair.nii.gz")
    (tmp_path / "data").mkdir()
    for name in ("anna", "berta"):
        (tmp_path / "data" / name).symlink_to(tmp_path / "store")
    (tmp_path / "data" / "up").symlink_to(tmp_path)
    assert inputs_of(tmp_path / "data") == [("anna_flair", Kind.VOLUME)]


def test_the_folder_of_the_results_is_not_searched(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii")
    touch(tmp_path / "out", "b.png", "a_mask.nii.gz")
    assert [entry.name for entry in list_inputs([tmp_path], without=tmp_path / "out")] == ["a"]


def test_without_the_extra_dicom_each_folder_is_an_input_with_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def study_of(_folder: Path) -> str:
        raise MissingExtraError("DICOM needs pydicom")

    monkeypatch.setattr("gliomaseg.inputs.dicom_inputs.study_of", study_of)
    series(tmp_path / "anna")
    touch(tmp_path, "b.nii")
    volume, study = list_inputs([tmp_path])
    assert volume.fault is None
    assert isinstance(study.fault, MissingExtraError)


def test_channels_of_nnunet_are_chosen_by_their_names_in_the_data_set(tmp_path: Path) -> None:
    touch(tmp_path / "imagesTr", *(f"BRATS_001_000{k}.nii.gz" for k in range(4)))
    touch(tmp_path / "labelsTr", "BRATS_001.nii.gz")
    assert [len(entry.warnings) for entry in list_inputs([tmp_path])] == [1, 1, 1, 1]
    names = {"0": "T1", "1": "T1ce", "2": "T2", "3": "FLAIR"}
    (tmp_path / "dataset.json").write_text(json.dumps({"channel_names": names}))
    assert inputs_of(tmp_path) == [("BRATS_001_0003", Kind.VOLUME)]


def test_numbered_images_of_several_sequences_are_one_stack_of_flair(tmp_path: Path) -> None:
    touch(tmp_path / "p1", *(f"p1_{name}_{k}.png" for name in ("flair", "t1", "seg") for k in (1, 2, 3)))
    (entry,) = list_inputs([tmp_path / "p1"])
    assert (entry.name, entry.kind, len(entry.pictures), len(entry.skipped)) == ("p1_flair", Kind.STACK, 3, 6)


@pytest.mark.parametrize("lost", ["a_4.jpg", "a_4", "a_4.tif", "a_04.bmp"])
def test_a_slice_in_another_format_makes_the_stack_a_fault(lost: str, tmp_path: Path) -> None:
    (entry,) = list_inputs([touch(tmp_path / "anna", "a_1.png", "a_2.png", "a_3.png", lost)])
    assert isinstance(entry.fault, FormatError)
    assert f"{lost}: suffix is" in entry.fault.line()
    assert "expected .png" in entry.fault.line()


@pytest.mark.parametrize("other", ["a_3.jpg", "a_3.txt", "a_4.json", "b_4.jpg"])
def test_another_file_beside_slices_does_not_make_the_stack_a_fault(other: str, tmp_path: Path) -> None:
    inputs = list_inputs([touch(tmp_path / "anna", "a_1.png", "a_2.png", "a_3.png", other)])
    assert [entry.fault for entry in inputs if entry.kind is Kind.STACK] == [None]


def test_both_suffixes_of_tiff_are_one_stack(tmp_path: Path) -> None:
    (entry,) = list_inputs([touch(tmp_path / "anna", "a_1.tif", "a_2.tiff", "a_3.TIF")])
    assert (entry.kind, entry.numbers) == (Kind.STACK, (1, 2, 3))


# --- NIfTI pairs


def test_a_nifti_pair_is_one_input(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Pair(np.zeros((2, 3, 4), np.int16), np.eye(4)), tmp_path / "a.hdr")
    header, voxels = tmp_path / "a.hdr", tmp_path / "a.img"
    for named in ([tmp_path], [header], [voxels], [header, voxels]):
        assert [entry.path for entry in list_inputs(named)] == [header]


def test_dicom_files_named_img_are_one_series(tmp_path: Path) -> None:
    folder = series(tmp_path / "anna")
    for number, file in enumerate(sorted(folder.iterdir())):
        file.rename(folder / f"{number}.img")
    assert inputs_of(folder) == [("anna", Kind.SERIES)]
    assert inputs_of(folder / "0.img") == [("0.img", Kind.SERIES)]


def test_a_stack_that_goes_on_in_a_subfolder_is_refused(tmp_path: Path) -> None:
    touch(tmp_path / "anna", *(f"slice_{k:02}.png" for k in range(1, 10)))
    touch(tmp_path / "anna" / "more", *(f"slice_{k:02}.png" for k in range(10, 15)))
    faults = [str(entry.fault) for entry in list_inputs([tmp_path / "anna"])]
    assert len(faults) == 2
    assert all("goes on in more: slices 10 to 14" in fault and "into one folder" in fault for fault in faults)


@pytest.mark.parametrize(("first", "second"), [("p1", "p2"), ("slice", "image")])
def test_another_stack_in_a_subfolder_is_an_input_of_its_own(tmp_path: Path, first: str, second: str) -> None:
    touch(tmp_path / "all", *(f"{first}_{k}.png" for k in range(1, 10)))
    touch(tmp_path / "all" / "sub", *(f"{second}_{k}.png" for k in range(10, 15)))
    assert [entry.fault for entry in list_inputs([tmp_path / "all"])] == [None, None]


def test_the_digest_of_a_folder_leaves_out_the_results_in_it(tmp_path):
    (tmp_path / "slice").write_bytes(b"first")
    entry, results = Input(tmp_path, Kind.SERIES), tmp_path / "masks"
    before = entry.content_digest(without=results)
    results.mkdir()
    (results / "mask").write_bytes(b"mask")
    assert entry.content_digest(without=results) == before
    (tmp_path / "slice").write_bytes(b"other")
    assert entry.content_digest(without=results) != before
