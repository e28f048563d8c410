"""Lines on files that are not used."""

from __future__ import annotations

from pathlib import Path

from gliomaseg.report.skipped_text import relative_name, skipped_lines


def test_one_file_is_a_sentence() -> None:
    assert skipped_lines([("a.txt", "is not an image")]) == ["a.txt is not an image"]


def test_files_of_one_reason_are_one_line_and_numbers_are_a_range() -> None:
    files = [(f"p/s_{k}_mask.tif", "is a mask") for k in (10, 9, 1)] + [("b_mask.tif", "is a mask"), ("c", "is odd")]
    assert skipped_lines(files) == [
        "4 files: each is a mask: b_mask.tif, p/s_1_mask.tif ... p/s_10_mask.tif",
        "c is odd",
    ]


def test_many_names_are_cut_short_with_their_number() -> None:
    (line,) = skipped_lines([(name, "is odd") for name in "abcde"], most=3)
    assert line == "5 files: each is odd: a, b, c, and 2 more"


def test_names_are_relative_to_the_named_folder() -> None:
    assert relative_name(Path("in/a/b.txt"), [Path("in")]) == "a/b.txt"
    assert relative_name(Path("in/a/b.txt"), []) == "in/a/b.txt"
