"""Input checks: whether a scan looks like the training data, FLAIR slices of a head.

`studies/fit_input_checks.py` writes the limits and weights in `input_checks.json`; docs/results/plausibility.md has the
accuracy of each warning.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gliomaseg.config import Preprocessing
from gliomaseg.prediction.image_features import (
    SIDE_PX,
    ImageFeatures,
    black_share,
    bright_share,
    image_features,
    is_skull_stripped,
)
from gliomaseg.scan import flair_channel
from gliomaseg.types import Mask, PreparedSlices

EMPTY = "is almost black or constant: no head is visible"
NO_HEAD = "does not look like axial slices of a head"
NO_BRAIN = "does not look like a brain on FLAIR"
OTHER_SEQUENCE = "looks like another sequence, such as T1 or T2, not like FLAIR"
NO_T1 = "has no T1 (before contrast), which this model also needs; give it (--t1, in Python t1)"
NOT_T1 = "T1 (before contrast) does not look like T1"
SKULL_STRIPPED = "is skull-stripped, and this model was trained on whole heads: it misses tumour in such scans"
BRIGHT_REGION = "no tumour is marked, and a region is much brighter than the brain: check the scan by eye"
T1_COPY = "T1 (before contrast) is a copy of FLAIR"
SMALL_VOLUME = "less than 6 ml is marked: lesions of other diseases, such as multiple sclerosis, look alike on FLAIR"
LOW_DICE = "the predicted Dice is below 0.6: the mask is probably poor; check it by eye"

# All but two of 251 stacks of the data set are far inside: area 0.33 to 0.75, fullness 0.95, elongation 1.4.
AREA = (0.1, 0.9)
FULLNESS = 0.85
ELONGATION = 1.9
BACKGROUND = 0.4
BRIGHT_SHARE = 0.01  # of the brain in a slice
BLACK_SHARE = 0.9  # outside the head: at least 0.97 in stripped slices of BraTS
FEWEST_SLICES = 10  # shorter stacks show too little of a head
SMALL_ML = 6.0  # the smallest tumour of the 88 patients has 7.3 ml
LOWEST_DICE = 0.6
FILE = Path(__file__).with_name("input_checks.json")


@dataclass(frozen=True)
class InputLimits:
    """Limits and weights that were fitted on patients.

    Attributes:
        mean: of the level-pair features of FLAIR stacks, shape (21,).
        std: of the same features.
        weights: of a linear classifier of T1 against FLAIR, shape (21,).
        bias: of that classifier.
        t1_score: stacks with a higher score look like T1.
        distance: stacks at a larger distance do not look like a brain on FLAIR.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    weights: NDArray[np.float64]
    bias: float
    t1_score: float
    distance: float


def input_warnings(
    slices: PreparedSlices, preprocessing: Preprocessing, *, merged: bool = False, has_t1: bool = False
) -> tuple[str, ...]:
    """Return the warnings for prepared slices that do not look like FLAIR of a head; empty if they do.

    For single images and stacks of fewer than ten slices, two checks run here: almost black, and T1 missing. The FLAIR
    and T1 checks also need FLAIR as a separate channel at 128 x 128 pixels or more, and slices that were not merged:
    blurred FLAIR has the grey levels of T1. Models of T1 and FLAIR also get a warning if T1 is a copy of FLAIR or does
    not look like T1.

    Args:
        slices: from `prepare`, uint8, shape (z, c, size, size).
        preprocessing: the settings that prepared them.
        merged: whether each slice is the mean of several thin ones.
        has_t1: whether the scan has T1, named by the user or the data set, or unlike FLAIR in images.
    """
    channel = flair_channel(preprocessing.sequences)
    no_t1 = T1_COPY if has_t1 else NO_T1
    missing = (no_t1,) if channel and np.array_equal(slices[:, 0], slices[:, channel]) else ()
    features = image_features(slices[:, channel])
    if features is None:
        return (EMPTY,)
    if features.slices < FEWEST_SLICES:
        return missing
    if not _is_head(features):
        return (NO_HEAD,)
    if merged or preprocessing.input == "grey" or preprocessing.size_px < SIDE_PX:
        return missing
    # Only one warning is returned, FLAIR first: T1 has less influence on the mask.
    flair_warnings = _flair_warnings(features, read_limits())
    if flair_warnings or missing or not channel:
        return flair_warnings or missing
    return _t1_warnings(slices[:, 0], read_limits())


