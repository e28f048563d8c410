"""The words for each measure: what a reader sees beside the name that a program uses."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Any


@dataclass(frozen=True)
class Measure:
    """One column of the patients' table, one line of the summary.

    name: its key; label: in words; short: over a column; group: its heading in the summary;
    share: whether it runs from 0 to 1; lower: whether less is better; core: whether it is printed.
    """

    name: str
    label: str
    short: str
    group: str
    share: bool = True
    lower: bool = False
    core: bool = False
    whole: bool = False

    @property
    def better(self) -> str:
        """Return which way is better, in words."""
        return "lower is better" if self.lower else "higher is better"


DICE, EXTENT, BOUNDARY, LESIONS, TRUST = "Dice, by convention", "Pixels", "Boundary and volume", "Lesions", "Confidence"

MEASURES = (
    Measure("dice_volume", "Dice of the whole stack", "Dice, stack", DICE, core=True),
    Measure("dice_tumour_slices", "Dice of slices with tumour", "Dice, tumour slices", DICE, core=True),
    Measure("dice_slices_empty_one", "Dice of all slices, both empty is 1", "Dice, all slices", DICE),
    Measure("dice_batch", "Dice of batches of slices", "Dice, batches", DICE),
    Measure(
        "empty_slice_false_positive_rate",
        "False alarms on tumour-free slices",
        "false alarms",
        DICE,
        lower=True,
        core=True,
    ),
    Measure("iou", "Intersection over union", "IoU", EXTENT),
    Measure("precision", "Precision", "precision", EXTENT, core=True),
    Measure("sensitivity", "Sensitivity", "sensitivity", EXTENT, core=True),
    Measure("specificity", "Specificity", "specificity", EXTENT),
    Measure("surface_dice", "Surface Dice", "surface Dice", BOUNDARY),
    *(
        Measure(f"{name}_{unit}", f"{label}, {unit}", f"{short}, {unit}", BOUNDARY, share=False, lower=True, core=core)
        for name, label, short, core in (
            ("hausdorff_95", "Hausdorff distance, 95th percentile", "HD95", True),
            ("average_surface_distance", "Average surface distance", "surface distance", False),
        )
        for unit in ("px", "mm")
    ),
    Measure("volume_error", "Volume error", "volume error", BOUNDARY, share=False, lower=True),
    Measure("lesion_precision", "Precision by lesion", "lesion precision", LESIONS),
    Measure("lesion_sensitivity", "Sensitivity by lesion", "lesion sensitivity", LESIONS),
    Measure("lesion_f1", "F1 by lesion", "lesion F1", LESIONS),
    Measure("lesions", "Lesions in the reference", "lesions", LESIONS, share=False, whole=True),
    Measure("lesions_found", "Lesions found", "found", LESIONS, share=False, whole=True),
    Measure("lesions_predicted", "Lesions predicted", "predicted lesions", LESIONS, share=False, whole=True),
    Measure(
        "smallest_lesion_found_voxels",
        "Smallest lesion found, voxels",
        "smallest found",
        LESIONS,
        share=False,
        whole=True,
    ),
    Measure("expected_calibration_error", "Expected calibration error", "ECE", TRUST, lower=True),
    Measure(
        "candidate_calibration_error",
        "Calibration error where tumour is in question",
        "ECE, candidates",
        TRUST,
        lower=True,
    ),
    Measure("brier_score", "Brier score", "Brier", TRUST, lower=True),
)
COUNTS = (
    Measure("slices", "Slices", "slices", "", share=False, core=True, whole=True),
    Measure("tumour_slices", "Slices with tumour", "with tumour", "", share=False, core=True, whole=True),
    Measure("reference_voxels", "Tumour in the reference, voxels", "reference", "", share=False, core=True, whole=True),
    Measure("predicted_voxels", "Tumour predicted, voxels", "predicted", "", share=False, core=True, whole=True),
    Measure("overlap_voxels", "In both, voxels", "both", "", share=False, whole=True),
    Measure("reference_ml", "Tumour in the reference, ml", "reference, ml", "", share=False),
    Measure("predicted_ml", "Tumour predicted, ml", "predicted, ml", "", share=False),
)
OTHERS = "Other measures"


def columns(patients: list[dict[str, Any]]) -> list[Measure]:
    """Return the measures that at least one patient has, in the order of the table."""
    return [m for m in (*COUNTS, *MEASURES) if any(row.get(m.name) is not None for row in patients)]


def grouped(summary: dict[str, Any]) -> list[tuple[str, list[tuple[Measure, dict[str, Any]]]]]:
    """Return the summary's entries under their headings; a measure nobody here knows keeps its name."""
    entries = {name: entry for name, entry in summary.items() if isinstance(entry, dict)}
    known = [m for m in MEASURES if m.name in entries]
    names = {m.name for m in known}
    known += [Measure(name, name, name, OTHERS, share=False) for name in entries if name not in names]
    return [(head, [(m, entries[m.name]) for m in group]) for head, group in groupby(known, lambda m: m.group)]
