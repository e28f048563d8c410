"""Compare two evaluations of the same cases, case by case."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.errors import DataError
from gliomaseg.evaluation import measures
from gliomaseg.evaluation.documents import read_evaluation
from gliomaseg.evaluation.measure import Measure, number
from gliomaseg.evaluation.results import CaseScores, Evaluation, EvaluationSetting
from gliomaseg.evaluation.summaries import row_noun
from gliomaseg.metrics.paired_tests import PairedComparison, compare

# If these differ between the evaluations, the reference masks differ too.
_SAME = ("slices", "tumour_slices", "reference_voxels")


@dataclass(frozen=True)
class CaseDifference:
    """`dice_volume` of one case in both evaluations, and B - A; None if undefined."""

    patient: str
    case: str
    a: float | None
    b: float | None
    difference: float | None


@dataclass(frozen=True)
class Comparison:
    """How evaluation B differs from A.

    Attributes:
        a: the setting of the baseline.
        b: the setting of the candidate.
        left_out: measures that only one evaluation has, or that the two define differently.
        definitions: of each compared measure.
        measures: the paired comparison of each measure. Signed errors are compared by absolute value.
        patients: `dice_volume` of each case.
    """

    a: EvaluationSetting
    b: EvaluationSetting
    left_out: tuple[str, ...]
    definitions: Mapping[str, str | None]
    measures: Mapping[str, PairedComparison]
    patients: tuple[CaseDifference, ...]

    @property
    def noun(self) -> str:
        """The word for a pair: "case" if a patient has several, else "patient"."""
        return row_noun([entry.patient for entry in self.patients])

    @property
    def means_of_slices(self) -> tuple[str, ...]:
        """The compared measures whose mean over cases is not that of `evaluate`, which is over slices."""
        found = ((name, measures.measure_named(name)) for name in self.measures)
        return tuple(name for name, measure in found if measure and measure.is_mean_over_slices)

    def document(self) -> dict[str, Any]:
        """Return the JSON document of `compare --json`: None instead of NaN."""
        return {
            "a": self.a.model_dump(),
            "b": self.b.model_dump(),
            "left_out": list(self.left_out),
            "definitions": dict(self.definitions),
            "measures": {name: _without_nan(paired) for name, paired in self.measures.items()},
            "patients": [asdict(entry) for entry in self.patients],
        }


def compare_evaluations(a: Path, b: Path) -> Comparison:
    """Return how evaluation B differs from A: for each measure that both have, and for each case.

    The cases of a patient are drawn together. An evaluation of an earlier version names cases only: the patients are
    then those of the other one.

    Args:
        a: the baseline's folder, with `metrics.json`.
        b: the candidate's; differences are B - A.

    Raises:
        DataError: a folder has no evaluation or no patient, or cases, slices or reference masks differ.
        FormatError: a `metrics.json` is damaged.
    """
    first, second = read_evaluation(a), read_evaluation(b)
    rows = {row.case: row for row in first.patients}
    others = {row.case: row for row in second.patients}
    _require_same_cases(rows, others, a, b)
    table = {measure.name: measure for measure in measures.MEASURES if measure.definition and measure.compute}
    either = [name for name in {**first.definitions, **second.definitions} if name in table]
    names = [name for name in either if _meaning(first, name) == _meaning(second, name)]
    pairs = [(rows[name], others[name]) for name in sorted(rows)]
    patients = _fewer([[row.patient for row in rows] for rows in zip(*pairs, strict=True)])
    return Comparison(
        a=first.setting,
        b=second.setting,
        left_out=tuple(name for name in either if name not in names),
        definitions={name: first.definitions[name] for name in names},
        measures={name: _paired(table[name], pairs, patients) for name in names},
        patients=tuple(_difference(name, *pair) for name, pair in zip(patients, pairs, strict=True)),
    )


def _meaning(evaluation: Evaluation, name: str) -> str | None:
    """Return the definition of a measure; earlier versions wrote "patient" for a case."""
    text = evaluation.definitions.get(name)
    return text and text.replace("patient", "case")


def _fewer(lists: Sequence[list[str]]) -> list[str]:
    """Return the list with the fewest distinct names, the first of equal ones."""
    return min(lists, key=lambda names: len(set(names)))


def _require_same_cases(rows: Mapping[str, CaseScores], others: Mapping[str, CaseScores], a: Path, b: Path) -> None:
    if not rows:
        raise DataError("evaluation has 0 patients, expected at least 1", where=a, cure="evaluate again")
    if alone := sorted(rows.keys() ^ others.keys()):
        raise DataError(
            f"{alone[0]} ({len(alone)} in all) is in one evaluation only",
            where=f"{a}, {b}",
            cure="evaluate both models on the same patients",
        )
    for name, row in rows.items():
        for key in _SAME:
            first, second = row.measures.get(key), others[name].measures.get(key)
            if first is not None and second is not None and first != second:
                raise DataError(
                    f"{key} of {name} is {first} in one and {second} in the other",
                    where=f"{a}, {b}",
                    cure="evaluate both models on the same slices and reference masks",
                )


def _paired(
    measure: Measure, pairs: Sequence[tuple[CaseScores, CaseScores]], patients: Sequence[str]
) -> PairedComparison:
    first, second = (_values(measure, [pair[index] for pair in pairs]) for index in (0, 1))
    better_is_higher = not measure.lower_is_better
    return compare(baseline=first, candidate=second, patients=patients, higher_is_better=better_is_higher)


def _values(measure: Measure, rows: Sequence[CaseScores]) -> NDArray[np.float64]:
    values_or_none = (row.measures.get(measure.name) for row in rows)
    values = np.array([math.nan if value is None else float(value) for value in values_or_none], np.float64)
    return np.abs(values) if measure.signed else values


def _difference(patient: str, row: CaseScores, other: CaseScores) -> CaseDifference:
    a, b = row.dice_volume, other.dice_volume
    return CaseDifference(patient, row.case, a, b, None if a is None or b is None else b - a)


def _without_nan(paired: PairedComparison) -> dict[str, float | int | None]:
    return {name: number(value) for name, value in asdict(paired).items()}
