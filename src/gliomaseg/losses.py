"""Losses: logits (n, 2, y, x) and masks (n, y, x) to a scalar.

A recipe names one, or a sum such as "0.5 bce + dice". The tumour's probability p is the second entry of the softmax;
with two classes that is the sigmoid of the logits' difference.

Several processes may share a batch. The mean losses are then weighted by the caller with each process's share of the
slices; a loss that pools pixels adds them up over the processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn import functional

from gliomaseg.config import loss_terms

Loss = Callable[[Tensor, Tensor], Tensor]

# Added to numerator and denominator: a batch without tumour then costs 0 if the prediction is empty.
SMOOTH_PX = 1.0

_is_shared = ContextVar("is_shared", default=False)


@contextmanager
def shared_batch(*, is_shared: bool = True) -> Iterator[None]:
    """Within the block, each process has a part of the batch, and `sum_over_processes` adds up all parts."""
    token = _is_shared.set(is_shared)
    try:
        yield
    finally:
        _is_shared.reset(token)


def is_batch_shared() -> bool:
    """Return whether the code runs within `shared_batch`."""
    return _is_shared.get()


def sum_over_processes(value: Tensor) -> Tensor:
    """Return the sum of a tensor over the processes that share a batch; the tensor itself outside `shared_batch`.

    Gradients pass through the sum. All processes call it in the same order, with equal shapes.
    """
    if not is_batch_shared():
        return value
    total: Tensor = _Sum.apply(value)  # type: ignore[no-untyped-call]
    return total


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(_context: Any, value: Tensor) -> Tensor:
        total = value.detach().clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:
        # Each process adds its part to the sum of every process, so it gets the gradients of all of them.
        total = gradient.clone()
        distributed.all_reduce(total)
        return total


def cross_entropy(logits: Tensor, masks: Tensor) -> Tensor:
    """Return the mean cross-entropy of all pixels: a scalar, at least 0.

    Args:
        logits: float, shape (n, 2, y, x).
        masks: bool, shape (n, y, x); true is class 1.
    """
    # Pixels as rows: the two-dimensional kernel sums in no fixed order on a GPU.
    rows = logits.float().movedim(1, -1).reshape(-1, logits.shape[1])
    return functional.cross_entropy(rows, masks.reshape(-1).to(torch.long))


def bce(logits: Tensor, masks: Tensor) -> Tensor:
    """Return the mean binary cross-entropy of all pixels: a scalar, at least 0.

    With two classes it equals `cross_entropy` up to rounding and needs less memory.

    >>> logits = torch.zeros(1, 2, 1, 2)  # p = 1/2 everywhere
    >>> round(bce(logits, torch.tensor([[[True, False]]])).item(), 4)  # log 2
    0.6931
    """
    return functional.binary_cross_entropy_with_logits(_tumour_logit(logits), masks.float())


def dice(logits: Tensor, masks: Tensor) -> Tensor:
    """Return 1 - (2 sum(p t) + 1) / (sum(p) + sum(t) + 1): a scalar in [0, 1].

    All pixels of the batch are pooled, because the overlap of a single slice without tumour is not informative.

    Source: F. Milletari et al., 3DV 2016, doi:10.1109/3DV.2016.79.

    >>> logits = torch.zeros(1, 2, 1, 4)  # p = 1/2 everywhere
    >>> round(dice(logits, torch.tensor([[[True, True, False, False]]])).item(), 4)  # 1 - 3 / 5
    0.4
    """
    probability, tumour = _tumour_logit(logits).sigmoid(), masks.float()
    sums = torch.stack([(probability * tumour).sum(), probability.sum(), tumour.sum()])
    overlap, predicted, reference = sum_over_processes(sums)
    loss: Tensor = 1 - (2 * overlap + SMOOTH_PX) / (predicted + reference + SMOOTH_PX)
    return loss


LOSSES: dict[str, Loss] = {"cross_entropy": cross_entropy, "bce": bce, "dice": dice}


def build_loss(text: str) -> Loss:
    """Return the loss that a recipe writes: a name of `LOSSES`, or a weighted sum of them.

    Raises:
        ValueError: the text is not such a sum; the recipe's validation refuses it earlier.

    >>> logits, masks = torch.zeros(1, 2, 1, 4), torch.tensor([[[True, True, False, False]]])
    >>> round(build_loss("0.5 bce + dice")(logits, masks).item(), 4)  # log(2) / 2 + 0.4
    0.7466
    """
    terms = [(weight, LOSSES[name]) for weight, name in loss_terms(text)]
    if len(terms) == 1 and terms[0][0] == 1:
        return terms[0][1]

    def weighted_sum(logits: Tensor, masks: Tensor) -> Tensor:
        return torch.stack([weight * loss(logits, masks) for weight, loss in terms]).sum()

    return weighted_sum


def _tumour_logit(logits: Tensor) -> Tensor:
    """Return the logit of tumour against background: float32, shape (n, y, x)."""
    return logits[:, 1].float() - logits[:, 0].float()
