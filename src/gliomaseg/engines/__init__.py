"""Engines: each runs a network on a normalised batch and returns probabilities.

An engine's module is imported when it is opened, because ONNX Runtime and torch are slow to import.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from gliomaseg.config import Network
from gliomaseg.errors import UsageError, import_extra
from gliomaseg.types import Batch, Probability

ENGINES = {
    "onnxruntime": "gliomaseg.engines.onnxruntime",
    "torch": "gliomaseg.engines.torch",
    "openvino": "gliomaseg.engines.openvino",
}
EXTRAS = {"torch": "train", "openvino": "openvino"}  # the extra that installs an optional engine
DEFAULT = "onnxruntime"


class Engine(Protocol):
    """The interface of every engine."""

    def probabilities(self, batch: Batch) -> Probability:
        """Return the tumour's probability: float32 in [0, 1], shape (n, y, x), for a batch (n, c, y, x)."""


class MeanEngine:
    """Several networks as one: the mean of their probabilities."""

    def __init__(self, engines: Sequence[Engine]) -> None:
        """Store the engines; at least one."""
        self._engines = engines

    def probabilities(self, batch: Batch) -> Probability:
        """Return the tumour's probability: float32 in [0, 1], shape (n, y, x).

        Raises:
            ModelError: a network does not take such a batch, or gives something else.
        """
        total: Probability = np.zeros((len(batch), *batch.shape[2:]), np.float32)
        for engine in self._engines:
            total += engine.probabilities(batch)
        return total / np.float32(len(self._engines))


def open_engine(name: str, *, onnx: Path, weights: Path, network: Network, inputs: int = 3) -> Engine:
    """Return an engine that has loaded a network.

    Args:
        name: name of the engine.
        onnx: the network as an ONNX file, including the last softmax; for engines other than torch.
        weights: the network's weights as safetensors, for torch.
        network: settings of the network, for torch.
        inputs: number of input channels, for torch.

    Raises:
        UsageError: no engine has this name.
        MissingExtraError: the library of the engine is not installed.
        ModelError: the network cannot be loaded.
    """
    if name not in ENGINES:
        raise UsageError(f"engine is {name!r}, expected one of {', '.join(ENGINES)}")
    member = import_extra(ENGINES[name], EXTRAS.get(name, "train"), purpose=f"the engine {name}")
    load: Callable[[Path, Path, Network, int], Engine] = member.load
    return load(onnx, weights, network, inputs)
