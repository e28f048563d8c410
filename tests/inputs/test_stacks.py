"""Which images of a folder are the slices of one stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from gliomaseg.inputs.stacks import find_stacks


def stacks_of(*names: str) -> list[list[str]]:
    stacks, _ = find_stacks(Path("folder"), [Path("folder", name) for name in names])
    return [[file.name for file in stack.files] for stack in stacks]


@pytest.mark.parametrize(
    "names",
    [
        ["scan (8).png", "scan (9).png", "scan (10).png"],
        ["slice_1_of_26.png", "slice_2_of_26.png", "slice_10_of_26.png"],
        ["IM-0001-0002.png", "IM-0001-0011.png", "IM-0001-0102.png"],
        ["a_001.png", "a_002.png", "a_010.png"],
        ["1.tif", "2.tif", "10.tif"],
        ["8_slice.png", "9_slice.png", "10_slice.png"],
        ["slice 1 of anna 7.png", "slice 2 of anna 7.png"],
        ["IM_1_1001.png", "IM_2_1002.png", "IM_3_1003.png"],
        ["slice_-10.png", "slice_-5.png", "slice_0.png", "slice_5.png"],
        ["z-12.png", "z-4.png", "z4.png", "z12.png"],
        ["scan.png", "scan (2).png", "scan (3).png", "scan (10).png"],
        ["scan.png", "scan (1).png", "scan (2).png"],
        ["p7.png", "p7 (2).png", "p7 (3).png"],
    ],
)
def test_one_name_and_a_number_anywhere_are_one_stack_in_order(names: list[str]) -> None:
    assert stacks_of(*sorted(names)) == [names]


@pytest.mark.parametrize(
    "names", [["a.png", "b.png"], ["a_1.png", "b_2.png"], ["a_1.png", "a_01.png"], ["a_1.png", "a_2.tif"], ["a_1.png"]]
)
def test_other_images_are_no_stack(names: list[str]) -> None:
    assert stacks_of(*names) == []


def test_an_image_and_one_copy_are_no_stack() -> None:
    assert stacks_of("scan.png", "scan (2).png") == []


def test_copies_of_a_slice_do_not_take_it_from_its_stack() -> None:
    files = [Path("folder", f"slice {name}.png") for name in ("4", "5", "6", "5 (2)", "5 (3)", "5 (4)")]
    stacks, _ = find_stacks(Path("folder"), files)
    assert [stack.numbers for stack in stacks] == [(4, 5, 6), (2, 3, 4)]


def test_a_stray_image_does_not_break_up_a_stack() -> None:
    files = [Path("folder", name) for name in ("a_1.png", "a_2.png", "a_3.png", "logo.png")]
    (stack,), single = find_stacks(Path("folder"), files)
    assert (stack.name, stack.numbers, single) == ("folder", (1, 2, 3), files[3:])


def test_two_names_are_two_stacks_named_after_their_files() -> None:
    names = [f"{name}_{k}.png" for name in ("p1", "p2") for k in (1, 2, 3)]
    stacks, single = find_stacks(Path("folder"), [Path("folder", name) for name in names])
    assert [(stack.name, stack.numbers) for stack in stacks] == [("p1", (1, 2, 3)), ("p2", (1, 2, 3))]
    assert single == []
