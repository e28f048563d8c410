"""Networks: one module each. Input has shape (n, inputs, y, x); output is logits of shape (n, 2, y, x).

Class 0 is background, class 1 is tumour. A network's module has the name of its settings in `config/network.py`, and a
function `build(settings, inputs)` that returns an `nn.Module`.
"""

from __future__ import annotations

from importlib import import_module

from torch import Tensor, nn

from gliomaseg.config import Network


def build_network(settings: Network, inputs: int = 3) -> nn.Module:
    """Return a network with random weights from torch's current random state, or with pretrained weights.

    Args:
        settings: settings of the network.
        inputs: number of input channels.

    Raises:
        DownloadError: the pretrained weights cannot be downloaded.
        MissingExtraError: the library of the network is not installed.
        ConfigError: the library has no such network.
    """
    network: nn.Module = import_module(f"gliomaseg.networks.{settings.name}").build(settings, inputs)
    return network


class TumourProbability(nn.Module):
    """A network followed by softmax: it returns the tumour's probability (n, y, x) instead of logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Tensor) -> Tensor:
        """Return float32 probabilities in [0, 1], shape (n, y, x)."""
        logits: Tensor = self.network(batch)
        return logits.float().softmax(dim=1)[:, 1]
