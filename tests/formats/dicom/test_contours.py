"""A structure set as masks on the grid of its series, against shapes whose voxels or volume are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from dicom_masks import in_plane, outlines, rectangle, write_structures
from gliomaseg.errors import DataError, FormatError, GeometryError
from gliomaseg.formats.dicom import DicomVolume, LabelMasks, SeriesIdentity, read_labels, write_series
from gliomaseg.formats.dicom.contours import fill
from orientation_cases import TURNS

SHAPE = (30, 40, 36)
MAX_BYTES = 1 << 28


def series(make: Any, folder: Path, turn: NDArray[np.float64] = TURNS["axial"]) -> DicomVolume:
    affine = np.eye(4)
    affine[:3, :3] = turn * (0.8, 0.9, 2.5)
    affine[:3, 3] = -12.25, 33.5, 7.125
    write_series(folder, make.voxels(shape=SHAPE), affine)
    return make.read(folder)


@pytest.fixture(scope="module")
def volume(make: Any, tmp_path_factory: pytest.TempPathFactory) -> DicomVolume:
    """Return an axial series of 30 slices of 40 rows and 36 columns, 0.8 x 0.9 x 2.5 mm."""
    return series(make, tmp_path_factory.mktemp("contours") / "series")


def read(path: Path, volume: DicomVolume, **options: Any) -> LabelMasks:
    return read_labels(path, volume.grid, **{"max_bytes": MAX_BYTES, **options})


def mask_of(volume: DicomVolume, contours: list[NDArray[np.float64]], folder: Path) -> NDArray[np.bool_]:
    return read(write_structures(folder / "rt.dcm", volume, {1: contours}), volume).masks[1]


def box(planes: slice, rows: slice, columns: slice) -> NDArray[np.bool_]:
    mask = np.zeros(SHAPE, np.bool_)
    mask[planes, rows, columns] = True
    return mask


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_box_on_the_edges_of_voxels_is_exact_in_every_plane(turn: str, axis: int, make: Any, tmp_path: Path) -> None:
    volume = series(make, tmp_path / "series", TURNS[turn])
    expected = box(slice(4, 9), slice(10, 22), slice(3, 30))
    limits = [(4, 9), (10, 22), (3, 30)]
    first, last = limits.pop(axis)
    sides = [(low - 0.5, high - 0.5) for low, high in limits]
    contours = [rectangle(z, *sides, axis=axis) for z in range(first, last)]
    assert np.array_equal(mask_of(volume, contours, tmp_path), expected)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_any_mask_comes_back_from_its_outlines(axis: int, volume: DicomVolume, tmp_path: Path) -> None:
    mask = np.zeros(SHAPE, np.bool_)
    mask[3:13, 5:15, 8:18] = np.random.default_rng(3).random((10, 10, 10)) < 0.3
    assert np.array_equal(mask_of(volume, outlines(mask, axis), tmp_path), mask)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shift", [0.0, 0.5, 0.3], ids=["on slices", "between slices", "near slices"])
def test_ellipsoid_has_its_volume(axis: int, shift: float, volume: DicomVolume, tmp_path: Path) -> None:
    centre, radii = np.array([14.2, 20.3, 17.6]), np.array([11.0, 16.0, 13.0])
    others = [other for other in range(3) if other != axis]
    contours = []
    turns = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    for z in np.arange(SHAPE[axis]) + shift:
        share = 1 - ((z - centre[axis]) / radii[axis]) ** 2
        if share > 0:
            circle = np.sqrt(share) * radii[others] * np.stack([np.sin(turns), np.cos(turns)], axis=1)
            contours.append(in_plane(z, centre[others] + circle, axis=axis))
    found = int(np.count_nonzero(mask_of(volume, contours, tmp_path)))
    assert found == pytest.approx(4 / 3 * np.pi * np.prod(radii), rel=0.02)


@pytest.mark.parametrize("kind", ["CLOSED_PLANAR", "CLOSEDPLANAR_XOR"])
def test_contour_inside_another_is_a_hole(kind: str, volume: DicomVolume, tmp_path: Path) -> None:
    contours = [rectangle(5, (4.5, 20.5), (6.5, 30.5)), rectangle(5, (9.5, 12.5), (10.5, 20.5))]
    file = write_structures(tmp_path / "rt.dcm", volume, {1: contours}, kind=kind)
    expected = box(slice(5, 6), slice(5, 21), slice(7, 31)) & ~box(slice(5, 6), slice(10, 13), slice(11, 21))
    assert np.array_equal(read(file, volume).masks[1], expected)


def test_hole_may_be_joined_by_a_line(volume: DicomVolume, tmp_path: Path) -> None:
    corners = [(4.5, 6.5), (4.5, 30.5), (20.5, 30.5), (20.5, 6.5), (4.5, 6.5)]
    hole = [(9.5, 10.5), (12.5, 10.5), (12.5, 20.5), (9.5, 20.5), (9.5, 10.5)]
    keyhole = in_plane(5, np.array([*corners, *hole, corners[0]]))
    expected = box(slice(5, 6), slice(5, 21), slice(7, 31)) & ~box(slice(5, 6), slice(10, 13), slice(11, 21))
    assert np.array_equal(mask_of(volume, [keyhole], tmp_path), expected)


def test_contours_through_the_outermost_centres_include_them(volume: DicomVolume, tmp_path: Path) -> None:
    square = rectangle(5, (4, 20), (6, 30))
    triangle = in_plane(6, np.array([(4, 6), (10, 6), (10, 12)]))
    point = in_plane(7, np.array([(11, 13)]))
    expected = box(slice(5, 6), slice(4, 21), slice(6, 31))
    expected[6, 4:11, 6:13] = np.tri(7, dtype=bool)
    expected[7, 11, 13] = True
    assert np.array_equal(mask_of(volume, [square, triangle, point], tmp_path), expected)


def test_hole_through_centres_keeps_its_border(volume: DicomVolume, tmp_path: Path) -> None:
    # Outlines through the centres of the tumour's own outermost pixels, at the outside and around the hole.
    contours = [rectangle(5, (4, 20), (6, 30)), rectangle(5, (9, 13), (10, 21))]
    expected = box(slice(5, 6), slice(4, 21), slice(6, 31)) & ~box(slice(5, 6), slice(10, 13), slice(11, 21))
    assert np.array_equal(mask_of(volume, contours, tmp_path), expected)


def test_contours_between_slices_go_to_one_slice_each(volume: DicomVolume, tmp_path: Path) -> None:
    contours = [rectangle(z + 0.5, (4.5, 9.5), (6.5, 9.5 + z)) for z in range(3, 8)]
    found = mask_of(volume, contours, tmp_path)
    assert np.flatnonzero(found.any(axis=(1, 2))).tolist() == [4, 5, 6, 7, 8]
    assert found.sum(axis=(1, 2))[4:9].tolist() == [5 * (3 + z) for z in range(3, 8)]


def test_contours_on_every_second_slice_are_joined(volume: DicomVolume, tmp_path: Path) -> None:
    contours = [rectangle(z, (4.5, 9.5), (6.5, 9.5)) for z in (4, 6, 8, 10)]
    assert np.flatnonzero(mask_of(volume, contours, tmp_path).any(axis=(1, 2))).tolist() == [4, 5, 6, 7, 8, 9, 10, 11]


def test_separate_lesions_are_not_joined(volume: DicomVolume, tmp_path: Path) -> None:
    contours = [rectangle(z, (4.5, 9.5), (6.5, 9.5)) for z in (4, 12, 20)]
    assert np.flatnonzero(mask_of(volume, contours, tmp_path).any(axis=(1, 2))).tolist() == [4, 12, 20]
    contours = [rectangle(z, (4.5, 9.5), (6.5, 9.5)) for z in (4, 5, 7, 8, 9)]
    assert np.flatnonzero(mask_of(volume, contours, tmp_path).any(axis=(1, 2))).tolist() == [4, 5, 7, 8, 9]


def test_fine_contours_are_sampled_at_the_slices(volume: DicomVolume, tmp_path: Path) -> None:
    contours = [rectangle(z, (4.5, 9.5), (6.5, 9.5)) for z in np.arange(3.8, 8.3, 0.2)]
    assert np.flatnonzero(mask_of(volume, contours, tmp_path).any(axis=(1, 2))).tolist() == [4, 5, 6, 7, 8]


def test_roi_numbers_are_labels(volume: DicomVolume, tmp_path: Path) -> None:
    regions = {3: [rectangle(5, (4.5, 9.5), (6.5, 9.5))], 41: [rectangle(6, (4.5, 9.5), (6.5, 9.5))], 7: []}
    file = write_structures(tmp_path / "rt.dcm", volume, regions)
    labelled = read(file, volume)
    assert {label: int(mask.sum()) for label, mask in labelled.masks.items()} == {3: 15, 41: 15, 7: 0}
    assert labelled.names == {3: "region 3", 41: "region 41", 7: "region 7"}
    assert int(labelled.union({41}).sum()) == 15
    assert list(read(file, volume, labels={3}).masks) == [3]


def test_points_are_not_regions(volume: DicomVolume, tmp_path: Path) -> None:
    file = write_structures(tmp_path / "rt.dcm", volume, {1: [in_plane(5, np.array([(4, 4)]))]}, kind="POINT")
    assert not read(file, volume).masks[1].any()


def test_contour_oblique_to_the_grid_is_refused(volume: DicomVolume, tmp_path: Path) -> None:
    tilted = rectangle(5, (4.5, 9.5), (6.5, 9.5))
    tilted[2:, 0] += 1
    with pytest.raises(GeometryError, match=r"not parallel .* 36 x 40 x 30 voxels of 0\.8 x 0\.9 x 2\.5 mm"):
        mask_of(volume, [tilted], tmp_path)


def test_contour_outside_the_grid_is_refused_unless_its_label_is_not_read(volume: DicomVolume, tmp_path: Path) -> None:
    regions = {1: [rectangle(5, (4.5, 9.5), (6.5, 60.5))], 2: [rectangle(5, (4.5, 9.5), (6.5, 9.5))]}
    file = write_structures(tmp_path / "rt.dcm", volume, regions)
    with pytest.raises(GeometryError, match="contour lies outside of the grid"):
        read(file, volume)
    assert int(read(file, volume, labels={2}).union().sum()) == 15


def test_frame_of_reference_is_enough_if_no_series_is_named(volume: DicomVolume, make: Any, tmp_path: Path) -> None:
    regions = {1: [rectangle(5, (4.5, 9.5), (6.5, 9.5))]}
    file = write_structures(tmp_path / "rt.dcm", volume, regions, names_series=False)
    frame = volume.headers[0].FrameOfReferenceUID
    assert read(file, volume, series=SeriesIdentity("1.2", frame)).masks[1].any()
    with pytest.raises(DataError, match=r"refers to frame of reference .*, expected 1\.5 of series 1\.2"):
        read(file, volume, series=SeriesIdentity("1.2", "1.5"))


@pytest.mark.parametrize("data", [None, ["1", "2"], ["1", "2", "x"], []], ids=["missing", "two", "text", "empty"])
def test_damaged_contour_is_one_line(data: list[str] | None, volume: DicomVolume, tmp_path: Path) -> None:
    file = write_structures(tmp_path / "rt.dcm", volume, {1: [rectangle(5, (4.5, 9.5), (6.5, 9.5))]})
    damaged = pydicom.dcmread(file)
    contour = damaged.ROIContourSequence[0].ContourSequence[0]
    del contour.ContourData
    if data is not None:
        contour.add_new("ContourData", "LO" if "x" in data else "DS", data)
    damaged.save_as(file)
    with pytest.raises(FormatError, match="ContourData of a contour is missing or invalid"):
        read(file, volume)


def test_truncated_structure_set_is_one_line(volume: DicomVolume, tmp_path: Path) -> None:
    file = write_structures(tmp_path / "rt.dcm", volume, {1: outlines(box(slice(2, 9), slice(3, 9), slice(3, 9)))})
    content = file.read_bytes()
    for size in (0, 100, 700, len(content) // 2, len(content) - 10):
        file.write_bytes(content[:size])
        with pytest.raises(FormatError):
            read(file, volume)


def test_even_odd_rule_agrees_with_an_independent_one() -> None:
    """Polygons with crossing sides, against a test of every centre with every side."""
    generator = np.random.default_rng(5)
    for _ in range(20):
        points = generator.uniform(-3, 23, (9, 2))
        rows, columns = np.meshgrid(np.arange(20.0), np.arange(18.0), indexing="ij")
        expected, near = np.zeros((2, 20, 18), np.bool_)
        for (y0, x0), (y1, x1) in zip(points, np.roll(points, -1, axis=0), strict=True):
            between = (y0 > rows) != (y1 > rows)
            crossing = x0 + (rows - y0) / (y1 - y0) * (x1 - x0)
            expected ^= between & (columns > crossing)
            near |= between & (np.abs(columns - crossing) < 0.002)  # on the border
        assert np.array_equal(fill([points], (20, 18)) & ~near, expected & ~near)
