"""torch, from the safetensors weights: slow to start, and the reference for the other engines."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from gliomaseg.config import Network
from gliomaseg.errors import ModelError
from gliomaseg.networks import TumourProbability, build_network
from gliomaseg.types import Batch, Probability


class TorchEngine:
    """A network in evaluation mode, fp32."""

    def __init__(self, network: TumourProbability, device: torch.device) -> None:
        self._network = network
        self._device = device

    def probabilities(self, batch: Batch) -> Probability:
        """Return the tumour's probability: float32 in [0, 1], shape (n, y, x)."""
        with torch.inference_mode():
            probability: Probability = self._network(torch.from_numpy(batch).to(self._device)).cpu().numpy()
        return probability


def load(onnx: Path, weights: Path, network: Network, inputs: int) -> TorchEngine:
    """Return an engine for weights and the settings of their network, on a GPU if torch finds one.

    Raises:
        ModelError: the weights are missing or do not fit the network.
    """
    del onnx
    if not weights.is_file():
        raise ModelError(
            f"{weights.name} is missing, which the engine torch needs",
            where=weights.parent,
            cure="use another --engine",
        )
    module = build_network(network.without_pretrained_weights(), inputs)
    try:
        module.load_state_dict(load_file(weights))
    except (OSError, RuntimeError, SafetensorError) as fault:
        raise ModelError(f"the weights cannot be loaded ({fault})", where=weights) from fault
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return TorchEngine(TumourProbability(module).to(device).eval(), device)
