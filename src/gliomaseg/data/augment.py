"""Random changes to training slices, drawn from (seed, epoch, index) and nothing else.

The same slice in the same epoch is changed in the same way, whatever came before it: a run that was
interrupted goes on as if it had not been.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Augment = Callable[[Tensor, Tensor, NDArray[np.float64]], tuple[Tensor, Tensor]]
DRAWS = 4


def none(images: Tensor, masks: Tensor, draws: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
    """Return the slices as they are."""
    del draws
    return images, masks


def light(images: Tensor, masks: Tensor, draws: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
    """Return slices mirrored left to right (one in two), with contrast and brightness changed a little.

    Args:
        images: normalised, float, shape (n, c, y, x).
        masks: bool, shape (n, y, x).
        draws: uniform in [0, 1), shape (n, DRAWS).
    """
    numbers = torch.from_numpy(draws).to(images.device, images.dtype)
    mirrored = numbers[:, 0] < 0.5
    images = torch.where(mirrored[:, None, None, None], images.flip(-1), images)
    masks = torch.where(mirrored[:, None, None], masks.flip(-1), masks)
    gain = torch.exp((numbers[:, 1] - 0.5) * 0.4)[:, None, None, None]
    offset = ((numbers[:, 2] - 0.5) * 0.2)[:, None, None, None]
    return images * gain + offset, masks


AUGMENTATIONS: dict[str, Augment] = {"none": none, "light": light}


def augmentation_draws(seed: int, epoch: int, positions: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the random numbers of each slice in an epoch: uniform in [0, 1), shape (n, DRAWS)."""
    return np.stack([np.random.default_rng([seed, epoch, int(k), 1]).random(DRAWS) for k in positions])
