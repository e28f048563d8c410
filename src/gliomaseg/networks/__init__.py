"""Networks: one file a member; each takes (n, 3, y, x) and returns logits (n, 2, y, x).

Class 0 is background, class 1 tumour.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from gliomaseg.config import Network
from gliomaseg.networks import fcn_resnet50, unet

NETWORKS: dict[str, Callable[[Any], nn.Module]] = {"fcn_resnet50": fcn_resnet50.build, "unet": unet.build}


def build_network(settings: Network) -> nn.Module:
    """Return a network as its settings describe it, initialised from torch's current random state.

    Raises:
        DownloadError: pretrained weights are asked for and cannot be had.
    """
    return NETWORKS[settings.name](settings)


class TumourProbability(nn.Module):
    """A network with its last step: logits (n, 2, y, x) to the tumour's probability (n, y, x)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Tensor) -> Tensor:
        """Return float32 probabilities in [0, 1], shape (n, y, x)."""
        logits: Tensor = self.network(batch)
        return logits.float().softmax(dim=1)[:, 1]
