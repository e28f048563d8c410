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

# In this order: only the last two import SciPy, which prediction does not need.
_MODULES = ("overlap", "volume", "bootstrap", "calibration", "lesions", "surface")


def __getattr__(name: str) -> Any:
    """Import a measure's module at its first use."""
    for module in _MODULES if name in __all__ else ():
        try:
            return getattr(import_module(f"gliomaseg.metrics.{module}"), name)
        except AttributeError:
            continue
    raise AttributeError(f"module 'gliomaseg.metrics' has no attribute {name!r}")
