"""Losses: logits (n, 2, y, x) and masks (n, y, x) to one number.

A recipe names one, or a sum such as "0.5 bce + dice". The tumour's probability p is the softmax's second entry;
of two classes it is the sigmoid of the logits' difference.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from gliomaseg.config import loss_terms
from gliomaseg.networks.outputs import Supervised

Loss = Callable[[Tensor, Tensor], Tensor]

# Added to both halves of an overlap: a batch without tumour then costs nothing where nothing is predicted.
SMOOTH_PX = 1.0
FOCUS = 2.0
PRESENCE_WEIGHT = 0.1
FALSE_POSITIVE_WEIGHT, FALSE_NEGATIVE_WEIGHT = 0.3, 0.7


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

    Of two classes it is `cross_entropy` but for rounding, and takes less memory.

    >>> undecided = torch.zeros(1, 2, 1, 2)
    >>> round(bce(undecided, torch.tensor([[[True, False]]])).item(), 4)  # log 2
    0.6931
    """
    return functional.binary_cross_entropy_with_logits(_difference(logits), masks.float())


def dice(logits: Tensor, masks: Tensor) -> Tensor:
    """Return 1 - (2 sum(p t) + 1) / (sum(p) + sum(t) + 1), all pixels of the batch pooled: a scalar in [0, 1].

    Pooled, because of a single slice without tumour the overlap says nothing.

    Source: F. Milletari et al., 3DV 2016, doi:10.1109/3DV.2016.79.

    >>> undecided = torch.zeros(1, 2, 1, 4)  # p = 1/2 everywhere
    >>> round(dice(undecided, torch.tensor([[[True, True, False, False]]])).item(), 4)  # 1 - 3 / 5
    0.4
    """
    probability, tumour = _difference(logits).sigmoid(), masks.float()
    return _lost((probability * tumour).sum(), probability.sum(), tumour.sum())


def slice_dice(logits: Tensor, masks: Tensor) -> Tensor:
    """Return 1 - (2 sum(p t) + 1) / (sum(p) + sum(t) + 1) of each slice, the mean over those with tumour: in [0, 1].

    In a batch, a tumour's last slice counts as much as its largest. Of slices without tumour it says nothing, and costs
    0 where there are no others: add a loss that sees them. Nor does it, under deep supervision, of a tumour that fills
    no half of any coarser pixel.

    >>> undecided = torch.zeros(2, 2, 1, 4)  # p = 1/2 everywhere
    >>> round(slice_dice(undecided, torch.tensor([[[True, True, False, False]], [[False] * 4]])).item(), 4)  # 1 - 3 / 5
    0.4
    """
    probability, tumour = _difference(logits).sigmoid().flatten(1), masks.flatten(1).float()
    pixels = tumour.sum(dim=1)
    lost = _lost((probability * tumour).sum(dim=1), probability.sum(dim=1), pixels)
    present = (pixels > 0).float()
    return (lost * present).sum() / present.sum().clamp(min=1)


def focal(logits: Tensor, masks: Tensor) -> Tensor:
    """Return the mean of (1 - q)**2 times the cross-entropy, q the probability of the right class: at least 0.

    What is right already weighs less. The classes are weighed alike.

    Source: T.-Y. Lin et al., ICCV 2017, doi:10.1109/ICCV.2017.324.

    >>> undecided = torch.zeros(1, 2, 1, 2)
    >>> round(focal(undecided, torch.tensor([[[True, False]]])).item(), 4)  # log(2) / 4
    0.1733
    """
    difference = _difference(logits)
    entropy = functional.binary_cross_entropy_with_logits(difference, masks.float(), reduction="none")
    wrong = torch.where(masks, -difference, difference).sigmoid()
    return (wrong**FOCUS * entropy).mean()


def tversky(logits: Tensor, masks: Tensor) -> Tensor:
    """Return 1 - (TP + 1) / (TP + 0.3 FP + 0.7 FN + 1), all pixels of the batch pooled: a scalar in [0, 1].

    TP, FP and FN are sums of probabilities. What is missed costs more than a false alarm.

    Source: S. S. M. Salehi et al., MLMI 2017, doi:10.1007/978-3-319-67389-9_44.

    >>> undecided = torch.zeros(1, 2, 1, 4)  # TP 1, FP 1, FN 1
    >>> round(tversky(undecided, torch.tensor([[[True, True, False, False]]])).item(), 4)  # 1 - 2 / 3
    0.3333
    """
    probability, tumour = _difference(logits).sigmoid(), masks.float()
    hit = (probability * tumour).sum()
    false_alarm, missed = probability.sum() - hit, tumour.sum() - hit
    against = FALSE_POSITIVE_WEIGHT * false_alarm + FALSE_NEGATIVE_WEIGHT * missed
    return 1 - (hit + SMOOTH_PX) / (hit + against + SMOOTH_PX)


LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "bce": bce,
    "dice": dice,
    "slice_dice": slice_dice,
    "focal": focal,
    "tversky": tversky,
}


def build_loss(text: str) -> Loss:
    """Return the loss that a recipe writes: a member's name, or a weighted sum of them.

    Raises:
        ValueError: it is no such sum; a checked recipe has none.

    >>> undecided, masks = torch.zeros(1, 2, 1, 4), torch.tensor([[[True, True, False, False]]])
    >>> round(build_loss("0.5 bce + dice")(undecided, masks).item(), 4)  # log(2) / 2 + 0.4
    0.7466
    """
    terms = [(weight, LOSSES[name]) for weight, name in loss_terms(text)]
    if len(terms) == 1 and terms[0][0] == 1:
        return terms[0][1]

    def weighted_sum(logits: Tensor, masks: Tensor) -> Tensor:
        return torch.stack([weight * loss(logits, masks) for weight, loss in terms]).sum()

    return weighted_sum


def training_loss(loss: Loss, output: Tensor | Supervised | tuple[Tensor | Supervised, ...], masks: Tensor) -> Tensor:
    """Return the loss of what a network returns in training: a scalar; of several networks' outputs the mean.

    Each coarser level weighs half as much as the one above it, and all of them together 1. A coarse pixel is tumour
    where half of it is. The slice's presence is a binary cross-entropy, and weighs 0.1 beside that.
    """
    if isinstance(output, Tensor):
        return loss(output, masks)
    if not isinstance(output, Supervised):
        return torch.stack([training_loss(loss, one, masks) for one in output]).mean()
    weights = [0.5**level for level in range(len(output.lower) + 1)]
    total = weights[0] * loss(output.logits, masks)
    for level, (weight, logits) in enumerate(zip(weights[1:], output.lower, strict=True), start=1):
        total = total + weight * loss(logits, _coarser(masks, 2**level))
    total = total / sum(weights)
    if output.presence is not None:
        present = masks.flatten(1).any(dim=1).float()
        total = total + PRESENCE_WEIGHT * functional.binary_cross_entropy_with_logits(output.presence.float(), present)
    return total


def _lost(both: Tensor, probability: Tensor, tumour: Tensor) -> Tensor:
    """Return what a Dice is short of 1, from sums over pixels: the same shape."""
    return 1 - (2 * both + SMOOTH_PX) / (probability + tumour + SMOOTH_PX)


def _coarser(masks: Tensor, step: int) -> Tensor:
    return functional.avg_pool2d(masks.float()[:, None], step)[:, 0] >= 0.5


def _difference(logits: Tensor) -> Tensor:
    """Return the logit of tumour against background: float32, shape (n, y, x)."""
    return logits[:, 1].float() - logits[:, 0].float()
