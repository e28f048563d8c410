"""Names of results are unique and name the case."""

from __future__ import annotations

from pathlib import Path

import pytest

from gliomaseg.inputs.result_names import NamedPath, portable_name, unique_names


def names_of(*paths: str, root: str | None = None) -> list[str]:
    named = [
        NamedPath(Path(path), Path(path).name.split(".")[0], "".join(Path(path).suffixes), Path(root) if root else None)
        for path in paths
    ]
    return unique_names(named)


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["d/a.nii", "d/b.nii"], ["a", "b"]),
        (["d/1/x.nii", "d/2/x.nii"], ["1_x", "2_x"]),
        (["d/1/x.nii", "d/2/mri/x.nii"], ["1_x", "2_x"]),
        (["d/s1/v1/x.nii", "d/s1/v2/x.nii", "d/s2/v1/x.nii"], ["s1_v1_x", "s1_v2_x", "s2_v1_x"]),
        (["d/1/Scan.nii", "d/2/scan.nii"], ["1_Scan", "2_scan"]),
        (["d/x.nii", "d/x.nii.gz", "d/x.tif"], ["x_nii", "x_nii_gz", "x_tif"]),
        (["d/X.png", "d/x.png"], ["X_1", "x_2"]),
    ],
)
def test_equal_names_get_the_names_of_folders_until_they_differ(paths: list[str], names: list[str]) -> None:
    assert names_of(*paths) == names


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["r/1/flair.nii", "r/2/flair.nii"], ["1_flair", "2_flair"]),
        (["r/1/flair.nii"], ["1_flair"]),
        (["r/sub-1/anat/flair.nii"], ["sub-1_flair"]),
        (["r/nifti/1/flair.nii", "r/nifti/2/t2f.nii"], ["1_flair", "2_t2f"]),
        (["r/1/flair.nii", "r/1/later/flair.nii"], ["1_flair", "1_later_flair"]),
    ],
)
def test_a_name_without_the_case_gets_the_folder_of_the_case(paths: list[str], names: list[str]) -> None:
    assert names_of(*paths, root="r") == names


def test_names_made_of_folders_do_not_collide_with_other_names() -> None:
    names = names_of("d/a/b_x.nii", "d/a_b/x.nii", "e/x.nii", "e/a_b_x.nii")
    assert len({name.casefold() for name in names}) == 4


def test_characters_and_names_that_windows_refuses_are_replaced() -> None:
    assert portable_name('a:b*c?"d"') == "a_b_c__d_"
    assert [portable_name(name) for name in ("NUL", "com1", "a. ", "...")] == ["NUL_", "com1_", "a", "_"]


def test_a_name_that_leaves_no_room_for_suffixes_is_shortened_and_stays_unique() -> None:
    longest = "a" * 180
    assert portable_name(longest) == longest
    shortened = [portable_name(longest + end) for end in ("b", "c")]
    assert [len(name) for name in shortened] == [180, 180]
    assert len(set(shortened)) == 2
    assert len(portable_name("ü" * 100).encode()) <= 180
