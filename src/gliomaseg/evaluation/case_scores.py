"""One patient measured: a row for the table, and the counts that data sets are summed from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from gliomaseg.data.index import Case
from gliomaseg.errors import ConfigError
from gliomaseg.evaluation.summary import mean, number
from gliomaseg.metrics import calibration, overlap, surface
from gliomaseg.metrics.calibration import CalibrationTable
from gliomaseg.metrics.lesions import count_lesions
from gliomaseg.metrics.mask_checks import VOXELS
from gliomaseg.metrics.overlap import Counts
from gliomaseg.metrics.volume import volume_error, volume_ml
from gliomaseg.types import Mask, Probability

LARGEST_MM = 1000


@dataclass(frozen=True)
class ScoreGrid:
    """How lengths are measured.

    Attributes:
        spacing_mm: between voxels' centres along z, y, x; None where it is not known: then in pixels.
        tolerance: of `surface_dice`, in millimetres or pixels.
    """

    spacing_mm: tuple[float, float, float] | None = None
    tolerance: float = 2.0

    def __post_init__(self) -> None:
        """Refuse what is no length, before hours of work.

        Raises:
            ConfigError: a spacing is not over 0 and at most 1000 mm, or the tolerance is negative or no number.
        """
        if self.spacing_mm and not all(0 < length <= LARGEST_MM for length in self.spacing_mm):
            shown = " ".join(f"{length:g}" for length in self.spacing_mm)
            raise ConfigError(
                f"must be three lengths over 0, at most {LARGEST_MM} (got {shown})",
                where="--spacing-mm",
                cure="give millimetres along z, y and x",
            )
        if not (math.isfinite(self.tolerance) and self.tolerance >= 0):
            raise ConfigError(f"must be a length of 0 or more (got {self.tolerance:g})", where="--tolerance")

    @property
    def unit(self) -> str:
        """Of lengths: mm or px."""
        return "px" if self.spacing_mm is None else "mm"


@dataclass(frozen=True)
class CaseScores:
    """One patient's row, what is summed over patients, and marks of those who trained what it was predicted by.

    There are no counts where there is no prediction, and no marks where no model says who trained it.
    """

    row: dict[str, Any]
    counts: Counts
    calibration: CalibrationTable
    trained_on: frozenset[str] = frozenset()


def score_case(
    case: Case, *, reference: Mask, probability: Probability, predicted: Mask, grid: ScoreGrid, fold: int | None = None
) -> CaseScores:
    """Return everything that is known of one patient's prediction.

    Args:
        case: whose slices they are.
        reference: the expert's mask, bool, shape (z, y, x).
        probability: of tumour, float32 in [0, 1], same shape.
        predicted: the mask that was made of it, bool, same shape.
        grid: how lengths are measured.
        fold: of a cross-validation.

    Raises:
        GeometryError: the shapes differ.
    """
    counts = overlap.count_slices(reference=reference, predicted=predicted)
    pixels = calibration.calibration_table(reference=reference, predicted=probability)
    candidates = calibration.candidate_calibration_table(reference=reference, predicted=probability)
    whole = [entry.number for entry in case.slices]
    # Where a split by slice left some out, planes that are neighbours here are none in the head.
    connected = whole == list(range(whole[0], whole[0] + len(whole)))
    values = {
        "dice_volume": overlap.dice_volume(counts),
        "dice_tumour_slices": mean(overlap.dice_tumour_slices(counts)),
        "dice_slices_empty_one": mean(overlap.dice_slices_empty_one(counts)),
        "empty_slice_false_positive_rate": mean(overlap.empty_slice_false_positives(counts)),
        "iou": overlap.iou(counts),
        "precision": overlap.precision(counts),
        "sensitivity": overlap.sensitivity(counts),
        "specificity": overlap.specificity(counts, voxels=reference.size),
        "volume_error": volume_error(reference=float(counts[:, 1].sum()), predicted=float(counts[:, 2].sum())),
        **(_in_space(reference, predicted, grid) if connected else {}),
        "expected_calibration_error": calibration.expected_calibration_error(pixels),
        "candidate_calibration_error": calibration.expected_calibration_error(candidates),
        "brier_score": calibration.brier_score(pixels),
    }
    row = _identity(case, counts, grid, fold) | {name: number(value) for name, value in values.items()}
    return CaseScores(row | {"error": None}, counts, pixels)


def failed_case(case: Case, reason: str, *, fold: int | None = None) -> CaseScores:
    """Return the row of a patient who has no prediction, with the reason: a row, never a gap."""
    row = {"patient": case.name, "site": case.site, "slices": len(case.slices), "error": reason}
    nothing: Counts = np.zeros((0, 3), np.int64)
    return CaseScores(row if fold is None else row | {"fold": fold}, nothing, calibration.empty_table())


def _identity(case: Case, counts: Counts, grid: ScoreGrid, fold: int | None) -> dict[str, Any]:
    both, reference, predicted = (int(n) for n in counts.sum(axis=0))
    row: dict[str, Any] = {
        "patient": case.name,
        "site": case.site,
        "slices": len(counts),
        "tumour_slices": int((counts[:, 1] > 0).sum()),
        "reference_voxels": reference,
        "predicted_voxels": predicted,
        "overlap_voxels": both,
    }
    if fold is not None:
        row["fold"] = fold
    if grid.spacing_mm is not None:
        row["reference_ml"] = volume_ml(reference, spacing_mm=grid.spacing_mm)
        row["predicted_ml"] = volume_ml(predicted, spacing_mm=grid.spacing_mm)
    return row


def _in_space(reference: Mask, predicted: Mask, grid: ScoreGrid) -> dict[str, float | int | None]:
    """Return what depends on where slices lie: surfaces and lesions."""
    distances = surface.surface_distances(reference=reference, predicted=predicted, spacing=grid.spacing_mm or VOXELS)
    lesions = count_lesions(reference=reference, predicted=predicted)
    return {
        f"hausdorff_95_{grid.unit}": surface.hausdorff_95(distances),
        f"average_surface_distance_{grid.unit}": surface.average_symmetric_surface_distance(distances),
        "surface_dice": surface.normalised_surface_dice(distances, tolerance=grid.tolerance),
        "lesions": lesions.reference,
        "lesions_found": lesions.found,
        "lesions_predicted": lesions.predicted,
        "lesion_sensitivity": lesions.sensitivity,
        "lesion_precision": lesions.precision,
        "lesion_f1": lesions.f1,
        "smallest_lesion_found_voxels": lesions.smallest_found_voxels,
    }
