import pytest
import torch

from gliomaseg.config import ResidualUnet
from gliomaseg.networks import build_network
from gliomaseg.networks.outputs import Supervised
from gliomaseg.networks.residual_unet import ResidualLevel, gated


def network(**settings):
    torch.manual_seed(0)
    return build_network(ResidualUnet(features=(4, 6, 8, 10), **settings), 3)


def test_a_level_adds_what_came_in():
    level = ResidualLevel(2, 2)
    torch.nn.init.zeros_(level.second_norm.weight)
    features = torch.rand(1, 2, 4, 4)
    assert torch.equal(level(features), features)


def test_the_default_has_four_million_weights():
    count = sum(weight.numel() for weight in build_network(ResidualUnet()).parameters())
    assert 3.8e6 < count < 4.2e6


def test_plain_settings_return_logits_in_training_too():
    assert isinstance(network().train()(torch.zeros(2, 3, 16, 16)), torch.Tensor)


def test_coarser_levels_have_logits_in_training_only():
    built = network(deep_supervision=2)
    output = built.train()(torch.zeros(2, 3, 16, 24))
    assert isinstance(output, Supervised)
    assert output.logits.shape == (2, 2, 16, 24)
    assert [tuple(logits.shape) for logits in output.lower] == [(2, 2, 8, 12), (2, 2, 4, 6)]
    assert output.presence is None
    assert isinstance(built.eval()(torch.zeros(2, 3, 16, 24)), torch.Tensor)


@pytest.mark.parametrize("pixel_unshuffle", [2, 4])
def test_patches_go_in_as_channels_and_come_out_as_pixels(pixel_unshuffle):
    built = network(pixel_unshuffle=pixel_unshuffle, deep_supervision=1)
    output = built.train()(torch.zeros(2, 3, 32, 64))
    assert built.down[0].first.in_channels == 3 * pixel_unshuffle**2
    assert output.logits.shape == (2, 2, 32, 64)
    assert output.lower[0].shape == (2, 2, 16, 32)


def test_pixels_of_a_patch_keep_their_places():
    """The head, told to look at what went in, gives it back."""
    built = network(pixel_unshuffle=2).eval()
    picture = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        built._features = lambda features: (features, [features])  # 12 channels: 3 inputs, 4 pixels
        built.head = torch.nn.Conv2d(12, 8, 1, bias=False)
        built.head.weight.zero_()
        built.head.weight[4:, 4:8, 0, 0] = torch.eye(4)  # the tumour's logits are the second input's pixels
        logits = built(picture)
    assert torch.equal(logits[:, 1], picture[:, 1])
    assert not logits[:, 0].any()


@pytest.mark.parametrize("pixel_unshuffle", [1, 2])
def test_every_weight_of_the_extra_heads_learns(pixel_unshuffle):
    built = network(deep_supervision=2, presence=True, pixel_unshuffle=pixel_unshuffle).train()
    output = built(torch.randn(2, 3, 16, 16))
    (output.logits.sum() + sum(logits.sum() for logits in output.lower) + output.presence.sum()).backward()
    assert [key for key, weight in built.named_parameters() if weight.grad is None] == []


def test_presence_is_one_logit_a_slice_and_is_multiplied_in_when_used():
    built = network(presence=True)
    with torch.no_grad():
        built.presence.weight.zero_()
        built.presence.bias.fill_(-1.0)
        batch = torch.randn(2, 3, 16, 16)
        built.train()
        assert built(batch).presence.tolist() == pytest.approx([-1.0, -1.0])
        built.eval()
        with_gate = built(batch).softmax(dim=1)[:, 1]
        built.presence = None
        without = built(batch).softmax(dim=1)[:, 1]
    torch.testing.assert_close(with_gate, without * torch.tensor(-1.0).sigmoid())


@pytest.mark.parametrize("a", [-80.0, -3.0, 0.0, 3.0, 80.0])
@pytest.mark.parametrize("b", [-80.0, 0.0, 80.0])
def test_the_gated_logit_is_that_of_the_product(a, b):
    logits = gated(torch.tensor([0.0, a]).view(1, 2, 1, 1), torch.tensor([b]))
    assert torch.isfinite(logits).all()
    product = torch.sigmoid(torch.tensor(a)) * torch.sigmoid(torch.tensor(b))
    assert logits.softmax(dim=1)[0, 1].item() == pytest.approx(product.item(), abs=1e-6)
