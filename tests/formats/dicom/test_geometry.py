"""Slices in space: sorted, made one affine, or refused; numbers worked by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gliomaseg.errors import GeometryError
from gliomaseg.formats.dicom.geometry import Plane, stack

AXIAL = ((1, 0, 0), (0, 1, 0))


def plane(z: float, **other: Any) -> Plane:
    values = {"position_mm": (10, 20, z), "directions": AXIAL, "spacing_mm": (2, 3), "gap_mm": None} | other
    arrays = {name: np.array(values[name], float) for name in ("position_mm", "directions", "spacing_mm")}
    return Plane(other.get("name", f"slice at {z}"), **arrays, gap_mm=values["gap_mm"])


def refusal(planes: list[Plane]) -> str:
    with pytest.raises(GeometryError) as caught:
        stack(planes, where="the series")
    return caught.value.line()


def test_axial_slices_make_the_affine_worked_by_hand() -> None:
    pile = stack([plane(9), plane(1), plane(5)], where="")
    assert pile.order == (1, 2, 0)
    # LPS x = 10 + 3 column, y = 20 + 2 row, z = 1 + 4 slice; RAS turns the signs of x and y.
    assert np.array_equal(pile.affine, [[-3, 0, 0, -10], [0, -2, 0, -20], [0, 0, 4, 1], [0, 0, 0, 1]])


def test_sagittal_slices_rise_along_their_normal() -> None:
    # Columns run to posterior, rows to the feet: the normal, P x -S, points to the right.
    directions = ((0, 1, 0), (0, 0, -1))
    planes = [plane(0, position_mm=(x, 0, 0), directions=directions) for x in (-8, 0, 8)]
    pile = stack(planes, where="")
    assert pile.order == (2, 1, 0)
    assert np.array_equal(pile.affine, [[0, 0, 8, -8], [-3, 0, 0, 0], [0, -2, 0, 0], [0, 0, 0, 1]])


def test_one_slice_takes_its_thickness_from_the_header() -> None:
    assert stack([plane(1, gap_mm=6.5)], where="").affine[2, 2] == 6.5


@pytest.mark.parametrize("gap_mm", [None, 0.0, -1.0, 1e9])
def test_one_slice_without_a_thickness_is_refused(gap_mm: float | None) -> None:
    assert "SliceThickness" in refusal([plane(1, gap_mm=gap_mm)])


def test_rounded_positions_are_one_spacing() -> None:
    pile = stack([plane(z) for z in (0, 3.334, 6.667, 10.0)], where="")
    assert pile.affine[2, 2] == pytest.approx(10 / 3)


def oblique(k: int, gap_mm: float, decimals: int) -> Plane:
    """Return slice k of a stack that is turned by 17 degrees about x: its normal is (0, -sin, cos)."""
    sin, cos = np.sin(np.radians(17)), np.cos(np.radians(17))
    position_mm = np.round([10, 20 - k * gap_mm * sin, k * gap_mm * cos], decimals)
    return plane(k, directions=[[1, 0, 0], [0, cos, sin]], position_mm=position_mm)


@pytest.mark.parametrize(("gap_mm", "decimals"), [(0.9, 2), (0.9, 1), (5.4, 1)])
def test_rounded_positions_of_oblique_slices_are_one_spacing(gap_mm: float, decimals: int) -> None:
    pile = stack([oblique(k, gap_mm, decimals) for k in range(40)], where="")
    # The first and the last position are off by 0.05 mm or less along y and z: 0.15 mm in all over 39 gaps is 0.004 mm.
    assert np.linalg.norm(pile.affine[:3, 2]) == pytest.approx(gap_mm, abs=0.004)


def test_positions_of_a_whole_millimetre_are_refused() -> None:
    assert "slice spacing is" in refusal([oblique(k, 5.4, 0) for k in range(10)])


def test_a_missing_slice_is_named_in_spite_of_rounded_positions() -> None:
    line = refusal([oblique(k, 0.9, 1) for k in range(20) if k != 8])
    assert "is missing 1 slice, the first between slice at 7 and slice at 9" in line


def test_missing_slices_are_counted() -> None:
    line = refusal([plane(z) for z in (0, 5, 10, 25, 30, 40)])
    assert "is missing 3 slices, the first between slice at 10 and slice at 25" in line


@pytest.mark.parametrize("places", [(0, 5, 5, 10), (0, 5, 5.001, 10), (0, 0)])
def test_two_slices_at_one_place_are_refused(places: tuple[float, ...]) -> None:
    assert "1 place with two slices" in refusal([plane(z) for z in places])


def test_uneven_slices_are_refused() -> None:
    assert "slice spacing is 4.00 to 5.50 mm" in refusal([plane(z) for z in (0, 5, 10, 15.5, 19.5)])


def test_leaning_slices_are_refused() -> None:
    planes = [plane(0, position_mm=(k, 0, 5 * k)) for k in range(4)]
    assert "each slice is shifted by 1.00 mm" in refusal(planes)


def test_slice_out_of_line_is_refused() -> None:
    planes = [plane(0, position_mm=(2 if k == 2 else 0, 0, 5 * k), name=f"slice {k}") for k in range(5)]
    assert "2.00 mm away from its expected position (slice 2)" in refusal(planes)


@pytest.mark.parametrize(
    "directions",
    [
        ((1, 0, 0), (1, 0, 0)),
        ((1, 0, 0), (0, 0, 0)),
        ((2, 0, 0), (0, 1, 0)),
        ((1, 0, 0), (0.1, 0.99, 0)),
        ((1e300, 0, 0), (0, 1, 0)),
    ],
)
def test_impossible_directions_are_refused(directions: Any) -> None:
    assert "at right angles" in refusal([plane(0, directions=directions)])


@pytest.mark.parametrize("spacing_mm", [(0, 1), (1, -1), (1, 1e9)])
def test_impossible_spacing_is_refused(spacing_mm: Any) -> None:
    assert "PixelSpacing" in refusal([plane(0, spacing_mm=spacing_mm)])


@pytest.mark.parametrize("z", [1e5, -1e300])
def test_impossible_place_is_refused(z: float) -> None:
    assert "ImagePositionPatient" in refusal([plane(z)])


def test_three_planes_of_a_localiser_are_refused() -> None:
    coronal, sagittal = ((1, 0, 0), (0, 0, -1)), ((0, 1, 0), (0, 0, -1))
    line = refusal([plane(0), plane(0, directions=coronal), plane(0, directions=sagittal)])
    assert "ImageOrientationPatient of" in line


def test_order_of_the_files_does_not_matter() -> None:
    places = np.arange(40) * 1.25
    shuffled = np.random.default_rng(0).permutation(40)
    pile = stack([plane(places[k]) for k in shuffled], where="")
    assert [shuffled[index] for index in pile.order] == list(range(40))
