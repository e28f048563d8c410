"""The floor: how fast prediction would be if convolutions ran like a large matrix product, and nothing else ran."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from gliomaseg.benchmark.material import Material, with_torch
from gliomaseg.benchmark.prediction import UNIT, contestant
from gliomaseg.benchmark.timing import Row, Side, alternate, rates, timed
from gliomaseg.errors import GliomasegError, MissingExtraError
from gliomaseg.model import load_model

SIDE = 1_536
# ONNX Runtime's threads spin for a moment after their work: one product alone would be measured beside them.
PRODUCTS = 8
COPIED_BYTES = 2**28


def measure(material: Material) -> list[Row]:
    """Return a row for the reference network and one for the small one, both in fp32 on ONNX Runtime."""
    plan, rows = material.plan, []
    for name, count in (("reference", plan.reference_slices), ("small_for_both", plan.small_slices)):
        figure = f"{name.partition('_')[0]} network on onnxruntime against arithmetic alone"
        try:
            rows.append(_row(material, figure, getattr(material, name), count))
        except MissingExtraError as fault:
            rows.append(Row(figure, UNIT, status="left out", reason=fault.line()))
        except GliomasegError as fault:
            rows.append(Row(figure, UNIT, status="failed", reason=fault.line()))
    return rows


def _row(material: Material, figure: str, folder: Path, count: int) -> Row:
    model = load_model(folder)
    ours = contestant(material, model, count, "onnxruntime")
    operations, carried = with_torch("gliomaseg.benchmark.operations").count_operations(model.onnx)
    material.say(figure)
    left, right = (np.random.default_rng(k).random((SIDE, SIDE), np.float32) for k in (0, 1))
    own_s, product_s = alternate(
        timed(ours.work),
        timed(lambda: [np.matmul(left, right) for _ in range(PRODUCTS)]),
        pairs=material.plan.pairs,
        budget_s=material.plan.budget_s,
    )
    speeds = rates(product_s, 2 * SIDE**3 * PRODUCTS)  # operations a second
    bandwidth = _bandwidth()
    peer = Side(
        f"{operations / 1e9:.2f} G operations a slice, as fast as a matrix product",
        tuple(speed / operations for speed in speeds),
    )
    agreement = {
        "operations_g": operations / 1e9,
        "product_g_per_s": float(np.median(speeds)) / 1e9,
        "feature_maps_mb": carried / 1e6,
        "bandwidth_gb_per_s": bandwidth / 1e9,
        "slices_per_s_by_bandwidth": bandwidth / carried,
    }
    return Row(figure, UNIT, Side(ours.what, rates(own_s, ours.slices)), peer, agreement)


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
