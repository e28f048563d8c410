"""The text of the report picture of a job: the values that the page shows first, in words."""

from __future__ import annotations

from typing import Any

from gliomaseg.prediction.contact_sheet import SheetText
from gliomaseg.prediction.mask_statistics import MaskStatistics


def report_text(
    name: str, document: dict[str, Any], statistics: MaskStatistics, changes: dict[str, Any] | None = None
) -> SheetText:
    """Return the text of a mask of the model, or of a corrected mask: its predicted Dice is that of the model's mask.

    Args:
        name: of the scan.
        document: the result of the job: its `model`, `predicted_dice` and `warnings` are used.
        statistics: of the mask.
        changes: a correction summary as a dictionary; None for the model's mask.
    """
    dice = document["predicted_dice"]
    facts = [] if statistics.diameters_mm is None else [_diameters(*statistics.diameters_mm)]
    if statistics.tumour_volume_ml is None:
        facts.append("Orientation and spacing are unknown: sizes are in pixels")
    if not statistics.tumour_voxels:
        facts.append("An empty mask does not exclude a tumour")
    if changes is not None:
        expected = "" if dice is None else f"; the model's mask has a predicted Dice of {dice:.2f}"
        facts.append(f"Changed by a person: {_amount(changes, 'added')}, {_amount(changes, 'removed')}{expected}")
    return SheetText(
        name,
        statistics.tumour_volume_ml,
        document["model"],
        dice if changes is None else None,
        warnings=tuple(document["warnings"]),
        facts=tuple(facts),
    )


def _diameters(longest_mm: float, perpendicular_mm: float) -> str:
    return f"Diameters on the largest slice: {longest_mm:.0f} x {perpendicular_mm:.0f} mm"


def _amount(changes: dict[str, Any], verb: str) -> str:
    ml, voxels = changes[f"{verb}_ml"], changes[f"{verb}_voxels"]
    return f"{voxels:,} pixels {verb}" if ml is None else f"{ml:.1f} ml {verb}"
