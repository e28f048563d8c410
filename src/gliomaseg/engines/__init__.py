"""Engines: what runs a network. Each takes a normalised batch and returns probabilities.

A member is imported when it is asked for: ONNX Runtime and torch are both slow to load.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from gliomaseg.config import Network
from gliomaseg.errors import UsageError, import_extra
from gliomaseg.types import Batch, Probability

ENGINES = {
    "onnxruntime": "gliomaseg.engines.onnxruntime",
    "torch": "gliomaseg.engines.torch",
    "openvino": "gliomaseg.engines.openvino",
}
EXTRAS = {"torch": "train", "openvino": "openvino"}  # what brings a member that is not always there
DEFAULT = "onnxruntime"


class Engine(Protocol):
    """What every engine does."""

    def probabilities(self, batch: Batch) -> Probability:
        """Return the tumour's probability: float32 in [0, 1], shape (n, y, x), for a batch (n, c, y, x)."""


def open_engine(name: str, *, onnx: Path, weights: Path, network: Network, inputs: int = 3) -> Engine:
    """Return an engine with a model's network in it.

    Args:
        name: of the engine.
        onnx: the network for engines without torch, the last softmax in it.
        weights: the network's weights as safetensors, for torch.
        network: what the weights belong to.
        inputs: how many channels it takes.

    Raises:
        UsageError: there is no engine of that name.
        MissingExtraError: what the engine runs on is not installed.
        ModelError: the network cannot be loaded.
    """
    if name not in ENGINES:
        raise UsageError(f"there is no engine {name!r}", where="--engine", cure=f"engines are {', '.join(ENGINES)}")
    member = import_extra(ENGINES[name], EXTRAS.get(name, "train"), purpose=f"the engine {name}")
    load: Callable[[Path, Path, Network, int], Engine] = member.load
    return load(onnx, weights, network, inputs)
