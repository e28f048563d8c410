"""Whether what is given to a model looks like what it was made for: FLAIR slices of a head.

The limits and weights in `input_checks.json` come from `studies/fit_input_checks.py`; docs/results/plausibility.md says
how often each warning is right.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.config import Preprocessing
from gliomaseg.prediction.image_features import SIDE_PX, ImageFeatures, image_features
from gliomaseg.scan import flair_channel
from gliomaseg.types import PreparedSlices

EMPTY = "is nearly black or even: there is no head in it"
NO_HEAD = "does not look like axial slices of a head"
NO_BRAIN = "does not look like a brain on FLAIR"
T1 = "looks like T1, not like FLAIR"
NO_T1 = "comes without T1 (before contrast), which this model looks at, too; name it with --t1"
NOT_T1 = "has a T1 (before contrast) that does not look like one"

# Of 251 stacks of the data set, all but two lie far inside: areas of .33 to .75, fullness .95, elongation 1.4.
AREA = (0.1, 0.9)
FULLNESS = 0.85
ELONGATION = 1.9
BACKGROUND = 0.4
FEWEST_SLICES = 10  # parts of a head are too unlike to be told apart
FILE = Path(__file__).with_name("input_checks.json")


@dataclass(frozen=True)
class InputLimits:
    """What was fitted on patients.

    Attributes:
        mean: of FLAIR stacks' pairs of levels, shape (21,).
        std: of the same.
        weights: of the same, for T1 against FLAIR.
        bias: of the same sum.
        t1_score: above it, a stack looks like T1.
        distance: above it, a stack looks like no brain.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    weights: NDArray[np.float64]
    bias: float
    t1_score: float
    distance: float


def input_warnings(slices: PreparedSlices, preprocessing: Preprocessing, *, merged: bool = False) -> tuple[str, ...]:
    """Return what speaks against prepared slices being FLAIR of a head, as sentences without a subject; none is best.

    Single pictures and short stacks are only asked whether there is anything in them. The sequence is asked for where
    FLAIR is a channel of its own, of 128 or more pixels, and no slices were merged: blurred FLAIR looks like T1.
    A network of T1 and FLAIR is warned of a stack whose T1 is a copy of FLAIR, so that there was none, and of T1 that
    does not look like it.

    Args:
        slices: as `prepare` gives them, uint8, shape (z, c, size, size).
        preprocessing: what they were prepared by.
        merged: whether each of them is the mean of several thin ones.
    """
    channel = flair_channel(preprocessing.sequences)
    lacking = (NO_T1,) if channel and np.array_equal(slices[:, 0], slices[:, channel]) else ()
    seen = image_features(slices[:, channel])
    if seen is None:
        return (EMPTY,)
    if seen.slices < FEWEST_SLICES:
        return lacking
    if not _is_head(seen):
        return (NO_HEAD,)
    if merged or preprocessing.input == "grey" or preprocessing.size_px < SIDE_PX:
        return lacking
    # One doubt is told, that of FLAIR first: T1 matters less.
    doubt = _doubt_of_flair(seen, read_limits())
    if doubt or lacking or not channel:
        return doubt or lacking
    return _doubts_of_t1(slices[:, 0], read_limits())


def _doubt_of_flair(seen: ImageFeatures, limits: InputLimits) -> tuple[str, ...]:
    if distance_from_flair(seen, limits) > limits.distance:
        return (NO_BRAIN,)
    return (T1,) if t1_score(seen, limits) > limits.t1_score else ()


def _doubts_of_t1(slices: NDArray[np.uint8], limits: InputLimits) -> tuple[str, ...]:
    """Return whether T1 of a stack whose FLAIR shows a head does not look like T1, or shows none."""
    seen = image_features(slices)
    is_t1 = seen is not None and seen.slices >= FEWEST_SLICES and t1_score(seen, limits) > limits.t1_score
    return () if is_t1 else (NOT_T1,)


def t1_score(seen: ImageFeatures, limits: InputLimits) -> float:
    """Return the logarithm of the odds that a stack is T1 and not FLAIR: about -8 (FLAIR) to 12 (T1)."""
    return float(seen.pairs @ limits.weights + limits.bias)


def distance_from_flair(seen: ImageFeatures, limits: InputLimits) -> float:
    """Return the root of the mean squared z-score of a stack's pairs of levels: about 1 of FLAIR."""
    return float(np.sqrt(np.mean(((seen.pairs - limits.mean) / limits.std) ** 2)))


@cache
def read_limits() -> InputLimits:
    """Return the limits that the package brings."""
    tree: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
    mean, std, weights = (np.array(tree.pop(name)) for name in ("mean", "std", "weights"))
    return InputLimits(mean, std, weights, **tree)


def _is_head(seen: ImageFeatures) -> bool:
    return (
        AREA[0] <= seen.area <= AREA[1]
        and seen.fullness >= FULLNESS
        and seen.elongation <= ELONGATION
        and seen.background <= BACKGROUND
    )
