"""From measured cases to an evaluation: means, medians, confidence intervals, and counts of undefined values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

import gliomaseg
from gliomaseg.evaluation import measures
from gliomaseg.evaluation.case_scores import ScoredCase, ScoreGrid
from gliomaseg.evaluation.measures import HEADLINE, definitions, mean, number
from gliomaseg.evaluation.results import (
    PICTURES,
    Calibration,
    CaseScores,
    Evaluation,
    EvaluationSetting,
    Example,
    MeasureSummary,
    Summary,
)
from gliomaseg.metrics import calibration, overlap
from gliomaseg.metrics.bootstrap import DRAWS, bootstrap_interval
from gliomaseg.metrics.calibration import CalibrationTable
from gliomaseg.metrics.overlap import Counts


def assemble(cases: Sequence[ScoredCase], *, setting: EvaluationSetting, grid: ScoreGrid, seconds: float) -> Evaluation:
    """Return measured cases as one evaluation, the document of `metrics.json`.

    Args:
        cases: measured and failed ones.
        setting: the data and the model; the fields of `grid` are added.
        grid: how lengths were measured.
        seconds: duration of the evaluation.
    """
    scored = [case for case in cases if case.scores.error is None]
    total = summarise({case.scores.patient: case.counts for case in scored})
    by_case = _summarise_cases([case.scores for case in scored], unit=grid.unit)
    named = definitions(unit=grid.unit, tolerance=grid.tolerance)
    table = sum((case.calibration for case in scored), start=calibration.empty_table())
    spacing = list(grid.spacing_mm) if grid.spacing_mm else None
    return Evaluation(
        patients=[case.scores for case in cases],
        summary=Summary(
            measures={name: total.measures.get(name) or by_case[name] for name in named},
            patients=len(cases),
            slices=total.slices,
            tumour_slices=total.tumour_slices,
            failed=len(cases) - len(scored),
        ),
        definitions=dict(named),
        interval=f"95 %, percentile bootstrap over patients, {DRAWS} draws, seed 0",
        calibration=calibration_curve(table),
        examples=_examples([case.scores for case in scored]),
        setting=setting.joined_with(
            EvaluationSetting(spacing_mm=spacing, tolerance=grid.tolerance, orientation="unknown")
        ),
        versions={"gliomaseg": gliomaseg.__version__, "numpy": np.__version__},
        seconds=round(seconds, 3),
    )


def summarise(counts: Mapping[str, Counts]) -> Summary:
    """Return the Dice conventions over patients' counts, with intervals; batches continue across patients."""
    patients = list(counts.values())
    everything = np.concatenate(patients) if patients else np.zeros((0, 3), np.int64)
    # Batches mix patients: there is no group to draw for an interval.
    of_batches = {measure.name for measure in measures.MEASURES if measure.pool and not measure.compute}
    entries = {}
    for name, groups in _pooled_values(counts).items():
        if name in of_batches:
            entries[name] = MeasureSummary(mean=mean(np.concatenate(groups)))
        else:
            undefined = {"undefined": len(patients) - len(groups)} if name == HEADLINE else {}
            entries[name] = _statistics(groups, **undefined)
    return Summary(
        measures=entries,
        patients=len(patients),
        slices=len(everything),
        tumour_slices=int((everything[:, 1] > 0).sum()),
    )


def mean_scores(counts: Mapping[str, Counts]) -> dict[str, float | None]:
    """Return the means of `summarise` by name, without its intervals; None if a measure has no value."""
    return {name: mean(np.concatenate(groups)) if groups else None for name, groups in _pooled_values(counts).items()}


def _pooled_values(counts: Mapping[str, Counts]) -> dict[str, list[NDArray[np.float64]]]:
    """Return the values of each Dice convention, in one group for each patient that has any, or in one for all."""
    patients = list(counts.values())
    everything = np.concatenate(patients) if patients else np.zeros((0, 3), np.int64)
    values = {HEADLINE: [np.array([d]) for c in patients if not math.isnan(d := overlap.dice_volume(c))]}
    for measure in measures.MEASURES:
        if measure.pool:
            values[measure.name] = [measure.pool(c) for c in (patients if measure.compute else [everything])]
    return values


def _summarise_cases(cases: Sequence[CaseScores], *, unit: str) -> dict[str, MeasureSummary]:
    """Return the summary of each measure that has one value a case."""
    summary = {}
    for measure in measures.MEASURES:
        if measure.definition and measure.applies(unit) and not measure.pool:
            found = [case.measures.get(measure.name) for case in cases]
            values = [np.array([value], np.float64) for value in found if value is not None]
            summary[measure.name] = _statistics(values, undefined=len(cases) - len(values))
    return summary


def calibration_curve(table: CalibrationTable) -> Calibration:
    """Return the data of a reliability diagram: for each bin its edges, pixels, mean probability and tumour share."""
    return Calibration(
        edges=np.linspace(0, 1, len(table.pixels) + 1).tolist(),
        pixels=table.pixels.tolist(),
        mean_probability=[number(value) for value in calibration.mean_probabilities(table).tolist()],
        tumour_share=[number(value) for value in calibration.tumour_shares(table).tolist()],
    )


def _statistics(groups: list[NDArray[np.float64]], **more: int) -> MeasureSummary:
    """Return mean, median and interval of all values of all patients, with their number."""
    values = np.concatenate(groups) if groups else np.zeros(0)
    return MeasureSummary(
        mean=mean(values),
        median=number(float(np.median(values))) if len(values) else None,
        ci95=[number(end) for end in bootstrap_interval(groups)],
        n=len(values),
        **more,
    )


def _examples(cases: Sequence[CaseScores]) -> list[Example]:
    """Return the best, median and worst case by `dice_volume` that has a picture."""
    ranked = sorted(
        ((dice, case) for case in cases if case.picture_slice is not None and (dice := case.dice_volume) is not None),
        key=lambda pair: pair[0],
    )
    if not ranked:
        return []
    positions = {"best": len(ranked) - 1, "median": (len(ranked) - 1) // 2, "worst": 0}
    return [
        Example.model_validate(
            {
                "kind": kind,
                "patient": ranked[position][1].patient,
                "slice": ranked[position][1].picture_slice,
                "dice_volume": ranked[position][0],
                "file": f"{PICTURES}/{ranked[position][1].patient}.png",
                "orientation": "unknown",
            }
        )
        for kind, position in positions.items()
    ]
