"""The reference notebook's network: torchvision's FCN on a dilated ResNet-50, with a two-class head.

Source: J. Long et al., CVPR 2015, doi:10.1109/CVPR.2015.7298965; K. He et al., CVPR 2016,
doi:10.1109/CVPR.2016.90; torchvision.models.segmentation.fcn_resnet50.
"""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pickle import UnpicklingError
from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor, nn

from gliomaseg.config.network import FcnResnet50
from gliomaseg.errors import DownloadError
from gliomaseg.networks import torchvision_compat

FEATURES = 2048
CHANNELS = 3
CLASSES = 2


class FcnNetwork(nn.Module):
    """torchvision's model, with its logits as the only output."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Tensor) -> Tensor:
        """Return logits (n, 2, y, x) of slices (n, inputs, y, x)."""
        logits: Tensor = self.model(batch)["out"]
        return logits


def build(settings: FcnResnet50, inputs: int) -> nn.Module:
    """Return the network with the head of the settings and without the auxiliary classifier.

    If `inputs` is not 3, the first layer gets random weights.

    Raises:
        DownloadError: torchvision's weights are not cached and cannot be downloaded.
    """
    model: Any = _with_weights(settings.weights)
    segmentation = torchvision_compat.segmentation()
    head = segmentation.fcn.FCNHead(FEATURES, CLASSES) if settings.head == "fcn" else nn.Conv2d(FEATURES, CLASSES, 1)
    if inputs != CHANNELS:
        first = model.backbone.conv1
        model.backbone.conv1 = nn.Conv2d(
            inputs, first.out_channels, first.kernel_size, first.stride, first.padding, bias=False
        )
    model.classifier = head
    model.aux_classifier = None
    return FcnNetwork(model)


def _with_weights(weights: str) -> nn.Module:
    segmentation = torchvision_compat.segmentation()
    if weights == "coco":
        model: nn.Module = segmentation.fcn_resnet50(weights=None, weights_backbone=None, aux_loss=True)
        model.load_state_dict(_download(segmentation.FCN_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1.url))
        return model
    model = segmentation.fcn_resnet50(weights=None, weights_backbone=None, aux_loss=False)
    if weights == "imagenet":
        state = _download(segmentation.fcn.ResNet50_Weights.IMAGENET1K_V1.url)
        backbone: Any = model.backbone
        backbone.load_state_dict({name: tensor for name, tensor in state.items() if not name.startswith("fc.")})
    return model


def _download(url: str) -> dict[str, Tensor]:
    """Return the tensors of a torchvision file from torch's cache or a download. Nothing is unpickled."""
    try:
        with redirect_stdout(sys.stderr):  # torch.hub prints on stdout, where results belong
            state: dict[str, Tensor] = torch.hub.load_state_dict_from_url(
                url, map_location="cpu", progress=sys.stderr.isatty(), check_hash=True, weights_only=True
            )
    except (URLError, OSError, RuntimeError, UnpicklingError) as fault:
        raise DownloadError(
            f"torchvision's weights {url.rsplit('/', 1)[1]} cannot be downloaded ({fault})",
            where=f"{torch.hub.get_dir()}/checkpoints",
            cure="connect to the network once, copy the file there by hand, or use --set network.weights=none",
        ) from fault
    return state
