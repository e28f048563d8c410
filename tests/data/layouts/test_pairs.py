"""The layout of images and masks in two folders: pairs by name, and the patients of slices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from files import touch
from gliomaseg.data.case import read_case
from gliomaseg.data.case_list import CaseList, DataOptions
from gliomaseg.data.findings import BROKEN_LINK
from gliomaseg.data.layouts import pairs, read_cases
from gliomaseg.errors import DataError
from gliomaseg.types import Sequence


def read(root: Path, pattern: str | None = None) -> CaseList:
    return read_cases(root, DataOptions(layout="pairs", patient_pattern=pattern))


def slices_of(cases: CaseList) -> dict[str, list[int]]:
    return {case.name: [entry.number for entry in case.slices] for case in cases.cases}


def lines(problems: object) -> dict[str, str]:
    return {entry.where: entry.what for entry in problems}  # type: ignore[attr-defined]


def both(*names: str) -> list[str]:
    return [f"{folder}/{name}" for folder in ("images", "masks") for name in names]


@pytest.mark.parametrize(
    ("images", "masks"), [("images", "masks"), ("image", "mask"), ("imgs", "labels"), ("Images", "MASKS")]
)
@pytest.mark.parametrize("ending", ["", "_mask", "_seg"])
@pytest.mark.parametrize("suffixes", [(".png", ".png"), (".tif", ".png"), (".jpg", ".png"), (".nii.gz", ".nii")])
def test_an_image_has_the_mask_of_the_same_name(
    tmp_path: Path, images: str, masks: str, ending: str, suffixes: tuple[str, str]
) -> None:
    touch(tmp_path, f"{images}/P1_3{suffixes[0]}", f"{masks}/P1_3{ending}{suffixes[1]}")
    cases = read_cases(tmp_path)
    assert cases.layout == "pairs"
    assert [[file.relative_to(tmp_path).as_posix() for file in case.files] for case in cases.cases] == [
        [f"{images}/P1_3{suffixes[0]}", f"{masks}/P1_3{ending}{suffixes[1]}"]
    ]
    assert (cases.problems, cases.skipped) == ((), ())


@pytest.mark.parametrize("form", ["{part}/{kind}/{name}", "{kind}/{part}/{name}"])
def test_folders_such_as_train_and_val_lie_above_or_below(tmp_path: Path, form: str) -> None:
    names = [("train", "P1_1.png"), ("train", "P2_1.png"), ("val", "P2_2.png"), ("val", "P3_1.png")]
    files = [form.format(part=part, kind=kind, name=name) for part, name in names for kind in ("images", "masks")]
    cases = read_cases(touch(tmp_path, *files))
    assert slices_of(cases) == {"P1": [1], "P2": [1, 2], "P3": [1]}
    assert cases.problems == ()


def test_slices_are_grouped_by_the_name_before_the_last_number_and_a_note_says_so(tmp_path: Path) -> None:
    cases = read(touch(tmp_path, *both("10001_66.png", "10001_7.png", "10001_074.png", "10002_1.png")))
    assert slices_of(cases) == {"10001": [7, 66, 74], "10002": [1]}
    how = "4 slices grouped to 2 patients by the name before the last number (10001, 10002)"
    assert cases.notes == (f"{how}: if this is wrong, give --patient-pattern",)


@pytest.mark.parametrize(
    ("name", "case", "patient", "number"),
    [
        ("10001_66.png", "10001", "10001", 66),
        ("P1-slice 012.png", "P1-slice", "P1-slice", 12),
        ("anna.png", "anna", "anna", 1),
        ("img7.png", "img", "img", 7),
        ("P1_66_flair.png", "P1", "P1", 66),
        ("TCGA_CS_4941_19960909_12.tif", "TCGA_CS_4941_19960909", "TCGA_CS_4941", 12),
        ("Jürgen Ä_3.png", "Jürgen Ä", "Jürgen Ä", 3),
        ("P1/003.png", "P1", "P1", 3),
        ("P1/slice_003.png", "P1", "P1", 3),
        ("glioma/P1_003.png", "P1", "P1", 3),
        ("12.png", "set", "set", 12),
    ],
)
def test_names_of_slices(tmp_path: Path, name: str, case: str, patient: str, number: int) -> None:
    only = read(touch(tmp_path / "set", *both(name))).cases[0]
    assert (only.name, only.patient, only.slices[0].number) == (case, patient, number)


@pytest.mark.parametrize(
    ("pattern", "names", "expected"),
    [
        (r"^([A-Z]\d+)_", ("P1_a_4.png", "P1_b_4.png", "P2_a_1.png"), {"P1_a": "P1", "P1_b": "P1", "P2_a": "P2"}),
        (r"patient_\d+", ("s_1_patient_7.png", "s_2_patient_7.png"), {"s_patient_7": "patient_7"}),
        (r"^\d{5}", ("10001_66.png", "10001_67.png"), {"10001": "10001"}),
        (r".+", ("a_1.png", "b_1.png"), {"a_1": "a_1", "b_1": "b_1"}),
        (r"^(\w+)/", ("P1/a_1.png", "P1/b_1.png"), {"a": "P1", "b": "P1"}),
    ],
)  # fmt: skip
def test_a_pattern_finds_the_patient(
    tmp_path: Path, pattern: str, names: tuple[str, ...], expected: dict[str, str]
) -> None:
    cases = read(touch(tmp_path, *both(*names)), pattern)
    assert {case.name: case.patient for case in cases.cases} == expected
    assert sum(len(case.slices) for case in cases.cases) == len(names)
    assert cases.notes == ()


def test_a_slice_that_the_pattern_does_not_match_is_a_problem(tmp_path: Path) -> None:
    cases = read(touch(tmp_path, *both("P1_1.png", "x_1.png")), r"P\d+")
    assert slices_of(cases) == {"P1": [1]}
    assert lines(cases.problems) == {"images/x_1.png": r"name does not match --patient-pattern P\d+"}


def test_images_and_masks_without_a_partner_are_problems(tmp_path: Path) -> None:
    cases = read(touch(tmp_path, *both("P1_1.png"), "images/P1_2.png", "masks/P1_3.png"))
    assert lines(cases.problems) == {
        "images/P1_2.png": "has no mask of its own",
        "masks/P1_3.png": "is a mask without an image",
    }


def test_two_files_of_one_slice_are_a_problem(tmp_path: Path) -> None:
    cases = read(touch(tmp_path, *both("P1_1.png", "P1_01.png"), "masks/P1_1_mask.png"))
    assert lines(cases.problems) == {
        "images/P1_1.png": "is slice 1 of case P1, as is images/P1_01.png",
        "masks/P1_1_mask.png": "is a mask without an image",
    }


def test_one_mask_is_not_used_for_two_images(tmp_path: Path) -> None:
    cases = read(touch(tmp_path, "images/P1_1.png", "images/P1_1.tif", "masks/P1_1.png"))
    assert lines(cases.problems) == {"images/P1_1.tif": "has no mask of its own"}


def test_a_mask_in_jpeg_is_a_problem(tmp_path: Path) -> None:
    cases = read(touch(tmp_path, *both("P1_1.png"), "images/P1_2.jpg", "masks/P1_2.jpg"))
    assert lines(cases.problems)["masks/P1_2.jpg"].startswith("is a mask in JPEG")


def test_a_slice_with_a_volume_as_its_mask_is_a_problem(tmp_path: Path) -> None:
    cases = read(touch(tmp_path, *both("P1_1.png"), "images/P1_2.png", "masks/P1_2.nii.gz"))
    assert lines(cases.problems) == {"masks/P1_2.nii.gz": "is a volume, expected an image as images/P1_2.png"}


def test_unused_files_are_skipped_with_a_reason(tmp_path: Path) -> None:
    others = {
        "images/list.txt": pairs.NO_IMAGE,
        "preview.png": pairs.OUTSIDE,
        "images/._P1_1.png": "was written by an operating system",
        "masks/Thumbs.db": "was written by an operating system",
    }
    cases = read_cases(touch(tmp_path, *both("P1_1.png"), *others))
    assert lines(cases.skipped) == others
    assert cases.problems == ()


def test_a_link_to_nothing_is_a_problem(tmp_path: Path) -> None:
    touch(tmp_path, *both("P1_1.png"), "masks/P1_2.png")
    (tmp_path / "images" / "P1_2.png").symlink_to(tmp_path / "gone.png")
    problems = lines(read(tmp_path).problems)
    assert problems["images/P1_2.png"] == BROKEN_LINK


def test_volumes_may_have_several_sequences(tmp_path: Path) -> None:
    names = [f"images/P1_{sequence}.nii.gz" for sequence in ("flair", "t1", "t1ce", "adc")]
    cases = read_cases(touch(tmp_path, *names, "masks/P1_seg.nii.gz"))
    volumes = cases.cases[0].volumes
    assert volumes
    assert cases.cases[0].name == "P1"
    assert {key: volume.path.name for key, volume in volumes.images.items()} == {
        Sequence.FLAIR: "P1_flair.nii.gz",
        Sequence.T1: "P1_t1.nii.gz",
        Sequence.T1CE: "P1_t1ce.nii.gz",
    }
    assert list(lines(cases.skipped)) == ["images/P1_adc.nii.gz"]
    assert cases.problems == ()
    assert cases.notes == ()


@pytest.mark.parametrize("form", ["{kind}/{case}/{name}", "{case}/{kind}/{name}"])
def test_volumes_may_lie_in_folders_of_their_case(tmp_path: Path, form: str) -> None:
    files = [
        form.format(case=case, kind=kind, name=name)
        for case in ("P1", "P2")
        for kind, name in (("images", "flair.nii.gz"), ("labels", "seg.nii.gz"))
    ]
    cases = read_cases(touch(tmp_path, *files))
    assert [case.name for case in cases.cases] == ["P1", "P2"]
    assert cases.problems == ()


def test_a_pattern_finds_the_patient_of_a_volume(tmp_path: Path) -> None:
    cases = read(touch(tmp_path, *both("P1a.nii.gz", "P1b.nii.gz", "x.nii.gz")), r"P\d")
    assert [(case.name, case.patient) for case in cases.cases] == [("P1a", "P1"), ("P1b", "P1")]
    assert lines(cases.problems) == {"images/x.nii.gz": r"name does not match --patient-pattern P\d"}


@pytest.mark.parametrize(
    "names",
    [
        ("images/P1_1.png",),
        ("masks/P1_1.png",),
        ("imagesTr/P1_0000.nii.gz", "labelsTr/P1.nii.gz"),
        ("train/images/P1_1.png", "val/masks/P1_1.png"),
        ("images/a.txt", "masks/a.txt"),
    ],
)
def test_folders_without_both_are_not_recognised(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert not pairs.recognise(touch(tmp_path, *names))


def test_a_folder_without_a_pair_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no case .* \(images/a\.png has no mask"):
        read(touch(tmp_path, "images/a.png", "masks/b.png"))


@pytest.mark.real_data
def test_real_slices_are_of_four_patients(external_scans: Path) -> None:
    cases = read_cases(external_scans / "png")
    assert slices_of(cases) == {
        "10001": [66, 73, 74],
        "10002": [46, 49, 55, 76, 86],
        "10003": [89],
        "10004": [76, 85, 115, 123],
    }
    assert (cases.problems, cases.skipped) == ((), ())
    loaded = [read_case(case) for case in cases.cases]
    assert {one.scan.voxels.shape[1:3] for one in loaded} == {(256, 256)}
    assert all(np.any(one.reference) for one in loaded)
