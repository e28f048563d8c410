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
    """One session; several threads may call it at once."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name

    def probabilities(self, batch: Batch) -> Probability:
        """Return the tumour's probability: float32 in [0, 1], shape (n, y, x).

        Raises:
            ModelError: the network does not accept the batch, or returns another shape.
        """
        try:
            (probability,) = self._session.run(None, {self._input: batch})
        # ONNX Runtime's exceptions have only Exception in common. ValueError: it returns several arrays.
        except Exception as fault:
            raise ModelError(f"the network does not accept a batch of shape {batch.shape} ({fault})") from fault
        if np.shape(probability) != (len(batch), *batch.shape[2:]):
            raise ModelError(
                f"the network returns an array of shape {np.shape(probability)}, expected probabilities (n, y, x)"
            )
        return np.asarray(probability, np.float32)


def load(onnx: Path, weights: Path, network: Network, inputs: int) -> OnnxRuntimeEngine:
    """Return an engine for an ONNX file; the other arguments are for torch.

    Raises:
        ModelError: ONNX Runtime cannot load the network.
    """
    del weights, network, inputs  # the ONNX file contains everything
    if not onnx.is_file():
        raise ModelError(
            f"{onnx.name} is missing, which ONNX Runtime needs", where=onnx.parent, cure="use --engine torch"
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # By default, ONNX Runtime uses all cores of the machine, even if a container has fewer.
    options.intra_op_num_threads = thread_count()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    try:
        session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    # ONNX Runtime's exceptions have only Exception in common.
    except Exception as fault:
        raise ModelError(f"ONNX Runtime cannot load the network ({fault})", where=onnx) from fault
    return OnnxRuntimeEngine(session)
