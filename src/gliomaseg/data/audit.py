"""The contents and the faults of a data set: every file is opened, one case at a time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gliomaseg.data.case_audit import CaseFindings, ExaminedCase, examine_case
from gliomaseg.data.case_list import CaseList, Problem
from gliomaseg.data.duplicates import DuplicateSearch
from gliomaseg.errors import counted
from gliomaseg.system_files import UNFINISHED_SUFFIXES
from gliomaseg.types import Mask, Sequence

INVERTED_SHARE = 0.5
OUTSIDE_SHARE = 0.2  # at most 0.07 in 94 real patients
LARGE_SHARE = 1 / 3  # the largest tumour of the LGG data set covers 0.12 of its slice
EXPECTED = (Sequence.T1, Sequence.T1CE)  # beside FLAIR, these can be the input of a network


@dataclass(frozen=True)
class Spread:
    """The smallest, median and largest of several numbers."""

    min: float
    median: float
    max: float


@dataclass(frozen=True)
class Audit:
    """The findings; `problems` empty means that training is safe.

    Attributes:
        sites: the number of patients of each.
        tumour_pixel_share: tumour pixels of all pixels, 0 to 1.
        sequences: how many cases have each.
        missing_sequences: how many cases lack T1 before ("t1") or after contrast ("t1ce"), or have slices of one
            channel only ("grey"). In RGB slices, a missing sequence equals FLAIR in every slice.
        spacings_mm: the different spacings along z, y, x, the most frequent first; cases without one are not in it.
        spacing_cases: how many cases have each of the spacings.
        shapes: how many cases have each size, written as columns x rows x slices.
        orientations: how many cases have each, such as LPS; "unknown" if the files do not define it.
        intensities: the lowest and the highest value of each sequence.
        labels: how many voxels of the masks have each value, before `--labels`.
        tumour_ml: of the cases with tumour and a spacing; None without such a case.
        near_black_slices: slices with 99 % of their values at most 10 of 255.
        empty_masks: cases without tumour.
        several_examinations: by patient, the cases of patients with several.
        duplicates: names of equal slices of different patients, or of their cases if these have volumes.
        skipped: files that belong to no case, and why.
        notes: assumptions of the layout that a person must check.
        problems: make training unsafe.
        warnings: findings that a person must check before training, and that may be right.
        by_case: the findings of each case.
    """

    root: str
    layout: str
    patients: int
    cases: int
    slices: int
    tumour_slices: int
    tumour_pixel_share: float
    sites: dict[str, int]
    sequences: dict[str, int]
    missing_sequences: dict[str, int]
    spacings_mm: list[list[float]]
    spacing_cases: list[int]
    shapes: dict[str, int]
    orientations: dict[str, int]
    intensities: dict[str, list[float]]
    labels: dict[str, int]
    tumour_ml: Spread | None
    near_black_slices: int
    empty_masks: list[str]
    several_examinations: dict[str, list[str]]
    duplicates: list[list[str]]
    second_copies: list[str]
    strays: list[str]
    skipped: list[Problem]
    notes: list[str]
    problems: list[Problem]
    warnings: list[Problem]
    by_case: list[CaseFindings]

    @property
    def safe(self) -> bool:
        """Whether one may train on it."""
        return not self.problems


def audit(
    index: CaseList,
    *,
    progress: Callable[[str], None] | None = None,
    on_case: Callable[[ExaminedCase], None] | None = None,
) -> Audit:
    """Open every file of a data set and report its contents.

    A file that cannot be used is a problem in the report, never an exception.

    Args:
        index: the data set; one case at a time is in memory.
        progress: gets a line now and then.
        on_case: gets each case after it was read, to draw it.

    Raises:
        MissingExtraError: a case needs an extra that is not installed.
    """
    search = DuplicateSearch()
    by_case: dict[str, CaseFindings] = {}
    for number, case in enumerate(index.cases, start=1):
        examined = examine_case(case)
        search.add(examined)
        by_case[case.name] = examined.findings
        if on_case:
            on_case(examined)
        if progress and number % 20 == 0:
            progress(f"{number} of {len(index.cases)} cases read")
    duplicates = search.find()
    for name, problem in duplicates.problems:
        by_case[name].problems.append(problem)
    for name, warning in duplicates.warnings:
        by_case[name].warnings.append(warning)
    general = [*_unfinished_copies(index), *_check_masks(index, by_case)]
    return _summarise(index, list(by_case.values()), duplicates.groups, general)


def _unfinished_copies(index: CaseList) -> list[Problem]:
    return [
        Problem(file.where, "is an unfinished copy by its name, and is not read: copy it again, or remove it")
        for file in index.skipped
        if file.where.lower().endswith(UNFINISHED_SUFFIXES)
    ]


def _check_masks(index: CaseList, by_case: Mapping[str, CaseFindings]) -> list[Problem]:
    """Add problems and warnings about masks to their cases, and return the warnings about all masks."""
    coverage = {
        name: MaskCoverage(one.tumour_voxels, one.largest_slice_share, one.head_share, one.outside_head_share)
        for name, one in by_case.items()
        if one.slices
    }
    for problem in inverted_masks(coverage):
        by_case[problem.where].problems.append(problem)
    general: list[Problem] = []
    for warning in mask_warnings(coverage):
        (by_case[warning.where].warnings if warning.where in by_case else general).append(warning)
    wanted = {str(label) for case in index.cases for label in case.labels.tumour or ()}
    absent = wanted.difference(*(one.labels for one in by_case.values()))
    general += [Problem("--labels", f"no mask has the value {label}") for label in sorted(absent, key=int)]
    return general


def _summarise(index: CaseList, rows: list[CaseFindings], duplicates: list[list[str]], general: list[Problem]) -> Audit:
    patients = {(case.patient, case.site) for case in index.cases}
    examinations = defaultdict(list)
    for case in index.cases:
        examinations[case.patient].append(case.name)
    readable = [one for one in rows if one.slices]
    spacings = Counter(tuple(one.spacing_mm) for one in readable if one.spacing_mm).most_common()
    return Audit(
        root=str(index.root),
        layout=index.layout,
        patients=len(examinations),
        cases=len(index.cases),
        slices=sum(one.slices for one in rows),
        tumour_slices=sum(one.tumour_slices for one in rows),
        tumour_pixel_share=sum(one.tumour_voxels for one in rows) / max(1, sum(one.voxels for one in rows)),
        sites=dict(sorted(Counter(site for _, site in patients).items())),
        sequences=_counted(name for one in readable for name in one.sequences),
        missing_sequences=_counted(name for one in readable for name in _missing(one)),
        spacings_mm=[list(spacing) for spacing, _ in spacings],
        spacing_cases=[cases for _, cases in spacings],
        shapes=_counted(" x ".join(map(str, reversed(one.shape or ()))) for one in readable),
        orientations=_counted(one.orientation or "unknown" for one in readable),
        intensities=_intensities(readable),
        labels=_labels(readable),
        tumour_ml=_spread([one.tumour_ml for one in readable if one.tumour_ml]),
        near_black_slices=sum(one.near_black_slices for one in rows),
        empty_masks=[one.case for one in readable if not one.tumour_voxels],
        several_examinations={patient: names for patient, names in sorted(examinations.items()) if len(names) > 1},
        duplicates=duplicates,
        second_copies=[str(folder) for folder in index.second_copies],
        strays=list(index.strays),
        skipped=list(index.skipped),
        notes=list(index.notes),
        problems=[*index.problems, *(problem for one in rows for problem in one.problems)],
        warnings=[*general, *(warning for one in rows for warning in one.warnings)],
        by_case=rows,
    )


def _missing(findings: CaseFindings) -> list[str]:
    return ["grey"] if findings.is_grey else [name.value for name in EXPECTED if name not in findings.sequences]


def _counted(names: Iterable[str]) -> dict[str, int]:
    """Return how often each name occurs, the most frequent first."""
    return dict(sorted(Counter(names).items(), key=lambda entry: (-entry[1], entry[0])))


def _intensities(rows: list[CaseFindings]) -> dict[str, list[float]]:
    limits: dict[str, list[float]] = {}
    for name in (sequence.value for sequence in Sequence):
        if ranges := [one.intensities[name] for one in rows if name in one.intensities]:
            limits[name] = [min(low for low, _ in ranges), max(high for _, high in ranges)]
    return limits


def _labels(rows: list[CaseFindings]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for one in rows:
        total.update(one.labels)
    return dict(sorted(total.items(), key=lambda entry: float(entry[0])))


def _spread(numbers: list[Any]) -> Spread | None:
    return Spread(min(numbers), float(np.median(numbers)), max(numbers)) if numbers else None


@dataclass(frozen=True)
class MaskCoverage:
    """The tumour of a case.

    Attributes:
        tumour: its pixels.
        largest_share: the largest tumour's share of one slice, 0 to 1.
        head_share: the tumour's share of the head, 0 to 1; None without images.
        outside_head_share: the share of the tumour on the background, 0 to 1; 0 without images.
    """

    tumour: int
    largest_share: float
    head_share: float | None = None
    outside_head_share: float = 0.0


def mask_coverage(masks: Iterable[Mask]) -> MaskCoverage:
    """Return the coverage of a case's masks, each bool of shape (y, x); all zero without masks."""
    counted = [(mask.size, int(np.count_nonzero(mask))) for mask in masks]
    largest = max((tumour / pixels for pixels, tumour in counted), default=0.0)
    return MaskCoverage(sum(tumour for _, tumour in counted), largest)


