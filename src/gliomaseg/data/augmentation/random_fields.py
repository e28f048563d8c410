"""Random fields from a key a slice: the same key gives the same field, whatever else is in the batch.

torch's own generators number the pixels of a batch, not of a slice: a slice would depend on its place in the batch.
Here each pixel's number is a hash of its slice's key and its place in the slice, all slices at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

WAVE_POINTS = 6
_BITS = 2**32 - 1
# Odd, and below 2 ** 31: a product with 32 bits stays within int64.
_SPREAD, _FIRST, _SECOND = 0x1E3779B1, 0x21F0AAAD, 0x735A2D97


def each(values: NDArray[np.float64], like: Tensor) -> Tensor:
    """Return a number a slice on the device of `like`: float32, shape (n, 1, 1, 1)."""
    # Worked out in NumPy's float64 first: torch's float32 exp may round otherwise in a batch of another size.
    return torch.from_numpy(values.astype(np.float32)).to(like.device, non_blocking=True)[:, None, None, None]


def normal(keys: Tensor, *, stream: int, shape: Sequence[int]) -> Tensor:
    """Return numbers of mean 0 and standard deviation 1, at most 4.9: float32, shape (n, *shape).

    Args:
        keys: of 32 bits, int64, shape (n,).
        stream: another one gives other numbers for the same key; 0 to 15.
        shape: of one slice's numbers, at most 2 ** 27 of them.

    Source: G. E. P. Box and M. E. Muller, Ann. Math. Statist. 29 (1958) 610, doi:10.1214/aoms/1177706645.
    """
    places = torch.arange(math.prod(shape), device=keys.device) + (stream << 27)
    state = (places * _SPREAD + keys[:, None]) & _BITS
    for shift, factor in ((16, _FIRST), (15, _SECOND)):
        state ^= state >> shift
        state *= factor
        state &= _BITS
    state ^= state >> 15
    one, other = ((state >> 16) + 0.5) / 2**16, (state & (2**16 - 1)) / 2**16
    return ((-2 * one.log()).sqrt() * (2 * math.pi * other).cos()).reshape(len(keys), *shape)


def waves(keys: Tensor, *, stream: int, count: int, side: int) -> Tensor:
    """Return smooth fields of standard deviation about 1, a few bumps wide: float32, shape (n, count, side, side)."""
    coarse = normal(keys, stream=stream, shape=(count, WAVE_POINTS, WAVE_POINTS))
    return functional.interpolate(coarse, size=(side, side), mode="bicubic", align_corners=True)
