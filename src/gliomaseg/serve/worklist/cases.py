"""The cases of a work list: the scans in a folder of the user, each with a name of its own."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from gliomaseg.data.patients import Examination, parse_examination
from gliomaseg.inputs import Input, list_inputs
from gliomaseg.inputs.result_names import portable_name
from gliomaseg.naming import parse_name
from gliomaseg.serve.scans import with_sequences


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
    short = [portable_name(parse_name(entry.name).case or entry.name) for entry in entries]
    taken = Counter(name.casefold() for name in [*short, *(entry.name for entry in entries)])
    names = [
        name if taken[name.casefold()] == 1 + (name.casefold() == entry.name.casefold()) else entry.name
        for name, entry in zip(short, entries, strict=True)
    ]
    return sorted((WorkCase(*pair) for pair in zip(names, entries, strict=True)), key=lambda case: case.name)
