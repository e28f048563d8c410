"""OpenVINO on the CPU, from the same ONNX file. It is faster than ONNX Runtime on some machines; measure on yours."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
import openvino

from gliomaseg.config import Network
from gliomaseg.engines.threads import thread_count
from gliomaseg.errors import ModelError
from gliomaseg.types import Batch, Probability

Precision = Literal["f32", "bf16"]


class OpenvinoEngine:
    """One compiled network; several threads may call it at once."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled

    def probabilities(self, batch: Batch) -> Probability:
        """Return the tumour's probability: float32 in [0, 1], shape (n, y, x).

        Raises:
            ModelError: the network does not accept the batch, or returns another shape.
        """
        expected = self._compiled.input(0).partial_shape
        # OpenVINO itself accepts a batch that does not fit, and returns an array of another shape.
        if not expected.compatible(openvino.PartialShape(list(batch.shape))):
            raise ModelError(f"the network does not accept a batch of shape {batch.shape} (it accepts {expected})")
        try:
            # A new request for each call: a shared one serves one thread at a time.
            results = self._compiled.create_infer_request().infer([batch])
        except RuntimeError as fault:
            raise ModelError(f"the network does not run on a batch of shape {batch.shape} ({fault})") from fault
        if len(results) != 1 or np.shape(results[0]) != (len(batch), *batch.shape[2:]):
            raise ModelError(f"the network returns {len(results)} arrays, expected one of probabilities (n, y, x)")
        return np.array(results[0], np.float32)  # a copy: OpenVINO frees its array with the request


def load(onnx: Path, weights: Path, network: Network, inputs: int) -> OpenvinoEngine:
    """Return an engine for an ONNX file; the other arguments are for torch.

    Raises:
        ModelError: OpenVINO cannot load the network.
    """
    del weights, network, inputs  # the ONNX file contains everything
    return compiled(onnx)


def compiled(onnx: Path, *, precision: Precision = "f32") -> OpenvinoEngine:
    """Return an engine that computes in a precision.

    OpenVINO's default is bf16 if the processor supports it. bf16 is twice as fast, but it changes probabilities by
    about 0.002, and engines must agree within 0.0001. The default here is therefore "f32".

    Raises:
        ModelError: OpenVINO cannot load the network.
    """
    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": thread_count(),
        "PERFORMANCE_HINT": "LATENCY",  # all threads work on one batch
    }
    try:
        # In its own thread: in bf16, OpenVINO 2026.4 gives the calling thread another signal stack and frees it. In
        # the main thread, the next Ctrl-C would cause a segmentation fault.
        with ThreadPoolExecutor(max_workers=1) as thread:
            return OpenvinoEngine(thread.submit(openvino.Core().compile_model, str(onnx), "CPU", settings).result())
    except RuntimeError as fault:
        raise ModelError(f"OpenVINO cannot load the network ({fault})", where=onnx) from fault
