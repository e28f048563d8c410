"""Files that are not inputs, as a few lines of text."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from gliomaseg.errors import printable

_NUMBER = re.compile(r"\d+")
_MOST_NAMES = 50


def skipped_lines(files: Iterable[tuple[str, str]], *, most: int = _MOST_NAMES) -> list[str]:
    """Return a line for each reason, with the names of its files.

    Args:
        files: the name and the reason of each file.
        most: names of a line; numbered names count as one.

    >>> skipped_lines([("a_1_mask.tif", "is a mask"), ("a_2_mask.tif", "is a mask"), ("b.txt", "is text")])
    ['2 files: each is a mask: a_1_mask.tif ... a_2_mask.tif', 'b.txt is text']
    """
    reasons: dict[str, list[str]] = {}
    for name, reason in files:
        reasons.setdefault(reason, []).append(name)
    lines = []
    for reason, names in reasons.items():
        if len(names) == 1:
            lines.append(f"{names[0]} {reason}")
            continue
        short = _ranges(names)
        more = f", and {len(short) - most} more" if len(short) > most else ""
        lines.append(f"{len(names)} files: each {reason}: {', '.join(short[:most])}{more}")
    return [printable(line) for line in lines]


def relative_name(path: Path, roots: Sequence[Path]) -> str:
    """Return the name of a file below one of the folders that the user named, else its path."""
    root = next((root for root in roots if path.is_relative_to(root)), None)
    return str(path) if root is None else Path(os.path.relpath(path, root)).as_posix()


def _ranges(names: Sequence[str]) -> list[str]:
    """Return names in order; if some differ in one number only, the first and the last of them."""
    groups: dict[str, list[str]] = {}
    for name in sorted(names, key=_by_number):
        groups.setdefault(_NUMBER.sub("#", name), []).append(name)
    ranges = []
    for group in groups.values():
        columns = list(zip(*(_NUMBER.findall(name) for name in group), strict=True))
        is_range = len(group) > 1 and sum(len(set(column)) > 1 for column in columns) == 1
        ranges += [f"{group[0]} ... {group[-1]}"] if is_range else group
    return ranges


def _by_number(name: str) -> tuple[str, list[int]]:
    return _NUMBER.sub("#", name), [int(number) for number in _NUMBER.findall(name)]
