import math

import pytest
import torch
from torch.nn import functional

from gliomaseg.config import LOSS_NAMES
from gliomaseg.losses import LOSSES, bce, build_loss, cross_entropy, dice


def noise():
    torch.manual_seed(0)
    return torch.randn(3, 2, 8, 8), torch.rand(3, 8, 8) > 0.7


def test_recipes_can_name_every_loss():
    assert tuple(LOSSES) == LOSS_NAMES


def test_cross_entropy_of_undecided_logits_is_log_two():
    loss = cross_entropy(torch.zeros(1, 2, 3, 3), torch.ones(1, 3, 3, dtype=torch.bool))
    assert loss.item() == pytest.approx(math.log(2))


def test_cross_entropy_equals_torchs_own_over_pictures():
    logits, masks = noise()
    assert cross_entropy(logits, masks).item() == pytest.approx(functional.cross_entropy(logits, masks.long()).item())


def test_bce_is_the_cross_entropy_of_two_classes():
    logits, masks = noise()
    assert bce(logits, masks).item() == pytest.approx(cross_entropy(logits, masks).item(), rel=1e-6)


def test_dice_pools_the_batch():
    logits, masks = noise()
    pooled = dice(logits.movedim(1, 0).reshape(1, 2, 24, 8), masks.reshape(1, 24, 8))
    assert dice(logits, masks).item() == pytest.approx(pooled.item())


def test_dice_of_an_empty_prediction_without_tumour_is_zero():
    nothing = torch.tensor([40.0, -40.0]).view(1, 2, 1, 1).expand(1, 2, 4, 4)
    assert dice(nothing, torch.zeros(1, 4, 4, dtype=torch.bool)).item() == pytest.approx(0, abs=1e-6)


def test_a_sum_is_the_weighted_sum_of_its_terms():
    logits, masks = noise()
    expected = 0.5 * bce(logits, masks) + 2 * dice(logits, masks)
    assert build_loss("0.5 bce + 2 dice")(logits, masks).item() == pytest.approx(expected.item())


def test_a_single_name_is_the_member_itself():
    assert build_loss("cross_entropy") is cross_entropy


@pytest.mark.parametrize("name", [*LOSSES, "0.5 bce + dice"])
def test_a_correct_prediction_has_a_lower_loss(name):
    masks = torch.tensor([[[True, False]]])
    right = torch.tensor([[[[-4.0, 4.0]], [[4.0, -4.0]]]])
    assert build_loss(name)(right, masks) < build_loss(name)(-right, masks)


@pytest.mark.parametrize("size", [1.0, 1e4])
@pytest.mark.parametrize("tumour", [False, True])
@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_and_its_gradient_are_finite_for_one_class(name, tumour, size):
    logits = (torch.randn(2, 2, 4, 4) * size).requires_grad_()
    loss = LOSSES[name](logits, torch.full((2, 4, 4), tumour))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_computed_in_float32(name):
    logits, masks = noise()
    assert LOSSES[name](logits.bfloat16(), masks).dtype == torch.float32
