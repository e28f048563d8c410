"""Warnings for scans that do not look like FLAIR of a head."""

import numpy as np
import pytest

from gliomaseg.config import Preprocessing
from gliomaseg.data.case import read_case
from gliomaseg.data.layouts import read_cases
from gliomaseg.phantoms import phantom_patient
from gliomaseg.prediction.image_features import image_features
from gliomaseg.prediction.input_checks import (
    BRIGHT_REGION,
    EMPTY,
    LOW_DICE,
    NO_BRAIN,
    NO_HEAD,
    NO_T1,
    NOT_T1,
    OTHER_SEQUENCE,
    SMALL_VOLUME,
    T1_COPY,
    bright_region_warnings,
    dice_warnings,
    input_warnings,
    volume_warnings,
)
from gliomaseg.preprocessing import prepare

SHAPE = (12, 1, 128, 128)
FLAIR = Preprocessing(size_px=128, input="flair")


def disc(radius_px, level):
    y, x = np.mgrid[:128, :128]
    return ((y - 63.5) ** 2 + (x - 63.5) ** 2 < radius_px**2) * np.full(SHAPE, level, np.uint8)


@pytest.fixture(scope="module")
def phantom():
    return np.moveaxis(phantom_patient(0, side_px=256, slices=20).image, 3, 1)


def test_the_flair_of_a_phantom_has_no_warning(phantom):
    assert input_warnings(phantom[:, 1:2], Preprocessing(size_px=256, input="flair")) == ()
    assert input_warnings(phantom, Preprocessing(size_px=256, input="t1_flair_t1ce")) == ()
    assert input_warnings(phantom[:, :2], Preprocessing(size_px=256, input="t1_flair")) == ()


def test_a_bright_region_is_a_warning_only_without_skull():
    lesion, skull = disc(45, 100), disc(50, 200)
    lesion[disc(10, 1) > 0] = 200
    assert bright_region_warnings(lesion, FLAIR) == (BRIGHT_REGION,)
    assert bright_region_warnings(disc(45, 100), FLAIR) == ()
    skull[disc(46, 1) > 0] = 20
    skull[disc(43, 1) > 0] = lesion[disc(43, 1) > 0]
    assert bright_region_warnings(skull, FLAIR) == ()
    assert bright_region_warnings(lesion, Preprocessing(size_px=128, input="grey")) == ()
    assert bright_region_warnings(np.maximum(lesion, 1), FLAIR) == ()  # the background is not black


@pytest.mark.parametrize(
    ("slices", "voxels", "voxel_ml", "warned"),
    [
        (10, 599, 0.01, True),  # 5.99 ml
        (10, 600, 0.01, False),
        (10, 1, 0.01, True),
        (10, 0, 0.01, False),
        (9, 599, 0.01, False),
        (10, 599, None, False),
    ],
)
def test_a_small_volume_in_a_whole_head_gives_a_warning(slices, voxels, voxel_ml, warned):
    mask = np.zeros((slices, 100, 10), bool)
    mask.ravel()[:voxels] = True
    assert volume_warnings(mask, voxel_ml) == ((SMALL_VOLUME,) if warned else ())


@pytest.mark.parametrize(("predicted_dice", "warned"), [(0.59, True), (0.6, False), (None, False)])
def test_a_low_predicted_dice_gives_a_warning(predicted_dice, warned):
    assert dice_warnings(predicted_dice) == ((LOW_DICE,) if warned else ())


@pytest.mark.parametrize("channels", ["t1_flair", "t1_flair_t1ce"])
def test_a_missing_t1_gives_a_warning_for_a_t1_model(phantom, channels):
    without_t1 = phantom[:, [1, 1, 2] if channels == "t1_flair_t1ce" else [1, 1]]
    assert input_warnings(without_t1, Preprocessing(size_px=256, input=channels)) == (NO_T1,)
    assert input_warnings(without_t1[:3], Preprocessing(size_px=256, input=channels)) == (NO_T1,)


@pytest.mark.parametrize("channels", ["t1_flair", "t1_flair_t1ce"])
def test_a_t1_channel_that_does_not_look_like_t1_gives_a_warning(phantom, channels):
    count = 3 if channels == "t1_flair_t1ce" else 2
    darker, black = phantom[:, :count].copy(), phantom[:, :count].copy()
    darker[:, 0] = phantom[:, 1] * 0.9
    black[:, 0] = 0
    for wrong in (darker, black):
        assert input_warnings(wrong, Preprocessing(size_px=256, input=channels)) == (NOT_T1,)
    assert input_warnings(darker[:3], Preprocessing(size_px=256, input=channels)) == ()


