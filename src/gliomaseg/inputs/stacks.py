"""Stacks: images in one folder that have one name and a number each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

# A minus is a sign only behind another separator or an axis: "slice_-12" and "z-12", but not "IM-0012".
_NUMBER = re.compile(r"(?:(?:(?<=[_ (=])|(?<=(?<![A-Za-z0-9])[xyzXYZ]))-)?\d+")
_WINDOWS_NUMBER = re.compile(r"(.+) \((\d+)\)")
_SMALLEST_AMONG_OTHERS = 3


@dataclass(frozen=True)
class Stack:
    """Numbered images in order.

    Attributes:
        files: the images.
        numbers: the number of each.
        name: the folder's name if the folder has one stack; else the name that the images share.
        shared_name: the name that the images share, without the number.
        is_whole_folder: whether the folder has one stack.
        pattern: a regular expression for the names of its files without suffix; the group is the number.
    """

    files: tuple[Path, ...]
    numbers: tuple[int, ...]
    name: str
    shared_name: str
    is_whole_folder: bool
    pattern: str

    def lost_slices(self, files: Sequence[Path]) -> list[Path]:
        """Return the files that have a name of the stack with another number: slices in another format."""
        numbers = set(self.numbers)
        matches = ((file, re.fullmatch(self.pattern, file.stem)) for file in files)
        return [file for file, match in matches if match and int(match[1]) not in numbers]


def find_stacks(folder: Path, files: Sequence[Path]) -> tuple[list[Stack], list[Path]]:
    """Return the stacks among the images of a folder, and the other images.

    The images of a stack have one name and one suffix and differ in one number, which may stand anywhere in the name
    and may begin with zeros: `scan (8).png`, `slice_1_of_26.png`, `IM-0001-0012.png`. A number that is there twice
    makes all images of the name single images. If a folder has other images too, a stack has at least three images.
    Beside `scan (2).png`, `scan (3).png`, the image `scan.png` is the first one.
    """
    if files and all(re.fullmatch(re.escape(folder.resolve().name) + r"_\d+", file.stem) for file in files):
        stacks = [_ordered(files, -1)]
    else:
        stacks = [_with_first(stack, files) for group in _same_name(files) for stack in _stacks_of(group)]
        smallest = 2 if len(stacks) == 1 and len(stacks[0].files) == len(files) else _SMALLEST_AMONG_OTHERS
        stacks = [stack for stack in stacks if len(stack.files) >= smallest]
    if len(stacks) == 1:
        stacks = [replace(stacks[0], name=folder.resolve().name, is_whole_folder=True)]
    in_stacks = {file for stack in stacks for file in stack.files}
    return stacks, [file for file in files if file not in in_stacks]


def by_number(file: Path) -> tuple[str, list[int]]:
    """Return a sort key that places `_10` after `_2`."""
    return _NUMBER.sub("", file.stem), _numbers(file)


def _numbers(file: Path) -> list[int]:
    return [int(number) for number in _NUMBER.findall(file.stem)]


def _same_name(files: Sequence[Path]) -> list[list[Path]]:
    """Group images whose names and suffixes are equal but for the numbers."""
    groups: dict[tuple[str, str], list[Path]] = {}
    for file in files:
        groups.setdefault((_NUMBER.sub("#", file.stem), file.suffix.lower().replace(".tiff", ".tif")), []).append(file)
    return list(groups.values())


def _stacks_of(files: Sequence[Path]) -> list[Stack]:
    """Return the stacks among images that differ in numbers only."""
    columns = list(zip(*map(_numbers, files), strict=True))
    varying = [k for k, column in enumerate(columns) if len(set(column)) > 1]
    if not varying:
        return []
    complete = [k for k in varying if len(set(columns[k])) == len(files)]
    if len(varying) == len(complete) and _have_one_order([columns[k] for k in complete]):
        return [_ordered(files, complete[0])]
    groups: dict[tuple[int, ...], list[Path]] = {}
    for file in files:
        numbers = _numbers(file)
        groups.setdefault(tuple(numbers[k] for k in varying[:-1]), []).append(file)
    found = [_ordered(group, varying[-1]) for group in groups.values()]
    return [stack for stack in found if len(stack.files) > 1 and len(set(stack.numbers)) == len(stack.numbers)]


def _with_first(stack: Stack, files: Sequence[Path]) -> Stack:
    """Return a stack that Windows has numbered with the image that has the name and no number, if there is one."""
    match = _WINDOWS_NUMBER.fullmatch(stack.files[0].stem)
    if match is None or int(match[2]) != stack.numbers[0] or stack.numbers[0] < 1:
        return stack
    name = _NUMBER.sub("#", match[1])
    first = [file for file in files if _NUMBER.sub("#", file.stem) == name]
    if first != [stack.files[0].with_stem(match[1])]:  # "slice 5" beside "slice 6" is in their stack
        return stack
    number = 1 if stack.numbers[0] > 1 else 0
    return replace(stack, files=(*first, *stack.files), numbers=(number, *stack.numbers))


def _have_one_order(columns: Sequence[Sequence[int]]) -> bool:
    orders = [sorted(range(len(column)), key=column.__getitem__) for column in columns]
    return all(order == orders[0] for order in orders)


def _ordered(files: Sequence[Path], column: int) -> Stack:
    """Return the stack of images in the order of one of their numbers."""
    ordered = sorted(files, key=lambda file: _numbers(file)[column])
    first = ordered[0].stem
    number = list(_NUMBER.finditer(first))[column]
    before, after = first[: number.start()], first[number.end() :]
    name = (before + after).strip(" _-.()")
    numbers = tuple(_numbers(file)[column] for file in ordered)
    pattern = re.escape(before) + r"(-?\d+)" + re.escape(after)
    return Stack(tuple(ordered), numbers, name, name, is_whole_folder=False, pattern=pattern)
