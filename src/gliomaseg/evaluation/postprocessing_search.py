"""Choose temperature, threshold and smallest component on patients outside the training set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gliomaseg.config import Postprocessing
from gliomaseg.errors import DataError
from gliomaseg.metrics.lesions import NEIGHBOURS
from gliomaseg.prediction.postprocessing import at_temperature
from gliomaseg.types import Mask, Probability

THRESHOLDS = tuple(round(0.1 + 0.05 * step, 2) for step in range(15))  # .1 to .8
SIZES = (0, 10, 30, 100, 300)  # in voxels
SIZES_ML = (0, 0.03, 0.1, 0.3, 1)  # the same voxels at the spacing of the LGG data set, 0.9 x 0.9 x 4 mm
TEMPERATURES = (0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0)
# Probabilities nearer to 0 or 1 are clipped to this distance.
CERTAIN = 1e-6


@dataclass(frozen=True)
class Trial:
    """The result of each choice for one patient.

    Attributes:
        dice: of the whole stack, shape (thresholds, sizes); NaN if the reference is empty.
        entropy: the cross-entropy of all voxels at each temperature, summed, shape (temperatures,).
        in_ml: whether the sizes are those of `SIZES_ML`.
    """

    dice: NDArray[np.float64]
    entropy: NDArray[np.float64]
    in_ml: bool = False


def try_postprocessing(probability: Probability, reference: Mask, *, voxel_ml: float | None = None) -> Trial:
    """Return the result of each threshold, smallest component and temperature for one patient.

    Args:
        probability: of tumour at temperature 1, float32, shape (z, y, x).
        reference: the expert's mask, bool, same shape.
        voxel_ml: volume of a voxel; the sizes are in voxels if it is None.
    """
    sizes = SIZES if voxel_ml is None else [math.ceil(size / voxel_ml) for size in SIZES_ML]
    if reference.any():
        dice = np.stack([_dice_by_size(probability > threshold, reference, sizes) for threshold in THRESHOLDS])
    else:  # Dice is undefined or 0 whatever the choice
        dice = np.full((len(THRESHOLDS), len(SIZES)), np.nan)
    return Trial(dice, _entropies(probability, reference), in_ml=voxel_ml is not None)


def choose_postprocessing(trials: Sequence[Trial], *, tta_flip: bool) -> Postprocessing:
    """Return the temperature of the lowest cross-entropy, and threshold and size of the highest mean Dice.

    Of choices within .001 of the best, the threshold nearest to .5 is taken, and of its sizes the largest: it removes
    the most false positives. The threshold is one of the probabilities at the temperature chosen.

    Args:
        trials: of patients, the sizes of all in voxels or of all in ml.
        tta_flip: whether the probabilities are means with flip TTA.

    Raises:
        DataError: every prediction of a patient with tumour is empty.
    """
    known = [trial.dice for trial in trials if not np.isnan(trial.dice).any()]
    means = np.mean(known, axis=0) if known else np.zeros(1)
    if not means.max() > 0:
        raise DataError(
            "highest mean Dice of all thresholds is 0, expected above 0", cure="leave --tune out, or train longer"
        )
    temperature = TEMPERATURES[int(np.sum([trial.entropy for trial in trials], axis=0).argmin())]
    good = np.argwhere(means >= means.max() - 0.001)
    row, column = min(good.tolist(), key=lambda cell: (abs(THRESHOLDS[cell[0]] - 0.5), -cell[1]))
    at = at_temperature(np.array([THRESHOLDS[row]], np.float32), temperature)
    chosen = Postprocessing(threshold=round(float(at[0]), 4), temperature=temperature, tta_flip=tta_flip)
    in_ml = trials[0].in_ml
    size = {"min_component_ml": SIZES_ML[column]} if in_ml else {"min_component_voxels": SIZES[column]}
    return chosen.model_copy(update=size)


def _dice_by_size(mask: Mask, reference: Mask, sizes: Sequence[int]) -> NDArray[np.float64]:
    """Return the Dice of a mask without components smaller than each size in voxels: shape (sizes,)."""
    from scipy import ndimage  # slow to import

    labels, _ = ndimage.label(mask, structure=NEIGHBOURS)
    voxels = np.bincount(labels.ravel())
    both = np.bincount(labels.ravel(), weights=reference.ravel(), minlength=len(voxels))
    voxels[0], both[0] = 0, 0
    total = np.count_nonzero(reference)
    kept = [voxels >= size for size in sizes]
    overlap = np.array([both[keep].sum() for keep in kept])
    predicted = np.array([voxels[keep].sum() for keep in kept])
    return 2 * overlap / (predicted + total)


def _entropies(probability: Probability, reference: Mask) -> NDArray[np.float64]:
    """Return the cross-entropy of all voxels, summed, at each temperature."""
    doubtful = (probability > CERTAIN) | reference
    likely = np.clip(probability[doubtful].astype(np.float64), CERTAIN, 1 - CERTAIN)
    logit = np.log(likely) - np.log1p(-likely)
    sign = np.where(reference[doubtful], -1.0, 1.0)
    sure = probability.size - likely.size
    floor = np.log(CERTAIN) - np.log1p(-CERTAIN)
    return np.array([np.logaddexp(0, sign * logit / t).sum() + sure * np.logaddexp(0, floor / t) for t in TEMPERATURES])
