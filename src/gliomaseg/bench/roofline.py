"""The floor: how fast prediction would be if convolutions ran like a large matrix product, and nothing else ran."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np

from gliomaseg.bench.fixtures import Fixtures, with_torch
from gliomaseg.bench.prediction import candidate, tried
from gliomaseg.bench.timing import BenchRow, alternate, rates, timed
from gliomaseg.model import load_model

SIDE = 1_536
# ONNX Runtime's threads spin for a moment after their work: one product alone would be measured beside them.
PRODUCTS = 8
COPIED_BYTES = 2**28
FLOAT_BYTES = 4


def measure(material: Fixtures) -> list[BenchRow]:
    """Return a row for the reference network and one for the small one, both in fp32 on ONNX Runtime."""
    plan, rows = material.plan, []
    for name, count in (("reference", plan.reference_slices), ("small_for_both", plan.small_slices)):
        figure = f"{name.partition('_')[0]} network on onnxruntime against arithmetic alone"
        rows.append(tried(figure, lambda n=name, c=count: _against_arithmetic(material, getattr(material, n), c)))
    return rows


def _against_arithmetic(material: Fixtures, folder: Path, count: int) -> Any:
    model = load_model(folder)
    ours = candidate(material, model, count, "onnxruntime")
    operations, carried = count_operations(model.onnx)
    material.log(f"{ours.what} against arithmetic alone")
    left, right = (np.random.default_rng(k).random((SIDE, SIDE), np.float32) for k in (0, 1))
    own_s, product_s = alternate(
        timed(ours.work),
        timed(lambda: [np.matmul(left, right) for _ in range(PRODUCTS)]),
        pairs=material.plan.pairs,
        budget_s=material.plan.budget_s,
    )
    speeds = rates(product_s, 2 * SIDE**3 * PRODUCTS)  # operations a second
    bandwidth = _bandwidth()
    peer = f"{operations / 1e9:.2f} G operations a slice, as fast as a matrix product"
    agreement = {
        "operations_g": operations / 1e9,
        "product_g_per_s": float(np.median(speeds)) / 1e9,
        "feature_maps_mb": carried / 1e6,
        "bandwidth_gb_per_s": bandwidth / 1e9,
        "slices_per_s_by_bandwidth": bandwidth / carried,
    }
    return ours.what, peer, rates(own_s, ours.slices), tuple(speed / operations for speed in speeds), agreement


def _bandwidth() -> float:
    """Return how many bytes a second a copy reads and writes: the best of three, on one thread."""
    source = np.ones(COPIED_BYTES, np.uint8)
    target = np.empty_like(source)
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        np.copyto(target, source)
        best = min(best, time.perf_counter() - start)
    return 2 * COPIED_BYTES / best


def count_operations(path: Path) -> tuple[int, int]:
    """Return operations (a multiplication and its addition are two) and bytes for one slice.

    Operations are those of convolutions; all else is a few hundredths of them. Bytes are those of feature maps that
    convolutions take and give, in float32, each read or written once: the least that memory has to carry if nothing
    stays in a cache.

    Args:
        path: an ONNX file whose first axis is the number of slices.
    """
    onnx, shape_inference = with_torch("onnx"), with_torch("onnx.shape_inference")
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
