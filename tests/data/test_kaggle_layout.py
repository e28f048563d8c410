"""The index by names alone: the real archive's shape, and every oddity a row and no silence."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gliomaseg.data.case_list import CaseList, Problem, require_sound
from gliomaseg.data.layouts import read_cases
from gliomaseg.data.layouts.kaggle import identify
from gliomaseg.errors import DataError

KaggleTree = Callable[..., Path]
FIRST, SECOND = "TCGA_CS_0001_20000101", "TCGA_DU_0002_20010101"
FOUR = ["", "kaggle_3m", "lgg-mri-segmentation", "lgg-mri-segmentation/kaggle_3m"]


@pytest.fixture
def tree(tmp_path: Path, kaggle_tree: KaggleTree) -> Path:
    return kaggle_tree(tmp_path, {FIRST: 2, SECOND: 3})


@pytest.fixture
def archive(tmp_path: Path, kaggle_tree: KaggleTree) -> Path:
    """Both copies, each with its data.csv, as Kaggle's archive."""
    first = kaggle_tree(tmp_path / "kaggle_3m", {FIRST: 2, SECOND: 3})
    (first / "data.csv").write_text("Patient,death01\n")
    second = shutil.copytree(first, tmp_path / "lgg-mri-segmentation" / "kaggle_3m")
    (second / "data.csv").write_text("Patient;death01\n")
    return tmp_path


def problems(index: CaseList) -> list[tuple[str, str]]:
    return [(problem.where, problem.what) for problem in index.problems]


# --- the archive


@pytest.mark.parametrize("folder", FOUR)
def test_whichever_folder_is_named_every_case_is_there_once(archive: Path, folder: str) -> None:
    index = read_cases(archive / folder)
    assert [(case.name, [entry.number for entry in case.slices]) for case in index.cases] == [
        (FIRST, [1, 2]),
        (SECOND, [1, 2, 3]),
    ]
    assert index.slice_count == 5
    assert index.problems == ()


@pytest.mark.parametrize("folder", FOUR)
def test_files_are_of_one_copy_only(archive: Path, folder: str) -> None:
    index = read_cases(archive / folder)
    files = [file for case in index.cases for entry in case.slices for file in (entry.image, entry.mask)]
    assert {file.parent.parent for file in files} == {index.root}
    assert len(set(files)) == 10


def test_second_copy_is_named_and_not_read(archive: Path) -> None:
    index = read_cases(archive)
    assert index.root == archive / "kaggle_3m"
    assert index.second_copies == (archive / "lgg-mri-segmentation" / "kaggle_3m",)


@pytest.mark.parametrize("folder", FOUR[1:])
def test_one_copy_named_has_no_second_one(archive: Path, folder: str) -> None:
    assert read_cases(archive / folder).second_copies == ()


def test_second_copy_alone_is_read_from_the_root(archive: Path) -> None:
    shutil.rmtree(archive / "kaggle_3m")
    assert read_cases(archive).root == archive / "lgg-mri-segmentation" / "kaggle_3m"


def test_table_beside_the_patients_is_a_stray(archive: Path) -> None:
    assert read_cases(archive).strays == ("data.csv",)


def test_other_copy_is_no_stray_where_patients_lie_in_the_root(archive: Path, kaggle_tree: KaggleTree) -> None:
    kaggle_tree(archive, {"TCGA_HT_0003_20020101": 1})
    index = read_cases(archive)
    assert index.root == archive
    assert index.strays == ()
    assert len(index.second_copies) == 2


def test_strays_are_named_with_their_folder(tree: Path) -> None:
    (tree / "notes.txt").touch()
    (tree / "empty").mkdir()
    (tree / FIRST / "Thumbs.db").touch()
    (tree / FIRST / f"._{FIRST}_1.tif").touch()
    index = read_cases(tree)
    assert index.strays == (f"{FIRST}/._{FIRST}_1.tif", f"{FIRST}/Thumbs.db", "empty", "notes.txt")
    assert index.slice_count == 5
    assert index.problems == ()


# --- slices that are not read


@pytest.mark.parametrize(
    ("place", "where", "what"),
    [
        (f"{FIRST}/{SECOND}_9.tif", f"{FIRST}/{SECOND}_9.tif", "is a slice of another case"),
        (f"{FIRST}/{FIRST}_9.png", f"{FIRST}/{FIRST}_9.png", "is a slice that is not a TIFF"),
        (f"{FIRST}_7.tif", f"{FIRST}_7.tif", "is a slice outside of a patient's folder"),
        (f"{FIRST}/old/{FIRST}_9.tif", f"{FIRST}/old", f"has 1 file of slices, not read: the first is {FIRST}_9.tif"),
        ("Patient B2/PatB_8.tif", "Patient B2", "has 1 file of slices, not read: the first is PatB_8.tif"),
    ],
)
def test_a_slice_that_is_not_read_is_a_problem(tree: Path, place: str, where: str, what: str) -> None:
    (tree / place).parent.mkdir(exist_ok=True)
    (tree / place).touch()
    index = read_cases(tree)
    assert [problem.where for problem in index.problems] == [where]
    assert index.problems[0].what.startswith(what)


