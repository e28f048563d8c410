"""Random fields from one key for each slice: the same key gives the same field in any batch.

With torch's own generators, the numbers of a slice depend on its position in the batch. Here the number of each pixel
is a hash of the slice's key and of the pixel's position in the slice, computed for all slices at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

GRID_POINTS = 6
_BITS = 2**32 - 1
# Odd, and below 2 ** 31: the product with a number of 32 bits fits int64.
_SPREAD, _FIRST, _SECOND = 0x1E3779B1, 0x21F0AAAD, 0x735A2D97


def per_slice(values: NDArray[np.float64], like: Tensor) -> Tensor:
    """Return one number for each slice, on the device of `like`: float32, shape (n, 1, 1, 1)."""
    # Callers compute in NumPy's float64: the rounding of torch's float32 exp may depend on the batch size.
    return torch.from_numpy(values.astype(np.float32)).to(like.device, non_blocking=True)[:, None, None, None]


def normal_noise(keys: Tensor, *, stream: int, shape: Sequence[int]) -> Tensor:
    """Return normal noise of mean 0 and standard deviation 1, at most 4.9: float32, `(n, *shape)`.

    Args:
        keys: numbers of 32 bits, int64, shape (n,).
        stream: 0 to 15; each stream gives other numbers for the same key.
        shape: shape of one slice's noise, with at most 2 ** 27 elements.

    Source: G. E. P. Box and M. E. Muller, Ann. Math. Statist. 29 (1958) 610, doi:10.1214/aoms/1177706645.
    """
    positions = torch.arange(math.prod(shape), device=keys.device) + (stream << 27)
    state = (positions * _SPREAD + keys[:, None]) & _BITS
    for shift, factor in ((16, _FIRST), (15, _SECOND)):
        state ^= state >> shift
        state *= factor
        state &= _BITS
    state ^= state >> 15
    one, other = ((state >> 16) + 0.5) / 2**16, (state & (2**16 - 1)) / 2**16
    return ((-2 * one.log()).sqrt() * (2 * math.pi * other).cos()).reshape(len(keys), *shape)


def smooth_fields(keys: Tensor, *, stream: int, count: int, side: int) -> Tensor:
    """Return smooth random fields of standard deviation about 1: float32, shape (n, count, side, side)."""
    coarse = normal_noise(keys, stream=stream, shape=(count, GRID_POINTS, GRID_POINTS))
    return functional.interpolate(coarse, size=(side, side), mode="bicubic", align_corners=True)
