"""The sections `prediction` and `roofline`.

`prediction` compares the engines with PyTorch, and the small network with the reference network. `roofline` compares
them with an upper bound of speed: the convolutions run as fast as a large matrix product, and all else takes no time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from gliomaseg.bench.fixtures import Fixtures, first_batches, import_train_extra, read_dice_volume
from gliomaseg.bench.timing import BenchRow, Timing, alternate, rates, timed, try_measurement
from gliomaseg.engines import Engine, open_engine
from gliomaseg.errors import MissingExtraError
from gliomaseg.model import Model, load_model
from gliomaseg.prediction import engine_of
from gliomaseg.types import Batch, Probability

UNIT = "slices/s"
ENGINES = ("onnxruntime", "openvino")
MATRIX_SIDE = 1_536
# The threads of ONNX Runtime spin for a moment after their work and would disturb a single product.
MATRIX_PRODUCTS = 8
COPIED_BYTES = 2**28
FLOAT_BYTES = 4


@dataclass(frozen=True)
class Workload:
    """A network in an engine, with slices to predict.

    Attributes:
        label: network, input size, engine and precision.
        engine: the engine, or a baseline with the same interface.
        batches: the slices, each batch float32, shape (n, c, y, x).
        threshold: a pixel with a larger probability is tumour.
    """

    label: str
    engine: Engine
    batches: Sequence[Batch]
    threshold: float

    def predict(self) -> Probability:
        """Return the probabilities of all slices: float32 in [0, 1], shape (z, y, x)."""
        return np.concatenate([self.engine.probabilities(batch) for batch in self.batches])

    @property
    def slice_count(self) -> int:
        """Return the number of slices."""
        return sum(map(len, self.batches))


def measure_prediction(fixtures: Fixtures) -> list[BenchRow]:
    """Return rows for each engine and network, for bf16 and int8, and for the small against the reference network."""
    sizes = fixtures.sizes
    networks: list[tuple[str, Callable[[], Path], int]] = [
        ("reference network", lambda: fixtures.reference_model, sizes.reference_slices),
        ("small network", lambda: fixtures.small_fp32_model, sizes.small_slices),
    ]
    measurements: dict[str, Callable[[str], BenchRow]] = {
        f"{name}, {engine} against eager PyTorch fp32": partial(
            _engine_against_pytorch, fixtures, model_folder, count, engine
        )
        for name, model_folder, count in networks
        for engine in ENGINES
    }
    measurements["small network, openvino bf16 against its fp32"] = partial(_bf16_against_fp32, fixtures)
    measurements["small network, onnxruntime int8 against its fp32"] = partial(_int8_against_fp32, fixtures)
    for engine in ENGINES:
        figure = f"small network on {engine} against the reference on eager PyTorch fp32"
        measurements[figure] = partial(_small_against_reference, fixtures, engine)
    return [try_measurement(figure, UNIT, measure) for figure, measure in measurements.items()]


def _engine_against_pytorch(
    fixtures: Fixtures, model_folder: Callable[[], Path], count: int, engine: str, figure: str
) -> BenchRow:
    model = load_model(model_folder())
    ours, baseline = engine_workload(fixtures, model, count, engine), _pytorch_workload(fixtures, model, count)
    return _same_network(fixtures, figure, ours, baseline)


def _bf16_against_fp32(fixtures: Fixtures, figure: str) -> BenchRow:
    """Compare OpenVINO's default on CPUs with bf16 with the fp32 that gliomaseg sets."""
    model = load_model(fixtures.small_fp32_model)
    fp32 = engine_workload(fixtures, model, fixtures.sizes.small_slices, "openvino")
    openvino: Any = import_module("gliomaseg.engines.openvino")
    engine: Engine = openvino.compiled(model.onnx, precision="bf16")
    return _same_network(fixtures, figure, Workload("openvino, bf16", engine, fp32.batches, fp32.threshold), fp32)


def _int8_against_fp32(fixtures: Fixtures, figure: str) -> BenchRow:
    """Compare an int8 network with its fp32 original. The ranges come from the slices that are then predicted."""
    model = load_model(fixtures.small_fp32_model)
    fp32 = engine_workload(fixtures, model, fixtures.sizes.small_slices, "onnxruntime")
    path = fixtures.folder / "int8.onnx"
    import_train_extra("gliomaseg.onnx_compression").quantize_int8(model.onnx, path, fp32.batches)
    engine = open_engine("onnxruntime", onnx=path, weights=model.weights, network=model.config.network)
    return _same_network(fixtures, figure, Workload("onnxruntime, int8", engine, fp32.batches, fp32.threshold), fp32)


def _small_against_reference(fixtures: Fixtures, engine: str, figure: str) -> BenchRow:
    small, reference = load_model(fixtures.small_model), load_model(fixtures.reference_model)
    ours = engine_workload(fixtures, small, fixtures.sizes.small_slices, engine)
    baseline = _pytorch_workload(fixtures, reference, fixtures.sizes.reference_slices)
    # The reference network has random weights here; docs/results contains the Dice of the trained one.
    dice = {"dice_volume_ours": read_dice_volume(small.folder), "dice_volume_peer": None}
    return _measure_speed(fixtures, figure, ours, baseline, dice)


def _same_network(fixtures: Fixtures, figure: str, ours: Workload, baseline: Workload) -> BenchRow:
    agreement = compare(ours.predict(), baseline.predict(), threshold=ours.threshold)
    return _measure_speed(fixtures, figure, ours, baseline, agreement)


