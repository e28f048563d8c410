"""The brain in a stack of slices: on heads that are drawn from circles, and on real ones."""

import numpy as np
import pytest

from gliomaseg.config import Preprocessing
from gliomaseg.data.case import read_case
from gliomaseg.data.layouts import read_cases
from gliomaseg.preprocessing import brain_mask, prepare, prepare_mask

SIDE, SLICES = 128, 9
SCALP_PX, SKULL_PX, BRAIN_PX = 46, 42, 36  # outer radii


def distance() -> np.ndarray:
    y, x = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    return np.hypot(y, x)


def head(scalp: int = 200, skull: int = 15, brain: int = 100) -> np.ndarray:
    """Return equal slices of a round head, uint8, shape (SLICES, SIDE, SIDE)."""
    r = distance()
    levels = np.select([r < BRAIN_PX, r < SKULL_PX, r < SCALP_PX], [brain, skull, scalp], 0)
    return np.repeat(levels[None].astype(np.uint8), SLICES, axis=0)


def nothing() -> np.ndarray:
    return np.zeros((SLICES, SIDE, SIDE), bool)


@pytest.mark.parametrize("scalp", [200, 90])  # 90: with fat suppression
def test_the_brain_of_a_round_head_is_found_to_a_pixel(scalp):
    found = brain_mask(head(scalp=scalp), keep=nothing())
    assert found[:, distance() < BRAIN_PX - 2].all()
    assert not found[:, distance() > BRAIN_PX + 2].any()


def test_a_head_without_skull_is_kept_whole():
    stripped = np.where(distance() < BRAIN_PX, head(), 0).astype(np.uint8)
    found = brain_mask(stripped, keep=nothing())
    assert found[:, distance() < BRAIN_PX - 2].all()


def test_a_bright_tumour_is_kept():
    flair, tumour = head(), nothing()
    tumour[4, 60:70, 85:99] = True  # up to the skull
    flair[tumour] = 250
    assert brain_mask(flair, keep=tumour)[tumour].all()


def test_pixels_to_keep_outside_of_the_head_are_kept():
    keep = nothing()
    keep[2, 1:3, 1:3] = True
    assert brain_mask(head(), keep=keep)[keep].all()


def test_a_black_stack_has_only_what_is_to_be_kept():
    keep = nothing()
    keep[0, 5, 5] = True
    assert np.array_equal(brain_mask(np.zeros((SLICES, SIDE, SIDE), np.uint8), keep=keep), keep)


def test_a_stack_without_contrast_is_kept_whole():
    found = brain_mask(np.full((SLICES, SIDE, SIDE), 255, np.uint8), keep=nothing())
    assert found.mean() > 0.99  # the opening rounds the corners


def test_one_slice_is_enough():
    assert brain_mask(head()[:1], keep=nothing()[:1]).sum() == pytest.approx(np.pi * BRAIN_PX**2, rel=0.05)


def test_empty_slices_at_the_ends_stay_empty():
    flair = head()
    flair[[0, -1]] = 0
    assert not brain_mask(flair, keep=nothing())[[0, -1]].any()


@pytest.mark.real_data
def test_real_heads_lose_their_scalp_and_keep_their_brain(real_data):
    settings = Preprocessing(size_px=128, input="flair")
    for case in read_cases(real_data).cases[:6]:
        loaded = read_case(case)
        prepared = prepare(loaded.scan, settings)
        flair, tumour = prepared.slices[:, 0], prepare_mask(loaded.reference, prepared)
        found = brain_mask(flair, keep=tumour)
        middle = len(flair) * 6 // 10
        share = found[middle].sum() / (flair[middle] > 20).sum()
        assert 0.6 < share < 0.95, case.name  # checked on images: scalp and skull are 10 to 25 % of these slices
        assert found[tumour].all()
