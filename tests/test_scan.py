"""A scan refuses what is not a stack of slices."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from gliomaseg.errors import GeometryError
from gliomaseg.scan import Scan


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
    assert caught.value.line() == f"here: expected slices of 1 or 3 channels, found an array of shape {shape}"


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
