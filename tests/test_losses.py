import math

import pytest
import torch
from torch.nn import functional

from gliomaseg.config import LOSS_NAMES
from gliomaseg.losses import LOSSES, bce, build_loss, cross_entropy, dice, focal, slice_dice, training_loss, tversky
from gliomaseg.networks.outputs import Supervised


def noise():
    torch.manual_seed(0)
    return torch.randn(3, 2, 8, 8), torch.rand(3, 8, 8) > 0.7


def test_the_losses_are_those_that_a_recipe_may_name():
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


@pytest.mark.parametrize("loss", [dice, tversky])
def test_an_overlap_pools_the_batch(loss):
    logits, masks = noise()
    pooled = loss(logits.movedim(1, 0).reshape(1, 2, 24, 8), masks.reshape(1, 24, 8))
    assert loss(logits, masks).item() == pytest.approx(pooled.item())


@pytest.mark.parametrize("loss", [dice, tversky])
def test_an_overlap_costs_nothing_where_nothing_is_rightly_predicted(loss):
    nothing = torch.tensor([40.0, -40.0]).view(1, 2, 1, 1).expand(1, 2, 4, 4)
    assert loss(nothing, torch.zeros(1, 4, 4, dtype=torch.bool)).item() == pytest.approx(0, abs=1e-6)


def test_slice_dice_is_the_mean_of_each_tumour_slices_own():
    logits, masks = noise()
    masks[1] = False
    own = [dice(logits[k : k + 1], masks[k : k + 1]).item() for k in (0, 2)]
    assert slice_dice(logits, masks).item() == pytest.approx(sum(own) / 2)


def test_slice_dice_of_a_batch_without_tumour_is_nothing_and_can_be_learned_from():
    logits = torch.randn(2, 2, 4, 4, requires_grad=True)
    loss = slice_dice(logits, torch.zeros(2, 4, 4, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_tversky_charges_more_for_a_miss_than_for_a_false_alarm():
    masks = torch.tensor([[[True, True, False, False]]])
    missed = torch.tensor([9.0, -9.0, -9.0, -9.0])
    alarmed = torch.tensor([9.0, 9.0, 9.0, -9.0])
    losses = [tversky(torch.stack([-d / 2, d / 2]).view(1, 2, 1, 4), masks).item() for d in (missed, alarmed)]
    assert losses == pytest.approx([1 - 2 / 2.7, 1 - 3 / 3.3], abs=1e-3)


def test_focal_weighs_a_right_pixel_by_the_square_of_its_doubt():
    logits = torch.tensor([0.0, math.log(3)]).view(1, 2, 1, 1)  # p = 3/4
    assert focal(logits, torch.tensor([[[True]]])).item() == pytest.approx(math.log(4 / 3) / 16)
    assert focal(logits, torch.tensor([[[False]]])).item() == pytest.approx(math.log(4) * 9 / 16)


def test_a_sum_is_the_weighted_sum_of_its_terms():
    logits, masks = noise()
    expected = 0.5 * bce(logits, masks) + 2 * dice(logits, masks)
    assert build_loss("0.5 bce + 2 dice")(logits, masks).item() == pytest.approx(expected.item())


def test_a_single_name_is_the_member_itself():
    assert build_loss("cross_entropy") is cross_entropy


def test_coarser_levels_weigh_half_as_much_each():
    masks = torch.zeros(1, 4, 4, dtype=torch.bool)
    masks[0, :2, :2] = True
    output = Supervised(torch.full((1, 2, 4, 4), 1.0), (torch.full((1, 2, 2, 2), 2.0), torch.full((1, 2, 1, 1), 4.0)))
    seen = []

    def loss(logits, reference):
        seen.append(reference.tolist())
        return logits.mean()

    value = training_loss(loss, output, masks).item()
    assert value == pytest.approx((1 + 2 / 2 + 4 / 4) / (1 + 1 / 2 + 1 / 4))
    assert seen[1] == [[[True, False], [False, False]]]
    assert seen[2] == [[[False]]]


def test_presence_is_learned_from_whether_there_is_any_tumour():
    masks = torch.zeros(2, 4, 4, dtype=torch.bool)
    masks[0, 1, 1] = True
    logits = torch.zeros(2, 2, 4, 4)
    right, wrong = (Supervised(logits, (), torch.tensor(p)) for p in ([5.0, -5.0], [-5.0, 5.0]))
    assert training_loss(bce, right, masks) < training_loss(bce, wrong, masks)
    undecided = training_loss(bce, Supervised(logits, (), torch.zeros(2)), masks)
    assert undecided.item() == pytest.approx(1.1 * math.log(2))


@pytest.mark.parametrize("name", [*LOSSES, "0.5 bce + dice"])
def test_a_right_answer_costs_less_than_a_wrong_one(name):
    masks = torch.tensor([[[True, False]]])
    right = torch.tensor([[[[-4.0, 4.0]], [[4.0, -4.0]]]])
    assert build_loss(name)(right, masks) < build_loss(name)(-right, masks)


@pytest.mark.parametrize("size", [1.0, 1e4])
@pytest.mark.parametrize("tumour", [False, True])
@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_and_its_slope_are_finite_where_all_is_one_class(name, tumour, size):
    logits = (torch.randn(2, 2, 4, 4) * size).requires_grad_()
    loss = LOSSES[name](logits, torch.full((2, 4, 4), tumour))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_computed_in_float32(name):
    logits, masks = noise()
    assert LOSSES[name](logits.bfloat16(), masks).dtype == torch.float32
