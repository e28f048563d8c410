"""Int8 quantisation: nearly the same probabilities from a smaller file without metadata of the machine."""

import json

import numpy as np
import onnx
import pytest

from gliomaseg.config import read_recipe
from gliomaseg.data.case import read_case
from gliomaseg.data.layouts import read_cases
from gliomaseg.model import load_model
from gliomaseg.onnx_compression import quantize_int8
from gliomaseg.prediction import open_predictor
from gliomaseg.training.run_folder import TrainOptions
from gliomaseg.training.train import train

SMALL = [
    "preprocessing.size_px=64", "network.base_features=8", "network.levels=3", "training.epochs=1",
    "training.precision=fp32",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(phantoms, tmp_path_factory):
    """Return a run with an fp32 network, and its phantoms."""
    folder = tmp_path_factory.mktemp("quantise")
    recipe = read_recipe("unet_small").with_settings(SMALL)
    train(TrainOptions(recipe, phantoms, folder / "run", cache=folder / "cache"), say=lambda _text: None)
    return folder / "run", phantoms, folder / "cache"


def test_a_run_may_export_int8_and_evaluates_it(run):
    folder, phantoms, cache = run
    whole = load_model(folder)
    scan = read_case(read_cases(phantoms).cases[0]).scan
    before, size = open_predictor(folder).probability(scan), whole.onnx.stat().st_size
    recipe = read_recipe("unet_small").with_settings([*SMALL, "training.onnx_precision=int8"])
    train(TrainOptions(recipe, phantoms, folder, cache=cache, resume=True, overwrite=False), say=lambda _text: None)
    model = load_model(folder)
    assert (whole.config.onnx_precision, model.config.onnx_precision) == ("fp32", "int8")
    assert model.onnx.stat().st_size < size  # in a small network, the graph is larger than the weights
    graph = onnx.load(model.onnx).graph
    assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in graph.node}
    assert not any(part.metadata_props or part.doc_string for part in (graph, *graph.node))
    assert json.loads((folder / "model" / "metrics.json").read_text())["setting"]["model_digest"] == model.digest
    after = open_predictor(folder).probability(scan)
    assert np.abs(after - before).mean() < 0.02
    assert np.corrcoef(after.ravel(), before.ravel())[0, 1] > 0.9
    assert len(np.unique(after)) > 256  # probabilities are not quantised to 8 bits


def test_an_empty_list_of_batches_raises(tmp_path):
    with pytest.raises(ValueError, match="batches is empty"):
        quantize_int8(tmp_path / "a.onnx", tmp_path / "b.onnx", [])