def _measure_speed(
    fixtures: Fixtures, figure: str, ours: Workload, baseline: Workload, agreement: Mapping[str, float | None]
) -> BenchRow:
    fixtures.log(f"{ours.label} against {baseline.label}")
    ours_s, baseline_s = alternate(
        timed(ours.predict), timed(baseline.predict), turns=fixtures.sizes.turns, budget_s=fixtures.sizes.budget_s
    )
    ours_timing = Timing(ours.label, rates(ours_s, ours.slice_count))
    return BenchRow(
        figure, UNIT, ours_timing, Timing(baseline.label, rates(baseline_s, baseline.slice_count)), agreement
    )


def engine_workload(fixtures: Fixtures, model: Model, count: int, engine: str) -> Workload:
    """Return a model in an engine of gliomaseg, with the first `count` slices of the phantom."""
    preprocessing = model.config.preprocessing
    label = f"{model.config.network.name} {preprocessing.size_px} px, {engine} {model.config.onnx_precision}"
    batches = first_batches(fixtures.scan, preprocessing, count)
    return Workload(label, engine_of(model, engine), batches, model.config.postprocessing.threshold)


def _pytorch_workload(fixtures: Fixtures, model: Model, count: int) -> Workload:
    baseline = import_train_extra("gliomaseg.bench.baselines.script")
    preprocessing = model.config.preprocessing
    if not model.weights.is_file():
        raise MissingExtraError("the model has no weights for PyTorch", cure="choose another model with --model")
    network = baseline.PyTorchNetwork(model.weights, model.config.network, preprocessing.inputs)
    label = f"{model.config.network.name} {preprocessing.size_px} px, eager PyTorch fp32"
    batches = first_batches(fixtures.scan, preprocessing, count)
    return Workload(label, network, batches, model.config.postprocessing.threshold)


def compare(ours: Probability, baseline: Probability, *, threshold: float) -> dict[str, float]:
    """Return the largest difference of two arrays of probabilities, and the number of pixels with another mask.

    Args:
        ours: float32 in [0, 1], shape (z, y, x).
        baseline: of the same shape.
        threshold: a pixel with a larger probability is tumour.
    """
    return {
        "largest_difference": float(np.abs(ours - baseline).max()),
        "flipped_pixels": int(np.count_nonzero((ours > threshold) != (baseline > threshold))),
        "pixels": int(ours.size),
    }


def measure_roofline(fixtures: Fixtures) -> list[BenchRow]:
    """Return a row for the reference network and one for the small network, both in fp32 on ONNX Runtime."""
    sizes = fixtures.sizes
    networks: list[tuple[str, Callable[[], Path], int]] = [
        ("reference", lambda: fixtures.reference_model, sizes.reference_slices),
        ("small", lambda: fixtures.small_fp32_model, sizes.small_slices),
    ]
    return [
        try_measurement(
            f"{name} network on onnxruntime against arithmetic alone",
            UNIT,
            partial(_engine_against_roofline, fixtures, model_folder, count),
        )
        for name, model_folder, count in networks
    ]


def _engine_against_roofline(fixtures: Fixtures, model_folder: Callable[[], Path], count: int, figure: str) -> BenchRow:
    model = load_model(model_folder())
    ours = engine_workload(fixtures, model, count, "onnxruntime")
    operations, feature_bytes = count_operations(model.onnx)
    fixtures.log(f"{ours.label} against arithmetic alone")
    left, right = (np.random.default_rng(k).random((MATRIX_SIDE, MATRIX_SIDE), np.float32) for k in (0, 1))
    ours_s, products_s = alternate(
        timed(ours.predict),
        timed(lambda: [np.matmul(left, right) for _ in range(MATRIX_PRODUCTS)]),
        turns=fixtures.sizes.turns,
        budget_s=fixtures.sizes.budget_s,
    )
    operations_per_s = rates(products_s, 2 * MATRIX_SIDE**3 * MATRIX_PRODUCTS)
    bandwidth = _copy_bytes_per_s()
    bound = Timing(
        f"{operations / 1e9:.2f} G operations a slice, as fast as a matrix product",
        tuple(value / operations for value in operations_per_s),
    )
    agreement = {
        "operations_g": operations / 1e9,
        "product_g_per_s": float(np.median(operations_per_s)) / 1e9,
        "feature_maps_mb": feature_bytes / 1e6,
        "bandwidth_gb_per_s": bandwidth / 1e9,
        "slices_per_s_by_bandwidth": bandwidth / feature_bytes,
    }
    return BenchRow(figure, UNIT, Timing(ours.label, rates(ours_s, ours.slice_count)), bound, agreement)


def _copy_bytes_per_s() -> float:
    """Return the bytes a second that a copy on one thread reads and writes: the best of three copies."""
    source = np.ones(COPIED_BYTES, np.uint8)
    target = np.empty_like(source)
    best_s = math.inf
    for _ in range(3):
        start = time.perf_counter()
        np.copyto(target, source)
        best_s = min(best_s, time.perf_counter() - start)
    return 2 * COPIED_BYTES / best_s


def count_operations(path: Path) -> tuple[int, int]:
    """Return the operations and the bytes of feature maps for one slice.

    Operations are those of convolutions; a multiplication and its addition count as two. All other layers need only a
    few hundredths of them. The bytes are the inputs and outputs of the convolutions in float32, each read or written
    once: the minimum of memory traffic if no value stays in a cache.

    Args:
        path: an ONNX file whose first axis is the number of slices.
    """
    onnx, shape_inference = import_train_extra("onnx"), import_train_extra("onnx.shape_inference")
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
        source, weights, target = shapes[node.input[0]], shapes[node.input[1]], shapes[node.output[0]]
        # The weights are applied at each output pixel of a convolution, at each input pixel of a transposed one.
        pixels = target if node.op_type == "Conv" else source
        operations += 2 * math.prod(pixels[2:]) * math.prod(weights)
        values += math.prod(source[1:]) + math.prod(target[1:])
    return operations, values * FLOAT_BYTES
