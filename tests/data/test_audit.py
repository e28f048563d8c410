"""Each finding of the audit, made by hand."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import tifffile

from gliomaseg.data.audit import Audit, audit
from gliomaseg.data.layouts import read_cases

KaggleTree = Callable[..., Path]
A, B, A_AGAIN = "TCGA_CS_0001_20000101", "TCGA_DU_0002_20010101", "TCGA_CS_0001_20050101"


@pytest.fixture
def tree(tmp_path: Path, kaggle_tree: KaggleTree) -> Path:
    """Two patients of 4 slices of 16 x 16; every second slice has a tumour of a quarter of its pixels."""
    return kaggle_tree(tmp_path, {A: 4, B: 4})


def findings(tree: Path) -> Audit:
    return audit(read_cases(tree))


def image(tree: Path, name: str, number: int) -> Path:
    return tree / name / f"{name}_{number}.tif"


def mask(tree: Path, name: str, number: int) -> Path:
    return tree / name / f"{name}_{number}_mask.tif"


def write(file: Path, pixels: np.ndarray) -> None:
    tifffile.imwrite(file, pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack")


def noise(seed: int, side: int = 16) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)


# --- what is there


def test_sound_data_set_is_safe(tree: Path) -> None:
    found = findings(tree)
    assert found.safe
    assert (found.problems, found.duplicates, found.missing_sequences) == ([], [], {})


def test_patients_slices_and_tumours_are_counted(tree: Path) -> None:
    found = findings(tree)
    assert (found.patients, found.slices, found.tumour_slices) == (2, 8, 4)


def test_tumour_share_is_of_all_pixels(tree: Path) -> None:
    assert findings(tree).tumour_pixel_share == 0.125  # a quarter of every second slice


def test_patients_are_counted_by_site(tree: Path) -> None:
    assert findings(tree).sites == {"CS": 1, "DU": 1}


def test_two_examinations_are_one_patient_of_one_site(tree: Path, kaggle_tree: KaggleTree) -> None:
    found = findings(kaggle_tree(tree, {A_AGAIN: 1}, seed=1))
    assert found.patients == 2
    assert found.sites == {"CS": 1, "DU": 1}


def test_audit_is_json(tree: Path) -> None:
    mask(tree, A, 1).write_bytes(b"")
    found = findings(tree)
    assert json.loads(json.dumps(asdict(found))) == asdict(found)


def test_second_copies_and_strays_are_in_the_report_and_safe(tmp_path: Path, kaggle_tree: KaggleTree) -> None:
    kaggle_tree(tmp_path / "kaggle_3m", {A: 2})
    (tmp_path / "kaggle_3m" / "data.csv").touch()
    shutil.copytree(tmp_path / "kaggle_3m", tmp_path / "lgg-mri-segmentation" / "kaggle_3m")
    found = findings(tmp_path)
    assert found.root == str(tmp_path / "kaggle_3m")
    assert found.second_copies == [str(tmp_path / "lgg-mri-segmentation" / "kaggle_3m")]
    assert found.strays == ["data.csv"]
    assert (found.slices, found.safe) == (2, True)


def test_progress_is_told_every_twenty_patients(tmp_path: Path, kaggle_tree: KaggleTree) -> None:
    told: list[str] = []
    kaggle_tree(tmp_path, {f"TCGA_CS_{k:04}_20000101": 1 for k in range(41)}, side=4)
    audit(read_cases(tmp_path), progress=told.append)
    assert told == ["20 of 41 patients read", "40 of 41 patients read"]


# --- missing sequences


@pytest.mark.parametrize(("channel", "name"), [(0, "t1"), (2, "t1ce")])
def test_channel_that_equals_flair_in_every_slice_is_missing(tree: Path, channel: int, name: str) -> None:
    for number in range(1, 5):
        pixels = noise(number)
        pixels[..., channel] = pixels[..., 1]
        write(image(tree, A, number), pixels)
    assert findings(tree).missing_sequences == {name: 1}


def test_channel_that_equals_flair_in_some_slices_is_there(tree: Path) -> None:
    write(image(tree, A, 1), np.repeat(noise(1)[..., :1], 3, axis=2))
    assert findings(tree).missing_sequences == {}


def test_pictures_of_one_channel_are_grey_and_miss_no_sequence(tree: Path) -> None:
    for number in range(1, 5):
        write(image(tree, A, number), noise(number)[..., 0])
    found = findings(tree)
    assert found.missing_sequences == {"grey": 1}
    assert found.safe


def test_patient_of_whom_nothing_can_be_read_misses_no_sequence(tree: Path) -> None:
    for number in range(1, 5):
        image(tree, A, number).write_bytes(b"")
    found = findings(tree)
    assert found.missing_sequences == {}
    assert len(found.problems) == 4


# --- near-black


@pytest.mark.parametrize(("bright", "expected"), [(0, 1), (7, 1), (8, 0)])
def test_slice_with_a_hundredth_of_bright_values_is_near_black(tree: Path, bright: int, expected: int) -> None:
    # 16 x 16 x 3 = 768 values, of which 7 is the hundredth.
    pixels = np.full(768, 10, np.uint8)
    pixels[:bright] = 11
    write(image(tree, A, 1), pixels.reshape(16, 16, 3))
    assert findings(tree).near_black_slices == expected


# --- duplicates


def test_slice_of_another_patient_is_a_duplicate_and_a_problem(tree: Path) -> None:
    shutil.copy(image(tree, A, 1), image(tree, B, 3))
    found = findings(tree)
    assert found.duplicates == [[f"{A}/{A}_1.tif", f"{B}/{B}_3.tif"]]
    assert found.problems == [
        {"where": f"{A}/{A}_1.tif", "what": f"is pixel for pixel the same as {B}/{B}_3.tif of another patient"}
    ]
    assert not found.safe


def test_duplicate_is_found_by_pixels_and_not_by_bytes(tree: Path) -> None:
    pixels = tifffile.imread(image(tree, A, 1))
    tifffile.imwrite(image(tree, B, 3), pixels, photometric="rgb", compression="zlib", description="another file")
    assert len(findings(tree).duplicates) == 1


def test_slice_that_differs_in_one_pixel_is_no_duplicate(tree: Path) -> None:
    pixels = tifffile.imread(image(tree, A, 1))
    pixels[0, 0, 0] ^= 1
    write(image(tree, B, 3), pixels)
    assert findings(tree).duplicates == []


def test_equal_slices_of_one_patient_are_no_duplicates(tree: Path) -> None:
    shutil.copy(image(tree, A, 1), image(tree, A, 3))
    assert findings(tree).safe


def test_equal_slices_of_two_examinations_of_a_patient_are_no_duplicates(tree: Path, kaggle_tree: KaggleTree) -> None:
    kaggle_tree(tree, {A_AGAIN: 1}, seed=1)
    shutil.copy(image(tree, A, 1), image(tree, A_AGAIN, 1))
    assert findings(tree).safe


def test_near_black_slices_are_no_duplicates(tree: Path) -> None:
    for name in (A, B):
        write(image(tree, name, 1), np.zeros((16, 16, 3), np.uint8))
    found = findings(tree)
    assert found.near_black_slices == 2
    assert (found.duplicates, found.safe) == ([], True)


# --- problems


def test_problem_of_the_index_makes_it_unsafe(tree: Path) -> None:
    mask(tree, A, 1).unlink()
    found = findings(tree)
    assert found.problems == [{"where": f"{A}/{A}_1.tif", "what": "has no mask"}]
    assert not found.safe
    assert found.slices == 7


def test_misshapen_mask_is_a_problem_of_the_mask(tree: Path) -> None:
    write(mask(tree, A, 1), np.zeros((8, 16), np.uint8))
    found = findings(tree)
    assert found.problems == [{"where": f"{A}/{A}_1_mask.tif", "what": "size is 8 x 16, expected 16 x 16 as its image"}]
    assert found.slices == 7


def test_mask_of_many_values_is_a_problem_of_the_mask(tree: Path) -> None:
    write(mask(tree, A, 1), noise(0)[..., 0])
    what = "mask has 158 values (0, 1, 2, 3 ...), expected 0 and one other, or labels up to 32"
    assert findings(tree).problems == [{"where": f"{A}/{A}_1_mask.tif", "what": what}]


@pytest.mark.parametrize("folder", ["data", "masks"])  # the folder's name says nothing about the file
def test_unreadable_picture_is_a_problem_of_the_picture(tmp_path: Path, kaggle_tree: KaggleTree, folder: str) -> None:
    tree = kaggle_tree(tmp_path / folder, {A: 4})
    image(tree, A, 2).write_bytes(b"not a TIFF")
    found = findings(tree)
    assert [problem["where"] for problem in found.problems] == [f"{A}/{A}_2.tif"]
    assert found.problems[0]["what"].startswith("is not a readable TIFF")
    assert (found.slices, found.tumour_slices) == (3, 1)


def test_slices_of_two_sizes_are_a_problem_of_the_patient(tree: Path) -> None:
    write(image(tree, A, 1), noise(1, side=8))
    write(mask(tree, A, 1), np.zeros((8, 8), np.uint8))
    found = findings(tree)
    assert [problem["where"] for problem in found.problems] == [A]
    assert "its slices are of 2 sizes or kinds" in found.problems[0]["what"]


def test_slices_of_two_depths_are_a_problem_of_the_patient(tree: Path) -> None:
    write(image(tree, A, 1), noise(1).astype(np.uint16))
    assert [problem["where"] for problem in findings(tree).problems] == [A]


def test_patients_of_different_sizes_are_safe(tree: Path, kaggle_tree: KaggleTree) -> None:
    assert findings(kaggle_tree(tree, {"TCGA_HT_0003_20020101": 2}, side=24, seed=1)).safe


def test_every_problem_is_a_row(tree: Path) -> None:
    image(tree, A, 1).write_bytes(b"")
    mask(tree, A, 2).write_bytes(b"")
    image(tree, B, 1).write_bytes(b"")
    assert [problem["where"] for problem in findings(tree).problems] == [
        f"{A}/{A}_1.tif",
        f"{A}/{A}_2_mask.tif",
        f"{B}/{B}_1.tif",
    ]


# --- masks that cannot be right


def test_masks_without_any_tumour_are_a_warning(tree: Path) -> None:
    for name in (A, B):
        for number in range(1, 5):
            write(mask(tree, name, number), np.zeros((16, 16), np.uint8))
    found = findings(tree)
    assert found.safe
    assert found.warnings == [{"where": "all masks", "what": "no mask of 2 cases has a pixel of tumour"}]


def test_one_patient_without_tumour_is_no_warning(tree: Path) -> None:
    for number in range(1, 5):
        write(mask(tree, A, number), np.zeros((16, 16), np.uint8))
    assert findings(tree).warnings == []


def test_inverted_masks_are_a_problem(tree: Path) -> None:
    inverted = np.full((16, 16), 255, np.uint8)
    inverted[:8, :8] = 0  # 192 of 256 pixels are left: 75 %
    write(mask(tree, B, 2), inverted)
    found = findings(tree)
    assert found.problems == [{"where": B, "what": "its masks cover up to 75% of a slice: they may be inverted"}]


def test_a_mask_of_two_fifths_of_a_slice_is_a_warning(tree: Path) -> None:
    large = np.zeros((16, 16), np.uint8)
    large[:, :6] = 255  # 96 of 256 pixels: 37.5 %
    write(mask(tree, B, 2), large)
    found = findings(tree)
    assert found.safe
    assert found.warnings == [{"where": B, "what": "its masks cover up to 38% of a slice, expected at most 33%"}]
