"""Networks: one file each. A network takes (n, inputs, y, x) and returns logits (n, 2, y, x).

Class 0 is background, class 1 is tumour.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from gliomaseg.config import Network
from gliomaseg.networks import fcn_resnet50, residual_unet, smp, unet

NETWORKS: dict[str, Callable[[Any, int], nn.Module]] = {
    "fcn_resnet50": fcn_resnet50.build,
    "unet": unet.build,
    "residual_unet": residual_unet.build,
    "smp": smp.build,
}


def build_network(settings: Network, inputs: int = 3) -> nn.Module:
    """Return a network as its settings describe it, initialised from torch's current random state.

    Args:
        settings: of the network.
        inputs: how many channels it takes.

    Raises:
        DownloadError: pretrained weights are asked for and cannot be had.
        MissingExtraError: what the network is built of is not installed.
        ConfigError: its library has no such network.
    """
    return NETWORKS[settings.name](settings, inputs)


class TumourProbability(nn.Module):
    """A network with its last step: logits (n, 2, y, x) to the tumour's probability (n, y, x)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Tensor) -> Tensor:
        """Return float32 probabilities in [0, 1], shape (n, y, x)."""
        logits: Tensor = self.network(batch)
        return logits.float().softmax(dim=1)[:, 1]
