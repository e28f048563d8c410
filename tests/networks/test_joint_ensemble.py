"""Several networks as one: each learns for itself, and their mean is what is used and exported."""

import numpy as np
import pytest
import torch

from gliomaseg.config import ResidualUnet, read_recipe
from gliomaseg.data.case import read_case
from gliomaseg.data.index import read_index
from gliomaseg.losses import bce, training_loss
from gliomaseg.networks import build_network
from gliomaseg.networks.outputs import Supervised
from gliomaseg.prediction import open_predictor
from gliomaseg.training.run_folder import TrainOptions
from gliomaseg.training.train import train


def network(**settings):
    torch.manual_seed(0)
    return build_network(ResidualUnet(features=(4, 6, 8), **settings), 3)


def test_they_begin_differently_and_their_mean_logit_counts():
    built = network(members=3).eval()
    batch = torch.rand(2, 3, 16, 16)
    each = torch.stack([member(batch) for member in built.networks])
    assert not torch.equal(each[0], each[1])
    torch.testing.assert_close(built(batch), each.mean(dim=0))


def test_each_has_a_loss_of_its_own():
    built = network(members=2).train()
    batch, masks = torch.rand(2, 3, 16, 16), torch.rand(2, 16, 16) > 0.5
    with torch.no_grad():
        expected = sum(bce(member(batch), masks).item() for member in built.networks) / 2
    loss = training_loss(bce, built(batch), masks)
    assert loss.item() == pytest.approx(expected)
    loss.backward()
    assert [key for key, weight in built.named_parameters() if weight.grad is None] == []


def test_extra_heads_go_with_them():
    built = network(members=2, deep_supervision=1, presence=True)
    batch = torch.rand(2, 3, 16, 16)
    outputs = built.train()(batch)
    assert all(isinstance(output, Supervised) for output in outputs)
    assert training_loss(bce, outputs, torch.zeros(2, 16, 16, dtype=torch.bool)).isfinite()
    assert built.eval()(batch).shape == (2, 2, 16, 16)


@pytest.mark.parametrize("onnx_precision", ["fp32", "int8"])
def test_a_run_of_two_predicts_by_both_from_one_file(onnx_precision, phantoms, tmp_path):
    recipe = read_recipe("residual_unet_quick").with_settings(
        [
            "network.features=[8,8,8]", "network.members=2", "preprocessing.size_px=64", "training.epochs=1",
            "training.precision=fp32", f"training.onnx_precision={onnx_precision}",
        ]
    )  # fmt: skip
    train(TrainOptions(recipe, phantoms, tmp_path / "run", cache=tmp_path / "cache"), say=lambda _text: None)
    scan = read_case(read_index(phantoms).cases[0]).scan
    in_use = open_predictor(tmp_path / "run").probability(scan)
    by_torch = open_predictor(tmp_path / "run", engine="torch").probability(scan)
    limit = 1e-4 if onnx_precision == "fp32" else 0.1
    assert np.abs(in_use - by_torch).max() < limit
    assert len(np.unique(in_use)) > 1000  # the mean does not come in steps of 8 bits
