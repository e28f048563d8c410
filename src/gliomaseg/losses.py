"""Losses: logits (n, 2, y, x) and masks (n, y, x) to one number."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional


def cross_entropy(logits: Tensor, masks: Tensor) -> Tensor:
    """Return the mean cross-entropy of all pixels: a scalar, at least 0.

    Args:
        logits: float, shape (n, 2, y, x).
        masks: bool, shape (n, y, x); true is class 1.
    """
    # Pixels as rows: the two-dimensional kernel sums in no fixed order on a GPU.
    rows = logits.float().movedim(1, -1).reshape(-1, logits.shape[1])
    return functional.cross_entropy(rows, masks.reshape(-1).to(torch.long))


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"cross_entropy": cross_entropy}
