"""A run exports the network that was validated: the average of the weights, if there is one."""

import json

import numpy as np
import torch
from safetensors.torch import load_file

from gliomaseg.config import read_recipe
from gliomaseg.data.case import read_case
from gliomaseg.data.layouts import read_cases
from gliomaseg.model import load_model
from gliomaseg.networks import build_network
from gliomaseg.ownership import file_digest
from gliomaseg.prediction import open_predictor
from gliomaseg.training.checkpoint import load_network
from gliomaseg.training.run_folder import TrainOptions
from gliomaseg.training.train import train

SMALL = [
    "preprocessing.size_px=64", "network.base_features=4", "network.levels=2", "training.epochs=1", "training.ema=0.9",
    "training.precision=fp32",
]  # fmt: skip


def test_the_exported_network_is_the_average_and_was_evaluated(phantoms, tmp_path):
    recipe = read_recipe("unet_small").with_settings(SMALL)
    folder = train(TrainOptions(recipe, phantoms, tmp_path / "run", cache=tmp_path / "cache"), say=lambda _text: None)
    average = build_network(recipe.network, recipe.preprocessing.inputs)
    load_network(tmp_path / "run" / "checkpoint" / "last.safetensors", average)
    exported = load_file(folder / "model.safetensors")
    assert all(torch.equal(tensor, exported[name]) for name, tensor in average.state_dict().items())
    scan = read_case(read_cases(phantoms).cases[0]).scan
    torchs = open_predictor(folder, engine="torch").probability(scan)
    np.testing.assert_allclose(open_predictor(folder).probability(scan), torchs, atol=1e-4)
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["setting"]["model_digest"] == file_digest(folder / "model.onnx")
    assert load_model(folder).config.title == recipe.title
