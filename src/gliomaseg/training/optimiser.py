"""Optimiser, learning rate, and moving average of the weights. Their only state is that of a checkpoint."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from gliomaseg.config import Training

WARMUP_START = 1 / 25


def build_optimiser(network: nn.Module, training: Training) -> torch.optim.Optimizer:
    """Return the optimiser of the settings for all weights of a network.

    Source: D. P. Kingma and J. Ba, ICLR 2015, arXiv:1412.6980; AdamW: I. Loshchilov and F. Hutter, ICLR 2019,
    arXiv:1711.05101.
    """
    if training.optimiser == "adamw":
        return torch.optim.AdamW(
            network.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay, fused=True
        )
    return torch.optim.Adam(network.parameters(), lr=training.learning_rate, fused=True)


def learning_rate(training: Training, done: float) -> float:
    """Return the learning rate after a share of the run's steps.

    During warm-up it rises from 1/25 of its maximum, linearly, or along half a cosine for "one_cycle". Then it is
    constant, or falls to 0 along half a cosine.

    Args:
        training: the settings.
        done: share of the run's steps that are done, in [0, 1).

    Source: L. N. Smith, arXiv:1803.09820 (without its cycle of the momentum).

    >>> settings = Training(learning_rate=1.0, schedule="cosine", warmup=0.2)
    >>> [round(learning_rate(settings, done), 2) for done in (0, 0.1, 0.2, 0.6)]
    [0.04, 0.52, 1.0, 0.5]
    """
    peak, warmup = training.learning_rate, training.warmup
    if done < warmup:
        risen = done / warmup
        if training.schedule == "one_cycle":
            risen = (1 - math.cos(math.pi * risen)) / 2
        return peak * (WARMUP_START + (1 - WARMUP_START) * risen)
    if training.schedule == "constant":
        return peak
    return peak * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup))) / 2


def ema_decay(ema: float, step: int) -> float:
    """Return the decay of the moving average at a step, in [0, ema]: smaller in the first steps of a run.

    Otherwise the random weights of the start would stay in the average for long.

    >>> [round(ema_decay(0.99, step), 3) for step in (0, 10, 10**6)]
    [0.1, 0.55, 0.99]
    """
    return min(ema, (1 + step) / (10 + step))


@torch.no_grad()
def update_ema(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Update the moving average of the weights and of the running statistics: decay * mean + (1 - decay) * value.

    torch's AveragedModel is not used: it would prefix the names in checkpoints and count its own steps.
    """
    means: list[Tensor] = []
    values: list[Tensor] = []
    for mean, value in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if mean.is_floating_point():
            means.append(mean)
            values.append(value)
        else:  # the batch counter of a normalisation layer
            mean.copy_(value)
    if means:  # one call for all tensors: on a GPU a launch takes longer than an update
        get_ema_multi_avg_fn(decay)(means, values, 0)  # type: ignore[no-untyped-call]
