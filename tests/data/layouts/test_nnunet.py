"""nnU-Net and the Medical Segmentation Decathlon: which files are a case, and what is said of the others."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from gliomaseg.data.case import read_case
from gliomaseg.data.case_list import CaseList, DataOptions
from gliomaseg.data.layouts import LAYOUTS, read_cases
from gliomaseg.data.masks import MaskLabels
from gliomaseg.errors import DataError, FormatError, UsageError
from gliomaseg.phantoms import phantom_patient
from gliomaseg.types import Sequence
from volume_cases import SHAPE, noise, require_training_and_scores, save

FOUR = {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}


def labels_of_four() -> np.ndarray:
    mask = np.zeros(SHAPE, np.uint8)
    mask[0, 0, :4] = 1, 2, 3, 4
    return mask


def describe(root: Path, **tree: Any) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "dataset.json").write_text(json.dumps(tree), "utf-8")
    return root


def version_2(root: Path, names: tuple[str, ...] = ("case_1", "case_2"), **changes: Any) -> Path:
    """Write a data set of nnU-Net 2 with a file for each of four channels."""
    tree = {"channel_names": FOUR, "labels": {"background": 0, "tumour": 1}, "file_ending": ".nii.gz"}
    describe(root, **{**tree, **changes})
    for seed, name in enumerate(names):
        for channel in range(4):
            save(root / "imagesTr" / f"{name}_{channel:04}.nii.gz", noise(10 * seed + channel))
        save(root / "labelsTr" / f"{name}.nii.gz", labels_of_four())
    return root


def decathlon(root: Path) -> Path:
    """Write the same two cases as `version_2` in 4D files."""
    training = [{"image": f"./imagesTr/case_{k}.nii.gz", "label": f"./labelsTr/case_{k}.nii.gz"} for k in (1, 2)]
    labels = {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"}
    describe(root, modality=FOUR, labels=labels, tensorImageSize="4D", numTraining=2, training=training)
    for seed in range(2):
        channels = np.stack([noise(10 * seed + channel) for channel in range(4)], axis=3)
        save(root / "imagesTr" / f"case_{seed + 1}.nii.gz", channels)
        save(root / "labelsTr" / f"case_{seed + 1}.nii.gz", labels_of_four())
    return root


def problems(cases: CaseList) -> dict[str, str]:
    return {entry.where: entry.what for entry in cases.problems}


def skipped(cases: CaseList) -> dict[str, str]:
    return {entry.where: entry.what for entry in cases.skipped}


@pytest.mark.parametrize("write", [version_2, decathlon])
def test_each_case_has_the_sequences_that_dataset_json_names(tmp_path: Path, write: Any) -> None:
    cases = read_cases(write(tmp_path))
    assert (cases.layout, cases.problems, cases.skipped, cases.notes) == ("nnunet", (), (), ())
    assert [(case.name, case.patient) for case in cases.cases] == [("case_1", "case_1"), ("case_2", "case_2")]
    for seed, case in enumerate(cases.cases):
        assert case.volumes is not None
        assert set(case.volumes.images) == set(Sequence)
        loaded = read_case(case)
        # (x, y, z) of the file is (z, y, x) here; channels are T1, FLAIR, T1ce.
        for channel, number in enumerate((1, 0, 2)):
            assert np.array_equal(loaded.scan.voxels[..., channel], noise(10 * seed + number).T)
        assert np.array_equal(loaded.reference, labels_of_four().T > 0)


@pytest.mark.parametrize(
    "names",
    [
        {"FLAIR": 0, "T1w": 1, "T1ce": 2, "T2": 3},
        ["FLAIR", "T1", "T1-Gd", "T2w"],
        {"0": "Flair", "1": "T1", "2": "T1CE", "3": "T2"},
        {"3": "T2", "2": "t1wce", "1": "T1w", "0": "T2-FLAIR"},
    ],
)
def test_channel_names_may_be_written_in_other_ways(tmp_path: Path, names: Any) -> None:
    case = read_cases(version_2(tmp_path, channel_names=names)).cases[0]
    assert case.volumes is not None
    found = {key: volume.path.name for key, volume in case.volumes.images.items()}
    assert found == {
        Sequence.FLAIR: "case_1_0000.nii.gz",
        Sequence.T1: "case_1_0001.nii.gz",
        Sequence.T1CE: "case_1_0002.nii.gz",
        Sequence.T2: "case_1_0003.nii.gz",
    }


@pytest.mark.parametrize("names", [{"0": "T1w", "1": "T2w"}, {"0": "MRI"}, {"0": "FLAIR", "1": "flair_bias"}])
def test_a_data_set_without_exactly_one_flair_channel_is_refused(tmp_path: Path, names: dict[str, str]) -> None:
    message = f"channels are {', '.join(names.values())}, expected one FLAIR"
    with pytest.raises(DataError, match=re.escape(message)):
        read_cases(version_2(tmp_path, channel_names=names))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not a JSON file"),
        ("[1]", "is a JSON list, expected an object"),
        ("{}", "has neither channel_names nor modality"),
        ('{"channel_names": {"1": "FLAIR"}}', "expected numbers from 0"),
        ('{"channel_names": {"0": "FLAIR"}, "file_ending": ".png"}', r"file_ending is \.png, expected a volume"),
        ('{"channel_names": {"0": "FLAIR"}, "dataset": {"a": {"images": []}}}', "expected images and a label"),
        (
            '{"channel_names": {"0": "FLAIR"}, "dataset": {"../a": {"images": ["a"], "label": "b"}}}',
            r"case of dataset is '\.\./a', expected a file name",
        ),
    ],
)
def test_a_wrong_dataset_json_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    (version_2(tmp_path) / "dataset.json").write_text(text, "utf-8")
    with pytest.raises(DataError, match=message) as caught:
        read_cases(tmp_path)
    assert caught.value.where == str(tmp_path / "dataset.json")


def test_one_channel_may_be_in_a_3d_file_without_a_number(tmp_path: Path) -> None:
    describe(tmp_path, modality={"0": "FLAIR"}, labels={"0": "background", "1": "tumour"})
    save(tmp_path / "imagesTr" / "a.nii.gz", noise(1))
    save(tmp_path / "labelsTr" / "a.nii.gz", labels_of_four())
    (case,) = read_cases(tmp_path).cases
    assert np.array_equal(read_case(case).scan.voxels[..., 0], noise(1).T)


def test_a_case_whose_name_ends_like_a_channel_is_a_case(tmp_path: Path) -> None:
    describe(tmp_path, modality={"0": "FLAIR"})
    for year in ("2021", "2022"):
        save(tmp_path / "imagesTr" / f"exam_{year}.nii.gz", noise(1))
        save(tmp_path / "labelsTr" / f"exam_{year}.nii.gz", labels_of_four())
    assert [case.name for case in read_cases(tmp_path).cases] == ["exam_2021", "exam_2022"]


@pytest.mark.parametrize(
    ("labels", "chosen", "columns"),
    [
        ({"background": 0, "oedema": 1, "core": 2, "active": 3, "other": 4}, None, [0, 1, 2, 3]),
        ({"background": 0, "oedema": 1, "core": 2, "active": 3, "ignore": 4}, None, [0, 1, 2]),
        ({"0": "background", "1": "oedema", "2": "Ignore", "3": "a", "4": "b"}, None, [0, 2, 3]),
        ({"background": 0, "whole": [1, 2, 3], "core": [2, 3], "ignore": 4}, None, [0, 1, 2]),
        ({"background": 0, "oedema": 1, "core": 2, "active": 3, "ignore": 4}, {2, 4}, [1, 3]),
        (None, {3}, [2]),
    ],
)
def test_all_labels_but_the_ignore_label_are_tumour(
    tmp_path: Path, labels: Any, chosen: set[int] | None, columns: list[int]
) -> None:
    options = DataOptions(labels=MaskLabels(None if chosen is None else frozenset(chosen)))
    cases = read_cases(version_2(tmp_path, labels=labels), options)
    reference = read_case(cases.cases[0]).reference
    assert np.flatnonzero(reference[:, 0, 0]).tolist() == columns
    has_note = chosen is None and "ignore" in str(labels).lower()
    assert ("does not count as tumour" in "".join(cases.notes)) == has_note


def test_a_chosen_label_that_dataset_json_does_not_name_is_a_note(tmp_path: Path) -> None:
    cases = read_cases(version_2(tmp_path), DataOptions(labels=MaskLabels(frozenset({1, 4}))))
    assert cases.notes == ("dataset.json does not name the chosen labels 4",)


def test_test_images_with_masks_are_cases_and_the_others_are_skipped(tmp_path: Path) -> None:
    version_2(tmp_path)
    for name in ("t_1", "t_2"):
        save(tmp_path / "imagesTs" / f"{name}_0000.nii.gz", noise(5))
    save(tmp_path / "labelsTs" / "t_1.nii.gz", labels_of_four())
    cases = read_cases(tmp_path)
    assert [case.name for case in cases.cases] == ["case_1", "case_2", "t_1"]
    assert cases.notes == ("reads 1 case of imagesTs too, with masks in labelsTs",)
    assert skipped(cases) == {"imagesTs/t_2_0000.nii.gz": "is a test image without a mask"}
    assert cases.problems == ()


def test_a_test_case_with_the_name_of_a_training_case_is_a_problem(tmp_path: Path) -> None:
    version_2(tmp_path)
    save(tmp_path / "imagesTs" / "case_1_0000.nii.gz", noise(5))
    save(tmp_path / "labelsTs" / "case_1.nii.gz", labels_of_four())
    cases = read_cases(tmp_path)
    assert problems(cases) == {"labelsTs/case_1.nii.gz": "has the name of a training case"}
    assert [case.name for case in cases.cases] == ["case_1", "case_2"]


def test_a_missing_sequence_is_missing_and_a_missing_flair_is_a_problem(tmp_path: Path) -> None:
    version_2(tmp_path)
    (tmp_path / "imagesTr" / "case_1_0002.nii.gz").unlink()
    (tmp_path / "imagesTr" / "case_2_0000.nii.gz").unlink()
    cases = read_cases(tmp_path)
    assert [sorted(case.volumes.images) for case in cases.cases if case.volumes] == [["flair", "t1", "t2"]]
    assert read_case(cases.cases[0]).scan.available == {Sequence.FLAIR, Sequence.T1}
    assert list(problems(cases).values()) == ["is of case case_2, which has no channel 0 (FLAIR)"]


def test_masks_without_images_and_images_without_masks_are_problems(tmp_path: Path) -> None:
    version_2(tmp_path)
    (tmp_path / "labelsTr" / "case_1.nii.gz").unlink()
    save(tmp_path / "labelsTr" / "case_9.nii.gz", labels_of_four())
    found = problems(read_cases(tmp_path))
    assert found.pop("labelsTr/case_9.nii.gz") == "is a mask without an image"
    assert found == {f"imagesTr/case_1_000{channel}.nii.gz": "has no mask" for channel in range(4)}


def test_second_files_and_two_forms_of_one_case_are_problems(tmp_path: Path) -> None:
    version_2(tmp_path)
    save(tmp_path / "imagesTr" / "case_1_0000.nii", noise(3))
    save(tmp_path / "labelsTr" / "case_1.nii", labels_of_four())
    save(tmp_path / "imagesTr" / "case_2.nii.gz", noise(3))
    assert problems(read_cases(tmp_path)) == {
        "imagesTr/case_1_0000.nii.gz": "is a second image beside case_1_0000.nii",
        "labelsTr/case_1.nii.gz": "is a second mask beside case_1.nii",
        "imagesTr/case_2.nii.gz": "is case_2 in one file, and there are files of single channels",
    }


def test_links_to_nothing_are_problems(tmp_path: Path) -> None:
    version_2(tmp_path, ("a", "b", "c"))
    for file in ("imagesTr/a_0000.nii.gz", "labelsTr/b.nii.gz"):
        (tmp_path / file).unlink()
        (tmp_path / file).symlink_to("nowhere")
    cases = read_cases(tmp_path)
    assert problems(cases) == dict.fromkeys(
        ("imagesTr/a_0000.nii.gz", "labelsTr/b.nii.gz"),
        "is a link to a file that is not here (for DataLad, run `datalad get`)",
    )
    assert [case.name for case in cases.cases] == ["c"]


def test_other_files_are_skipped_with_a_reason(tmp_path: Path) -> None:
    version_2(tmp_path, channel_names={**FOUR, "4": "ADC"})
    save(tmp_path / "imagesTr" / "case_1_0004.nii.gz", noise(3))
    save(tmp_path / "imagesTr" / "case_1_0007.nii.gz", noise(3))
    for name in ("imagesTr/._case_1_0000.nii.gz", "labelsTr/notes.txt", "README.md", ".DS_Store"):
        (tmp_path / name).write_bytes(b"")
    save(tmp_path / "imagesTr" / "old" / "case_1_0000.nii.gz", noise(3))
    manifest = json.dumps({"path": "labelsTr/case_1_mask.nii.gz", "command": "predict", "sha256": ""})
    (tmp_path / ".gliomaseg-files").write_text(f"{manifest}\n{{", "utf-8")
    save(tmp_path / "labelsTr" / "case_1_mask.nii.gz", labels_of_four())
    cases = read_cases(tmp_path)
    assert skipped(cases) == {
        ".DS_Store": "was written by an operating system",
        "README.md": "is not part of the layout of nnU-Net",
        "imagesTr/._case_1_0000.nii.gz": "was written by an operating system",
        "imagesTr/case_1_0004.nii.gz": "is channel 4 (ADC), which is not used",
        "imagesTr/case_1_0007.nii.gz": "is channel 7 (not in dataset.json), which is not used",
        "imagesTr/old/case_1_0000.nii.gz": "is not part of the layout of nnU-Net",
        "labelsTr/case_1_mask.nii.gz": "is a result of predict",
        "labelsTr/notes.txt": "is not a volume",
    }
    assert cases.problems == ()


def test_suffixes_and_names_may_be_in_capital_letters_and_other_alphabets(tmp_path: Path) -> None:
    version_2(tmp_path, ("Größe 1",))
    for file in [*tmp_path.glob("*Tr/*.nii.gz")]:
        file.rename(file.with_name(file.name.replace(".nii.gz", ".NII.GZ")))
    (case,) = read_cases(tmp_path).cases
    assert case.name == "Größe 1"
    assert read_case(case).scan.voxels.shape == (4, 5, 6, 3)


def test_the_section_dataset_names_the_files(tmp_path: Path) -> None:
    files = {
        name: {
            "images": [f"../raw/{name}/{channel}.nii.gz" for channel in ("flair", "t1", "t1ce", "t2")],
            "label": f"../raw/{name}/seg.nii.gz",
        }
        for name in ("p 1", "p2")
    }
    root = version_2(tmp_path / "Dataset001_Glioma", ("unnamed",), dataset=files)
    for name in files:
        for seed, channel in enumerate(("flair", "t1", "t1ce", "t2")):
            save(tmp_path / "raw" / name / f"{channel}.nii.gz", noise(seed))
        save(tmp_path / "raw" / name / "seg.nii.gz", labels_of_four())
    cases = read_cases(root)
    assert [case.name for case in cases.cases] == ["p 1", "p2"]
    assert np.array_equal(read_case(cases.cases[1]).scan.voxels[..., 1], noise(0).T)
    assert set(skipped(cases).values()) == {"is not named in dataset.json"}
    assert len(cases.skipped) == 5
    (tmp_path / "raw" / "p2" / "seg.nii.gz").unlink()
    assert list(problems(read_cases(root)).values()) == ["is not a file"]


@pytest.mark.parametrize("holder", ["", "nnUNet_raw", "nnUNet_raw_data_base/nnUNet_raw_data", "archive/2021/glioma"])
def test_the_only_data_set_below_a_root_is_read_and_several_are_refused(tmp_path: Path, holder: str) -> None:
    version_2(tmp_path / holder / "Dataset001_Glioma")
    assert read_cases(tmp_path).root == tmp_path / holder / "Dataset001_Glioma"
    version_2(tmp_path / holder / "Task02_Heart")
    with pytest.raises(DataError, match=r"contains 2 data sets \(.*Dataset001_Glioma, .*Task02_Heart\)"):
        read_cases(tmp_path)


def test_fewer_cases_than_dataset_json_names_are_a_note(tmp_path: Path) -> None:
    root = decathlon(tmp_path)
    for folder in ("imagesTr", "labelsTr"):
        (root / folder / "case_2.nii.gz").unlink()
    cases = read_cases(root)
    assert cases.notes == ("dataset.json names 2 training cases, found: 1",)
    assert cases.problems == ()


def test_a_folder_without_a_usable_case_is_refused(tmp_path: Path) -> None:
    version_2(tmp_path)
    shutil.rmtree(tmp_path / "labelsTr")
    with pytest.raises(
        DataError, match=r"has no case with FLAIR and a mask \(imagesTr/case_1_0000.nii.gz has no mask\)"
    ):
        read_cases(tmp_path)


def test_names_of_known_forms_contain_the_patient(tmp_path: Path) -> None:
    names = ("BraTS-GLI-00001-000", "BraTS-GLI-00001-001", "BraTS2021_00002", "TCGA_CS_4941_19960909")
    cases = read_cases(version_2(tmp_path, names)).cases
    assert [(case.name, case.patient, case.site) for case in cases] == [
        ("BraTS-GLI-00001-000", "BraTS-GLI-00001", "unknown"),
        ("BraTS-GLI-00001-001", "BraTS-GLI-00001", "unknown"),
        ("BraTS2021_00002", "BraTS2021_00002", "unknown"),
        ("TCGA_CS_4941_19960909", "TCGA_CS_4941", "CS"),
    ]


def test_a_pattern_finds_the_patient(tmp_path: Path) -> None:
    root = version_2(tmp_path, ("p1_a", "p1_b", "p2_a"))
    cases = read_cases(root, DataOptions(patient_pattern=r"(p\d)_")).cases
    assert [case.patient for case in cases] == ["p1", "p1", "p2"]
    assert [case.patient for case in read_cases(root, DataOptions(patient_pattern=r"p\d")).cases] == ["p1", "p1", "p2"]
    assert list(problems(read_cases(root, DataOptions(patient_pattern="p2")))) == ["p1_a", "p1_b"]
    with pytest.raises(UsageError, match="is not a regular expression"):
        read_cases(root, DataOptions(patient_pattern="("))


def test_a_folder_of_another_layout_is_not_recognised(tmp_path: Path, phantoms: Path) -> None:
    assert not LAYOUTS["nnunet"].recognise(phantoms)
    describe(tmp_path, modality=FOUR)
    assert not LAYOUTS["nnunet"].recognise(tmp_path)
    assert not LAYOUTS["nnunet"].recognise(tmp_path / "dataset.json")


@pytest.mark.parametrize("cut", ["end", "checksum"])
def test_a_4d_file_that_is_damaged_behind_flair_is_refused(tmp_path: Path, cut: str) -> None:
    root = decathlon(tmp_path)
    file = root / "imagesTr" / "case_1.nii.gz"
    packed = bytearray(file.read_bytes())
    if cut == "end":
        file.write_bytes(packed[:-100])
    else:
        packed[-8] ^= 1
        file.write_bytes(packed)
    with pytest.raises(FormatError, match="compressed data are") as caught:
        read_case(read_cases(root).cases[0])
    assert caught.value.where == str(file)


def test_a_3d_file_in_place_of_a_4d_one_is_refused(tmp_path: Path) -> None:
    root = decathlon(tmp_path)
    save(root / "imagesTr" / "case_1.nii.gz", noise(0))
    with pytest.raises(FormatError, match=r"has 1 channels, expected more than"):
        read_case(read_cases(root).cases[0])


def write_phantoms(root: Path) -> Path:
    """Write four phantom patients of 64 x 64 pixels in 6 slices, as 4D files of T1, FLAIR and T1ce."""
    describe(root, modality={"0": "T1w", "1": "FLAIR", "2": "T1gd"}, labels={"0": "background", "1": "tumour"})
    for index in range(4):
        patient = phantom_patient(index, side_px=64, slices=6)
        affine = np.diag([-patient.spacing_mm[2], -patient.spacing_mm[1], patient.spacing_mm[0], 1.0])
        save(root / "imagesTr" / f"{patient.name}.nii.gz", patient.image.transpose(2, 1, 0, 3), affine)
        save(root / "labelsTr" / f"{patient.name}.nii.gz", patient.mask.T.astype(np.uint8), affine)
    return root


def test_a_4d_data_set_trains_and_is_scored(tmp_path: Path) -> None:
    data = write_phantoms(tmp_path / "Task01_Phantom")
    require_training_and_scores(data, tmp_path, cases=4)


@pytest.mark.real_data
def test_real_scans_are_equal_in_both_forms(tmp_path: Path, external_scans: Path) -> None:
    names = ("brats_2013_pat0001_1", "brats_2013_pat0002_1")
    files = describe(tmp_path / "files", channel_names={"0": "FLAIR"}, labels={"background": 0, "a": 1})
    stacked = describe(tmp_path / "stacked", modality={"0": "FLAIR", "1": "T2w"}, labels={"0": "background"})
    for name in names:
        for folder in ("imagesTr", "labelsTr"):
            (files / folder).mkdir(exist_ok=True)
            (stacked / folder).mkdir(exist_ok=True)
        shutil.copy(external_scans / name / "flair.nii.gz", files / "imagesTr" / f"{name}_0000.nii.gz")
        for root in (files, stacked):
            shutil.copy(external_scans / name / "seg.nii.gz", root / "labelsTr" / f"{name}.nii.gz")
        flair = nibabel.load(external_scans / name / "flair.nii.gz")
        voxels = np.asanyarray(flair.dataobj).astype(np.float32)
        save(stacked / "imagesTr" / f"{name}.nii.gz", np.stack([voxels, -voxels], axis=3), flair.affine)
    for name, single, four in zip(names, read_cases(files).cases, read_cases(stacked).cases, strict=True):
        flair = nibabel.load(external_scans / name / "flair.nii.gz")
        mask = np.asanyarray(nibabel.load(external_scans / name / "seg.nii.gz").dataobj).T > 0
        for case in (single, four):
            loaded = read_case(case)
            channel = loaded.scan.flair_index
            assert np.array_equal(loaded.scan.voxels[..., channel], np.asanyarray(flair.dataobj).T.astype(np.float32))
            assert np.array_equal(loaded.reference, mask)
            assert np.allclose(loaded.scan.affine, flair.affine)
