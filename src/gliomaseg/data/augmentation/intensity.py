"""Intensity augmentation: channel dropout, blur, low resolution."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

KERNEL_RADIUS_PX = 4


def drop_channels(images: Tensor, *, sequences: int, dropped: NDArray[np.bool_]) -> Tensor:
    """Return slices whose dropped channels have the content that a missing channel has: shape (n, k c, y, x).

    A dropped sequence becomes FLAIR, as in the data set. Dropped context slices become the slice itself, as for a
    single image.

    Args:
        images: k slices of c sequences, shape (n, k c, y, x).
        sequences: c: 1 is FLAIR; 2 are T1 and FLAIR; 3 are T1, FLAIR and T1ce.
        dropped: for each slice, whether T1, T1ce, and all context slices are dropped: shape (n, 3).
    """
    count, channels, *size = images.shape
    stack = images.reshape(count, channels // sequences, sequences, *size)
    flags = torch.from_numpy(dropped).to(images.device, non_blocking=True)[:, :, None, None, None]
    if sequences > 1:
        t1, flair, *t1ce = stack.unbind(dim=2)
        t1, t1ce = torch.where(flags[:, 0], flair, t1), [torch.where(flags[:, 1], flair, one) for one in t1ce]
        stack = torch.stack([t1, flair, *t1ce], dim=2)
    middle = stack.shape[1] // 2
    stack = torch.where(flags[:, 2, None], stack[:, middle : middle + 1], stack)
    return stack.reshape(count, channels, *size)


def blur(images: Tensor, sigma_px: NDArray[np.float64]) -> Tensor:
    """Return images (n, c, y, x) after a Gaussian blur with the sigma of each slice, shape (n,); 0 does not blur."""
    chosen = np.flatnonzero(sigma_px > 0)
    if not chosen.size:
        return images
    radius = KERNEL_RADIUS_PX
    steps = np.arange(-KERNEL_RADIUS_PX, KERNEL_RADIUS_PX + 1)
    weights = np.exp(-0.5 * (steps / np.maximum(sigma_px[chosen, None], 1e-3)) ** 2)
    weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    taps = torch.from_numpy(weights).to(images.device, non_blocking=True)[:, :, None, None, None]
    indices = torch.from_numpy(chosen).to(images.device, non_blocking=True)
    smooth = images[indices]
    # Sums of shifted images, not a convolution: its kernel, and so its rounding, may change with the batch size.
    for axis, pad in ((2, (0, 0, radius, radius)), (3, (radius, radius, 0, 0))):
        padded, size = functional.pad(smooth, pad, mode="replicate"), images.shape[axis]
        smooth = taps[:, 0] * padded.narrow(axis, 0, size)
        for k in range(1, len(steps)):
            smooth.addcmul_(taps[:, k], padded.narrow(axis, k, size))
    return images.index_copy(0, indices, smooth)


def halve_resolution(images: Tensor, chosen: NDArray[np.bool_]) -> Tensor:
    """Return images (n, c, y, x); the chosen ones, shape (n,), have half the resolution and the same size."""
    if not chosen.any():
        return images
    indices = torch.from_numpy(np.flatnonzero(chosen)).to(images.device, non_blocking=True)
    small = functional.avg_pool2d(images[indices], 2)
    coarse = functional.interpolate(small, size=images.shape[2:], mode="bilinear", align_corners=False)
    return images.index_copy(0, indices, coarse)
