"""Batch normalisation over all processes that share a batch.

With it, processes that share a batch train to the weights of one process with the whole batch, up to rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gliomaseg.losses import is_batch_shared, sum_over_processes


class SynchronisedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation with the mean and the variance of a batch that processes share, on any device.

    torch's SyncBatchNorm refuses tensors on a CPU. Outside `shared_batch` it is the usual batch normalisation.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name in torch
        """Return normalised feature maps: shape (n, c, y, x) and dtype of the input."""
        if not (self.training and is_batch_shared()):
            return super().forward(input)
        values, shape = input.float(), (1, -1, 1, 1)
        pixels = values.new_tensor([values.numel() / values.shape[1]])
        sums = sum_over_processes(torch.cat([values.sum((0, 2, 3)), pixels]))
        count = sums[-1].detach()
        mean = sums[:-1] / count
        # Not the mean of the squares minus the square of the mean, which loses digits.
        centred = values - mean.view(shape)
        variance = sum_over_processes(centred.square().sum((0, 2, 3))) / count
        self._update_statistics(mean.detach(), variance.detach() * (count / (count - 1)))
        normalised = centred * (variance + self.eps).rsqrt().view(shape)
        return (normalised * self.weight.view(shape) + self.bias.view(shape)).to(input.dtype)

    def _update_statistics(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        weight = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, weight)
        self.running_var.lerp_(variance, weight)


def synchronise(network: nn.Module) -> nn.Module:
    """Return the network with synchronised batch normalisation; names, weights and statistics stay.

    On a GPU, it is torch's own, which needs less time and memory.
    """
    if next(network.parameters()).is_cuda:
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return converted
    for module in network.modules():
        if type(module) is nn.BatchNorm2d and module.affine:
            module.__class__ = SynchronisedBatchNorm  # it has the same attributes
    return network
