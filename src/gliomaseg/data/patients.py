"""The patient, the site and the date in the names of examinations."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from gliomaseg.data.case import UNKNOWN
from gliomaseg.data.case_list import CaseList, Problem
from gliomaseg.errors import UsageError

# TCGA_CS_4941_19960909: source, site, patient, date of the examination.
LGG_NAME = re.compile(r"(?P<patient>[A-Za-z]+_(?P<site>[A-Za-z0-9]+)_[A-Za-z0-9]+)_(?P<date>\d{8})$")
_EXAMINATION = r"ses(?:sion)?|time(?:point)?|tp|visit|exam|study|week|month|day|baseline|follow-?up|fu|pre-?op|post-?op"
_NAMES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?P<patient>BraTS.*-\d{4,5})-\d{3}",  # BraTS-GLI-00001-000
        r"(?P<patient>BraTS(?:1\d|_2013|_tcia)_.+)_\d+",  # Brats18_TCIA01_131_1, brats_2013_pat0001_1
        r"(?P<patient>UPENN-GBM-\d+)_\d\d",
        r"(?P<patient>UCSD-PTGBM-\d+)_\d\d",
        r"(?P<patient>.+?)[-_. ]+(?P<date>(?:19|20)\d{6}|(?:19|20)\d\d-\d\d-\d\d)",
        rf"(?P<patient>.+?)[-_. ]+(?:{_EXAMINATION})[-_. ]?\d*(?:-\d+)?",
    )
)
_ONLY_EXAMINATION = re.compile(
    rf"(?:{_EXAMINATION})[-_. ]?\d*(?:-\d+)?|(?:19|20)\d{{6}}|(?:19|20)\d\d-\d\d-\d\d", re.IGNORECASE
)


@dataclass(frozen=True)
class Examination:
    """The meaning of the name of an examination.

    Attributes:
        patient: the same for all examinations of a patient.
        site: the hospital; "unknown" if the name does not contain it.
        date: as it is written; None if the name does not contain it.
    """

    patient: str
    site: str = UNKNOWN
    date: str | None = None


def parse_examination(name: str) -> Examination:
    """Return the patient, site and date of an examination; a name of unknown form is its own patient.

    >>> parse_examination("TCGA_CS_4941_19960909")
    Examination(patient='TCGA_CS_4941', site='CS', date='19960909')
    >>> parse_examination("BraTS-GLI-00001-000").patient, parse_examination("BraTS2021_00001").patient
    ('BraTS-GLI-00001', 'BraTS2021_00001')
    """
    if match := LGG_NAME.match(name):
        return Examination(match["patient"], match["site"], match["date"])
    for pattern in _NAMES:
        if match := pattern.fullmatch(name):
            return Examination(match["patient"], date=match.groupdict().get("date"))
    return Examination(name)


def is_examination_only(name: str) -> bool:
    """Return whether a folder's name is that of an examination without its patient, such as `ses-2` or `20010203`."""
    return _ONLY_EXAMINATION.fullmatch(name) is not None


def patient_finder(pattern: str) -> Callable[[str], re.Match[str] | None]:
    """Return a function that finds the patient in a name.

    Raises:
        UsageError: the pattern is not a regular expression.
    """
    try:
        return re.compile(pattern).search
    except re.error as fault:
        what = f"{pattern!r} is not a regular expression ({fault})"
        raise UsageError(what, where="--patient-pattern", cure=r"give one such as '^(\w+)_\d+$'") from fault


def patient_of(match: re.Match[str]) -> str:
    """Return group 1 of a match, or the whole match if there is no group or it is empty."""
    return (match[1] if match.re.groups else None) or match[0]


def with_patients(cases: CaseList, pattern: str) -> CaseList:
    """Return the cases with the patients that a pattern finds in their names; a name without one is a problem.

    Raises:
        UsageError: the pattern is not a regular expression.
    """
    find = patient_finder(pattern)
    found = [(case, find(case.name)) for case in cases.cases]
    unmatched = [
        Problem(case.name, f"name does not match --patient-pattern {pattern}")
        for case, match in found
        if not match or not patient_of(match)
    ]
    changed = tuple(
        replace(case, patient=patient_of(match)) if match and patient_of(match) else case for case, match in found
    )
    return replace(cases, cases=changed, problems=(*cases.problems, *unmatched))
