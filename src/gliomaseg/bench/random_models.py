"""Model folders of networks that nobody has trained: they cost what trained ones cost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from gliomaseg.config import Recipe
from gliomaseg.model import write_digests
from gliomaseg.networks import build_network
from gliomaseg.phantoms import phantom_patient
from gliomaseg.preprocessing import prepare
from gliomaseg.scan import Scan
from gliomaseg.training.onnx_export import export_network
from gliomaseg.types import Batch

TUMOUR_SHARE = 0.01  # of the data set's pixels


def export_untrained(recipe: Recipe, folder: Path) -> Path:
    """Write a recipe's network with random weights as a model folder, and return it.

    Its running statistics are those of a phantom, and its last bias is such that a hundredth of that phantom's pixels
    are tumour: so there are borders, and rounding can be seen to move them.
    """
    settings = recipe.network.without_pretrained_weights()  # offline
    torch.manual_seed(0)
    network = build_network(settings, recipe.preprocessing.inputs)
    batch = torch.from_numpy(_phantom(recipe))
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = None  # the statistics of this one batch
        network.train()(batch)
        logits = network.eval()(batch)
        difference = (logits[:, 1] - logits[:, 0]).flatten()
        border = difference.kthvalue(round((1 - TUMOUR_SHARE) * len(difference))).values
        _last_bias(network)[1] -= border
    folder.mkdir()
    export_network(network, recipe.model_copy(update={"network": settings}), folder, name="untrained")
    write_digests(folder)
    return folder


def _phantom(recipe: Recipe) -> Batch:
    side_px = min(256, recipe.preprocessing.size_px)
    patient = phantom_patient(2, side_px=side_px, slices=6)
    prepared = prepare(Scan(patient.image, source="phantom"), recipe.preprocessing)
    return next(prepared.batches(3, np.arange(2, 5)))


def _last_bias(network: nn.Module) -> Tensor:
    """Return the bias of the layer that gives the logits of both classes; of the finest where there are several."""
    found = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d) and layer.out_channels == 2]
    if not found or found[0].bias is None:
        raise ValueError("the network has no last layer of two classes with a bias")
    return found[0].bias
