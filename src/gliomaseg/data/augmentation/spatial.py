"""Spatial augmentation: affine and elastic changes of slices and masks, resampled once."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional


def sampling_matrices(
    *, mirrored: NDArray[np.bool_], radians: NDArray[np.float64], zoom: NDArray[np.float64], shift: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the affine maps from output to input positions: float32, shape (n, 2, 3).

    The unit is half a side; the origin is the middle of the slice.

    Args:
        mirrored: whether to mirror left to right, shape (n,).
        radians: rotation about the middle, shape (n,).
        zoom: magnification; values above 1 enlarge, shape (n,).
        shift: along x and y, as a fraction of the side, shape (n, 2).
    """
    cosine, sine = np.cos(radians) / zoom, np.sin(radians) / zoom
    sign = np.where(mirrored, -1.0, 1.0)
    back = np.stack([np.stack([sign * cosine, -sign * sine], axis=1), np.stack([sine, cosine], axis=1)], axis=1)
    return np.concatenate([back, 2 * shift[:, :, None]], axis=2).astype(np.float32)


def resample(
    images: Tensor, masks: Tensor, matrices: NDArray[np.float32], displacement: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return images (n, c, y, x) and masks (n, y, x), resampled at the positions of the matrices.

    Pixels from outside get the darkest level of their channel. A mask pixel is tumour if more than half of it is.

    Args:
        images: float32.
        masks: bool.
        matrices: affine maps of `sampling_matrices`.
        displacement: elastic displacement along x and y, as a fraction of the side, shape (n, 2, y, x).
    """
    black = images.amin(dim=(2, 3), keepdim=True)
    stack = torch.cat([images - black, masks[:, None].to(images.dtype)], dim=1)
    theta = torch.from_numpy(matrices).to(images.device, non_blocking=True)
    grid = functional.affine_grid(theta, list(stack.shape), align_corners=False)
    if displacement is not None:
        grid = grid + 2 * displacement.permute(0, 2, 3, 1)
    stack = functional.grid_sample(stack, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return stack[:, :-1] + black, stack[:, -1] > 0.5
