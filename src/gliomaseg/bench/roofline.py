"""The floor: how fast prediction would be if convolutions ran like a large matrix product, and nothing else ran."""

from __future__ import annotations

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
    operations, carried = with_torch("gliomaseg.bench.flops").count_operations(model.onnx)
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
