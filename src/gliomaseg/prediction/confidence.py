"""Confidence features: how certain a prediction is, from its probabilities, without a reference."""

from __future__ import annotations

import math

import numpy as np

from gliomaseg.types import Mask, Probability

CANDIDATE = 0.01


def confidence_features(probability: Probability, mask: Mask, flip_dice: float | None) -> dict[str, float | None]:
    """Return the confidence features by name, each in [0, 1]; None if one is not defined.

    Args:
        probability: of tumour, float32 in [0, 1], shape (z, y, x).
        mask: its mask, bool, same shape.
        flip_dice: Dice of the masks with and without mirroring the slices; None without flip TTA.
    """
    features = {"soft_dice": soft_dice(probability, mask), "uncertainty": uncertainty(probability, mask)}
    defined = {name: None if math.isnan(value) else value for name, value in features.items()}
    return {**defined, "flip_dice": flip_dice}


def soft_dice(probability: Probability, mask: Mask) -> float:
    """Return the expected Dice of a mask if the probabilities are calibrated: 0 (uncertain) to 1 (certain).

    It is 2 sum(p m) / (sum(p) + sum(m)); NaN if the mask is empty.

    >>> soft_dice(np.array([[[0.75, 0.25, 0.0]]], np.float32), np.array([[[True, False, False]]]))
    0.75
    """
    voxels = int(np.count_nonzero(mask))
    if not voxels:
        return float("nan")
    inside = float(probability[mask].sum(dtype=np.float64))
    return 2 * inside / (float(probability.sum(dtype=np.float64)) + voxels)


def uncertainty(probability: Probability, mask: Mask) -> float:
    """Return entropy / (entropy + volume): 0 (certain) to nearly 1 (uncertain); NaN if the mask is empty.

    The entropy, in bits, is summed over voxels with a probability of at least 0.01; all others are background.

    >>> uncertainty(np.array([[[0.5, 1.0, 0.0]]], np.float32), np.array([[[False, True, False]]]))
    0.5
    """
    voxels = int(np.count_nonzero(mask))
    if not voxels:
        return float("nan")
    likely = probability[(probability >= CANDIDATE) & (probability < 1)].astype(np.float64)
    bits = float(-(likely * np.log2(likely) + (1 - likely) * np.log2(1 - likely)).sum())
    return bits / (bits + voxels)
