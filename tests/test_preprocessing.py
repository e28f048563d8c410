"""From a scan to what a network takes, and back: values worked by hand or by another library."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from gliomaseg.config import Preparation
from gliomaseg.preprocessing import Prepared, normalise, prepare, prepare_mask, restore
from gliomaseg.scan import Scan

GREY = Preparation(size_px=32, channels="grey")
FLAIR = Preparation(size_px=32, channels="flair")
ALL = Preparation(size_px=32, channels="all")


def noise(*shape: int, seed: int = 0, high: int = 256, dtype: Any = np.uint8) -> NDArray[Any]:
    return np.random.default_rng(seed).integers(0, high, shape, dtype)


def prepared(voxels: NDArray[Any], preparation: Preparation) -> NDArray[np.uint8]:
    return prepare(Scan(voxels, "here"), preparation).slices


# --- channels


def test_grey_is_what_pillow_calls_grey() -> None:
    voxels = noise(2, 32, 32, 3)
    expected = [np.asarray(Image.fromarray(plane).convert("L")) for plane in voxels]
    assert np.array_equal(prepared(voxels, GREY)[:, 0], expected)


def test_grey_is_the_luminance_mixture_within_one_level() -> None:
    voxels = noise(2, 32, 32, 3)
    expected = 0.299 * voxels[..., 0] + 0.587 * voxels[..., 1] + 0.114 * voxels[..., 2]
    assert np.abs(prepared(voxels, GREY)[:, 0] - expected).max() <= 1


def test_grey_takes_red_first() -> None:
    voxels = np.zeros((1, 32, 32, 3), np.uint8)
    voxels[..., 0] = 200
    assert (prepared(voxels, GREY) == 60).all()  # 0.299 * 200 = 59.8


def test_flair_is_channel_one() -> None:
    voxels = noise(2, 32, 32, 3)
    assert np.array_equal(prepared(voxels, FLAIR)[:, 0], voxels[..., 1])


def test_all_keeps_three_channels_in_order() -> None:
    voxels = noise(2, 32, 32, 3)
    assert np.array_equal(prepared(voxels, ALL), np.moveaxis(voxels, 3, 1))


@pytest.mark.parametrize("preparation", [GREY, FLAIR])
def test_single_channel_stays_as_it_is(preparation: Preparation) -> None:
    voxels = noise(2, 32, 32, 1)
    assert np.array_equal(prepared(voxels, preparation)[:, 0], voxels[..., 0])


def test_single_channel_is_repeated_where_all_are_asked_for() -> None:
    voxels = noise(2, 32, 32, 1)
    assert np.array_equal(prepared(voxels, ALL), np.repeat(np.moveaxis(voxels, 3, 1), 3, axis=1))


# --- size


def test_slices_of_the_networks_size_are_not_resampled() -> None:
    voxels = noise(1, 256, 256, 3)
    assert np.array_equal(prepared(voxels, Preparation(channels="all")), np.moveaxis(voxels, 3, 1))


def test_resize_is_pillows_bilinear_of_the_colours_before_they_are_mixed() -> None:
    voxels = noise(1, 40, 24, 3)
    expected = Image.fromarray(voxels[0]).resize((32, 32), Image.Resampling.BILINEAR).convert("L")
    assert np.array_equal(prepared(voxels, GREY)[0, 0], np.asarray(expected))


def test_halving_a_ramp_keeps_its_slope() -> None:
    # Columns 0, 2, 4 ... 126: bilinear halving weighs 4 columns 1 3 3 1, so column k becomes 4 k + 1.
    ramp = np.tile(np.arange(0, 128, 2, dtype=np.uint8), (64, 1))[None, ..., None]
    inner = prepared(ramp, GREY)[0, 0][:, 1:-1]
    assert (inner == 4 * np.arange(1, 31) + 1).all()


def test_rows_and_columns_are_not_exchanged() -> None:
    voxels = np.zeros((1, 64, 96, 1), np.uint8)
    voxels[:, :32] = 200  # the upper half
    small = prepared(voxels, GREY)[0, 0]
    assert (small[:15] == 200).all()
    assert (small[17:] == 0).all()


def test_grid_is_rows_and_columns() -> None:
    assert prepare(Scan(noise(1, 200, 300, 3), "here"), GREY).grid == (200, 300)


def test_scan_is_not_changed() -> None:
    voxels = noise(1, 40, 24, 3)
    before = voxels.copy()
    prepared(voxels, GREY)
    assert np.array_equal(voxels, before)


# --- masks


def test_mask_is_resized_to_the_nearest_pixel() -> None:
    mask = noise(2, 64, 64, high=2).astype(bool)
    assert np.array_equal(prepare_mask(mask, GREY), mask[:, 1::2, 1::2])


@pytest.mark.parametrize("shape", [(64, 64), (200, 300), (20, 50), (33, 31)])
def test_mask_stays_binary_and_its_share_stays(shape: tuple[int, int]) -> None:
    mask = np.zeros((1, *shape), bool)
    mask[:, : shape[0] // 2] = True
    small = prepare_mask(mask, GREY)
    assert (small.shape, small.dtype) == ((1, 32, 32), np.bool_)
    assert small.mean() == pytest.approx(mask.mean(), abs=1 / 32)


def test_mask_of_the_networks_size_is_unchanged() -> None:
    mask = noise(2, 32, 32, high=2).astype(bool)
    assert np.array_equal(prepare_mask(mask, GREY), mask)


# --- normalised values


def test_normalised_values_are_v_over_255_less_a_half_over_a_half() -> None:
    slices = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    expected = (np.arange(256) / 255 - 0.5) / 0.5
    values = normalise(slices, Preparation())
    assert values.dtype == np.float32
    assert np.abs(values[0, 0].ravel() - expected).max() < 1e-6


def test_normalised_values_follow_mean_and_std() -> None:
    values = normalise(np.full((1, 1, 1, 1), 255, np.uint8), Preparation(mean=0.2, std=0.4))
    assert values.ravel().tolist() == pytest.approx([2, 2, 2])  # (1 - 0.2) / 0.4


def test_single_channel_is_given_three_times() -> None:
    values = normalise(noise(2, 1, 4, 4), Preparation())
    assert values.shape == (2, 3, 4, 4)
    assert np.array_equal(values[:, 0], values[:, 1])
    assert np.array_equal(values[:, 0], values[:, 2])


def test_three_channels_keep_their_order() -> None:
    slices = np.array([0, 51, 255], np.uint8).reshape(1, 3, 1, 1)
    assert normalise(slices, Preparation()).ravel().tolist() == pytest.approx([-1, -0.6, 1])


# --- back to the scan's own grid


def test_restored_probability_has_the_scans_grid_and_type() -> None:
    back = restore(np.zeros((2, 32, 32), np.float32), Prepared(np.zeros((2, 1, 32, 32), np.uint8), (200, 300)))
    assert (back.shape, back.dtype) == ((2, 200, 300), np.float32)


def test_restored_probability_of_the_same_grid_is_unchanged() -> None:
    probability = np.random.default_rng(0).random((2, 32, 32), np.float32)
    assert np.array_equal(restore(probability, Prepared(noise(2, 1, 32, 32), (32, 32))), probability)


@pytest.mark.parametrize("grid", [(200, 300), (300, 200), (20, 30), (31, 33), (7, 500)])
def test_restored_probability_stays_between_0_and_1(grid: tuple[int, int]) -> None:
    probability = noise(1, 32, 32, high=2).astype(np.float32)
    back = restore(probability, Prepared(noise(1, 1, 32, 32), grid))
    assert back.min() >= 0
    assert back.max() <= 1


@pytest.mark.parametrize("shape", [(200, 300), (300, 200), (64, 48)])
def test_mask_that_goes_there_and_back_lies_where_it_lay(shape: tuple[int, int]) -> None:
    rows, columns = shape
    mask = np.zeros((1, rows, columns), bool)
    mask[0, rows // 8 : rows // 2, columns // 2 : 7 * columns // 8] = True
    there = prepare(Scan(np.zeros((1, rows, columns, 3), np.uint8), "here"), Preparation(size_px=256))
    back = restore(prepare_mask(mask, Preparation(size_px=256)).astype(np.float32), there) > 0.5
    differing = np.argwhere(back[0] != mask[0])
    # Only pixels on the rectangle's edge may flip: a pixel either side of it.
    near = [
        min(abs(y - rows // 8), abs(y - rows // 2)) <= 1 or min(abs(x - columns // 2), abs(x - 7 * columns // 8)) <= 1
        for y, x in differing
    ]
    assert all(near)
    assert back.sum() == pytest.approx(mask.sum(), rel=0.05)


# --- 16 bits


def test_16_bits_are_scaled_by_the_percentile_of_what_is_not_zero() -> None:
    voxels = np.zeros((1, 32, 32, 1), np.uint16)
    voxels[0, :16] = 4000
    voxels[0, 16:20] = 1000
    # 512 of 640 bright voxels are 4000, and so is their 99.5 percentile: 1000 becomes 63.75.
    slices = prepared(voxels, GREY)[0, 0]
    assert (int(slices[0, 0]), int(slices[16, 0]), int(slices[31, 0])) == (255, 64, 0)


def test_16_bit_voxels_above_the_percentile_are_255_and_do_not_wrap() -> None:
    voxels = np.full((1, 32, 32, 1), 1000, np.uint16)
    voxels[0, 0, 0] = 65535  # one of 1,024: above the percentile
    assert (prepared(voxels, GREY) == 255).all()


def test_16_bits_are_scaled_over_the_whole_scan() -> None:
    voxels = np.full((2, 32, 32, 1), 4000, np.uint16)
    voxels[1] = 2000
    assert prepared(voxels, GREY)[:, 0, 0, 0].tolist() == [255, 128]  # 127.5, to the even one


def test_16_bits_of_zero_are_zero() -> None:
    assert not prepared(np.zeros((2, 32, 32, 3), np.uint16), ALL).any()


def test_16_bit_colours_keep_their_order() -> None:
    voxels = np.zeros((1, 32, 32, 3), np.uint16)
    voxels[..., 1] = 500
    assert prepared(voxels, ALL)[0, :, 0, 0].tolist() == [0, 255, 0]
