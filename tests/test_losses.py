import math

import pytest
import torch
from torch.nn import functional

from gliomaseg.losses import LOSSES, cross_entropy


def test_cross_entropy_of_undecided_logits_is_log_two():
    loss = cross_entropy(torch.zeros(1, 2, 3, 3), torch.ones(1, 3, 3, dtype=torch.bool))
    assert loss.item() == pytest.approx(math.log(2))


def test_cross_entropy_equals_torchs_own_over_pictures():
    torch.manual_seed(0)
    logits, masks = torch.randn(3, 2, 8, 8), torch.rand(3, 8, 8) > 0.7
    assert cross_entropy(logits, masks).item() == pytest.approx(functional.cross_entropy(logits, masks.long()).item())


@pytest.mark.parametrize("name", LOSSES)
def test_a_right_answer_costs_less_than_a_wrong_one(name):
    masks = torch.tensor([[[True, False]]])
    right = torch.tensor([[[[-4.0, 4.0]], [[4.0, -4.0]]]])
    assert LOSSES[name](right, masks) < LOSSES[name](-right, masks)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_finite_where_there_is_no_tumour(name):
    logits = torch.randn(2, 2, 4, 4, requires_grad=True)
    loss = LOSSES[name](logits, torch.zeros(2, 4, 4, dtype=torch.bool))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()
