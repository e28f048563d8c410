"""The table of measures: each measure's name, label, definition, range and function.

Everything else about measures follows from `MEASURES`: the values of a case, the summary, `metrics.json`, the
comparison and the report. To add a measure, write a function in `gliomaseg.metrics` and add one entry here.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gliomaseg.evaluation.measure import CaseMasks, Measure, number
from gliomaseg.metrics import calibration, overlap, surface
from gliomaseg.metrics.calibration import BINS, CANDIDATE
from gliomaseg.metrics.overlap import BATCH, SMOOTH
from gliomaseg.metrics.volume import volume_error

COUNTS, DICE, EXTENT = "Counts", "Dice, by convention", "Voxels"
BOUNDARY, LESIONS, CALIBRATION = "Boundary and volume", "Lesions", "Calibration"
HEADLINE = "dice_volume"
ANY_LENGTH = (0.0, math.inf)
# `compare` leaves a measure out if its definitions differ: a changed text separates old evaluations from new ones.
LENGTHS = {
    "px": "pixels (the step from slice to slice counts as one pixel: the spacing is not known)",
    "mm": "millimetres",
}


def _count(
    name: str, label: str, short: str, unit: str, compute: Callable[[CaseMasks], float], *, core: bool = True
) -> Measure:
    whole = unit != "ml"
    return Measure(
        name, label, short, COUNTS, compute, unit=unit, range=ANY_LENGTH, higher_is_better=None, whole=whole, core=core
    )


def _lesion_count(name: str, label: str, short: str, compute: Callable[[CaseMasks], int | None]) -> Measure:
    return Measure(
        name, label, short, LESIONS, compute, range=ANY_LENGTH, higher_is_better=None, whole=True,
        needs_consecutive_slices=True,
    )  # fmt: skip


def _length(
    names: tuple[str, str, str], unit: str, compute: Callable[[CaseMasks], float], definition: str, *, core: bool
) -> Measure:
    name, label, short = names
    return Measure(
        f"{name}_{unit}", f"{label}, {unit}", f"{short}, {unit}", BOUNDARY, compute, definition, unit=unit,
        range=ANY_LENGTH, higher_is_better=False, core=core, needs_consecutive_slices=True,
    )  # fmt: skip


def _ml(case: CaseMasks, index: int) -> float:
    return case.millilitres(case.voxels[index])


def mean(values: NDArray[np.float64]) -> float | None:
    """Return the mean of values, shape (n,); None if there are none."""
    return float(values.mean()) if len(values) else None


MEASURES: tuple[Measure, ...] = (
    _count("slices", "Slices", "slices", "slices", lambda case: len(case.counts)),
    _count(
        "tumour_slices", "Slices with tumour", "with tumour", "slices", lambda case: int((case.counts[:, 1] > 0).sum())
    ),
    _count("reference_voxels", "Reference tumour, voxels", "reference", "voxels", lambda case: case.voxels[1]),
    _count("predicted_voxels", "Predicted tumour, voxels", "predicted", "voxels", lambda case: case.voxels[2]),
    _count("overlap_voxels", "In both masks, voxels", "both", "voxels", lambda case: case.voxels[0], core=False),
    _count("reference_ml", "Reference tumour, ml", "reference, ml", "ml", lambda case: _ml(case, 1), core=False),
    _count("predicted_ml", "Predicted tumour, ml", "predicted, ml", "ml", lambda case: _ml(case, 2), core=False),
    Measure(
        "dice_volume",
        "Dice of the whole stack",
        "Dice, stack",
        DICE,
        lambda case: overlap.dice_volume(case.counts),
        "Dice of a case's whole stack of slices; the mean is over cases. A case with neither "
        "reference nor predicted tumour has none (null) and is counted in `undefined`.",
        core=True,
    ),
    Measure(
        "dice_tumour_slices",
        "Dice of slices with tumour",
        "Dice, tumour slices",
        DICE,
        lambda case: mean(overlap.dice_tumour_slices(case.counts)),
        "Dice of each slice whose reference is not empty; the mean is over those slices.",
        core=True,
        pool=overlap.dice_tumour_slices,
    ),
    Measure(
        "dice_slices_empty_one",
        "Dice of all slices, both empty is 1",
        "Dice, all slices",
        DICE,
        lambda case: mean(overlap.dice_slices_empty_one(case.counts)),
        "Dice of every slice, 1 where both masks are empty, 0 where one is; the mean is over slices.",
        pool=overlap.dice_slices_empty_one,
    ),
    Measure(
        "dice_batch",
        "Dice of batches of slices",
        "Dice, batches",
        DICE,
        None,
        f"Dice of {BATCH} slices in order with their pixels pooled, smoothed by {SMOOTH:g}; the mean is over "
        "batches: the reference notebook's kind of number.",
        pool=overlap.dice_batch,
    ),
    Measure(
        "empty_slice_false_positive_rate",
        "False positive rate on tumour-free slices",
        "false positive rate",
        DICE,
        lambda case: mean(overlap.empty_slice_false_positives(case.counts)),
        "Share of slices with an empty reference in which any pixel is predicted.",
        higher_is_better=False,
        core=True,
        pool=overlap.empty_slice_false_positives,
    ),
    Measure(
        "iou",
        "Intersection over union",
        "IoU",
        EXTENT,
        lambda case: overlap.iou(case.counts),
        "Intersection over union of a case's whole stack. Undefined where both masks are empty.",
    ),
    Measure(
        "precision",
        "Precision",
        "precision",
        EXTENT,
        lambda case: overlap.precision(case.counts),
        "Share of the predicted voxels that are tumour. Undefined where nothing is predicted.",
        core=True,
    ),
    Measure(
        "sensitivity",
        "Sensitivity",
        "sensitivity",
        EXTENT,
        lambda case: overlap.sensitivity(case.counts),
        "Share of the tumour's voxels that are predicted. Undefined where there is no tumour.",
        core=True,
    ),
    Measure(
        "specificity",
        "Specificity",
        "specificity",
        EXTENT,
        lambda case: overlap.specificity(case.counts, voxels=case.reference.size),
        "Share of the voxels without tumour that are left alone; near 1 for nearly every model.",
    ),
    *(
        _length(
            ("hausdorff_95", "Hausdorff distance, 95th percentile", "HD95"),
            unit,
            lambda case: surface.hausdorff_95(case.distances),
            "95th percentile of the distances between the two surfaces, of the direction where it is "
            f"larger, in {length}. Undefined where both masks are empty; the grid's diagonal where one is.",
            core=True,
        )
        for unit, length in LENGTHS.items()
    ),
    *(
        _length(
            ("average_surface_distance", "Average surface distance", "surface distance"),
            unit,
            lambda case: surface.average_symmetric_surface_distance(case.distances),
            "Mean of the distances between the two surfaces, both directions together, in "
            f"{length}. Empty masks as for hausdorff_95_{unit}.",
            core=False,
        )
        for unit, length in LENGTHS.items()
    ),
    Measure(
        "surface_dice",
        "Surface Dice",
        "surface Dice",
        BOUNDARY,
        lambda case: surface.normalised_surface_dice(case.distances, tolerance=case.tolerance),
        "Share of both surfaces' voxels within {tolerance:g} {unit} of the other surface. Undefined where "
        "both masks are empty, 0 where one is.",
        needs_consecutive_slices=True,
    ),
    Measure(
        "volume_error",
        "Volume error",
        "volume error",
        BOUNDARY,
        lambda case: volume_error(reference=float(case.voxels[1]), predicted=float(case.voxels[2])),
        "(predicted - reference) / reference volume, signed. Undefined where there is no tumour.",
        range=(-1.0, math.inf),
        higher_is_better=None,
        signed=True,
    ),
    Measure(
        "lesion_sensitivity",
        "Sensitivity by lesion",
        "lesion sensitivity",
        LESIONS,
        lambda case: case.lesions.sensitivity,
        "Share of the lesions (components, 26 neighbours) that the prediction touches. Undefined where there is none.",
        needs_consecutive_slices=True,
    ),
    Measure(
        "lesion_precision",
        "Precision by lesion",
        "lesion precision",
        LESIONS,
        lambda case: case.lesions.precision,
        "Share of the predicted lesions that touch tumour. Undefined where none is predicted.",
        needs_consecutive_slices=True,
    ),
    Measure(
        "lesion_f1",
        "F1 by lesion",
        "lesion F1",
        LESIONS,
        lambda case: case.lesions.f1,
        "Harmonic mean of lesion sensitivity and precision. Undefined where both masks are empty.",
        needs_consecutive_slices=True,
    ),
    _lesion_count("lesions", "Lesions in the reference", "lesions", lambda case: case.lesions.reference),
    _lesion_count("lesions_found", "Lesions found", "found", lambda case: case.lesions.found),
    _lesion_count("lesions_predicted", "Lesions predicted", "predicted lesions", lambda case: case.lesions.predicted),
    _lesion_count(
        "smallest_lesion_found_voxels",
        "Smallest lesion found, voxels",
        "smallest found",
        lambda case: case.lesions.smallest_found_voxels,
    ),
    Measure(
        "expected_calibration_error",
        "Expected calibration error",
        "ECE",
        CALIBRATION,
        lambda case: calibration.expected_calibration_error(case.calibration),
        f"Mean distance between probability and share of tumour, {BINS} equal bins, all "
        "pixels; most are plain background.",
        higher_is_better=False,
    ),
    Measure(
        "candidate_calibration_error",
        "Expected calibration error of candidate pixels",
        "ECE, candidates",
        CALIBRATION,
        lambda case: calibration.expected_calibration_error(case.candidates),
        f"The same over pixels with a probability of at least {CANDIDATE:g}, or tumour.",
        higher_is_better=False,
    ),
    Measure(
        "brier_score",
        "Brier score",
        "Brier",
        CALIBRATION,
        lambda case: calibration.brier_score(case.calibration),
        "Mean squared difference of probability and reference (0 or 1), all pixels.",
        higher_is_better=False,
    ),
)


def measure_named(name: str) -> Measure | None:
    """Return a measure of the table; None if it has no such name."""
    return next((measure for measure in MEASURES if measure.name == name), None)


def conventions() -> tuple[str, ...]:
    """Return the names of the Dice conventions, which every table of scores shows first."""
    return tuple(measure.name for measure in MEASURES if measure.group == DICE)


def compute_measures(case: CaseMasks) -> dict[str, float | int | None]:
    """Return the value of each measure that applies to a case; None if it is undefined."""
    return {
        measure.name: number(measure.compute(case))
        for measure in MEASURES
        if measure.compute and measure.applies(case.unit) and (case.consecutive or not measure.needs_consecutive_slices)
    }


def definitions(*, unit: str, tolerance: float) -> dict[str, str]:
    """Return the definition of each measure of a summary, the headline first; `unit` of lengths is px or mm."""
    return {
        measure.name: measure.definition.replace("{tolerance:g}", f"{tolerance:g}").replace("{unit}", unit)
        for measure in MEASURES
        if measure.definition and measure.applies(unit)
    }
