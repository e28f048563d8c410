"""Each finding of the audit, made by hand."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile

from gliomaseg.data.audit import Audit, Spread, audit
from gliomaseg.data.case import Case, VolumeFile, Volumes
from gliomaseg.data.case_audit import ExaminedCase
from gliomaseg.data.case_list import CaseList, DataOptions, Problem
from gliomaseg.data.layouts import read_cases
from gliomaseg.data.masks import MaskLabels
from gliomaseg.types import Sequence

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


def test_progress_is_reported_every_twenty_cases(tmp_path: Path, kaggle_tree: KaggleTree) -> None:
    lines: list[str] = []
    kaggle_tree(tmp_path, {f"TCGA_CS_{k:04}_20000101": 1 for k in range(41)}, side=4)
    audit(read_cases(tmp_path), progress=lines.append)
    assert lines == ["20 of 41 cases read", "40 of 41 cases read"]


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
        Problem(f"{A}/{A}_1.tif", f"is pixel for pixel the same as {B}/{B}_3.tif of another patient")
    ]
    assert not found.safe


def test_duplicate_is_found_by_pixels_and_not_by_bytes(tree: Path) -> None:
    pixels = tifffile.imread(image(tree, A, 1))
    tifffile.imwrite(image(tree, B, 3), pixels, photometric="rgb", compression="zlib", description="another file")
    assert len(findings(tree).duplicates) == 1


def test_slice_that_differs_in_one_pixel_of_flair_is_no_duplicate(tree: Path) -> None:
    pixels = tifffile.imread(image(tree, A, 1))
    pixels[0, 0, 1] ^= 1
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
    assert found.problems == [Problem(f"{A}/{A}_1.tif", "has no mask")]
    assert not found.safe
    assert found.slices == 7


@pytest.mark.parametrize(
    ("numbers", "jump"),
    [
        ((1, 2, 4, 5), "jump from 2 to 4"),
        ((1, 2, 4, 5, 9), "jump from 2 to 4 (the first of 2 jumps)"),
        ((1, 6, 11), ""),
    ],
)
def test_jumps_of_slice_numbers_are_a_warning(
    tmp_path: Path, kaggle_tree: KaggleTree, numbers: tuple[int, ...], jump: str
) -> None:
    root = kaggle_tree(tmp_path, {A: 11})
    for number in set(range(1, 12)) - set(numbers):
        (root / A / f"{A}_{number}.tif").unlink()
        mask(root, A, number).unlink()
    found = [warning.what for warning in findings(root).warnings if "jump" in warning.what]
    assert found == ([f"its slice numbers {jump}: slices may be missing"] if jump else [])


def test_an_unfinished_copy_is_a_warning(tree: Path) -> None:
    for file in (tree / A / f"{A}_4.tif", mask(tree, A, 4)):
        file.rename(file.with_name(f"{file.name}.part"))
    what = "is an unfinished copy by its name, and is not read: copy it again, or remove it"
    names = [f"{A}/{A}_4.tif.part", f"{A}/{A}_4_mask.tif.part"]
    assert [one for one in findings(tree).warnings if one.where in names] == [Problem(name, what) for name in names]


def test_misshapen_mask_is_a_problem_of_the_mask(tree: Path) -> None:
    write(mask(tree, A, 1), np.zeros((8, 16), np.uint8))
    found = findings(tree)
    what = "size is 8 x 16, expected 16 x 16 as its image; export the mask on the image's grid"
    assert found.problems == [Problem(f"{A}/{A}_1_mask.tif", what)]
    assert found.slices == 7


def test_mask_of_many_values_is_a_problem_of_the_mask(tree: Path) -> None:
    write(mask(tree, A, 1), noise(0)[..., 0])
    what = "mask has 158 values (0, 1, 2, 3 ...), expected 0 and one other, or labels up to 32"
    cure = "name the values of the tumour with --labels, or threshold the mask"
    assert findings(tree).problems == [Problem(f"{A}/{A}_1_mask.tif", f"{what}; {cure}")]


@pytest.mark.parametrize("folder", ["data", "masks"])  # the folder's name says nothing about the file
def test_unreadable_picture_is_a_problem_of_the_picture(tmp_path: Path, kaggle_tree: KaggleTree, folder: str) -> None:
    tree = kaggle_tree(tmp_path / folder, {A: 4})
    image(tree, A, 2).write_bytes(b"not a TIFF")
    found = findings(tree)
    assert [problem.where for problem in found.problems] == [f"{A}/{A}_2.tif"]
    assert found.problems[0].what.startswith("is not a readable TIFF")
    assert (found.slices, found.tumour_slices) == (3, 1)


def test_slices_of_two_sizes_are_a_problem_of_the_patient(tree: Path) -> None:
    write(image(tree, A, 1), noise(1, side=8))
    write(mask(tree, A, 1), np.zeros((8, 8), np.uint8))
    found = findings(tree)
    assert [problem.where for problem in found.problems] == [A]
    assert "its slices are of 2 sizes or kinds" in found.problems[0].what


def test_slices_of_two_depths_are_a_problem_of_the_patient(tree: Path) -> None:
    write(image(tree, A, 1), noise(1).astype(np.uint16))
    assert [problem.where for problem in findings(tree).problems] == [A]


def test_patients_of_different_sizes_are_safe(tree: Path, kaggle_tree: KaggleTree) -> None:
    assert findings(kaggle_tree(tree, {"TCGA_HT_0003_20020101": 2}, side=24, seed=1)).safe


def test_every_problem_is_a_row(tree: Path) -> None:
    image(tree, A, 1).write_bytes(b"")
    mask(tree, A, 2).write_bytes(b"")
    image(tree, B, 1).write_bytes(b"")
    assert [problem.where for problem in findings(tree).problems] == [
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
    assert found.warnings == [Problem("all masks", "no mask of 2 cases has a pixel of tumour")]


def test_one_patient_without_tumour_is_no_warning(tree: Path) -> None:
    for number in range(1, 5):
        write(mask(tree, A, number), np.zeros((16, 16), np.uint8))
    assert findings(tree).warnings == []


def test_inverted_masks_are_a_problem(tree: Path) -> None:
    inverted = np.full((16, 16), 255, np.uint8)
    inverted[:8, :8] = 0  # 192 of 256 pixels are left: 75 %
    write(mask(tree, B, 2), inverted)
    found = findings(tree)
    assert found.problems == [Problem(B, "its masks cover up to 75 % of a slice: they may be inverted")]


def test_a_mask_of_two_fifths_of_a_slice_is_a_warning(tree: Path) -> None:
    large = np.zeros((16, 16), np.uint8)
    large[:, :6] = 255  # 96 of 256 pixels: 37.5 %
    write(mask(tree, B, 2), large)
    found = findings(tree)
    assert found.safe
    assert found.warnings == [Problem(B, "its masks cover up to 38 % of a slice, expected at most 33 %")]


def test_a_mask_of_more_than_a_third_of_the_head_is_a_warning(tree: Path) -> None:
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[4:12, 4:12] = noise(0, side=8) // 2 + 100  # a head of 64 pixels on black
    tumour = np.zeros((16, 16), np.uint8)
    tumour[4:8, 4:12] = 255  # 32 of 64
    for number in range(1, 5):
        write(image(tree, B, number), pixels + np.uint8(number))
        write(mask(tree, B, number), tumour)
    found = findings(tree)
    assert found.safe
    assert found.warnings == [Problem(B, "its mask covers 50 % of the head, expected at most 33 %")]


def test_a_mask_outside_the_head_is_a_warning(tree: Path) -> None:
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:, 8:] = noise(0)[:, 8:] // 2 + 100
    tumour = np.zeros((16, 16), np.uint8)
    tumour[:2, 7:9] = 255  # half of it is on the background
    for number in range(1, 5):
        write(image(tree, B, number), np.roll(pixels, number, axis=0))
        write(mask(tree, B, number), tumour)
    what = "50 % of its mask lies outside the head: it may be turned, or of another case"
    assert findings(tree).warnings == [Problem(B, what)]


def test_a_scan_that_is_a_mask_is_a_problem(tree: Path) -> None:
    for number in range(1, 5):
        write(image(tree, B, number), np.repeat(tifffile.imread(mask(tree, B, number))[..., None], 3, axis=2))
    assert findings(tree).problems == [Problem(B, "its FLAIR looks like a mask or label map, not like a scan")]


# --- copies that are not equal as stored


def test_a_mirrored_slice_of_another_patient_is_a_duplicate(tree: Path) -> None:
    write(image(tree, B, 3), np.ascontiguousarray(tifffile.imread(image(tree, A, 1))[:, ::-1]))
    what = f"is a mirrored or rotated copy of {B}/{B}_3.tif of another patient"
    assert findings(tree).problems == [Problem(f"{A}/{A}_1.tif", what)]


def test_several_copied_slices_are_one_problem(tree: Path) -> None:
    for number in range(1, 4):
        shutil.copy(image(tree, A, number), image(tree, B, number))
    found = findings(tree)
    assert len(found.duplicates) == 3
    what = f"3 of its slices are pixel for pixel the same as those of {B}, another patient's"
    assert found.problems == [Problem(A, what)]


def test_a_copied_examination_of_the_same_patient_is_a_warning(tree: Path) -> None:
    (tree / A_AGAIN).mkdir()
    for number in range(1, 5):
        shutil.copy(image(tree, A, number), image(tree, A_AGAIN, number))
        shutil.copy(mask(tree, A, number), mask(tree, A_AGAIN, number))
    found = findings(tree)
    assert found.safe
    assert found.several_examinations == {"TCGA_CS_0001": [A, A_AGAIN]}
    assert found.warnings == [Problem(A, f"4 of its slices equal those of {A_AGAIN} of the same patient")]


# --- mask values


def test_values_of_the_masks_are_counted_before_labels_are_chosen(tree: Path) -> None:
    labels = np.zeros((16, 16), np.uint8)
    labels[0, :3], labels[1] = 1, 4
    for name in (A, B):
        for number in range(1, 5):
            write(mask(tree, name, number), labels)
    chosen = DataOptions(labels=MaskLabels(frozenset({4, 7})))
    found = audit(read_cases(tree, chosen))
    assert found.labels == {"0": 8 * 237, "1": 8 * 3, "4": 8 * 16}
    assert found.tumour_slices == 8
    assert found.warnings == [Problem("--labels", "no mask has the value 7")]


def test_cases_without_tumour_are_listed(tree: Path) -> None:
    for number in range(1, 5):
        write(mask(tree, A, number), np.zeros((16, 16), np.uint8))
    assert findings(tree).empty_masks == [A]


# --- volumes

HEAD = (6, 40, 48)


def save(array: np.ndarray, file: Path, affine: np.ndarray) -> VolumeFile:
    nibabel.save(nibabel.Nifti1Image(array.transpose(2, 1, 0), affine), file)
    return VolumeFile(file)


def volumes(folder: Path, seed: int = 0, *, spacing: float = 2.0, labels: int = 1) -> Volumes:
    """Write a head of noise on black with a tumour of 2 x 4 x 5 voxels, in LPS: FLAIR, T1 and mask."""
    folder.mkdir(parents=True)
    head = np.zeros(HEAD, np.int16)
    head[:, 4:-4, 4:-4] = np.random.default_rng(seed).integers(200, 1000, (6, 32, 40))
    tumour = np.zeros(HEAD, np.uint8)
    tumour[2:4, 10:14, 10:15] = labels
    affine = np.diag([-spacing, -spacing, 5.0, 1.0])
    t1 = np.where(head, 1300 - head, 0).astype(np.int16)
    files = {
        Sequence.FLAIR: save(head, folder / "flair.nii.gz", affine),
        Sequence.T1: save(t1, folder / "t1.nii.gz", affine),
    }
    return Volumes(files, save(tumour, folder / "mask.nii.gz", affine))


def volume_set(root: Path, *cases: Case) -> CaseList:
    return CaseList(root, cases, layout="brats", skipped=(Problem("notes.txt", "is not a volume"),))


def test_volumes_are_measured_in_mm_and_ml(tmp_path: Path) -> None:
    cases = [Case(f"P{k}", f"P{k}", volumes=volumes(tmp_path / f"P{k}", k, labels=k + 1)) for k in range(2)]
    cases.append(Case("P9", "P9", volumes=volumes(tmp_path / "P9", 9, spacing=1.0)))
    found = audit(volume_set(tmp_path, *cases))
    assert (found.layout, found.patients, found.cases, found.slices, found.tumour_slices) == ("brats", 3, 3, 18, 6)
    assert (found.spacings_mm, found.spacing_cases) == ([[5.0, 2.0, 2.0], [5.0, 1.0, 1.0]], [2, 1])
    assert (found.shapes, found.orientations) == ({"48 x 40 x 6": 3}, {"LPS": 3})
    assert (found.sequences, found.missing_sequences) == ({"flair": 3, "t1": 3}, {"t1ce": 3})
    assert found.labels == {"0": 3 * (6 * 40 * 48 - 40), "1": 80, "2": 40}
    # 40 voxels of 2 x 2 x 5 mm3 are 0.8 ml, of 1 x 1 x 5 mm3 0.2 ml.
    assert found.tumour_ml == Spread(pytest.approx(0.2), pytest.approx(0.8), pytest.approx(0.8))
    assert found.intensities["flair"] == [0.0, 999.0]
    assert found.skipped == [Problem("notes.txt", "is not a volume")]
    assert found.strays == ["notes.txt"]
    assert (found.problems, found.warnings) == ([], [])
    json.dumps(asdict(found))


@pytest.mark.parametrize("axes", [(2, 1, 0), (1, 2, 0), (0, 1, 2)])
def test_a_volume_stored_in_another_orientation_is_a_duplicate(tmp_path: Path, axes: tuple[int, int, int]) -> None:
    first = volumes(tmp_path / "A")
    image = nibabel.load(first.images[Sequence.FLAIR].path)
    mask = nibabel.load(first.mask.path)
    codes = "".join("LPS"[axis] for axis in axes)
    turned = nibabel.orientations.ornt_transform(
        nibabel.orientations.io_orientation(image.affine), nibabel.orientations.axcodes2ornt(codes)
    )
    (tmp_path / "B").mkdir()
    for file, name in ((image, "flair.nii.gz"), (mask, "mask.nii.gz")):
        nibabel.save(file.as_reoriented(turned), tmp_path / "B" / name)
    copy = Volumes({Sequence.FLAIR: VolumeFile(tmp_path / "B/flair.nii.gz")}, VolumeFile(tmp_path / "B/mask.nii.gz"))
    found = audit(volume_set(tmp_path, Case("A", "A", volumes=first), Case("B", "B", volumes=copy)))
    assert found.orientations == ({"LPS": 2} if codes == "LPS" else {"LPS": 1, codes: 1})
    assert found.duplicates == [["A", "B"]]
    what = "6 of its slices are pixel for pixel the same as those of B, another patient's"
    assert found.problems == [Problem("A", what)]


def test_a_mirrored_volume_is_a_duplicate(tmp_path: Path) -> None:
    first, second = volumes(tmp_path / "A"), volumes(tmp_path / "B")
    for volume in (*second.images.values(), second.mask):
        image = nibabel.load(volume.path)
        nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj)[::-1], image.affine), volume.path)
    found = audit(volume_set(tmp_path, Case("A", "A", volumes=first), Case("B", "B", volumes=second)))
    what = "6 of its slices are mirrored or rotated copies of those of B, another patient's"
    assert found.problems == [Problem("A", what)]


def test_volumes_that_cannot_be_used_are_problems_and_the_others_are_counted(tmp_path: Path) -> None:
    parts = {
        name: volumes(tmp_path / name, k) for k, name in enumerate(["good", "short", "shifted", "no mask", "mask"])
    }
    parts["short"].images[Sequence.T1].path.write_bytes(b"")
    grid = np.diag([-2.0, -2.0, 5.0, 1.0])
    save(np.zeros(HEAD, np.uint8), parts["shifted"].mask.path, grid + np.diag([0, 0, 1.0, 0]))
    save(np.random.default_rng(0).random(HEAD), parts["no mask"].mask.path, grid)
    save(
        np.asarray(nibabel.load(parts["mask"].mask.path).dataobj).transpose(2, 1, 0),
        parts["mask"].images[Sequence.FLAIR].path,
        grid,
    )
    found = audit(volume_set(tmp_path, *(Case(name, name, volumes=one) for name, one in parts.items())))
    assert (found.cases, found.slices) == (5, 18)  # of "short", only T1 cannot be used
    wheres = [problem.where for problem in found.problems]
    assert wheres == ["short/t1.nii.gz", "shifted/mask.nii.gz", "no mask/mask.nii.gz", "mask"]
    assert found.problems[1].what.startswith("grid is 48 x 40 x 6 voxels of 2 x 2 x 6 mm")
    assert found.problems[3].what == "its FLAIR looks like a mask or label map, not like a scan"


def test_each_case_is_given_with_its_slice_of_the_largest_tumour(tmp_path: Path) -> None:
    given: list[ExaminedCase] = []
    audit(volume_set(tmp_path, Case("A", "A", volumes=volumes(tmp_path / "A"))), on_case=given.append)
    shown = given[0].shown
    assert shown is not None
    assert (shown.number, shown.slices, shown.pixel_mm) == (3, 6, (2.0, 2.0))
    assert (shown.image.shape, shown.image.dtype, int(shown.mask.sum())) == ((40, 48), np.uint8, 20)
