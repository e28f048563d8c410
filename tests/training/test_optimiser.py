import copy
import math

import pytest
import torch
from torch import nn

from gliomaseg.config import Training
from gliomaseg.training.optimiser import build_optimiser, ema_decay, learning_rate, update_ema


def rates(**settings):
    training = Training(learning_rate=2.0, **settings)
    return [learning_rate(training, done) for done in (0, 0.05, 0.1, 0.55, 0.999999)]


def test_a_constant_learning_rate_equals_the_setting():
    assert rates() == [2.0] * 5


def test_a_cosine_schedule_falls_to_zero():
    assert rates(schedule="cosine") == [
        2 * (1 + math.cos(math.pi * done)) / 2 for done in (0, 0.05, 0.1, 0.55, 0.999999)
    ]


def test_a_warm_up_rises_linearly_from_one_25th():
    assert rates(warmup=0.1) == pytest.approx([0.08, 1.04, 2, 2, 2])


def test_one_cycle_rises_and_falls_along_half_cosines():
    assert rates(schedule="one_cycle", warmup=0.1) == pytest.approx([0.08, 1.04, 2, 1, 0], abs=1e-4)
    early = learning_rate(Training(learning_rate=2.0, schedule="one_cycle", warmup=0.1), 0.025)
    assert early == pytest.approx(0.08 + 1.92 * (1 - math.cos(math.pi / 4)) / 2)


def test_optimisers_are_those_of_torch_with_the_weight_decay_of_the_settings():
    layer = nn.Linear(2, 2)
    adam, adamw = (
        build_optimiser(layer, Training(optimiser=name, weight_decay=decay))
        for name, decay in (("adam", 0.0), ("adamw", 0.05))
    )
    assert (type(adam), type(adamw)) == (torch.optim.Adam, torch.optim.AdamW)
    assert (adam.defaults["weight_decay"], adamw.defaults["weight_decay"]) == (0, 0.05)


def test_update_ema_averages_weights_and_running_statistics():
    average, network = nn.BatchNorm2d(1), nn.BatchNorm2d(1)
    with torch.no_grad():
        network.weight.fill_(3.0)
        network.running_mean.fill_(4.0)
        network.num_batches_tracked.fill_(7)
    update_ema(average, network, 0.75)
    assert average.weight.item() == 1.5
    assert average.running_mean.item() == 1.0
    assert average.num_batches_tracked.item() == 7
    assert network.weight.item() == 3.0


def test_update_ema_equals_lerp_of_each_tensor_to_the_bit():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ConvTranspose2d(5, 2, 2)).to(
        memory_format=torch.channels_last
    )
    network[2].to(torch.bfloat16)
    average = copy.deepcopy(network)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            tensor.add_(torch.randn(tensor.shape).to(tensor.dtype))
    expected = {
        name: torch.lerp(mean, network.state_dict()[name], 1 - 0.995)
        for name, mean in average.state_dict().items()
        if mean.is_floating_point()
    }
    update_ema(average, network, 0.995)
    assert len(expected) == 8
    for name, tensor in expected.items():
        assert torch.equal(average.state_dict()[name], tensor), name


def test_update_ema_accepts_a_network_without_weights():
    update_ema(nn.Identity(), nn.Identity(), 0.75)


def test_the_ema_decay_is_small_in_the_first_steps():
    assert [ema_decay(0.995, step) for step in (0, 8)] == [0.1, 0.5]
    assert ema_decay(0.995, 10**5) == pytest.approx(0.995)
