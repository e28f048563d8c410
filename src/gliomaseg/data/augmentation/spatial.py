"""Where things are: slices and masks moved together, by one look-up a pixel."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional


def matrices(
    *, mirrored: NDArray[np.bool_], radians: NDArray[np.float64], zoom: NDArray[np.float64], shift: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return where each pixel comes from: float32, shape (n, 2, 3), in units of half a side from the middle.

    Args:
        mirrored: left to right, shape (n,).
        radians: turned about the middle, shape (n,).
        zoom: larger than 1 magnifies, shape (n,).
        shift: along x and y, as a share of the side, shape (n, 2).
    """
    cosine, sine = np.cos(radians) / zoom, np.sin(radians) / zoom
    sign = np.where(mirrored, -1.0, 1.0)
    back = np.stack([np.stack([sign * cosine, -sign * sine], axis=1), np.stack([sine, cosine], axis=1)], axis=1)
    return np.concatenate([back, 2 * shift[:, :, None]], axis=2).astype(np.float32)


def moved(
    images: Tensor, masks: Tensor, rows: NDArray[np.float32], bend: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return images (n, c, y, x) and masks (n, y, x) as the matrices say, bent besides.

    What comes from outside is black, as each channel's darkest pixel. A mask's pixel is tumour where half of it is.

    Args:
        images: float32.
        masks: bool.
        rows: as `matrices` gives them.
        bend: how far each pixel is off along x and y, as a share of the side, shape (n, 2, y, x).
    """
    black = images.amin(dim=(2, 3), keepdim=True)
    stack = torch.cat([images - black, masks[:, None].to(images.dtype)], dim=1)
    theta = torch.from_numpy(rows).to(images.device, non_blocking=True)
    grid = functional.affine_grid(theta, list(stack.shape), align_corners=False)
    if bend is not None:
        grid = grid + 2 * bend.permute(0, 2, 3, 1)
    stack = functional.grid_sample(stack, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return stack[:, :-1] + black, stack[:, -1] > 0.5
