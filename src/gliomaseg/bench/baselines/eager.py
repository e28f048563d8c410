"""The peer of the engines: the network itself in PyTorch, as it is after training.

Fair: evaluation mode, `inference_mode`, batches as large as ours, as many threads as torch takes by itself. fp32 and
torch's own memory order: bf16 would be another result.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

from gliomaseg.config import Network
from gliomaseg.networks import build_network
from gliomaseg.types import Batch, Probability


class Eager:
    """A network in memory."""

    def __init__(self, weights: Path, settings: Network, inputs: int) -> None:
        self._network = build_network(settings.without_pretrained_weights(), inputs)
        self._network.load_state_dict(load_file(weights))
        self._network.eval()

    def probabilities(self, batch: Batch) -> Probability:
        """Return the tumour's probability: float32 in [0, 1], shape (n, y, x)."""
        with torch.inference_mode():
            found: Probability = self._network(torch.from_numpy(batch)).softmax(dim=1)[:, 1].numpy()
        return found
