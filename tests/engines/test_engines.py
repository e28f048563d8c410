"""The contract of all engines."""

import numpy as np
import pytest
import torch

from gliomaseg.config import read_recipe
from gliomaseg.config.network import FcnResnet50, ResidualUnet, Unet
from gliomaseg.engines import ENGINES, open_engine
from gliomaseg.errors import MissingExtraError, ModelError, UsageError
from gliomaseg.model import load_model
from gliomaseg.networks import build_network
from gliomaseg.prediction import open_predictor
from gliomaseg.training.onnx_export import export_network


def engine_of(run, name):
    model = load_model(run)
    return open_engine(name, onnx=model.onnx, weights=model.weights, network=model.config.network)


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("count", [1, 3, 5])
def test_an_engine_returns_a_probability_for_every_pixel(name, count, trained):
    batch = np.random.default_rng(0).standard_normal((count, 3, 64, 64), np.float32)
    probability = engine_of(trained, name).probabilities(batch)
    assert probability.shape == (count, 64, 64)
    assert probability.dtype == np.float32
    assert probability.min() >= 0
    assert probability.max() <= 1


@pytest.mark.parametrize("name", ENGINES)
def test_a_slice_does_not_depend_on_its_batch(name, trained):
    batch = np.random.default_rng(1).standard_normal((4, 3, 64, 64), np.float32)
    engine = engine_of(trained, name)
    np.testing.assert_allclose(engine.probabilities(batch)[2], engine.probabilities(batch[2:3])[0], atol=1e-5)


NETWORKS = [
    (FcnResnet50(), 0),
    (FcnResnet50(head="linear"), 0),
    (Unet(base_features=8, levels=3), 0),
    (ResidualUnet(features=(4, 8, 8)), 2),
]


@pytest.mark.parametrize(("settings", "context_slices"), NETWORKS)
def test_all_engines_agree(settings, context_slices, tmp_path):
    torch.manual_seed(0)
    inputs = 2 * context_slices + 1 if context_slices else 3
    network = build_network(settings, inputs)
    with torch.no_grad():  # running statistics as after training, not zeros and ones
        for _ in range(2):
            network.train()(torch.randn(4, inputs, 64, 64))
    recipe = read_recipe("unet_small").model_copy(update={"network": settings})
    small = recipe.with_settings(["preprocessing.size_px=64", f"preprocessing.context_slices={context_slices}"])
    export_network(network, small, tmp_path, name="m")
    files = {
        "onnx": tmp_path / "model.onnx",
        "weights": tmp_path / "model.safetensors",
        "network": settings,
        "inputs": inputs,
    }
    batch = np.random.default_rng(2).standard_normal((3, inputs, 64, 64), np.float32)
    first, *others = (open_engine(name, **files).probabilities(batch) for name in ENGINES)
    assert np.ptp(first) > 1e-3  # not a constant that agrees with anything
    for other in others:
        np.testing.assert_allclose(first, other, atol=1e-4)


@pytest.mark.parametrize("name", ENGINES)
def test_a_damaged_network_raises_in_one_line(name, tmp_path):
    onnx, weights = tmp_path / "model.onnx", tmp_path / "model.safetensors"
    onnx.write_bytes(b"not a network")
    weights.write_bytes(b"not weights")
    with pytest.raises(ModelError) as caught:
        open_engine(name, onnx=onnx, weights=weights, network=Unet(base_features=8, levels=3))
    assert "\n" not in caught.value.line()


def test_an_unknown_engine_raises(tmp_path):
    with pytest.raises(UsageError, match="onnxruntime, torch"):
        open_engine("abacus", onnx=tmp_path, weights=tmp_path, network=Unet())


def test_an_engine_that_is_not_installed_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(ENGINES, "torch", "absent_engine")
    with pytest.raises(MissingExtraError, match=r"gliomaseg\[train\]"):
        open_engine("torch", onnx=tmp_path, weights=tmp_path, network=Unet())
    monkeypatch.setitem(ENGINES, "openvino", "absent_engine")
    with pytest.raises(MissingExtraError, match=r"gliomaseg\[openvino\]"):
        open_engine("openvino", onnx=tmp_path, weights=tmp_path, network=Unet())


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_batch_that_does_not_fit_raises_model_error(name, trained):
    engine = open_predictor(trained, engine=name)._engine
    with pytest.raises(ModelError, match="does not accept a batch"):
        engine.probabilities(np.zeros((1, 3, 32, 32), np.float32))
