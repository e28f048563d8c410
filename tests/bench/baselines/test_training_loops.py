"""Lightning is not a dependency: its loop is tested only if it is installed."""

import importlib

import pytest
import torch
from torch import nn

from gliomaseg.bench.baselines import training_loops
from gliomaseg.bench.baselines.training_loops import LightningLoop, NotebookLoop
from gliomaseg.errors import MissingExtraError


def test_notebook_epoch_trains_on_every_slice_once(fixtures):
    network = nn.Conv2d(3, 2, 1)
    before = network.weight.detach().clone()
    loop = NotebookLoop(network, fixtures.image_files[:6], size_px=32, batch=4, learning_rate=0.1)
    assert loop.epoch() > 0
    assert len(loop._loader) == 2
    assert loop.loss > 0
    assert not torch.equal(before, network.weight)


def test_missing_lightning_is_an_error(monkeypatch):
    def absent(name):
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(training_loops, "import_module", absent)
    with pytest.raises(MissingExtraError, match="lightning is not installed"):
        training_loops.import_lightning()


@pytest.mark.filterwarnings("ignore")
def test_lightning_epoch_trains_and_returns_seconds(fixtures):
    if not any(importlib.util.find_spec(name) for name in ("lightning", "pytorch_lightning")):
        pytest.skip("lightning is not installed")
    network = nn.Conv2d(3, 2, 1)
    before = network.weight.detach().clone()
    loop = LightningLoop(network, fixtures.image_files[:4], size_px=32, batch=2, learning_rate=0.1)
    assert loop.epoch() > 0
    assert loop.loss > 0
    assert not torch.equal(before, network.weight)
