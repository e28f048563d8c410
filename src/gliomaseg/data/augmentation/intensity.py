"""What things look like: channels lost, blur, low resolution."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

REACH_PX = 4


def without_channels(images: Tensor, *, sequences: int, lost: NDArray[np.bool_]) -> Tensor:
    """Return slices with channels replaced by what stands for them where they are missing: shape (n, k c, y, x).

    A sequence that is missing is filled with FLAIR, as in the data set; a neighbour that is missing is the slice
    itself, as for a single picture.

    Args:
        images: k neighbours of c sequences, shape (n, k c, y, x).
        sequences: c: FLAIR alone, T1 before contrast and FLAIR, or both and T1 after contrast.
        lost: of each slice, T1 before contrast, T1 after contrast, and all neighbours: shape (n, 3).
    """
    count, channels, *size = images.shape
    stack = images.reshape(count, channels // sequences, sequences, *size)
    marks = torch.from_numpy(lost).to(images.device, non_blocking=True)[:, :, None, None, None]
    if sequences > 1:
        pre, flair, *post = stack.unbind(dim=2)
        pre, post = torch.where(marks[:, 0], flair, pre), [torch.where(marks[:, 1], flair, one) for one in post]
        stack = torch.stack([pre, flair, *post], dim=2)
    middle = stack.shape[1] // 2
    stack = torch.where(marks[:, 2, None], stack[:, middle : middle + 1], stack)
    return stack.reshape(count, channels, *size)


def blurred(images: Tensor, sigma_px: NDArray[np.float64]) -> Tensor:
    """Return images (n, c, y, x) blurred by a Gauss function of each slice's own width, shape (n,); 0 leaves it be."""
    chosen = np.flatnonzero(sigma_px > 0)
    if not chosen.size:
        return images
    steps = np.arange(-REACH_PX, REACH_PX + 1)
    weights = np.exp(-0.5 * (steps / np.maximum(sigma_px[chosen, None], 1e-3)) ** 2)
    weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    taps = torch.from_numpy(weights).to(images.device, non_blocking=True)[:, :, None, None, None]
    places = torch.from_numpy(chosen).to(images.device, non_blocking=True)
    smooth = images[places]
    # Sums of shifted pictures and no convolution: its kernels may differ with the size of the batch.
    for axis, pad in ((2, (0, 0, REACH_PX, REACH_PX)), (3, (REACH_PX, REACH_PX, 0, 0))):
        padded, size = functional.pad(smooth, pad, mode="replicate"), images.shape[axis]
        smooth = taps[:, 0] * padded.narrow(axis, 0, size)
        for k in range(1, len(steps)):
            smooth.addcmul_(taps[:, k], padded.narrow(axis, k, size))
    return images.index_copy(0, places, smooth)


def coarser(images: Tensor, chosen: NDArray[np.bool_]) -> Tensor:
    """Return images (n, c, y, x), the chosen ones as if of half the resolution."""
    if not chosen.any():
        return images
    places = torch.from_numpy(np.flatnonzero(chosen)).to(images.device, non_blocking=True)
    small = functional.avg_pool2d(images[places], 2)
    coarse = functional.interpolate(small, size=images.shape[2:], mode="bilinear", align_corners=False)
    return images.index_copy(0, places, coarse)
