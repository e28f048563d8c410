"""The cases of a work list: the scans in a folder of the user, each with a name of its own."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from gliomaseg.data.patients import Examination, parse_examination
from gliomaseg.inputs import Input, list_inputs
from gliomaseg.inputs.result_names import portable_name
from gliomaseg.naming import parse_name
from gliomaseg.serve.scans import with_sequences

FORMULA = ("=", "+", "-", "@")
"""Spreadsheets take a cell for a formula if it begins with one of these."""


@dataclass(frozen=True)
class WorkCase:
    """One scan of a work list.

    Attributes:
        name: of the case, unique if capital letters do not count.
        entry: its files.
    """

    name: str
    entry: Input

    @property
    def examination(self) -> Examination:
        """The patient, site and date in the name."""
        return parse_examination(self.name)


def list_cases(data: Path, *, without: Path) -> list[WorkCase]:
    """Return the scans that `predict` finds in a folder, or the one of a file, sorted by name.

    Args:
        data: of the user.
        without: a folder that is not searched: that of the corrected masks.

    Raises:
        DataError: `data` does not exist, cannot be read, or has no scan.
    """
    entries = [with_sequences(entry) for entry in list_inputs([data.absolute()], without=without.absolute())]
    # "P1_flair" is case P1, as in every layout of a data set.
    short = [_cell_name(parse_name(entry.name).case or entry.name) for entry in entries]
    long = [_cell_name(entry.name) for entry in entries]
    taken = Counter(name.casefold() for name in [*short, *long])
    names = [
        name if taken[name.casefold()] == 1 + (name.casefold() == own.casefold()) else own
        for name, own in zip(short, long, strict=True)
    ]
    again = Counter(name.casefold() for name in names)
    # "=a" and "_=a" have one name now: a digest of the whole name tells them apart.
    names = [
        name if again[name.casefold()] == 1 else f"{name}_{hashlib.sha256(os.fsencode(entry.name)).hexdigest()[:8]}"
        for name, entry in zip(names, entries, strict=True)
    ]
    return sorted((WorkCase(*pair) for pair in zip(names, entries, strict=True)), key=lambda case: case.name)


def _cell_name(name: str) -> str:
    """Return a name for files and for cells of a table."""
    return portable_name(f"_{name}" if name.startswith(FORMULA) else name)
