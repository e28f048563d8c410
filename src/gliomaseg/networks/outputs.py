"""What a network returns in training where more than its last logits is learned from."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Supervised(NamedTuple):
    """Logits, and what else has a loss of its own.

    Attributes:
        logits: float, shape (n, 2, y, x).
        lower: logits of coarser levels, each half the size of the one before: (n, 2, y / 2, x / 2), ...
        presence: the logit that there is any tumour in a slice, shape (n,); None where the network has no such head.
    """

    logits: Tensor
    lower: tuple[Tensor, ...] = ()
    presence: Tensor | None = None
