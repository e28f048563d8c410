"""From any intensities to 8 bits: scale, offset, sign and order of the voxels do not matter."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gliomaseg.preprocessing.intensity import Window, eight_bits, window_of


def whole_head() -> NDArray[np.float64]:
    """Return a ball of brain (600 to 1,000) with a bright spot in noisy air (0 to 30)."""
    generator = np.random.default_rng(0)
    volume = generator.uniform(0, 30, (20, 32, 30))
    z, y, x = np.ogrid[-1:1:20j, -1:1:32j, -1:1:30j]
    ball = z * z + y * y + x * x < 0.8
    volume[ball] = generator.uniform(600, 1000, int(ball.sum()))
    volume[9:11, 10:14, 10:14] = 2000
    return volume.round()


def stripped() -> NDArray[np.float64]:
    volume = whole_head()
    volume[volume < 100] = 0
    return volume


def levels(volume: NDArray[Any]) -> NDArray[np.int64]:
    return eight_bits(volume, window_of(volume), p99_5_level=157).astype(np.int64)


def test_a_magnitude_image_starts_at_zero() -> None:
    window = window_of(whole_head())
    assert (window.floor, window.padding) == (0, None)
    assert window.top == np.percentile(whole_head()[whole_head() > 0], 99.5)


def test_padding_is_background() -> None:
    volume = stripped()
    assert window_of(volume) == Window(0, np.percentile(volume[volume > 0], 99.5), 0)


def test_the_top_becomes_the_bright_level_and_what_is_brighter_rises_on() -> None:
    volume = np.array([[[0.0, 50, 100, 150, 300]]])
    assert eight_bits(volume, Window(0, 100), p99_5_level=150).ravel().tolist() == [0, 75, 150, 225, 255]


@pytest.mark.parametrize("make", [whole_head, stripped])
@pytest.mark.parametrize("gain", [0.001, 3, 1e6])
def test_the_scale_does_not_matter(make, gain: float) -> None:
    assert np.abs(levels(make() * gain) - levels(make())).max() <= 1


@pytest.mark.parametrize("make", [whole_head, stripped])
@pytest.mark.parametrize("offset", [-1024, 5000])
def test_an_offset_does_not_matter(make, offset: float) -> None:
    assert np.abs(levels(make() + offset) - levels(make())).max() <= 1


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int32, np.int64, np.float32])
def test_the_type_does_not_matter(dtype: type) -> None:
    assert np.array_equal(levels(whole_head().astype(dtype)), levels(whole_head()))


def test_z_scores_of_a_brain_in_zeros_keep_the_zeros_black() -> None:
    volume = stripped()
    inside = volume > 0
    scored = np.where(inside, (volume - volume[inside].mean()) / volume[inside].std(), 0)
    seen = levels(scored)
    assert not seen[~inside].any()
    assert (np.diff(seen[inside][np.argsort(volume[inside])]) >= 0).all()
    assert window_of(scored).floor < 0


@pytest.mark.parametrize("make", [whole_head, stripped])
def test_the_order_of_the_voxels_does_not_matter(make) -> None:
    for axes in itertools.permutations(range(3)):
        assert window_of(make().transpose(axes)[::-1, :, ::-1]) == window_of(make())


@pytest.mark.parametrize("value", [-7, 0, 9])
def test_a_constant_volume_is_black(value: int) -> None:
    assert not levels(np.full((3, 4, 5), value, np.int16)).any()


def test_a_nearly_constant_volume_divides_by_nothing() -> None:
    volume = np.zeros((3, 4, 5), np.float32)
    volume[1, 1, 1] = 1e-30
    assert levels(volume).max() <= 255
