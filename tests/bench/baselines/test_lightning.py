"""Lightning is no dependency: what needs it is tested where it is."""

import importlib

import pytest
import torch
from torch import nn

from gliomaseg.bench.baselines import lightning
from gliomaseg.errors import MissingExtraError


def test_where_it_is_not_installed_that_is_said(monkeypatch):
    def absent(name):
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(lightning, "import_module", absent)
    with pytest.raises(MissingExtraError, match="lightning is not installed"):
        lightning.open_lightning()


@pytest.mark.filterwarnings("ignore")
def test_an_epoch_learns_and_tells_its_seconds(material):
    if not any(importlib.util.find_spec(name) for name in ("lightning", "pytorch_lightning")):
        pytest.skip("lightning is not installed")
    files = [(entry.image, entry.mask) for case in material.index.cases for entry in case.slices][:4]
    network = nn.Conv2d(3, 2, 1)
    before = network.weight.detach().clone()
    training = lightning.LightningTraining(network, files, size_px=32, batch=2, learning_rate=0.1)
    assert training.epoch() > 0
    assert training.loss > 0
    assert not torch.equal(before, network.weight)
