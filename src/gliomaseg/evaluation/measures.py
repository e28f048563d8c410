"""What each number of an evaluation counts, in a sentence that is printed with it."""

from __future__ import annotations

from gliomaseg.metrics import overlap
from gliomaseg.metrics.calibration import BINS, CANDIDATE

# Measures of a patient that a summary has, beside the conventions of `overlap.DEFINITIONS`.
_PATIENT = {
    "iou": "Intersection over union of a patient's whole stack. Undefined where both masks are empty.",
    "precision": "Share of the predicted voxels that are tumour. Undefined where nothing is predicted.",
    "sensitivity": "Share of the tumour's voxels that are predicted. Undefined where there is no tumour.",
    "specificity": "Share of the voxels without tumour that are left alone; near 1 for nearly every model.",
    "hausdorff_95_{unit}": "95th percentile of the distances between the two surfaces, of the direction where it is "
    "larger, in {length}. Undefined where both masks are empty; the grid's diagonal where one is.",
    "average_surface_distance_{unit}": "Mean of the distances between the two surfaces, both directions together, in "
    "{length}. Empty masks as for hausdorff_95_{unit}.",
    "surface_dice": "Share of both surfaces' voxels within {tolerance:g} {unit} of the other surface. Undefined where "
    "both masks are empty, 0 where one is.",
    "volume_error": "(predicted - reference) / reference volume, signed. Undefined where there is no tumour.",
    "lesion_sensitivity": "Share of the lesions (components, 26 neighbours) that the prediction touches. Undefined "
    "where there is none.",
    "lesion_precision": "Share of the predicted lesions that touch tumour. Undefined where none is predicted.",
    "lesion_f1": "Harmonic mean of lesion sensitivity and precision. Undefined where both masks are empty.",
    "expected_calibration_error": f"Mean distance between probability and share of tumour, {BINS} equal bins, all "
    "pixels; most are plain background.",
    "candidate_calibration_error": f"The same over pixels with a probability of at least {CANDIDATE:g}, or tumour.",
    "brier_score": "Mean squared difference of probability and reference (0 or 1), all pixels.",
}
LENGTH = {
    "px": "pixels (the step from slice to slice counts as one pixel: the spacing is not known)",
    "mm": "millimetres",
}
LOWER_IS_BETTER = (
    "hausdorff_95",
    "average_surface_distance",
    "expected_calibration_error",
    "candidate_calibration_error",
    "brier_score",
    "empty_slice_false_positive_rate",
)
SIGNED = ("volume_error",)
"""Measures that are neither better higher nor lower: a comparison takes their size."""


def patient_definitions(*, unit: str, tolerance: float) -> dict[str, str]:
    """Return the measures of one patient and what each counts; `unit` is px or mm, of lengths."""
    words = {"unit": unit, "length": LENGTH[unit], "tolerance": tolerance}
    return {name.format(**words): sentence.format(**words) for name, sentence in _PATIENT.items()}


def definitions(*, unit: str, tolerance: float) -> dict[str, str]:
    """Return all measures of a summary and what each counts, the headline first."""
    return overlap.DEFINITIONS | patient_definitions(unit=unit, tolerance=tolerance)