def test_the_t1_of_a_phantom_gives_a_warning_as_flair(phantom):
    assert input_warnings(phantom[:, :1], Preprocessing(size_px=256, input="flair")) == (OTHER_SEQUENCE,)


def test_grey_or_coarse_input_has_no_sequence_warning(phantom):
    assert input_warnings(phantom[:, :1], Preprocessing(size_px=256, input="grey")) == ()
    assert input_warnings(phantom[:, :1, ::4, ::4], Preprocessing(size_px=64, input="flair")) == ()


def test_merged_slices_have_no_sequence_warning(phantom):
    assert input_warnings(phantom[:, :1], Preprocessing(size_px=256, input="flair"), merged=True) == ()
    assert input_warnings(np.zeros(SHAPE, np.uint8), FLAIR, merged=True) == (EMPTY,)


def test_a_black_stack_is_reported_as_almost_black():
    assert input_warnings(np.zeros(SHAPE, np.uint8), FLAIR) == (EMPTY,)
    assert input_warnings(np.zeros((1, 1, 128, 128), np.uint8), FLAIR) == (EMPTY,)


@pytest.mark.parametrize("level", [90, 255])
def test_a_uniform_stack_does_not_pass_as_a_head(level):
    assert input_warnings(np.full(SHAPE, level, np.uint8), FLAIR) == (NO_HEAD,)


def test_noise_does_not_pass_as_a_head():
    generator = np.random.default_rng(0)
    assert input_warnings(generator.integers(0, 256, SHAPE, np.uint8), FLAIR) == (NO_HEAD,)
    assert input_warnings(np.clip(generator.rayleigh(30, SHAPE), 0, 255).astype(np.uint8), FLAIR) == (NO_HEAD,)


def test_a_uniform_disc_passes_as_a_head_but_not_as_a_brain():
    assert input_warnings(disc(45, 150), FLAIR) == (NO_BRAIN,)


def test_a_thin_bar_does_not_pass_as_a_head():
    bar = np.zeros(SHAPE, np.uint8)
    bar[:, :, 56:72, 8:120] = 150
    assert input_warnings(bar, FLAIR) == (NO_HEAD,)


def test_a_short_stack_is_only_checked_for_black():
    assert input_warnings(disc(45, 150)[:3], FLAIR) == ()


def test_the_features_of_a_disc_equal_the_hand_calculation():
    seen = image_features(disc(40, 100)[:, 0])
    assert seen.area == pytest.approx(np.pi * 41**2 / 128**2, rel=0.02)  # smoothing reaches one pixel further
    assert seen.fullness == pytest.approx(1, abs=0.02)
    assert seen.elongation == pytest.approx(1, abs=0.01)
    assert seen.background == pytest.approx(0, abs=0.01)
    assert seen.slices == 12
    # All of the inside is its own median, the third of six levels: every pair is that level beside itself.
    assert np.exp(seen.pairs).argmax() == 11
    assert np.exp(seen.pairs[11]) == pytest.approx(1.001)


def test_slices_with_a_small_head_do_not_count():
    stack = np.concatenate([disc(40, 100), disc(10, 100)[:5]])
    assert image_features(stack[:, 0]).slices == 12


@pytest.mark.real_data
def test_real_flair_has_no_warning_and_real_t1_has_one(real_data):
    flair = t1 = 0
    cases = read_cases(real_data).cases[1:40:2]  # those that the limits were not fitted on
    for case in cases:
        voxels = read_case(case).scan.voxels
        flair += bool(input_warnings(voxels[..., 1][:, None], Preprocessing(size_px=256, input="flair")))
        t1 += bool(input_warnings(voxels[..., 0][:, None], Preprocessing(size_px=256, input="flair")))
    assert flair == 0
    assert t1 >= 15


def test_a_volume_is_checked_after_its_preparation(phantom):
    from gliomaseg.scan import Scan

    affine = np.diag([0.84, 0.84, 5.0, 1.0])
    scan = Scan(np.moveaxis(phantom[:, 1:2], 1, 3), "here", affine)
    prepared = prepare(scan, Preprocessing(size_px=192, input="flair"))
    assert input_warnings(prepared.slices, Preprocessing(size_px=192, input="flair")) == ()


def test_a_t1_that_is_a_copy_of_flair_is_named_as_one(phantom):
    copied = phantom[:, [1, 1]]
    assert input_warnings(copied, Preprocessing(size_px=256, input="t1_flair"), has_t1=True) == (T1_COPY,)
