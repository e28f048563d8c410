"""Changes of a whole scan that other sources have: no skull, suppressed fat.

They come before the normalisation, because they change the intensities that it is computed from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import max_pool2d

from gliomaseg.config import Augmentation
from gliomaseg.data.augmentation import pipeline, random_fields

DARKEST, BRIGHTEST = 0.1, 0.7  # the factors of suppressed fat


@dataclass(frozen=True)
class AcquisitionChanges:
    """The changes of the slices in a batch.

    Attributes:
        outside: factor on everything that is not brain: 0 without skull, 1 unchanged; float64, shape (n,).
        growth_px: pixels by which the brain grows before the factor is applied: -1, 0 or 1, float64, shape (n,).
    """

    outside: NDArray[np.float64]
    growth_px: NDArray[np.float64]


def draw_acquisition_changes(draws: NDArray[np.float64], limits: Augmentation) -> AcquisitionChanges | None:
    """Return the changes of a batch; None if the recipe changes no slice in this way.

    Args:
        draws: uniform in [0, 1), shape (n, DRAWS).
        limits: the shares of changed slices.
    """
    if not limits.needs_brain:
        return None
    stripped, size = pipeline.is_stripped(draws, limits), draws[:, pipeline.SCALP_LEVEL]
    suppressed = draws[:, pipeline.SCALP] < limits.skull_strip + limits.fat_suppression
    outside = np.where(stripped, 0.0, np.where(suppressed, DARKEST + (BRIGHTEST - DARKEST) * size, 1.0))
    growth_px = np.floor(3 * draws[:, pipeline.BRAIN_GROWTH]) - 1
    return AcquisitionChanges(outside, growth_px)


def scale_outside(stored: Tensor, brain: Tensor, tumour: Tensor, changes: AcquisitionChanges) -> Tensor:
    """Return slices whose pixels outside the brain are multiplied by the factors: float32, shape (n, k c, y, x).

    Args:
        stored: k slices of c sequences, 0 to 255, shape (n, k c, y, x).
        brain: bool, shape (n, k, y, x).
        tumour: never changed, bool, shape (n, k, y, x).
        changes: of the batch.
    """
    growth, outside = (random_fields.per_slice(values, stored) for values in (changes.growth_px, changes.outside))
    area = brain.to(torch.float32)
    larger, smaller = max_pool2d(area, 3, 1, 1), -max_pool2d(-area, 3, 1, 1)
    moved = torch.where(growth > 0, larger, torch.where(growth < 0, smaller, area)) > 0
    factors = torch.where(moved | tumour, 1.0, outside)
    return stored * factors.repeat_interleave(stored.shape[1] // brain.shape[1], dim=1)


def scaled_histograms(
    whole: NDArray[np.int64], brain: NDArray[np.int64], outside: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return histograms of stacks whose pixels outside the brain are multiplied by a factor: int64, shape (n, c, 256).

    Args:
        whole: histograms of the stacks, shape (n, c, 256).
        brain: those of their brains; level 0 is not used, since it has the other pixels too.
        outside: the factors, from 0 to 1, shape (n,).
    """
    around = whole - brain
    around[..., 0] = 0
    targets = np.floor(np.arange(256) * outside[:, None] + 0.5).astype(np.int64)
    moved = np.stack(
        [
            [np.bincount(target, weights=channel, minlength=256) for channel in channels]
            for target, channels in zip(targets, around, strict=True)
        ]
    ).astype(np.int64)
    moved[..., 1:] += brain[..., 1:]
    moved[..., 0] = whole.sum(axis=-1) - moved[..., 1:].sum(axis=-1)
    return moved
