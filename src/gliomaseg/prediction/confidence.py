"""Signs of how good a prediction is, from its own probabilities: no reference is needed."""

from __future__ import annotations

import math

import numpy as np

from gliomaseg.types import Mask, Probability

CANDIDATE = 0.01


def confidence_features(probability: Probability, mask: Mask, flip_dice: float | None) -> dict[str, float | None]:
    """Return all signs by name, each 0 to 1; None where it is not defined.

    Args:
        probability: of tumour, float32 in [0, 1], shape (z, y, x).
        mask: what was made of it, bool, same shape.
        flip_dice: of the masks of the slices and of their mirror images; None where none was made.
    """
    signs = {"soft_dice": soft_dice(probability, mask), "uncertainty": uncertainty(probability, mask)}
    defined = {name: None if math.isnan(value) else value for name, value in signs.items()}
    return {**defined, "flip_dice": flip_dice}


def soft_dice(probability: Probability, mask: Mask) -> float:
    """Return the Dice to expect of a mask if the probabilities were right: 0 (unsure) to 1 (sure).

    That is 2 sum(p m) / (sum(p) + sum(m)); NaN where the mask is empty.

    >>> soft_dice(np.array([[[0.75, 0.25, 0.0]]], np.float32), np.array([[[True, False, False]]]))
    0.75
    """
    voxels = int(np.count_nonzero(mask))
    if not voxels:
        return float("nan")
    inside = float(probability[mask].sum(dtype=np.float64))
    return 2 * inside / (float(probability.sum(dtype=np.float64)) + voxels)


def uncertainty(probability: Probability, mask: Mask) -> float:
    """Return entropy / (entropy + volume): 0 (sure of every voxel) towards 1 (sure of none); NaN of an empty mask.

    The entropy, in bits, is summed over the voxels with a probability of at least .01: others are plain background.

    >>> uncertainty(np.array([[[0.5, 1.0, 0.0]]], np.float32), np.array([[[False, True, False]]]))
    0.5
    """
    voxels = int(np.count_nonzero(mask))
    if not voxels:
        return float("nan")
    likely = probability[(probability >= CANDIDATE) & (probability < 1)].astype(np.float64)
    bits = float(-(likely * np.log2(likely) + (1 - likely) * np.log2(1 - likely)).sum())
    return bits / (bits + voxels)
