"""Any network of segmentation_models.pytorch, through the extra `smp`."""

from __future__ import annotations

import importlib
from typing import Any

from torch import nn

from gliomaseg.config import Smp
from gliomaseg.errors import ConfigError, DownloadError, MissingExtraError
from gliomaseg.networks import torchvision_compat

CLASSES = 2


def build(settings: Smp, inputs: int) -> nn.Module:
    """Return an architecture on an encoder, by their names there.

    Raises:
        MissingExtraError: segmentation_models.pytorch is not installed.
        ConfigError: it has no such architecture or encoder, or they do not go together.
        DownloadError: pretrained weights cannot be had.
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
    except OSError as fault:  # what cannot be fetched, whoever fetches it
        raise DownloadError(
            f"weights of the encoder {settings.encoder} cannot be had ({fault})",
            cure="connect to the network once, or use --set network.weights=none",
        ) from fault
    except (KeyError, ValueError, RuntimeError, TypeError, NotImplementedError) as fault:
        raise ConfigError(
            f"segmentation_models.pytorch refuses {settings.architecture} on {settings.encoder} ({fault})",
            where="network",
            cure="see its documentation for the names",
        ) from fault
    return network


def _library() -> Any:
    torchvision_compat.segmentation()  # it imports torchvision, which fails beside a CPU-only torch unless opened so
    try:
        return importlib.import_module("segmentation_models_pytorch")
    except ModuleNotFoundError as fault:
        raise MissingExtraError(f"the network smp needs {fault.name}", cure='pip install "gliomaseg[smp]"') from fault
