"""Slices that several cases of a data set share, to the pixel, mirrored or rotated."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from gliomaseg.data.case_audit import ExaminedCase, PlacedDigest
from gliomaseg.data.case_list import Problem

MOST_SLICES = 0.9  # of a case: a copy under another name


@dataclass
class Duplicates:
    """The hashes of all slices of a data set.

    Attributes:
        groups: names of equal slices of different patients, or of their cases if these have volumes.
        problems: one for each set of cases of different patients that share slices, by the name of its first case.
        warnings: one for each case that is a copy of another examination of the same patient.
    """

    groups: list[list[str]] = field(default_factory=list)
    problems: list[tuple[str, Problem]] = field(default_factory=list)
    warnings: list[tuple[str, Problem]] = field(default_factory=list)


@dataclass
class DuplicateSearch:
    """Collects the hashes of one case after the other, then compares them."""

    _places: dict[bytes, list[tuple[str, PlacedDigest]]] = field(default_factory=lambda: defaultdict(list))
    _patients: dict[str, str] = field(default_factory=dict)
    _slices: dict[str, int] = field(default_factory=dict)

    def add(self, examined: ExaminedCase) -> None:
        """Add the slices of one case."""
        name = examined.case.name
        self._patients[name], self._slices[name] = examined.case.patient, len(examined.digests)
        for placed in examined.digests:
            self._places[placed.digest].append((name, placed))

    def find(self) -> Duplicates:
        """Return the slices that were found in several cases."""
        shared: dict[tuple[str, ...], list[list[PlacedDigest]]] = defaultdict(list)
        for places in self._places.values():
            cases = tuple(dict.fromkeys(name for name, _ in places))
            if len(cases) > 1:
                shared[cases].append([placed for _, placed in places])
        found = Duplicates()
        for cases, groups in shared.items():
            if len({self._patients[name] for name in cases}) > 1:
                found.groups += [list(names) for names in dict.fromkeys(_names(group) for group in groups)]
                found.problems.append((cases[0], _problem(cases, groups)))
            elif len(groups) >= MOST_SLICES * min(self._slices[name] for name in cases):
                what = f"{len(groups)} of its slices equal those of {', '.join(cases[1:])} of the same patient"
                found.warnings.append((cases[0], Problem(cases[0], what)))
        return found


def _names(group: list[PlacedDigest]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(placed.where for placed in group))


def _problem(cases: tuple[str, ...], groups: list[list[PlacedDigest]]) -> Problem:
    is_turned = any(len({placed.turn for placed in group}) > 1 for group in groups)
    names = _names(groups[0])
    if len(groups) == 1 and len(names) > 1 and names != cases:
        same = "is a mirrored or rotated copy of" if is_turned else "is pixel for pixel the same as"
        return Problem(names[0], f"{same} {', '.join(names[1:])} of another patient")
    same = "are mirrored or rotated copies of" if is_turned else "are pixel for pixel the same as"
    return Problem(cases[0], f"{len(groups)} of its slices {same} those of {', '.join(cases[1:])}, another patient's")