def inverted_masks(coverage: Mapping[str, MaskCoverage]) -> list[Problem]:
    """Return a problem for each case with a mask that covers more than half of its slice: 0 and 255 may be swapped."""
    return [
        Problem(name, f"its masks cover up to {_percent(one.largest_share)} of a slice: they may be inverted")
        for name, one in coverage.items()
        if one.largest_share > INVERTED_SHARE
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def mask_warnings(coverage: Mapping[str, MaskCoverage]) -> list[Problem]:
    """Return a warning if no mask of a data set has tumour, and for each case whose mask is implausible."""
    if coverage and not any(one.tumour for one in coverage.values()):
        return [Problem("all masks", f"no mask of {counted(len(coverage), 'case')} has a pixel of tumour")]
    warnings = []
    for name, one in coverage.items():
        if one.largest_share > INVERTED_SHARE:
            continue
        if one.outside_head_share > OUTSIDE_SHARE:
            share = _percent(one.outside_head_share)
            what = f"{share} of its mask lies outside the head: it may be turned, or of another case"
            warnings.append(Problem(name, what))
        expected = f"expected at most {_percent(LARGE_SHARE)}"
        if one.head_share is not None and one.head_share > LARGE_SHARE:
            warnings.append(Problem(name, f"its mask covers {_percent(one.head_share)} of the head, {expected}"))
        elif one.largest_share > LARGE_SHARE:
            warnings.append(
                Problem(name, f"its masks cover up to {_percent(one.largest_share)} of a slice, {expected}")
            )
    return warnings
