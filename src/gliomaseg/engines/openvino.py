"""OpenVINO on the processor, from the same ONNX file: faster than ONNX Runtime on some machines, measure on yours."""

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
    """One compiled network; safe to call from several threads."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled

    def probabilities(self, batch: Batch) -> Probability:
        """Return the tumour's probability: float32 in [0, 1], shape (n, y, x).

        Raises:
            ModelError: the network does not take such a batch, or gives something else.
        """
        wanted = self._compiled.input(0).partial_shape
        # OpenVINO itself takes what does not fit, and gives something of another shape.
        if not wanted.compatible(openvino.PartialShape(list(batch.shape))):
            raise ModelError(f"the network does not take a batch of shape {batch.shape} (it takes {wanted})")
        try:
            # A request of its own for each call: one that is shared would serve one thread at a time.
            results = self._compiled.create_infer_request().infer([batch])
        except RuntimeError as fault:
            raise ModelError(f"the network does not run on a batch of shape {batch.shape} ({fault})") from fault
        if len(results) != 1 or np.shape(results[0]) != (len(batch), *batch.shape[2:]):
            raise ModelError(f"the network gives {len(results)} arrays, not one of probabilities (n, y, x)")
        return np.array(results[0], np.float32)  # a copy: OpenVINO's own ends with the request


def load(onnx: Path, weights: Path, network: Network, inputs: int) -> OpenvinoEngine:
    """Return an engine for an ONNX file; the others are torch's.

    Raises:
        ModelError: OpenVINO cannot load the network.
    """
    del weights, network, inputs  # all is in the ONNX file
    return compiled(onnx)


def compiled(onnx: Path, *, precision: Precision = "f32") -> OpenvinoEngine:
    """Return an engine of a precision.

    OpenVINO's own default is bf16 where the processor has it. It is twice as fast and moves a probability by about
    .002, where engines must agree within .0001: so it is not ours.

    Raises:
        ModelError: OpenVINO cannot load the network.
    """
    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": thread_count(),
        "PERFORMANCE_HINT": "LATENCY",  # all threads work on one batch
    }
    try:
        # In a thread of its own: in bf16 OpenVINO gives the calling thread another stack for signals, and frees it
        # (2026.4). In the main thread the next Ctrl-C would be a segmentation fault.
        with ThreadPoolExecutor(max_workers=1) as thread:
            return OpenvinoEngine(thread.submit(openvino.Core().compile_model, str(onnx), "CPU", settings).result())
    except RuntimeError as fault:
        raise ModelError(f"OpenVINO cannot load it ({fault})", where=onnx) from fault
