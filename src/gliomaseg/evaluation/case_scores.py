"""One measured case: its row of `metrics.json`, and the counts that a data set's summary adds up."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gliomaseg.data.index import Case
from gliomaseg.errors import ConfigError
from gliomaseg.evaluation.case_masks import CaseMasks
from gliomaseg.evaluation.measures import compute_measures
from gliomaseg.evaluation.results import CaseScores
from gliomaseg.metrics import calibration
from gliomaseg.metrics.calibration import CalibrationTable
from gliomaseg.metrics.mask_checks import lengths_of
from gliomaseg.metrics.overlap import Counts
from gliomaseg.types import Mask, Probability

LARGEST_MM = 1000


@dataclass(frozen=True)
class ScoreGrid:
    """How lengths are measured.

    Attributes:
        spacing_mm: distance of voxel centres along z, y, x; None if unknown: lengths are then in pixels.
        tolerance: of `surface_dice`, in millimetres or pixels.
    """

    spacing_mm: tuple[float, float, float] | None = None
    tolerance: float = 2.0

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
        return "px" if self.spacing_mm is None else "mm"


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
    case: Case, *, reference: Mask, probability: Probability, predicted: Mask, grid: ScoreGrid, fold: int | None = None
) -> ScoredCase:
    """Return every measure of one case's prediction.

    Args:
        case: the case of the slices.
        reference: the expert's mask, bool, shape (z, y, x).
        probability: of tumour, float32 in [0, 1], same shape.
        predicted: the mask made from it, bool, same shape.
        grid: how lengths are measured.
        fold: of a cross-validation.

    Raises:
        GeometryError: the shapes differ.
    """
    numbers = [entry.number for entry in case.slices]
    # A split by slice may leave slices out: neighbours in the stack are then not neighbours in the head.
    consecutive = numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    masks = CaseMasks(reference, predicted, probability, grid.spacing_mm, grid.tolerance, consecutive)
    counts = masks.counts  # checks the shapes
    scores = _row(case, fold, compute_measures(masks), None)
    return ScoredCase(scores, counts, masks.calibration)


def failed_case(case: Case, reason: str, *, fold: int | None = None) -> ScoredCase:
    """Return the row of a case without a prediction, with the reason."""
    no_counts: Counts = np.zeros((0, 3), np.int64)
    scores = _row(case, fold, {"slices": len(case.slices)}, reason)
    return ScoredCase(scores, no_counts, calibration.empty_table())


def _row(case: Case, fold: int | None, values: dict[str, float | int | None], error: str | None) -> CaseScores:
    if fold is None:
        return CaseScores(patient=case.name, site=case.site, measures=values, error=error)
    return CaseScores(patient=case.name, site=case.site, fold=fold, measures=values, error=error)
