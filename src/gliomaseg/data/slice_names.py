"""Names of single slices: which case, which patient and which number, as in `10001_66.png` and `P1/slice_003.png`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from gliomaseg.data.patients import Examination, parse_examination, patient_finder, patient_of

SEPARATORS = "-_. "
_IMAGE_WORD = re.compile(r"[-_. ](?:images?|img|scan|flair)$", re.IGNORECASE)
_GENERIC = re.compile(r"(?:axial|flair|frame|image|img|im|scan|slice|s|z)", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![A-Za-z0-9])\d{1,9}(?![A-Za-z0-9])")
_NUMBER_AT_END = re.compile(r"\d{1,9}$")
Span = tuple[int, int]


@dataclass(frozen=True)
class SliceName:
    """The meaning of the name of a slice.

    Attributes:
        case: the name without the number, or the folder if nothing else is left.
        known: the patient, site and date.
        number: the last number in the name; None if the name has none.
    """

    case: str
    known: Examination
    number: int | None


def without_image_word(stem: str) -> str:
    """Return a name without a word such as `_image` at its end."""
    return _IMAGE_WORD.sub("", stem) or stem


def is_generic(name: str) -> bool:
    """Return whether a name such as `slice` fits every case."""
    return not name or _GENERIC.fullmatch(name) is not None


def slice_parser(pattern: str | None) -> Callable[[str, str, str], SliceName | None]:
    """Return a function of (stem, folder, root's name) that returns the meaning of a slice's name.

    The result is None if a pattern is given and does not match the stem, nor `<folder>/<stem>`. Numbers in the match
    are never the number of the slice.

    Raises:
        UsageError: the pattern is not a regular expression.
    """
    find = patient_finder(pattern) if pattern is not None else None

    def parse(stem: str, folder: str, root: str) -> SliceName | None:
        stem = without_image_word(stem)
        match = find(stem) if find else None
        patient_at: Span = match.span(1 if match.re.groups and match[1] else 0) if match else (0, 0)
        if find and not match:
            match = find(f"{folder}/{stem}")
        if find and not (match and patient_of(match)):
            return None
        start, end = _number_span(stem, patient_at)
        case = "_".join(filter(None, (stem[:start].rstrip(SEPARATORS), stem[end:].strip(SEPARATORS))))
        if not case or (folder and is_generic(case)):
            case = folder or root
        known = parse_examination(case)
        if match:
            known = Examination(patient_of(match), known.site, known.date)
        return SliceName(case, known, int(stem[start:end]) if end > start else None)

    return parse


def _number_span(stem: str, patient_at: Span) -> Span:
    """Return the place of the slice's number: the last one between separators, or else the digits at the end."""
    matches = [*_NUMBER.finditer(stem)] or [*_NUMBER_AT_END.finditer(stem)]
    free = [entry.span() for entry in matches if not _overlap(entry.span(), patient_at)]
    return free[-1] if free else (len(stem), len(stem))


def _overlap(first: Span, second: Span) -> bool:
    return first[0] < second[1] and second[0] < first[1]
