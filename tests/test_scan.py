"""A scan checks its array and affine, and names its sequences."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

from gliomaseg.errors import GeometryError
from gliomaseg.geometry import Orientation
from gliomaseg.scan import Scan, join_scans
from gliomaseg.types import Sequence


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_stack_of_one_or_three_channels_is_kept_as_it_is(dtype: type, channels: int) -> None:
    voxels = np.zeros((2, 4, 5, channels), dtype)
    assert Scan(voxels, "here").voxels is voxels


@pytest.mark.parametrize(
    "shape", [(4, 5), (4, 5, 3), (2, 4, 5, 2), (2, 4, 5, 4), (1, 2, 4, 5, 3), (0, 4, 5, 3), (2, 0, 5, 3), (2, 4, 0, 1)]
)
def test_array_of_another_shape_is_refused_with_its_place(shape: tuple[int, ...]) -> None:
    with pytest.raises(GeometryError) as caught:
        Scan(np.zeros(shape, np.uint8), "here")
    assert caught.value.line() == f"here: shape is {shape}, expected (z, y, x, 1) or (z, y, x, 3)"


@pytest.mark.parametrize("dtype", [np.bool_, np.int8, np.int16, np.int64, np.uint32, np.float32, np.float64])
def test_array_of_another_depth_is_refused(dtype: type) -> None:
    with pytest.raises(GeometryError, match="expected 8 or 16 bits"):
        Scan(np.zeros((1, 4, 5, 1), dtype), "here")


def test_spacing_is_unknown_unless_given() -> None:
    assert Scan(np.zeros((1, 4, 5, 1), np.uint8), "here").spacing_mm is None


def test_scan_never_changes() -> None:
    scan = Scan(np.zeros((1, 4, 5, 1), np.uint8), "here")
    with pytest.raises(FrozenInstanceError):
        scan.source = "there"  # type: ignore[misc]


# --- volumes

AFFINE = np.array([[-0.9, 0, 0, 100], [0, -0.8, 0, 90], [0, 0, 5, -40], [0, 0, 0, 1.0]])


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int64, np.uint32, np.float32, np.float64])
def test_a_volume_may_hold_any_real_numbers(dtype: type) -> None:
    assert Scan(np.zeros((1, 4, 5, 1), dtype), "here", AFFINE).voxels.dtype == dtype


@pytest.mark.parametrize("dtype", [np.bool_, np.complex64])
def test_other_numbers_are_refused(dtype: type) -> None:
    with pytest.raises(GeometryError, match="expected real numbers"):
        Scan(np.zeros((1, 4, 5, 1), dtype), "here", AFFINE)


def test_nan_and_infinity_become_the_background() -> None:
    voxels = np.full((1, 2, 2, 1), 7, np.float32)
    voxels[0, 0, 0], voxels[0, 0, 1], voxels[0, 1, 0] = np.nan, -np.inf, -2
    scan = Scan(voxels, "here", AFFINE)
    assert scan.voxels.ravel().tolist() == [-2, -2, -2, 7]  # the smallest finite value is below 0
    assert scan.voxels.dtype == np.float32
    assert np.isnan(voxels[0, 0, 0, 0])  # the caller's array is unchanged
    voxels[0, 1, 0] = 3
    assert Scan(voxels, "here", AFFINE).voxels.ravel().tolist() == [0, 0, 3, 7]
    finite = np.ones((1, 2, 2, 1))
    assert Scan(finite, "here", AFFINE).voxels is finite


def test_voxels_that_are_all_nan_are_refused() -> None:
    with pytest.raises(GeometryError, match="here: voxels are all NaN or infinite; "):
        Scan(np.full((1, 2, 2, 1), np.nan), "here", AFFINE)


@pytest.mark.parametrize("voxels", [[[1]], np.ma.zeros((1, 2, 2, 1), np.uint8), None])
def test_voxels_that_are_not_an_array_are_a_type_error(voxels: Any) -> None:
    with pytest.raises(TypeError, match=r"voxels are \w+, expected a plain NumPy array"):
        Scan(voxels, "here")


@pytest.mark.parametrize("affine", [AFFINE.tolist(), "x", np.full((4, 4), "1")])
def test_an_affine_that_is_not_an_array_of_numbers_is_a_type_error(affine: Any) -> None:
    with pytest.raises(TypeError, match=r"affine is \w+, expected a NumPy array"):
        Scan(np.zeros((1, 2, 2, 1), np.uint8), "here", affine)


def test_a_scan_is_printed_without_its_voxels_and_compared_by_identity() -> None:
    scan, other = (Scan(np.zeros((1, 2, 2, 1), np.uint8), "here") for _ in range(2))
    assert "array" not in repr(scan)
    assert scan != other
    assert len({scan, other}) == 2


def test_spacing_and_orientation_follow_from_the_affine() -> None:
    scan = Scan(np.zeros((1, 4, 5, 1), np.int16), "here", AFFINE)
    assert scan.spacing_mm == pytest.approx((5, 0.8, 0.9))
    assert scan.orientation == "LPS"


def test_an_assumed_orientation_is_not_told() -> None:
    scan = Scan(np.zeros((1, 4, 5, 1), np.int16), "here", AFFINE, orientation_assumed=True)
    assert scan.orientation is None


def test_an_affine_of_nonsense_is_refused() -> None:
    with pytest.raises(GeometryError, match="here: affine"):
        Scan(np.zeros((1, 4, 5, 1), np.int16), "here", AFFINE * np.nan)


def test_sequences_have_names() -> None:
    assert Scan(np.zeros((1, 4, 5, 1), np.uint8), "here").sequences == ("flair",)
    assert Scan(np.zeros((1, 4, 5, 3), np.uint8), "here").sequences == ("t1", "flair", "t1ce")
    with pytest.raises(ValueError, match="2 sequence names for 1 channels"):
        Scan(np.zeros((1, 4, 5, 1), np.uint8), "here", sequences=("flair", "t1ce"))


def test_a_channel_that_is_a_copy_of_flair_is_missing() -> None:
    voxels = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), np.uint8)
    assert Scan(voxels, "here").available == {"t1", "flair", "t1ce"}
    assert Scan(voxels[..., [1, 1, 2]], "here").available == {"flair", "t1ce"}
    assert Scan(voxels[..., [1, 1, 1]], "here").available == {"flair"}
    assert Scan(voxels[..., :1], "here").available == {"flair"}
    assert Scan(voxels[..., :1], "here", sequences=("t2",)).available == {"t2"}


LEVELS = np.random.default_rng(0).integers(0, 256, (20, 8, 9, 3), np.uint8)


def with_pre(pre: np.ndarray) -> Scan:
    return Scan(np.stack([pre, LEVELS[..., 1], LEVELS[..., 2]], axis=3).astype(np.uint16), "here")


@pytest.mark.parametrize(
    "copied", [lambda flair: flair * 0.8, lambda flair: flair * 2.5 + 10], ids=["darker", "brighter and shifted"]
)
def test_a_copy_of_flair_may_have_another_scale(copied: Any) -> None:
    pre = copied(LEVELS[..., 1].astype(float)).astype(int)
    assert with_pre(pre).available == {"flair", "t1ce"}
    pre[:, :2] += 200  # two of eight rows are another: over a tenth of the head
    assert with_pre(pre).available == {"flair", "t1ce", "t1"}


@pytest.mark.parametrize("missing", ["black", "copied"])
def test_a_sequence_in_too_few_slices_is_missing(missing: str) -> None:
    for lost, held in ((17, True), (19, False)):  # of 20 slices: 15 and 5 % of the head are left
        pre = LEVELS[..., 0].copy()
        pre[:lost] = 0 if missing == "black" else LEVELS[:lost, ..., 1]
        assert ("t1" in with_pre(pre).available) is held


def test_slices_where_flair_shows_nothing_do_not_count() -> None:
    voxels = LEVELS.copy()
    voxels[:15] = 7
    assert Scan(voxels, "here").available == {"flair", "t1ce", "t1"}
    assert Scan(np.zeros_like(voxels), "here").available == {"flair"}


def test_the_reader_knows_better_than_the_pixels_which_sequences_there_are() -> None:
    copies = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1), np.uint8).repeat(3, axis=3)
    assert Scan(copies, "here").available == {Sequence.FLAIR}
    assert Scan(copies, "here", given=frozenset({Sequence.FLAIR, Sequence.T1})).available == {"flair", "t1"}


def test_every_channel_of_a_volume_is_available_whatever_its_values_are() -> None:
    voxels = LEVELS.copy()
    voxels[:19, ..., 0] = voxels[:19, ..., 1]  # T1 differs from FLAIR in one of twenty slices
    assert Scan(voxels, "here").available == {"flair", "t1ce"}
    assert Scan(voxels, "here", AFFINE).available == {"flair", "t1ce", "t1"}


def test_a_joined_sequence_is_available_even_if_it_is_flair() -> None:
    flair = Scan(LEVELS[..., 1:2], "here")
    assert join_scans(flair, {Sequence.T1: flair}).available == {"flair", "t1"}


def test_an_image_without_an_affine_is_axial() -> None:
    assert Scan(np.zeros((1, 4, 5, 1), np.uint8), "here").axial == Orientation()


def test_an_unknown_sequence_is_refused() -> None:
    with pytest.raises(ValueError, match="pd"):
        Scan(np.zeros((1, 4, 5, 1), np.uint8), "here", sequences=("pd",))  # type: ignore[arg-type]
