"""How much a network has to do for one slice: multiplications of its convolutions, and bytes of its feature maps."""

from __future__ import annotations

import math
from pathlib import Path

import onnx
from onnx import shape_inference

FLOAT_BYTES = 4


def count_operations(path: Path) -> tuple[int, int]:
    """Return operations (a multiplication and its addition are two) and bytes for one slice.

    Operations are those of convolutions; all else is a few hundredths of them. Bytes are those of feature maps that
    convolutions take and give, in float32, each read or written once: the least that memory has to carry if nothing
    stays in a cache.

    Args:
        path: an ONNX file whose first axis is the number of slices.
    """
    graph = shape_inference.infer_shapes(onnx.load(path)).graph
    shapes = {
        value.name: [axis.dim_value or 1 for axis in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.value_info, *graph.output)
    }
    shapes |= {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    operations = values = 0
    for node in graph.node:
        if node.op_type not in ("Conv", "ConvTranspose"):
            continue
        taken, weights, given = shapes[node.input[0]], shapes[node.input[1]], shapes[node.output[0]]
        # The weights' first axis counts outputs, of a transposed convolution inputs.
        places = given if node.op_type == "Conv" else taken
        operations += 2 * math.prod(places[2:]) * math.prod(weights)
        values += math.prod(taken[1:]) + math.prod(given[1:])
    return operations, values * FLOAT_BYTES
