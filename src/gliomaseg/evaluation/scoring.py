"""Score one case, and summarise scored cases as an evaluation: means, medians and confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gliomaseg
from gliomaseg.data.case import Case, LoadedCase
from gliomaseg.errors import ConfigError
from gliomaseg.evaluation import measures
from gliomaseg.evaluation.measure import CaseMasks, number
from gliomaseg.evaluation.measures import HEADLINE, compute_measures, definitions, mean
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
from gliomaseg.inputs.result_names import portable_name
from gliomaseg.metrics import calibration, overlap
from gliomaseg.metrics.bootstrap import DRAWS, bootstrap_interval
from gliomaseg.metrics.calibration import CalibrationTable
from gliomaseg.metrics.mask_checks import lengths_of
from gliomaseg.metrics.overlap import Counts
from gliomaseg.types import Mask, Probability

LARGEST_MM = 1000
AXIAL = "axial slices by the affine, the patient's right on the left"


@dataclass(frozen=True)
class ScoreGrid:
    """How lengths are measured.

    Attributes:
        spacing_mm: distance of voxel centres along z, y, x; None if unknown: lengths are then in pixels.
        tolerance: of `surface_dice`, in millimetres or pixels.
        by_affine: whether each case is measured by the affine of its own scan, in millimetres.
    """

    spacing_mm: tuple[float, float, float] | None = None
    tolerance: float = 2.0
    by_affine: bool = False

    def __post_init__(self) -> None:
        """Check both values, before hours of work.

        Raises:
            ConfigError: the spacing is not three lengths over 0 and at most 1000 mm, or the tolerance is negative or
                not finite.
        """
        if self.spacing_mm is not None:
            lengths = lengths_of(self.spacing_mm)
            if lengths is None or max(lengths) > LARGEST_MM:
                raise ConfigError(
                    f"spacing_mm is {self.spacing_mm!r}, expected three lengths over 0, at most {LARGEST_MM}",
                    cure="give millimetres along z, y and x",
                )
            object.__setattr__(self, "spacing_mm", lengths)
        if not (math.isfinite(self.tolerance) and self.tolerance >= 0):
            raise ConfigError(f"tolerance is {self.tolerance:g}, expected a length of 0 or more")

    @property
    def unit(self) -> str:
        """Of lengths: mm or px."""
        return "px" if self.spacing_mm is None and not self.by_affine else "mm"


@dataclass(frozen=True)
class ScoredCase:
    """One case's scores with the counts and the calibration that a data set's summary adds up.

    Attributes:
        scores: the case's row.
        counts: of each slice; empty if the case failed.
        calibration: of all voxels.
        trained_on: hashed patient ids of the model's training set; empty if the model does not name them.
    """

    scores: CaseScores
    counts: Counts
    calibration: CalibrationTable
    trained_on: frozenset[str] = frozenset()


def score_case(
    loaded: LoadedCase, *, probability: Probability | None, predicted: Mask, grid: ScoreGrid, fold: int | None = None
) -> ScoredCase:
    """Return every measure of one case's prediction.

    Args:
        loaded: scan and reference mask.
        probability: of tumour, float32 in [0, 1], shape (z, y, x) of the reference; None for masks of other tools.
        predicted: the predicted mask, bool, same shape.
        grid: how lengths are measured.
        fold: of a cross-validation.

    Raises:
        GeometryError: the shapes differ.
    """
    numbers, scan = loaded.numbers, loaded.scan
    # A split by slice may leave slices out: neighbours in the stack are then not neighbours in the head.
    consecutive = numbers == tuple(range(numbers[0], numbers[0] + len(numbers)))
    masks = CaseMasks(
        loaded.reference,
        predicted,
        probability,
        grid.spacing_mm,
        grid.tolerance,
        consecutive,
        affine=scan.affine if grid.by_affine else None,
        axial=scan.axial,
    )
    counts = masks.counts  # checks the shapes
    scores = _row(loaded.case, fold, compute_measures(masks), None).model_copy(update=_geometry(loaded))
    return ScoredCase(scores, counts, masks.calibration)


def _geometry(loaded: LoadedCase) -> dict[str, Any]:
    """Return the fields of a row on the grid of its scan; none for images, which have no affine."""
    scan = loaded.scan
    if scan.spacing_mm is None:
        return {}
    spacing_mm = [round(length, 4) for length in scan.axial.turn_spacing(scan.spacing_mm)]
    return {"spacing_mm": spacing_mm, "orientation": scan.orientation}


def failed_case(case: Case, reason: str, *, fold: int | None = None) -> ScoredCase:
    """Return the row of a case without a prediction, with the reason."""
    no_counts: Counts = np.zeros((0, 3), np.int64)
    scores = _row(case, fold, {"slices": len(case.slices) or None}, reason)
    return ScoredCase(scores, no_counts, calibration.empty_table())


def _row(case: Case, fold: int | None, values: dict[str, float | int | None], error: str | None) -> CaseScores:
    if fold is None:
        return CaseScores(patient=case.name, site=case.site, measures=values, error=error)
    return CaseScores(patient=case.name, site=case.site, fold=fold, measures=values, error=error)


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
        calibration=None if setting.predictions else calibration_curve(table),
        examples=_examples([case.scores for case in scored]),
        setting=setting.joined_with(
            EvaluationSetting(
                spacing_mm=spacing,
                unit=grid.unit,
                tolerance=grid.tolerance,
                orientation=AXIAL if grid.by_affine else "unknown",
            )
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
            defined = [value for case in cases if (value := case.measures.get(measure.name)) is not None]
            values = [np.array([value], np.float64) for value in defined]
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


def picture_name(case: str) -> str:
    """Return the name of a case's image in the folder `pictures`."""
    return f"{portable_name(case)}.png"


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
                "file": f"{PICTURES}/{picture_name(ranked[position][1].patient)}",
                "orientation": AXIAL if ranked[position][1].spacing_mm else "unknown",
            }
        )
        for kind, position in positions.items()
    ]
