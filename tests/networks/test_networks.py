"""The contract of all networks."""

import pathlib
import pkgutil
import typing

import pytest
import torch
from torch import nn

from gliomaseg import networks
from gliomaseg.config import Network, read_recipe, recipe_names
from gliomaseg.config.network import FcnResnet50, NetworkSettings
from gliomaseg.errors import DownloadError
from gliomaseg.networks import TumourProbability, build_network, fcn_resnet50

SETTINGS = {kind().name: kind() for kind in typing.get_args(typing.get_args(Network)[0])}
INSTALLED = sorted(SETTINGS.keys() - {"smp"})  # smp is optional and has its own file
GUIDE = pathlib.Path(__file__).parents[2] / "docs" / "guide" / "train.md"


def test_every_network_has_settings_a_module_and_a_row_in_the_guide():
    modules = {module.name for module in pkgutil.iter_modules(networks.__path__)} - {"torchvision_compat"}
    classes = {kind.model_fields["name"].default for kind in NetworkSettings.__subclasses__()}
    rows = {name for name in SETTINGS if f'| `"{name}"` |' in GUIDE.read_text("utf-8")}
    assert classes == SETTINGS.keys(), "add the class of settings to the union Network of config/network.py"
    assert modules - SETTINGS.keys() == set(), "add a class of settings with this name to config/network.py"
    assert SETTINGS.keys() - modules == set(), "add a module networks/NAME.py with a function build"
    assert SETTINGS.keys() - rows == set(), "add a row to the table of networks in docs/guide/train.md"


@pytest.mark.parametrize("inputs", [1, 3, 5])
@pytest.mark.parametrize("name", INSTALLED)
def test_a_network_returns_two_logits_a_pixel(name, inputs):
    network = build_network(SETTINGS[name], inputs).eval()
    with torch.inference_mode():
        logits = network(torch.zeros(2, inputs, 64, 96))
    assert logits.shape == (2, 2, 64, 96)
    assert logits.dtype == torch.float32


@pytest.mark.parametrize("name", INSTALLED)
def test_equal_seeds_give_equal_weights(name):
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(build_network(SETTINGS[name]).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize("name", INSTALLED)
def test_every_weight_gets_a_gradient(name):
    network = build_network(SETTINGS[name]).train()
    network(torch.randn(2, 3, 64, 64)).square().mean().backward()
    assert [key for key, weight in network.named_parameters() if weight.grad is None] == []


@pytest.mark.parametrize("recipe", recipe_names())
def test_every_packaged_recipe_builds_its_network(recipe):
    assert isinstance(build_network(read_recipe(recipe).network, read_recipe(recipe).preprocessing.inputs), nn.Module)


def test_the_reference_has_torchvisions_head_for_two_classes_and_no_auxiliary_one():
    model = build_network(FcnResnet50()).model
    assert [type(layer).__name__ for layer in model.classifier] == [
        "Conv2d",
        "BatchNorm2d",
        "ReLU",
        "Dropout",
        "Conv2d",
    ]
    assert (model.classifier[0].in_channels, model.classifier[-1].out_channels) == (2048, 2)
    assert model.aux_classifier is None
    # 23,508,032 of ResNet-50 without its classifier and 9,439,234 of FCNHead(2048, 2).
    assert sum(weight.numel() for weight in model.parameters()) == 23_508_032 + 9_439_234


def test_the_linear_head_is_one_convolution():
    head = build_network(FcnResnet50(head="linear")).model.classifier
    assert isinstance(head, nn.Conv2d)
    assert (head.in_channels, head.out_channels, head.kernel_size) == (2048, 2, (1, 1))


@pytest.mark.parametrize("weights", ["imagenet", "coco"])
def test_weights_that_cannot_be_downloaded_name_the_cache_folder(weights, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def offline(*_args, **_keywords):
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", offline)
    monkeypatch.setattr("torch.hub.urlopen", offline)
    with pytest.raises(DownloadError) as caught:
        fcn_resnet50.build(FcnResnet50(weights=weights), 3)
    assert str(tmp_path / "hub" / "checkpoints") in caught.value.line()
    assert "\n" not in caught.value.line()


@pytest.mark.parametrize(
    ("weights", "file"), [("coco", "fcn_resnet50_coco-1167a1af.pth"), ("imagenet", "resnet50-0676ba61.pth")]
)
def test_weights_in_torchs_cache_are_used_without_a_network(weights, file, tmp_path, monkeypatch, capsys):
    """A file in torch's cache with the content of torchvision's file."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", lambda *_a, **_k: pytest.fail("asked the network"))
    torch.manual_seed(1)
    segmentation = fcn_resnet50.torchvision_compat.segmentation()
    if weights == "coco":
        state = segmentation.fcn_resnet50(
            weights=None, weights_backbone=None, num_classes=21, aux_loss=True
        ).state_dict()
        name = "backbone.conv1.weight"
    else:
        state, name = segmentation.fcn.resnet50(weights=None).state_dict(), "conv1.weight"
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(state, folder / file)
    model = fcn_resnet50.build(FcnResnet50(weights=weights), 3).model
    assert torch.equal(model.backbone.conv1.weight, state[name])
    assert model.aux_classifier is None
    assert model.classifier[-1].out_channels == 2
    assert capsys.readouterr().out == ""


def test_a_cached_file_with_pickled_code_raises(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save({"weights": Trap(tmp_path / "sprung")}, folder / "resnet50-0676ba61.pth")
    with pytest.raises(DownloadError):
        fcn_resnet50.build(FcnResnet50(weights="imagenet"), 3)
    assert not (tmp_path / "sprung").exists()


class Trap:
    """An object that writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.write_text, (self.path, "sprung")


def test_probabilities_are_those_of_the_tumour_class():
    class Constant(nn.Module):
        def forward(self, batch):
            logits = torch.zeros(len(batch), 2, 4, 4)
            logits[:, 1] = 2.0
            return logits

    probability = TumourProbability(Constant())(torch.zeros(3, 3, 4, 4))
    assert probability.shape == (3, 4, 4)
    assert probability[0, 0, 0].item() == pytest.approx(1 / (1 + 2.718281828**-2), abs=1e-6)
