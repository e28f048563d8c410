"""Scan to network input, and probabilities back to the scan's grid.

Three words, used alike in training and in use: `prepare(scan, settings)`, `prepared.batches(size)` and
`restore(probability, prepared)`. Prediction calls `prepare_merges`, which returns merged slices twice.
"""

from gliomaseg.preprocessing.brain import brain_mask
from gliomaseg.preprocessing.intensity import axial_flair, display_levels
from gliomaseg.preprocessing.normalisation import level_counts, level_scales, normalise
from gliomaseg.preprocessing.prepare import (
    Prepared,
    context_indices,
    mask_areas_px,
    prepare,
    prepare_mask,
    prepare_merges,
    restore,
    restore_slices,
    with_context,
)
from gliomaseg.preprocessing.volume import Placement

__all__ = [
    "Placement",
    "Prepared",
    "axial_flair",
    "brain_mask",
    "context_indices",
    "display_levels",
    "level_counts",
    "level_scales",
    "mask_areas_px",
    "normalise",
    "prepare",
    "prepare_mask",
    "prepare_merges",
    "restore",
    "restore_slices",
    "with_context",
]
