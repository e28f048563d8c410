"""Augmentation of training slices. The random numbers depend on (seed, epoch, slice) only.

The same slice in the same epoch always gets the same change, so a resumed run equals an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gliomaseg.config import Recipe
from gliomaseg.data.augmentation import pipeline
from gliomaseg.types import SliceIndices

Draws = NDArray[np.float64]
Augmenter = Callable[[Tensor, Tensor, Draws, Recipe], tuple[Tensor, Tensor]]
DRAWS = 25


def none(images: Tensor, masks: Tensor, draws: Draws, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Return the slices unchanged."""
    del draws, recipe
    return images, masks


def light(images: Tensor, masks: Tensor, draws: Draws, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Return slices mirrored left to right (one in two), with contrast and brightness changed a little.

    Args:
        images: normalised, float, shape (n, c, y, x).
        masks: bool, shape (n, y, x).
        draws: uniform in [0, 1), shape (n, DRAWS).
        recipe: not used.
    """
    # Not a preset of the pipeline of `strong`: that scales about a slice's black level and interpolates, so runs with
    # "light" would end with other weights, the demo's among them.
    del recipe
    numbers = torch.from_numpy(draws).to(images.device, images.dtype, non_blocking=True)
    mirrored = numbers[:, 0] < 0.5
    images = torch.where(mirrored[:, None, None, None], images.flip(-1), images)
    masks = torch.where(mirrored[:, None, None], masks.flip(-1), masks)
    gain = torch.exp((numbers[:, 1] - 0.5) * 0.4)[:, None, None, None]
    offset = ((numbers[:, 2] - 0.5) * 0.2)[:, None, None, None]
    return images * gain + offset, masks


def strong(images: Tensor, masks: Tensor, draws: Draws, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Return slices with spatial and intensity changes within the limits of `recipe.augmentation`.

    Args:
        images: normalised, float32, shape (n, k c, y, x): k slices of c sequences.
        masks: bool, shape (n, y, x).
        draws: uniform in [0, 1), shape (n, DRAWS).
        recipe: its sections `augmentation` and `preprocessing` are used.
    """
    return pipeline.augment(images, masks, draws, limits=recipe.augmentation, sequences=recipe.preprocessing.sequences)


AUGMENTATIONS: dict[str, Augmenter] = {"none": none, "light": light, "strong": strong}


def augmentation_draws(seed: int, epoch: int, picks: SliceIndices) -> Draws:
    """Return the random numbers of each pick in an epoch: uniform in [0, 1), shape (n, DRAWS).

    Args:
        seed: of the run.
        epoch: from 0.
        picks: index of the slice, and how often the epoch has drawn it before: shape (n, 2).
    """
    # A repeated slice gets new numbers. The first visit has the same numbers with and without oversampling.
    entropies = ([seed, epoch, int(k), 1, *([int(visit)] if visit else [])] for k, visit in picks)
    return np.stack([np.random.default_rng(entropy).random(DRAWS) for entropy in entropies])