def test_a_preview_of_a_slice_is_not_a_problem(tree: Path) -> None:
    (tree / FIRST / f"{FIRST}_1.png").touch()
    assert read_cases(tree).problems == ()


def test_hidden_folder_is_no_patient(tree: Path) -> None:
    shutil.copytree(tree / FIRST, tree / f".{FIRST}")
    index = read_cases(tree)
    assert len(index.cases) == 2
    assert index.strays == (f".{FIRST}",)


# --- slices


def test_numbers_are_sorted_as_numbers(tmp_path: Path, kaggle_tree: KaggleTree) -> None:
    index = read_cases(kaggle_tree(tmp_path, {FIRST: 12}))
    assert [entry.number for entry in index.cases[0].slices] == list(range(1, 13))


def test_padded_numbers_are_numbers_too(tmp_path: Path) -> None:
    (tmp_path / FIRST).mkdir()
    for number in ("001", "002", "010"):
        (tmp_path / FIRST / f"{FIRST}_{number}.tif").touch()
        (tmp_path / FIRST / f"{FIRST}_{number}_mask.tif").touch()
    assert [entry.number for entry in read_cases(tmp_path).cases[0].slices] == [1, 2, 10]


def test_picture_and_mask_of_a_number_go_together(tree: Path) -> None:
    for case in read_cases(tree).cases:
        for entry in case.slices:
            assert entry.image.name == f"{case.name}_{entry.number}.tif"
            assert entry.mask.name == f"{case.name}_{entry.number}_mask.tif"


def test_picture_without_mask_is_a_problem(tree: Path) -> None:
    (tree / FIRST / f"{FIRST}_2_mask.tif").unlink()
    index = read_cases(tree)
    assert problems(index) == [(f"{FIRST}/{FIRST}_2.tif", "has no mask")]
    assert [entry.number for entry in index.cases[0].slices] == [1]


def test_mask_without_picture_is_a_problem(tree: Path) -> None:
    (tree / FIRST / f"{FIRST}_2.tif").unlink()
    assert problems(read_cases(tree)) == [(f"{FIRST}/{FIRST}_2_mask.tif", "is a mask without an image")]


@pytest.mark.parametrize("other", ["_01.tif", "_1.TIF", "_1.tiff"])
def test_two_pictures_of_one_number_are_a_problem(tree: Path, other: str) -> None:
    shutil.copy(tree / FIRST / f"{FIRST}_1.tif", tree / FIRST / f"{FIRST}{other}")
    index = read_cases(tree)
    (where, what) = problems(index)[0]
    first, second = sorted([f"{FIRST}_1.tif", f"{FIRST}{other}"])
    assert (where, what) == (f"{FIRST}/{second}", f"has the slice number of {first}")
    assert index.slice_count == 5


def test_two_masks_of_one_number_are_a_problem(tree: Path) -> None:
    shutil.copy(tree / FIRST / f"{FIRST}_1_mask.tif", tree / FIRST / f"{FIRST}_01_mask.tif")
    assert problems(read_cases(tree)) == [
        (f"{FIRST}/{FIRST}_1_mask.tif", f"has the slice number of {FIRST}_01_mask.tif")
    ]


def test_upper_case_suffix_is_a_slice(tree: Path) -> None:
    for file in (tree / FIRST).iterdir():
        file.rename(file.with_suffix(".TIF"))
    index = read_cases(tree)
    assert index.slice_count == 5
    assert index.problems == ()


