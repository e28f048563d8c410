"""ONNX files made smaller: weights kept in 16 bits, and nothing of the machine that made them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from gliomaseg.errors import ModelError

FEWEST = 256  # what is smaller saves nothing


def drop_traces(model: onnx.ModelProto) -> None:
    """Take out what PyTorch's exporter notes beside each node: the lines of code, with their folders, that made it."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


def halve_weights(source: Path, target: Path) -> None:
    """Write an ONNX file whose large weights are rounded to float16, and cast back to float32 before they are used.

    Engines fold the casts when they load it: it runs as fast as before. A weight changes by at most one part in 2,048,
    so probabilities change a little: it is another network, to be scored again.

    Args:
        source: an ONNX file with its weights inside.
        target: the new file.

    Raises:
        ModelError: a weight is too large for float16.
    """
    model = onnx.load(source)
    drop_traces(model)
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < FEWEST:
            continue
        values = numpy_helper.to_array(tensor)
        if not (np.abs(values) <= np.finfo(np.float16).max).all():
            raise ModelError(
                f"its weight {tensor.name} is too large for 16 bits", where=source, cure="leave --half out"
            )
        casts.append(helper.make_node("Cast", [f"{tensor.name}.half"], [tensor.name], to=TensorProto.FLOAT))
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{tensor.name}.half"))
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*casts, *nodes])
    del graph.value_info[:]  # some name the tensors that are casts now
    onnx.checker.check_model(model)
    onnx.save(model, target)
