"""Summarise the measures of cases: means, medians and confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gliomaseg.evaluation import measures
from gliomaseg.evaluation.measure import number
from gliomaseg.evaluation.measures import HEADLINE, mean
from gliomaseg.evaluation.results import CaseScores, MeasureSummary, Summary
from gliomaseg.metrics import overlap
from gliomaseg.metrics.bootstrap import DRAWS, bootstrap_interval, join_by_patient
from gliomaseg.metrics.overlap import Counts


def interval_text(*, several: bool = False) -> str:
    """Return the method of the intervals in words; `several`: whether a patient has several cases."""
    drawn = "; means are over cases, the cases of a patient are drawn together" if several else ""
    return f"95 %, percentile bootstrap over patients, {DRAWS} draws, seed 0{drawn}"


def row_noun(patients: Sequence[str]) -> str:
    """Return the word for a row: "case" if a patient has several, else "patient".

    Args:
        patients: the patient of each row.
    """
    return "case" if len(set(patients)) < len(patients) else "patient"


def summarise(counts: Mapping[str, Counts], *, patient_of: Mapping[str, str] | None = None) -> Summary:
    """Return the Dice conventions over the counts of cases, with intervals; batches continue across cases.

    Args:
        counts: of each case, by its name.
        patient_of: the patient of each case; None if each case is a patient of its own.
    """
    patients = [name if patient_of is None else patient_of[name] for name in counts]
    everything = np.concatenate(list(counts.values())) if counts else np.zeros((0, 3), np.int64)
    # Batches mix patients: there is no group to draw for an interval.
    of_batches = {measure.name for measure in measures.MEASURES if measure.pool and not measure.compute}
    entries = {}
    for name, groups in _pooled_values(counts).items():
        if name in of_batches:
            entries[name] = MeasureSummary(mean=mean(np.concatenate(groups)))
        else:
            undefined = {"undefined": sum(not len(group) for group in groups)} if name == HEADLINE else {}
            entries[name] = statistics(groups, patients, **undefined)
    return Summary(
        measures=entries,
        patients=len(set(patients)),
        cases=len(patients),
        slices=len(everything),
        tumour_slices=int((everything[:, 1] > 0).sum()),
    )


def mean_scores(counts: Mapping[str, Counts]) -> dict[str, float | None]:
    """Return the means of `summarise` by name, without its intervals; None if a measure has no value."""
    return {name: mean(np.concatenate(groups)) if groups else None for name, groups in _pooled_values(counts).items()}


def _pooled_values(counts: Mapping[str, Counts]) -> dict[str, list[NDArray[np.float64]]]:
    """Return the values of each Dice convention, in one group for each case, or in one for all."""
    cases = list(counts.values())
    everything = np.concatenate(cases) if cases else np.zeros((0, 3), np.int64)
    values = {HEADLINE: [as_group(overlap.dice_volume(case)) for case in cases]}
    for measure in measures.MEASURES:
        if measure.pool:
            values[measure.name] = [measure.pool(c) for c in (cases if measure.compute else [everything])]
    return values


def summarise_cases(cases: Sequence[CaseScores], *, unit: str) -> dict[str, MeasureSummary]:
    """Return the summary of each measure that has one value a case."""
    summary = {}
    for measure in measures.MEASURES:
        if measure.definition and measure.applies(unit) and not measure.pool:
            values = [as_group(case.measures.get(measure.name)) for case in cases]
            undefined = sum(not len(value) for value in values)
            summary[measure.name] = statistics(values, [case.patient for case in cases], undefined=undefined)
    return summary


def as_group(value: float | None) -> NDArray[np.float64]:
    """Return one value as an array of shape (1,), or an undefined one as an empty array."""
    return np.zeros(0) if value is None or math.isnan(value) else np.array([value], np.float64)


def statistics(groups: Sequence[NDArray[np.float64]], patients: Sequence[str], **more: int) -> MeasureSummary:
    """Return mean, median and interval of all values, with their number.

    Args:
        groups: the values of each case.
        patients: the patient of each case; the interval draws patients.
        more: other fields of the entry.
    """
    values = np.concatenate(groups) if groups else np.zeros(0)
    return MeasureSummary(
        mean=mean(values),
        median=number(float(np.median(values))) if len(values) else None,
        ci95=[number(end) for end in bootstrap_interval(join_by_patient(groups, patients))],
        n=len(values),
        **more,
    )
