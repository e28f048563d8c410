"""Score one case, and assemble scored cases as an evaluation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import gliomaseg
from gliomaseg.data.case import Case, LoadedCase
from gliomaseg.errors import ConfigError
from gliomaseg.evaluation.measure import CaseMasks, number
from gliomaseg.evaluation.measures import compute_measures, definitions
from gliomaseg.evaluation.results import (
    PICTURES,
    Calibration,
    CaseScores,
    Evaluation,
    EvaluationSetting,
    Example,
    Summary,
)
from gliomaseg.evaluation.subgroups import subgroups
from gliomaseg.evaluation.summaries import interval_text, summarise, summarise_cases
from gliomaseg.inputs.result_names import portable_name
from gliomaseg.metrics import calibration
from gliomaseg.metrics.calibration import CalibrationTable
from gliomaseg.metrics.mask_checks import lengths_of
from gliomaseg.metrics.overlap import Counts
from gliomaseg.prediction.image_features import is_skull_stripped
from gliomaseg.preprocessing import axial_flair
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
        probability: of tumour, float32 in [0, 1], shape (z, y, x) of the reference; None for masks without any.
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
    scores = _row(loaded.case, fold, compute_measures(masks), None).model_copy(update=_scan_fields(loaded))
    return ScoredCase(scores, counts, masks.calibration)


def _scan_fields(loaded: LoadedCase) -> dict[str, Any]:
    """Return the fields of a row on its scan: whether it has a skull, and its grid if it has an affine."""
    scan = loaded.scan
    stripped = is_skull_stripped(axial_flair(scan))
    if scan.spacing_mm is None:
        return {"skull_stripped": stripped}
    spacing_mm = [round(length, 4) for length in scan.axial.turn_spacing(scan.spacing_mm)]
    return {"skull_stripped": stripped, "spacing_mm": spacing_mm, "orientation": scan.orientation}


def failed_case(case: Case, reason: str, *, fold: int | None = None) -> ScoredCase:
    """Return the row of a case without a prediction, with the reason."""
    no_counts: Counts = np.zeros((0, 3), np.int64)
    scores = _row(case, fold, {"slices": len(case.slices) or None}, reason)
    return ScoredCase(scores, no_counts, calibration.empty_table())


def _row(case: Case, fold: int | None, values: dict[str, float | int | None], error: str | None) -> CaseScores:
    if fold is None:
        return CaseScores(patient=case.patient, case=case.name, site=case.site, measures=values, error=error)
    return CaseScores(patient=case.patient, case=case.name, site=case.site, fold=fold, measures=values, error=error)


def assemble(cases: Sequence[ScoredCase], *, setting: EvaluationSetting, grid: ScoreGrid, seconds: float) -> Evaluation:
    """Return measured cases as one evaluation, the document of `metrics.json`.

    Args:
        cases: measured and failed ones.
        setting: the data and the model; the fields of `grid` are added.
        grid: how lengths were measured.
        seconds: duration of the evaluation.
    """
    scored = [case for case in cases if case.scores.error is None]
    patient_of = {case.scores.case: case.scores.patient for case in cases}
    total = summarise({case.scores.case: case.counts for case in scored}, patient_of=patient_of)
    by_case = summarise_cases([case.scores for case in scored], unit=grid.unit)
    named = definitions(unit=grid.unit, tolerance=grid.tolerance)
    table = sum((case.calibration for case in scored), start=calibration.empty_table())
    spacing = list(grid.spacing_mm) if grid.spacing_mm else None
    return Evaluation(
        patients=[case.scores for case in cases],
        summary=Summary(
            measures={name: total.measures.get(name) or by_case[name] for name in named},
            patients=len(set(patient_of.values())),
            cases=len(cases),
            slices=total.slices,
            tumour_slices=total.tumour_slices,
            failed=len(cases) - len(scored),
        ),
        subgroups=subgroups([case.scores for case in cases]),
        definitions=dict(named),
        interval=interval_text(several=len(set(patient_of.values())) < len(cases)),
        calibration=None if setting.predictions and not table.pixels.any() else calibration_curve(table),
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


def calibration_curve(table: CalibrationTable) -> Calibration:
    """Return the data of a reliability diagram: for each bin its edges, pixels, mean probability and tumour share."""
    return Calibration(
        edges=np.linspace(0, 1, len(table.pixels) + 1).tolist(),
        pixels=table.pixels.tolist(),
        mean_probability=[number(value) for value in calibration.mean_probabilities(table).tolist()],
        tumour_share=[number(value) for value in calibration.tumour_shares(table).tolist()],
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
                "case": ranked[position][1].case,
                "slice": ranked[position][1].picture_slice,
                "dice_volume": ranked[position][0],
                "file": f"{PICTURES}/{picture_name(ranked[position][1].case)}",
                "orientation": AXIAL if ranked[position][1].spacing_mm else "unknown",
            }
        )
        for kind, position in positions.items()
    ]
