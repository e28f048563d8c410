import pytest
import torch

from gliomaseg.config.network import ResidualUnet
from gliomaseg.networks import build_network
from gliomaseg.networks.residual_unet import ResidualLevel


def network(**settings):
    torch.manual_seed(0)
    return build_network(ResidualUnet(features=(4, 6, 8, 10), **settings), 3)


def test_a_level_adds_its_input():
    level = ResidualLevel(2, 2)
    torch.nn.init.zeros_(level.second_norm.weight)
    features = torch.rand(1, 2, 4, 4)
    assert torch.equal(level(features), features)


def test_the_default_has_four_million_weights():
    count = sum(weight.numel() for weight in build_network(ResidualUnet()).parameters())
    assert 3.8e6 < count < 4.2e6


def test_every_weight_gets_a_gradient():
    built = network().train()
    built(torch.randn(2, 3, 16, 16)).sum().backward()
    assert [key for key, weight in built.named_parameters() if weight.grad is None] == []


@pytest.mark.parametrize("pixel_unshuffle", [2, 4])
def test_pixel_unshuffle_and_shuffle_keep_the_size(pixel_unshuffle):
    built = network(pixel_unshuffle=pixel_unshuffle)
    output = built.train()(torch.zeros(2, 3, 32, 64))
    assert built.down[0].first.in_channels == 3 * pixel_unshuffle**2
    assert output.shape == (2, 2, 32, 64)


def test_pixels_keep_their_positions():
    """A head that copies its input returns the pixels in place."""
    built = network(pixel_unshuffle=2).eval()
    picture = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        built._features = lambda features: features  # 12 channels: 3 inputs, 4 pixels
        built.head = torch.nn.Conv2d(12, 8, 1, bias=False)
        built.head.weight.zero_()
        built.head.weight[4:, 4:8, 0, 0] = torch.eye(4)  # the tumour's logits are the second input's pixels
        logits = built(picture)
    assert torch.equal(logits[:, 1], picture[:, 1])
    assert not logits[:, 0].any()
