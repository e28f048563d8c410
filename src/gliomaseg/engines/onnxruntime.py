"""ONNX Runtime on the processor: the engine that needs no torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from gliomaseg.config import Network
from gliomaseg.engines.threads import thread_count
from gliomaseg.errors import ModelError
from gliomaseg.types import Batch, Probability


class OnnxRuntimeEngine:
    """One session; safe to call from several threads."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name

    def probabilities(self, batch: Batch) -> Probability:
        """Return the tumour's probability: float32 in [0, 1], shape (n, y, x).

        Raises:
            ModelError: the network does not take such a batch, or gives something else.
        """
        try:
            (probability,) = self._session.run(None, {self._input: batch})
        # ONNX Runtime's exceptions share no ancestor but Exception; ValueError: it gives several things.
        except Exception as fault:
            raise ModelError(f"the network does not take a batch of shape {batch.shape} ({fault})") from fault
        if np.shape(probability) != (len(batch), *batch.shape[2:]):
            raise ModelError(
                f"the network gives an array of shape {np.shape(probability)}, not probabilities (n, y, x)"
            )
        return np.asarray(probability, np.float32)


def load(onnx: Path, weights: Path, network: Network, inputs: int) -> OnnxRuntimeEngine:
    """Return an engine for an ONNX file; the others are torch's.

    Raises:
        ModelError: ONNX Runtime cannot load the network.
    """
    del weights, network, inputs  # all is in the ONNX file
    if not onnx.is_file():
        raise ModelError(f"holds no {onnx.name}, which ONNX Runtime runs", where=onnx.parent, cure="use --engine torch")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # ONNX Runtime would count the machine's cores: containers are given fewer.
    options.intra_op_num_threads = thread_count()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    try:
        session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    # ONNX Runtime's exceptions share no ancestor but Exception.
    except Exception as fault:
        raise ModelError(f"ONNX Runtime cannot load it ({fault})", where=onnx) from fault
    return OnnxRuntimeEngine(session)