def skull_warnings(slices: PreparedSlices, preprocessing: Preprocessing) -> tuple[str, ...]:
    """Return a warning if slices have no skull, for a model that was trained on whole heads; grey slices have none.

    Args:
        slices: from `prepare`, uint8, shape (z, c, size, size).
        preprocessing: the settings that prepared them.
    """
    stripped = preprocessing.input != "grey" and is_skull_stripped(slices[:, flair_channel(preprocessing.sequences)])
    return (SKULL_STRIPPED,) if stripped else ()


def bright_region_warnings(slices: PreparedSlices, preprocessing: Preprocessing) -> tuple[str, ...]:
    """Return a warning if FLAIR of a brain without skull has a bright region, for a scan whose mask is empty.

    Heads with a skull get none: eyes, scalp and skull base are as bright as tumour. The background must be black, as
    skull stripping leaves it: single slices of whole heads may look stripped.

    Args:
        slices: from `prepare`, uint8, shape (z, c, size, size).
        preprocessing: the settings that prepared them.
    """
    if preprocessing.input == "grey":
        return ()
    stack = slices[:, flair_channel(preprocessing.sequences)]
    is_stripped = black_share(stack) >= BLACK_SHARE and is_skull_stripped(stack)
    return (BRIGHT_REGION,) if is_stripped and bright_share(stack) >= BRIGHT_SHARE else ()


def volume_warnings(mask: Mask, voxel_ml: float | None) -> tuple[str, ...]:
    """Return a warning if a mask (z, y, x) of a whole head has less volume than a glioma usually has.

    Empty masks, masks of fewer than ten slices and those without spacing have none.
    """
    if voxel_ml is None or len(mask) < FEWEST_SLICES:
        return ()
    return (SMALL_VOLUME,) if 0 < np.count_nonzero(mask) * voxel_ml < SMALL_ML else ()


def dice_warnings(predicted_dice: float | None) -> tuple[str, ...]:
    """Return a warning if the predicted Dice is low; without a predicted Dice there is no warning."""
    return (LOW_DICE,) if predicted_dice is not None and predicted_dice < LOWEST_DICE else ()


def _flair_warnings(features: ImageFeatures, limits: InputLimits) -> tuple[str, ...]:
    if distance_from_flair(features, limits) > limits.distance:
        return (NO_BRAIN,)
    return (OTHER_SEQUENCE,) if t1_score(features, limits) > limits.t1_score else ()


def _t1_warnings(slices: NDArray[np.uint8], limits: InputLimits) -> tuple[str, ...]:
    """Return a warning if T1 does not look like T1, in a stack whose FLAIR shows a head."""
    features = image_features(slices)
    is_t1 = features is not None and features.slices >= FEWEST_SLICES and t1_score(features, limits) > limits.t1_score
    return () if is_t1 else (NOT_T1,)


def t1_score(features: ImageFeatures, limits: InputLimits) -> float:
    """Return the log odds of T1 against FLAIR: about -8 (FLAIR) to 12 (T1)."""
    return float(features.pairs @ limits.weights + limits.bias)


def distance_from_flair(features: ImageFeatures, limits: InputLimits) -> float:
    """Return the root mean square of the z-scores of the level-pair features: about 1 for FLAIR."""
    return float(np.sqrt(np.mean(((features.pairs - limits.mean) / limits.std) ** 2)))


@cache
def read_limits() -> InputLimits:
    """Return the limits that are installed with the package."""
    fitted = json.loads(FILE.read_text("utf-8"))
    return InputLimits(
        mean=np.array(fitted["mean"]),
        std=np.array(fitted["std"]),
        weights=np.array(fitted["weights"]),
        bias=fitted["bias"],
        t1_score=fitted["t1_score"],
        distance=fitted["distance"],
    )


def _is_head(features: ImageFeatures) -> bool:
    return (
        AREA[0] <= features.area <= AREA[1]
        and features.fullness >= FULLNESS
        and features.elongation <= ELONGATION
        and features.background <= BACKGROUND
    )