def test_links_to_files_are_slices(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    store = tmp_path_factory.mktemp("store")
    for file in (tree / FIRST).iterdir():
        shutil.move(file, store / file.name)
        file.symlink_to(store / file.name)
    index = read_cases(tree)
    assert index.slice_count == 5
    assert index.problems == ()


def test_link_to_a_folder_of_a_patient_is_a_patient(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    store = tmp_path_factory.mktemp("store")
    shutil.move(tree / FIRST, store / FIRST)
    (tree / FIRST).symlink_to(store / FIRST)
    assert read_cases(tree).slice_count == 5


def test_links_to_nothing_are_problems_and_not_silence(tree: Path) -> None:
    for name in (f"{FIRST}_2.tif", f"{FIRST}_2_mask.tif"):
        (tree / FIRST / name).unlink()
        (tree / FIRST / name).symlink_to("nowhere.tif")
    assert problems(read_cases(tree)) == [
        (f"{FIRST}/{FIRST}_2.tif", "is not a file, or is a broken link"),
        (f"{FIRST}/{FIRST}_2_mask.tif", "is not a file, or is a broken link"),
    ]


def test_folder_with_a_slices_name_is_a_problem(tree: Path) -> None:
    (tree / FIRST / f"{FIRST}_9.tif").mkdir()
    assert problems(read_cases(tree)) == [(f"{FIRST}/{FIRST}_9.tif", "is not a file, or is a broken link")]


def test_empty_folder_of_a_patient_is_a_problem(tree: Path) -> None:
    (tree / "TCGA_HT_0003_20020101").mkdir()
    index = read_cases(tree)
    assert problems(index) == [("TCGA_HT_0003_20020101", "contains no slice")]
    assert [case.name for case in index.cases] == [FIRST, SECOND]


# --- what is no data set


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"folder does not exist; .*gliomaseg download"):
        read_cases(tmp_path / "missing")


def test_file_instead_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").touch()
    with pytest.raises(DataError, match="has no layout"):
        read_cases(tmp_path / "a.zip")


def test_folder_without_patients_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "beach.tif").touch()
    with pytest.raises(
        DataError, match=r"has no layout that is known here; expected one of: .*kaggle: <patient>/<patient>_<n>\.tif"
    ):
        read_cases(tmp_path)


def test_folder_of_one_patient_is_no_data_set(tree: Path) -> None:
    with pytest.raises(DataError, match="has no layout"):
        read_cases(tree / FIRST)


def test_patients_without_any_mask_are_refused(tree: Path) -> None:
    for mask in tree.rglob("*_mask.tif"):
        mask.unlink()
    with pytest.raises(DataError, match="contains no slice with both"):
        read_cases(tree)


def test_folder_that_may_not_be_read_is_one_line(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = Path.iterdir

    def deny(folder: Path) -> object:
        if folder.name == SECOND:
            raise PermissionError(13, "Permission denied", str(folder))
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", deny)
    with pytest.raises(DataError) as caught:
        read_cases(tree)
    assert caught.value.line() == f"{tree / SECOND}: cannot be read (Permission denied)"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_locked_folder_is_refused(tree: Path) -> None:
    (tree / SECOND).chmod(0)
    try:
        with pytest.raises(DataError, match="cannot be read"):
            read_cases(tree)
    finally:
        (tree / SECOND).chmod(0o700)


def test_sound_index_passes(tree: Path) -> None:
    require_sound(read_cases(tree))


def test_index_with_problems_is_refused_by_the_first(tree: Path) -> None:
    index = read_cases(tree)
    unsound = CaseList(index.root, index.cases, (Problem("a.tif", "has no mask"), Problem("b.tif", "has no mask")))
    with pytest.raises(DataError) as caught:
        require_sound(unsound)
    assert caught.value.line().startswith("a.tif: has no mask (2 problems in all); run `gliomaseg audit`")


# --- names


@pytest.mark.parametrize(
    ("name", "patient", "site"),
    [
        ("TCGA_CS_4941_19960909", "TCGA_CS_4941", "CS"),
        ("TCGA_HT_A616_19991226", "TCGA_HT_A616", "HT"),
        ("PHANTOM_AA_0001_20000101", "PHANTOM_AA_0001", "AA"),
        ("TCGA_CS_4941", "TCGA_CS_4941", "unknown"),
        ("TCGA_CS_4941_1996", "TCGA_CS_4941_1996", "unknown"),
        ("TCGA_CS_4941_19960909_2", "TCGA_CS_4941_19960909_2", "unknown"),
        ("patient 7", "patient 7", "unknown"),
    ],
)
def test_name_says_patient_and_site(name: str, patient: str, site: str) -> None:
    assert identify(name) == (patient, site)


def test_folder_of_another_name_is_its_own_patient(tmp_path: Path, kaggle_tree: KaggleTree) -> None:
    case = read_cases(kaggle_tree(tmp_path, {"anna": 1})).cases[0]
    assert (case.name, case.patient, case.site) == ("anna", "anna", "unknown")


def test_a_link_to_nothing_beside_the_patients_is_a_problem(tree: Path) -> None:
    (tree / "TCGA_CS_9999_20000101").symlink_to(tree / "nowhere")
    assert [problem.what for problem in read_cases(tree).problems] == ["is a broken link: it may be a patient's folder"]
