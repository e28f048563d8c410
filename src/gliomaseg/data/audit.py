"""The contents and the faults of a data set: every file is opened once, one at a time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.data.case import Case, read_slice
from gliomaseg.data.case_list import CaseList, Problem
from gliomaseg.data.split_features import image_digest
from gliomaseg.errors import InputError
from gliomaseg.types import Mask

CHANNELS = 3
INVERTED_SHARE = 0.5
LARGE_SHARE = 0.33  # the largest tumour of the LGG data set covers 0.12 of its slice


@dataclass(frozen=True)
class Audit:
    """The findings; `problems` empty means that training is safe.

    Attributes:
        sites: the number of patients of each.
        tumour_pixel_share: tumour pixels of all pixels, 0 to 1.
        missing_sequences: cases whose T1 before ("t1") or after contrast ("t1ce") equals FLAIR in
            every slice, and cases of one channel only ("grey").
        near_black_slices: slices with 99 % of their values at most 10 of 255.
        warnings: findings that a person must check before training, and that may be right.
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
    warnings: list[dict[str, str]]

    @property
    def safe(self) -> bool:
        """Whether one may train on it."""
        return not self.problems


@dataclass
class _Count:
    slices: int = 0
    tumour_slices: int = 0
    coverage: dict[str, MaskCoverage] = field(default_factory=dict)
    near_black: int = 0
    missing: Counter[str] = field(default_factory=Counter)
    places: dict[bytes, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    problems: list[Problem] = field(default_factory=list)


def audit(index: CaseList, *, progress: Callable[[str], None] | None = None) -> Audit:
    """Open every slice of a data set and report its contents.

    A file that cannot be used is a problem in the report, never an exception.
    """
    count = _Count(problems=list(index.problems))
    for number, case in enumerate(index.cases, start=1):
        _count_case(case, count)
        if progress and number % 20 == 0:
            progress(f"{number} of {len(index.cases)} patients read")
    duplicates = _duplicates(count)
    count.problems += inverted_masks(count.coverage)
    tumour, pixels = (sum(getattr(one, name) for one in count.coverage.values()) for name in ("tumour", "pixels"))
    patients = {(case.patient, case.site) for case in index.cases}
    return Audit(
        root=str(index.root),
        patients=len(patients),
        slices=count.slices,
        tumour_slices=count.tumour_slices,
        tumour_pixel_share=tumour / max(1, pixels),
        sites=dict(sorted(Counter(site for _, site in patients).items())),
        missing_sequences=dict(sorted(count.missing.items())),
        near_black_slices=count.near_black,
        duplicates=duplicates,
        second_copies=[str(folder) for folder in index.second_copies],
        strays=list(index.strays),
        problems=[asdict(problem) for problem in count.problems],
        warnings=[asdict(warning) for warning in mask_warnings(count.coverage)],
    )


@dataclass(frozen=True)
class MaskCoverage:
    """The pixels of a case's slices: all of them, those of the tumour, and the largest tumour's share of one slice."""

    pixels: int
    tumour: int
    largest_share: float


def mask_coverage(masks: Iterable[Mask]) -> MaskCoverage:
    """Return the coverage of a case's masks, each bool of shape (y, x); zeros if there is none."""
    counted = [(mask.size, int(np.count_nonzero(mask))) for mask in masks]
    largest = max((tumour / pixels for pixels, tumour in counted), default=0.0)
    return MaskCoverage(sum(pixels for pixels, _ in counted), sum(tumour for _, tumour in counted), largest)


def inverted_masks(coverage: Mapping[str, MaskCoverage]) -> list[Problem]:
    """Return a problem for each case with a mask that covers more than half of its slice: 0 and 255 may be swapped."""
    return [
        Problem(name, f"its masks cover up to {one.largest_share:.0%} of a slice: they may be inverted")
        for name, one in coverage.items()
        if one.largest_share > INVERTED_SHARE
    ]


def mask_warnings(coverage: Mapping[str, MaskCoverage]) -> list[Problem]:
    """Return a warning if no mask of a data set has tumour, and for each case whose tumour is implausibly large."""
    if coverage and not any(one.tumour for one in coverage.values()):
        return [Problem("all masks", f"no mask of {len(coverage)} cases has a pixel of tumour")]
    return [
        Problem(name, f"its masks cover up to {one.largest_share:.0%} of a slice, expected at most {LARGE_SHARE:.0%}")
        for name, one in coverage.items()
        if LARGE_SHARE < one.largest_share <= INVERTED_SHARE
    ]


def _count_case(case: Case, count: _Count) -> None:
    equal = {"t1": True, "t1ce": True}
    kinds = set()
    masks = []
    for entry in case.slices:
        where = f"{case.name}/{entry.image.name}"
        try:
            image, mask = read_slice(entry)
        except InputError as fault:
            count.problems.append(Problem(f"{case.name}/{Path(fault.where).name}", fault.what))
            continue
        kinds.add((image.shape, image.dtype.name))
        count.slices += 1
        masks.append(mask)
        count.tumour_slices += bool(mask.any())
        _compare_channels(image, equal)
        if digest := image_digest(image):
            count.places[digest].append((case.patient, where))
        else:
            count.near_black += 1
    if masks:
        count.coverage[case.name] = mask_coverage(masks)
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
