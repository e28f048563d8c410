"""The contents and the faults of a data set: every file is opened once, one at a time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.data.case import read_slice
from gliomaseg.data.index import Case, DataIndex, Problem
from gliomaseg.data.split_features import image_digest
from gliomaseg.errors import InputError

CHANNELS = 3


@dataclass(frozen=True)
class Audit:
    """The findings; `problems` empty means that training is safe.

    Attributes:
        sites: the number of patients of each.
        tumour_pixel_share: tumour pixels of all pixels, 0 to 1.
        missing_sequences: cases whose T1 before ("t1") or after contrast ("t1ce") equals FLAIR in
            every slice, and cases of one channel only ("grey").
        near_black_slices: slices with 99 % of their values at most 10 of 255.
        duplicates: groups of places whose slices are equal to the pixel in more than one patient.
    """

    root: str
    patients: int
    slices: int
    tumour_slices: int
    tumour_pixel_share: float
    sites: dict[str, int]
    missing_sequences: dict[str, int]
    near_black_slices: int
    duplicates: list[list[str]]
    second_copies: list[str]
    strays: list[str]
    problems: list[dict[str, str]]

    @property
    def safe(self) -> bool:
        """Whether one may train on it."""
        return not self.problems


@dataclass
class _Count:
    slices: int = 0
    tumour_slices: int = 0
    pixels: int = 0
    tumour_pixels: int = 0
    near_black: int = 0
    missing: Counter[str] = field(default_factory=Counter)
    places: dict[bytes, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    problems: list[Problem] = field(default_factory=list)


def audit(index: DataIndex, *, progress: Callable[[str], None] | None = None) -> Audit:
    """Open every slice of a data set and report its contents.

    A file that cannot be used is a problem in the report, never an exception.
    """
    count = _Count(problems=list(index.problems))
    for number, case in enumerate(index.cases, start=1):
        _count_case(case, count)
        if progress and number % 20 == 0:
            progress(f"{number} of {len(index.cases)} patients read")
    duplicates = _duplicates(count)
    patients = {(case.patient, case.site) for case in index.cases}
    return Audit(
        root=str(index.root),
        patients=len(patients),
        slices=count.slices,
        tumour_slices=count.tumour_slices,
        tumour_pixel_share=count.tumour_pixels / max(1, count.pixels),
        sites=dict(sorted(Counter(site for _, site in patients).items())),
        missing_sequences=dict(sorted(count.missing.items())),
        near_black_slices=count.near_black,
        duplicates=duplicates,
        second_copies=[str(folder) for folder in index.second_copies],
        strays=list(index.strays),
        problems=[{"where": problem.where, "what": problem.what} for problem in count.problems],
    )


def _count_case(case: Case, count: _Count) -> None:
    equal = {"t1": True, "t1ce": True}
    kinds = set()
    for entry in case.slices:
        where = f"{case.name}/{entry.image.name}"
        try:
            image, mask = read_slice(entry)
        except InputError as fault:
            count.problems.append(Problem(f"{case.name}/{Path(fault.where).name}", fault.what))
            continue
        kinds.add((image.shape, image.dtype.name))
        count.slices += 1
        count.pixels += mask.size
        count.tumour_pixels += int(mask.sum())
        count.tumour_slices += bool(mask.any())
        _compare_channels(image, equal)
        if digest := image_digest(image):
            count.places[digest].append((case.patient, where))
        else:
            count.near_black += 1
    if len(kinds) > 1:
        count.problems.append(Problem(case.name, f"its slices are of {len(kinds)} sizes or kinds: {sorted(kinds)}"))
    if {shape[2] for shape, _ in kinds} == {1}:
        count.missing["grey"] += 1
    elif kinds:  # none where no slice could be read
        count.missing.update(name for name, all_equal in equal.items() if all_equal)


def _compare_channels(image: NDArray[Any], equal: dict[str, bool]) -> None:
    """A sequence that is missing was filled with FLAIR, to the pixel."""
    if image.shape[2] == CHANNELS:
        equal["t1"] &= np.array_equal(image[..., 0], image[..., 1])
        equal["t1ce"] &= np.array_equal(image[..., 2], image[..., 1])


def _duplicates(count: _Count) -> list[list[str]]:
    groups = []
    for places in count.places.values():
        if len({patient for patient, _ in places}) > 1:
            names = [where for _, where in places]
            groups.append(names)
            count.problems.append(
                Problem(names[0], f"is pixel for pixel the same as {', '.join(names[1:])} of another patient")
            )
    return groups
