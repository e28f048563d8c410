"""Volumes in millilitres, and the signed relative error."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gliomaseg.errors import GeometryError
from gliomaseg.metrics.volume import volume_error, volume_ml

quick = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def test_volume_is_the_number_of_voxels_times_their_volume() -> None:
    # 1000 voxels of 5.5 x .9 x .9 mm: 4455 mm3
    assert volume_ml(1000, spacing_mm=(5.5, 0.9, 0.9)) == pytest.approx(4.455)


def test_cube_with_sides_of_100_mm_is_1000_ml() -> None:
    assert volume_ml(100**3, spacing_mm=(1, 1, 1)) == 1000


def test_the_volume_of_a_sheared_grid_is_voxels_times_the_determinant() -> None:
    # x 1 mm, y 2 mm, z (2, 0, 5) mm: 100 voxels of 10 mm3; the lengths would give 100 x 10.77 mm3
    sheared = np.array([[1.0, 0, 2, 0], [0, 2, 0, 0], [0, 0, 5, 0], [0, 0, 0, 1]])
    assert volume_ml(100, affine=sheared) == pytest.approx(1)


def test_either_spacing_or_affine_is_given() -> None:
    with pytest.raises(ValueError, match="either spacing_mm or affine"):
        volume_ml(1)
    with pytest.raises(ValueError, match="either spacing_mm or affine"):
        volume_ml(1, spacing_mm=(1, 1, 1), affine=np.eye(4))


def test_volume_of_no_voxels_is_zero() -> None:
    assert volume_ml(0, spacing_mm=(5.5, 0.9, 0.9)) == 0


def test_negative_number_of_voxels_is_refused() -> None:
    with pytest.raises(ValueError, match="voxels is -1"):
        volume_ml(-1, spacing_mm=(1, 1, 1))


@pytest.mark.parametrize("spacing", [(0, 1, 1), (1, 1), (1, math.nan, 1)])
def test_spacing_that_is_not_three_positive_lengths_is_refused(spacing: tuple[float, ...]) -> None:
    with pytest.raises(GeometryError, match="three positive lengths"):
        volume_ml(1, spacing_mm=spacing)


@pytest.mark.parametrize(("predicted", "expected"), [(40, 0), (0, -1), (50, 0.25), (100, 1.5)])
def test_error_is_signed_and_relative_to_the_reference(predicted: float, expected: float) -> None:
    assert volume_error(reference=40, predicted=predicted) == expected


@pytest.mark.parametrize("predicted", [0, 3])
def test_error_is_nan_if_the_reference_is_empty(predicted: float) -> None:
    assert math.isnan(volume_error(reference=0, predicted=predicted))


@pytest.mark.parametrize(("reference", "predicted"), [(-1, 1), (1, -1)])
def test_negative_volume_is_refused(reference: float, predicted: float) -> None:
    with pytest.raises(ValueError, match="expected 0 or more"):
        volume_error(reference=reference, predicted=predicted)


@quick
@given(st.integers(1, 10**6), st.integers(0, 10**6), st.floats(0.1, 10))
def test_error_does_not_depend_on_the_voxel_size(reference: int, predicted: int, size_mm: float) -> None:
    spacing = (size_mm, 1.0, 0.5)
    in_ml = volume_error(
        reference=volume_ml(reference, spacing_mm=spacing), predicted=volume_ml(predicted, spacing_mm=spacing)
    )
    assert in_ml == pytest.approx(volume_error(reference=reference, predicted=predicted), abs=1e-9)
