"""Statistics of a mask equal hand calculations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from gliomaseg.prediction.mask_statistics import MaskStatistics, bounding_box, measure_diameters, measure_mask
from gliomaseg.scan import Scan

# x to the back, y downwards, z to the left: sagittal; 1 x 2 x 3 mm (x, y, z).
SAGITTAL = np.array([[0, 0, -3.0, 0], [-1, 0, 0, 0], [0, -2, 0, 0], [0, 0, 0, 1]])


def test_a_sagittal_mask_is_counted_in_axial_slices() -> None:
    mask = np.zeros((4, 5, 6), bool)
    mask[1:3, 2, 0:3] = True  # 2 z, 1 y, 3 x
    mask[3, 4, 5] = True
    scan = Scan(np.zeros((4, 5, 6, 1), np.int16), "here", SAGITTAL)
    assert measure_mask(mask, scan) == MaskStatistics(
        tumour_voxels=7,
        tumour_volume_ml=0.042,  # 7 voxels of 6 mm3
        largest_area_mm2=18,  # of y = 2: 6 voxels of 1 x 3 mm
        diameters_mm=[5.6, 5.3],  # centres of 3 x 2 pixels of 1 x 3 mm: sqrt(13) and 12 / sqrt(13), each plus 2
        tumour_slices=2,
        bounding_box={"x": [0, 5], "y": [2, 4], "z": [1, 3]},
        components=2,
        extent_mm={"x": 6, "y": 6, "z": 9},
    )


def test_images_without_spacing_have_values_in_voxels_only() -> None:
    mask = np.zeros((2, 4, 4), bool)
    mask[0, 1, 1] = mask[1, 2, 2] = True
    found = measure_mask(mask, Scan(np.zeros((2, 4, 4, 1), np.uint8), "here"))
    assert (found.tumour_volume_ml, found.largest_area_mm2, found.extent_mm) == (None, None, None)
    assert (found.tumour_voxels, found.tumour_slices, found.components) == (2, 2, 1)


def test_an_empty_mask_has_no_box() -> None:
    assert bounding_box(np.zeros((2, 3, 4), bool)) is None


def test_a_sheared_scan_is_measured_by_its_true_geometry() -> None:
    # x 1 mm, y (0.75, 2, 0) mm, z (2, 0, 5) mm: a voxel has 10 mm3, a pixel of an axial slice 2 mm2
    sheared = np.array([[1, 0.75, 2, 0], [0, 2, 0, 0], [0, 0, 5, 0], [0, 0, 0, 1.0]])
    mask = np.zeros((4, 5, 6), bool)
    mask[1:3, 1:3, 0:3] = True  # 2 z, 2 y, 3 x
    found = measure_mask(mask, Scan(np.zeros((4, 5, 6, 1), np.int16), "here", sheared))
    assert found.tumour_volume_ml == 0.12  # 12 x 10 mm3
    assert found.largest_area_mm2 == 12  # 6 x 2 mm2
    assert found.extent_mm == {"x": 3, "y": 4.27, "z": 10.77}  # edges: 2 x sqrt(0.75^2 + 2^2), 2 x sqrt(29)


def test_diameters_of_a_cross_are_its_arms() -> None:
    plane = np.zeros((9, 9), bool)
    plane[4, 1:8] = plane[2:7, 4] = True  # arms of 7 and 5 pixels
    assert measure_diameters(plane, 2, 2) == (14, 10)


def test_diameters_are_those_of_the_largest_component() -> None:
    plane = np.zeros((9, 9), bool)
    plane[0, 0:3] = plane[8, 8] = True
    assert measure_diameters(plane, 1, 1) == (3, 1)  # a line of 3 pixels


@pytest.mark.parametrize("seed", range(20))
def test_diameters_of_a_mirrored_slice_are_the_same(seed: int) -> None:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random((40, 50)), 2.5)
    labelled, _ = ndimage.label(noise > 0.51, np.ones((3, 3)))
    plane = labelled == np.bincount(labelled[labelled > 0]).argmax()
    expected = measure_diameters(plane, 1.0, 1.0)
    for mirrored in (plane[::-1], plane[:, ::-1], plane[::-1, ::-1]):
        assert measure_diameters(mirrored, 1.0, 1.0) == pytest.approx(expected)


def test_one_pixel_has_its_size_and_an_empty_slice_has_no_diameter() -> None:
    plane = np.zeros((3, 3), bool)
    assert measure_diameters(plane, 1, 3) is None
    plane[1, 1] = True
    assert measure_diameters(plane, 1, 3) == (2, 2)  # the mean of 1 and 3 mm
