"""The optional network smp: its calls of the library, and the contract if the library is installed."""

import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from gliomaseg.config.network import Smp
from gliomaseg.errors import ConfigError, DownloadError, MissingExtraError
from gliomaseg.networks import build_network


def pretend(monkeypatch, create_model):
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", SimpleNamespace(create_model=create_model))


def test_without_its_library_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    with pytest.raises(MissingExtraError, match=r"gliomaseg\[smp\]"):
        build_network(Smp())


def test_the_library_gets_two_classes_and_the_number_of_channels(monkeypatch):
    asked = {}

    def create_model(architecture, **settings):
        asked.update(settings, architecture=architecture)
        return nn.Identity()

    pretend(monkeypatch, create_model)
    build_network(Smp(architecture="FPN", encoder="resnet18"), 5)
    assert asked == {
        "architecture": "FPN", "encoder_name": "resnet18", "encoder_weights": None, "in_channels": 5, "classes": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (KeyError("no such encoder"), ConfigError),
        (RuntimeError("not so"), ConfigError),
        (OSError("offline"), DownloadError),
    ],
)
def test_errors_of_the_library_are_one_line(raised, expected, monkeypatch):
    def create_model(_architecture, **_settings):
        raise raised

    pretend(monkeypatch, create_model)
    with pytest.raises(expected) as caught:
        build_network(Smp(weights="imagenet"))
    assert "\n" not in caught.value.line()


def test_the_library_returns_two_logits_a_pixel():
    pytest.importorskip("gliomaseg.networks.torchvision_compat").segmentation()
    pytest.importorskip("segmentation_models_pytorch")
    network = build_network(Smp(architecture="Unet", encoder="resnet18"), 5).eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 5, 32, 64)).shape == (1, 2, 32, 64)
