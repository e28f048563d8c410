"""Measures that compare a predicted mask with a reference mask: overlap, surfaces, lesions, volume, calibration.

>>> import numpy as np
>>> from gliomaseg import metrics
>>> reference, predicted = np.zeros((2, 1, 4, 4), bool)
>>> reference[0, 1:3, 1:3] = predicted[0, 1:3, 1:4] = True
>>> metrics.dice(reference=reference, predicted=predicted)
0.8
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gliomaseg.metrics.bootstrap import bootstrap_interval
    from gliomaseg.metrics.calibration import brier_score, calibration_table, expected_calibration_error
    from gliomaseg.metrics.lesions import count_lesions
    from gliomaseg.metrics.overlap import (
        count_slices,
        dice,
        dice_batch,
        dice_slices_empty_one,
        dice_tumour_slices,
        dice_volume,
        empty_slice_false_positives,
        iou,
        precision,
        sensitivity,
        specificity,
    )
    from gliomaseg.metrics.surface import (
        average_symmetric_surface_distance,
        hausdorff_95,
        normalised_surface_dice,
        surface_distances,
    )
    from gliomaseg.metrics.volume import volume_error, volume_ml

__all__ = [
    "average_symmetric_surface_distance",
    "bootstrap_interval",
    "brier_score",
    "calibration_table",
    "count_lesions",
    "count_slices",
    "dice",
    "dice_batch",
    "dice_slices_empty_one",
    "dice_tumour_slices",
    "dice_volume",
    "empty_slice_false_positives",
    "expected_calibration_error",
    "hausdorff_95",
    "iou",
    "normalised_surface_dice",
    "precision",
    "sensitivity",
    "specificity",
    "surface_distances",
    "volume_error",
    "volume_ml",
]

_FAMILY_OF = {
    "average_symmetric_surface_distance": "surface",
    "bootstrap_interval": "bootstrap",
    "brier_score": "calibration",
    "calibration_table": "calibration",
    "count_lesions": "lesions",
    "count_slices": "overlap",
    "dice": "overlap",
    "dice_batch": "overlap",
    "dice_slices_empty_one": "overlap",
    "dice_tumour_slices": "overlap",
    "dice_volume": "overlap",
    "empty_slice_false_positives": "overlap",
    "expected_calibration_error": "calibration",
    "hausdorff_95": "surface",
    "iou": "overlap",
    "normalised_surface_dice": "surface",
    "precision": "overlap",
    "sensitivity": "overlap",
    "specificity": "overlap",
    "surface_distances": "surface",
    "volume_error": "volume",
    "volume_ml": "volume",
}


def __getattr__(name: str) -> Any:
    """Import a measure when it is used first: prediction needs only one of them, and no SciPy."""
    if name not in _FAMILY_OF:
        raise AttributeError(f"module 'gliomaseg.metrics' has no attribute {name!r}")
    return getattr(import_module(f"gliomaseg.metrics.{_FAMILY_OF[name]}"), name)
