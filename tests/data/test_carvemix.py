"""CarveMix copies a donor's tumour with a margin, and only into the head."""

import numpy as np
import pytest
import torch

from gliomaseg.data.augmentation.carvemix import Slices, graft_tumours

SIDE = 40
NEAREST = 0.0  # the draw for a margin of one pixel


def head(level: float, count: int = 1, channels: int = 1) -> torch.Tensor:
    """Return uniform discs with a radius of 15 pixels on black (0)."""
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    disc = ((y - 20) ** 2 + (x - 20) ** 2 < 15**2).float() * level
    return disc.expand(count, channels, SIDE, SIDE).clone()


def square(top: int, left: int, side: int = 4) -> torch.Tensor:
    mask = torch.zeros(1, SIDE, SIDE, dtype=torch.bool)
    mask[:, top : top + side, left : left + side] = True
    return mask


def draws(reach: float = NEAREST, *, mirrored: bool = False) -> np.ndarray:
    return np.array([[reach, 0.0 if mirrored else 0.9]])


LEVEL = 0.5  # between black and the level of the hosts' heads


def grafted(images, masks, donors, donor_masks, draw_values, *, sequences):
    levels = torch.full((len(images),), LEVEL)
    return graft_tumours(Slices(images, masks), Slices(donors, donor_masks), levels, draw_values, sequences=sequences)


NO_TUMOUR = torch.zeros(1, SIDE, SIDE, dtype=torch.bool)


def test_only_the_tumour_and_its_margin_are_copied():
    images, masks = grafted(head(1), NO_TUMOUR, head(3), square(18, 12), draws(), sequences=1)
    assert torch.equal(masks, square(18, 12))
    assert (images[0, 0, 18:22, 12:16] == 3).all()
    # The margin is one pixel, with a soft border of half a pixel: pixels two away stay.
    assert 1 < images[0, 0, 17, 12] < 3
    assert torch.equal(images[0, 0, :, 18:], head(1)[0, 0, :, 18:])


def test_a_mirrored_donor_changes_the_other_side():
    _, masks = grafted(head(1), NO_TUMOUR, head(3), square(18, 12), draws(mirrored=True), sequences=1)
    assert torch.equal(masks, square(18, 12).flip(-1))


def test_the_margin_grows_with_the_draw():
    widths = [
        int((grafted(head(1), NO_TUMOUR, head(3), square(18, 18), draws(reach), sequences=1)[0][0, 0, 20] == 3).sum())
        for reach in (0.0, 0.5, 0.99)
    ]
    assert widths == [4, 10, 14]  # 4 + 2 * margin, minus a soft pixel on each side: margins 1, 4, 6


def test_a_tumour_outside_the_head_is_not_copied():
    host, donor = head(1), torch.ones(1, 1, SIDE, SIDE)
    images, masks = grafted(host, square(20, 20), donor, square(0, 0), draws(), sequences=1)
    assert torch.equal(images, host)
    assert torch.equal(masks, square(20, 20))


def test_noise_around_the_head_does_not_belong_to_the_head():
    noise = torch.rand(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * LEVEL * 0.9
    host, donor = head(1) + noise, torch.ones(1, 1, SIDE, SIDE)
    assert not grafted(host, NO_TUMOUR, donor, square(0, 0), draws(), sequences=1).masks.any()
    assert grafted(host, NO_TUMOUR, donor, square(18, 18), draws(), sequences=1).masks.any()


def test_a_dark_part_of_the_head_belongs_to_the_head():
    host = head(1)
    host[:, :, 15:25, 15:25] = 0
    assert grafted(host, NO_TUMOUR, head(3), square(18, 18), draws(), sequences=1).masks.any()


def test_a_donor_without_tumour_changes_nothing():
    host = head(1)
    images, masks = grafted(host, square(20, 20), head(3), NO_TUMOUR, draws(), sequences=1)
    assert torch.equal(images, host)
    assert torch.equal(masks, square(20, 20))


def test_the_hosts_tumour_stays_except_under_the_copied_region():
    _, masks = grafted(head(1), square(18, 12, 6), head(3), square(18, 16), draws(), sequences=1)
    expected = square(18, 12, 6)
    expected[:, 17:23, 15:21] = False
    assert torch.equal(masks, expected | square(18, 16))


@pytest.mark.parametrize(
    ("without_t1", "mixed"), [("both", True), ("neither", True), ("host", False), ("donor", False)]
)
def test_hosts_and_donors_with_different_sequences_are_not_mixed(without_t1, mixed):
    t1_flair = [torch.cat([head(level + 1), head(level)], dim=1) for level in (1, 3)]
    for k, role in enumerate(("host", "donor")):
        if without_t1 in (role, "both"):
            t1_flair[k][:, 0] = t1_flair[k][:, 1]
    _, masks = grafted(t1_flair[0], NO_TUMOUR, t1_flair[1], square(18, 18), draws(), sequences=2)
    assert bool(masks.any()) is mixed


def test_context_slices_are_copied_too():
    host, donor = head(1, channels=3), head(3, channels=3) * torch.tensor([1.0, 2.0, 3.0])[None, :, None, None]
    images, _ = grafted(host, NO_TUMOUR, donor, square(18, 18), draws(), sequences=1)
    assert images[0, :, 20, 20].tolist() == [3, 6, 9]


def test_a_slice_does_not_depend_on_its_batch():
    generator = torch.Generator().manual_seed(0)
    hosts, donors = (head(2, 3) + torch.rand(3, 1, SIDE, SIDE, generator=generator) for _ in range(2))
    donor_masks = torch.cat([square(18, 12), square(15, 20), NO_TUMOUR])
    draw_values = np.array([[0.1, 0.9], [0.7, 0.2], [0.5, 0.5]])
    no_tumour = NO_TUMOUR.expand(3, -1, -1)
    in_one_batch = grafted(hosts, no_tumour, donors, donor_masks, draw_values, sequences=1)
    for k in range(3):
        alone = grafted(hosts[[k]], no_tumour[[k]], donors[[k]], donor_masks[[k]], draw_values[[k]], sequences=1)
        assert all(torch.equal(one[0], all_of_them[k]) for one, all_of_them in zip(alone, in_one_batch, strict=True))
