"""Probabilities to a mask, as the recipe's `[postprocessing]` section defines it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from gliomaseg.config import Postprocessing
from gliomaseg.types import Batch, Mask, Probability

WHOLE_SLICES = 10  # a scan of fewer slices may contain only a small part of a tumour
_BLOCK = 1 << 22  # voxels at a time


def predict_tta(batch: Batch, probabilities: Callable[[Batch], Probability], *, flip: bool) -> list[Probability]:
    """Return the network's probabilities for a batch (n, c, y, x); with `flip` also those of its mirror image.

    The second one is mirrored back. Each is float32 in [0, 1], shape (n, y, x).
    """
    views = [probabilities(batch)]
    if flip:
        views.append(probabilities(np.ascontiguousarray(batch[..., ::-1]))[..., ::-1])
    return views


def combine(views: list[Probability]) -> Probability:
    """Return the mean of one or two probability maps: float32 in [0, 1], same shape."""
    if len(views) == 1:
        return views[0]
    mean = views[0] + views[1]
    mean *= np.float32(0.5)
    return mean


def at_temperature(probability: Probability, temperature: float) -> Probability:
    """Return p**(1/T) / (p**(1/T) + (1 - p)**(1/T)), the logits over T: float32 in [0, 1], same shape.

    Source: C. Guo et al., ICML 2017, arXiv:1706.04599.
    """
    if temperature == 1:
        return probability
    power = np.float32(1 / temperature)
    tempered: Probability = np.empty(probability.shape, np.float32)
    given, result = np.ascontiguousarray(probability).reshape(-1), tempered.reshape(-1)
    for start in range(0, len(given), _BLOCK):  # a large scan would need four more arrays of its size
        part = given[start : start + _BLOCK]
        yes, no = np.power(part, power), np.power(1 - part, power)
        result[start : start + _BLOCK] = yes / (yes + no)
    return tempered


def to_mask(probability: Probability, postprocessing: Postprocessing, *, voxel_ml: float | None = None) -> Mask:
    """Return the mask of a scan's probabilities (z, y, x): bool, same shape.

    A voxel is tumour if its probability exceeds the threshold. Smaller connected components than `min_component_ml`, or
    `min_component_voxels`, are removed, except in scans of fewer than ten slices: they may cut only a small part of
    a tumour.

    Args:
        probability: float32 in [0, 1].
        postprocessing: the settings.
        voxel_ml: volume of a voxel; None if it is unknown.
    """
    mask: Mask = probability > postprocessing.threshold
    return without_small_components(mask, smallest_component_voxels(postprocessing, len(mask), voxel_ml=voxel_ml))


def smallest_component_voxels(postprocessing: Postprocessing, slices: int, *, voxel_ml: float | None) -> int:
    """Return the size below which connected components are removed, in voxels; 0 in scans of fewer than ten slices."""
    if slices < WHOLE_SLICES:
        return 0
    if voxel_ml is None or not postprocessing.min_component_ml:
        return postprocessing.min_component_voxels
    return math.ceil(postprocessing.min_component_ml / voxel_ml)


def without_small_components(mask: Mask, min_component_voxels: int) -> Mask:
    """Return a mask (z, y, x) without smaller connected components; an empty mask stays empty.

    >>> mask = np.array([[[True, True, False, True]]])
    >>> without_small_components(mask, 2).tolist()
    [[[True, True, False, False]]]
    """
    if min_component_voxels < 2:
        return mask
    from scipy import ndimage  # slow to import

    from gliomaseg.metrics.lesions import NEIGHBOURS

    labels, count = ndimage.label(mask, structure=NEIGHBOURS)
    flat = labels.reshape(-1)
    sizes = np.zeros(count + 1, np.int64)
    for start in range(0, len(flat), _BLOCK):  # bincount copies to 64 bits
        sizes += np.bincount(flat[start : start + _BLOCK], minlength=count + 1)
    large = sizes >= min_component_voxels
    large[0] = False
    kept: Mask = large[labels]
    return kept
