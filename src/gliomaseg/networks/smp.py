"""Networks of segmentation_models.pytorch, with the extra `smp`."""

from __future__ import annotations

import importlib
from typing import Any

from torch import nn

from gliomaseg.config.network import Smp
from gliomaseg.errors import ConfigError, DownloadError, MissingExtraError
from gliomaseg.networks import torchvision_compat

CLASSES = 2


def build(settings: Smp, inputs: int) -> nn.Module:
    """Return the network with the architecture and the encoder of the settings.

    Raises:
        MissingExtraError: segmentation_models.pytorch is not installed.
        ConfigError: the library has no such architecture or encoder, or does not combine them.
        DownloadError: the pretrained weights cannot be downloaded.
    """
    models = _library()
    weights = None if settings.weights == "none" else settings.weights
    try:
        network: nn.Module = models.create_model(
            settings.architecture,
            encoder_name=settings.encoder,
            encoder_weights=weights,
            in_channels=inputs,
            classes=CLASSES,
        )
    except OSError as fault:  # all download errors of its libraries
        raise DownloadError(
            f"weights of the encoder {settings.encoder} cannot be downloaded ({fault})",
            cure="connect to the network once, or use --set network.weights=none",
        ) from fault
    except (KeyError, ValueError, RuntimeError, TypeError, NotImplementedError) as fault:
        raise ConfigError(
            f"segmentation_models.pytorch cannot build {settings.architecture} on {settings.encoder} ({fault})",
            where="network",
            cure="use names from its documentation",
        ) from fault
    return network


def _library() -> Any:
    torchvision_compat.segmentation()  # the library imports torchvision, which fails with a CPU-only torch otherwise
    try:
        return importlib.import_module("segmentation_models_pytorch")
    except ModuleNotFoundError as fault:
        raise MissingExtraError(f"the network smp needs {fault.name}", cure='pip install "gliomaseg[smp]"') from fault
