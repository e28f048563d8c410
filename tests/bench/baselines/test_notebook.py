import torch
from torch import nn

from gliomaseg.bench.baselines.notebook import NotebookTraining


def test_an_epoch_learns_from_every_slice_once(material):
    files = [(entry.image, entry.mask) for case in material.index.cases for entry in case.slices][:6]
    network = nn.Conv2d(3, 2, 1)
    before = network.weight.detach().clone()
    training = NotebookTraining(network, files, size_px=32, batch=4, learning_rate=0.1)
    assert training.epoch() > 0
    assert len(training._loader) == 2
    assert training.loss > 0
    assert not torch.equal(before, network.weight)
