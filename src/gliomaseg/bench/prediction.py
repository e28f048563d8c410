"""Prediction: our engines against PyTorch, and the small network against the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gliomaseg.bench.fixtures import Fixtures, batches_of, scored, with_torch
from gliomaseg.bench.timing import BenchRow, Timing, alternate, rates, timed
from gliomaseg.engines import open_engine
from gliomaseg.errors import GliomasegError, MissingExtraError
from gliomaseg.model import Model, load_model
from gliomaseg.prediction import engine_of
from gliomaseg.types import Batch, Probability

UNIT = "slices/s"


class PredictsBatches(Protocol):
    """What an engine and its peer do."""

    def probabilities(self, batch: Batch) -> Probability:
        """Return float32 in [0, 1], shape (n, y, x)."""


@dataclass(frozen=True)
class Candidate:
    """A network on something that runs it, and the slices it is given."""

    what: str
    runs: PredictsBatches
    batches: Sequence[Batch]
    threshold: float

    def work(self) -> Probability:
        """Predict all slices."""
        return np.concatenate([self.runs.probabilities(batch) for batch in self.batches])

    @property
    def slices(self) -> int:
        """How many there are."""
        return sum(map(len, self.batches))


def measure(material: Fixtures) -> list[BenchRow]:
    """Return a row for each engine on each network, then the small network against the reference."""
    plan, rows = material.plan, []
    for name, model, count in (
        ("reference network", lambda: material.reference, plan.reference_slices),
        ("small network", lambda: material.small_for_both, plan.small_slices),
    ):
        for engine in ("onnxruntime", "openvino"):
            figure = f"{name}, {engine} against eager PyTorch fp32"
            rows.append(tried(figure, lambda m=model, c=count, e=engine: _same_network(material, m(), c, e)))
    rows.append(tried("small network, openvino bf16 against its fp32", lambda: _half(material)))
    rows.append(tried("small network, onnxruntime int8 against its fp32", lambda: _integers(material)))
    for engine in ("onnxruntime", "openvino"):
        figure = f"small network on {engine} against the reference on eager PyTorch fp32"
        rows.append(tried(figure, lambda e=engine: _small_against_reference(material, e)))
    return rows


def tried(figure: str, measured: Any) -> BenchRow:
    """Return a row, or the reason for which there is none."""
    try:
        own, peer, own_values, peer_values, agreement = measured()
    except MissingExtraError as fault:
        return BenchRow(figure, UNIT, status="left out", reason=fault.line())
    except GliomasegError as fault:
        return BenchRow(figure, UNIT, status="failed", reason=fault.line())
    return BenchRow(figure, UNIT, Timing(own, own_values), Timing(peer, peer_values), agreement)


def _same_network(material: Fixtures, folder: Path, count: int, engine: str) -> Any:
    model = load_model(folder)
    ours, peer = candidate(material, model, count, engine), _eager(material, model, count)
    return _raced(material, ours, peer, compare(ours.work(), peer.work(), threshold=ours.threshold))


def _half(material: Fixtures) -> Any:
    """Race what OpenVINO would do by itself on a processor with bf16, with what we let it do."""
    model = load_model(material.small_for_both)
    whole = candidate(material, model, material.plan.small_slices, "openvino")
    module: Any = import_module("gliomaseg.engines.openvino")
    half = Candidate("openvino, bf16", module.compiled(model.onnx, precision="bf16"), whole.batches, whole.threshold)
    return _raced(material, half, whole, compare(half.work(), whole.work(), threshold=whole.threshold))


def _integers(material: Fixtures) -> Any:
    """Race the network with 8-bit integers, ranges taken from the slices that it then predicts, with its floats."""
    model = load_model(material.small_for_both)
    whole = candidate(material, model, material.plan.small_slices, "onnxruntime")
    path = material.folder / "integers.onnx"
    with_torch("gliomaseg.onnx_compression").quantize_int8(model.onnx, path, whole.batches)
    runs = open_engine("onnxruntime", onnx=path, weights=model.weights, network=model.config.network)
    ours = Candidate("onnxruntime, int8", runs, whole.batches, whole.threshold)
    return _raced(material, ours, whole, compare(ours.work(), whole.work(), threshold=whole.threshold))


def _small_against_reference(material: Fixtures, engine: str) -> Any:
    small, reference = load_model(material.small), load_model(material.reference)
    ours = candidate(material, small, material.plan.small_slices, engine)
    peer = _eager(material, reference, material.plan.reference_slices)
    # The reference has random weights here: what it scores when it is trained is in docs/results.
    return _raced(material, ours, peer, {"dice_volume_ours": scored(small.folder), "dice_volume_peer": None})


def _raced(material: Fixtures, ours: Candidate, peer: Candidate, agreement: dict[str, Any]) -> Any:
    material.log(f"{ours.what} against {peer.what}")
    own_s, peer_s = alternate(
        timed(ours.work), timed(peer.work), pairs=material.plan.pairs, budget_s=material.plan.budget_s
    )
    return ours.what, peer.what, rates(own_s, ours.slices), rates(peer_s, peer.slices), agreement


def candidate(material: Fixtures, model: Model, count: int, engine: str) -> Candidate:
    """Return a model on one of our engines, with the first slices of the phantom."""
    preprocessing = model.config.preprocessing
    batches = batches_of(material.scan, preprocessing, count)
    what = f"{model.config.network.name} {preprocessing.size_px} px, {engine} {model.config.onnx_precision}"
    return Candidate(what, engine_of(model, engine), batches, model.config.postprocessing.threshold)


def _eager(material: Fixtures, model: Model, count: int) -> Candidate:
    eager = with_torch("gliomaseg.bench.baselines.eager")
    preprocessing = model.config.preprocessing
    if not model.weights.is_file():
        raise MissingExtraError("the model has no weights for PyTorch", cure="name another with --model")
    runs = eager.Eager(model.weights, model.config.network, preprocessing.inputs)
    batches = batches_of(material.scan, preprocessing, count)
    what = f"{model.config.network.name} {preprocessing.size_px} px, eager PyTorch fp32"
    return Candidate(what, runs, batches, model.config.postprocessing.threshold)


def compare(ours: Probability, peer: Probability, *, threshold: float) -> dict[str, Any]:
    """Return the largest difference of two sides' probabilities, and how many pixels of their masks differ."""
    return {
        "largest_difference": float(np.abs(ours - peer).max()),
        "flipped_pixels": int(np.count_nonzero((ours > threshold) != (peer > threshold))),
        "pixels": int(ours.size),
    }
