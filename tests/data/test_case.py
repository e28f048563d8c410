"""Read a case: one grid, one mask, and errors that give the file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from gliomaseg.data.case import Case, Slice, read_case, read_slice, stack_slices
from gliomaseg.data.layouts import read_cases
from gliomaseg.data.masks import MaskLabels, mask_of_labels
from gliomaseg.errors import FormatError, GeometryError

NAME = "TCGA_CS_0001_20000101"


@pytest.fixture
def case(tmp_path: Path, kaggle_tree: Callable[..., Path]) -> Case:
    return read_cases(kaggle_tree(tmp_path, {NAME: 3}, side=8)).cases[0]


def write(file: Path, pixels: np.ndarray) -> None:
    tifffile.imwrite(file, pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack")


def test_scan_has_every_slice_in_order(case: Case) -> None:
    loaded = read_case(case)
    assert loaded.scan.voxels.shape == (3, 8, 8, 3)
    for z, entry in enumerate(case.slices):
        assert np.array_equal(loaded.scan.voxels[z], tifffile.imread(entry.image))


def test_reference_is_the_stack_of_masks(case: Case) -> None:
    reference = read_case(case).reference
    assert (reference.shape, reference.dtype) == ((3, 8, 8), np.bool_)
    assert reference.sum(axis=(1, 2)).tolist() == [0, 16, 0]
    assert reference[1, :4, :4].all()


def test_scan_source_is_the_folder_and_spacing_is_unknown(case: Case) -> None:
    scan = read_case(case).scan
    assert scan.source == str(case.slices[0].image.parent)
    assert scan.spacing_mm is None


@pytest.mark.parametrize("level", [1, 128, 255])
def test_mask_is_true_where_its_file_is_not_zero(case: Case, level: int) -> None:
    pixels = np.zeros((8, 8), np.uint8)
    pixels[2, 3:5] = level
    write(case.slices[0].mask, pixels)
    mask = read_slice(case.slices[0])[1]
    assert np.argwhere(mask).tolist() == [[2, 3], [2, 4]]


def test_mask_with_more_than_two_values_is_refused(case: Case) -> None:
    pixels = np.zeros((8, 8), np.uint8)
    pixels[2, 3:5] = 128, 255
    write(case.slices[0].mask, pixels)
    with pytest.raises(FormatError, match=r"mask has 3 values \(0, 128, 255\), expected 0 and one other") as caught:
        read_case(case)
    assert caught.value.where == str(case.slices[0].mask)


def test_a_mask_with_colours_is_tumour_where_a_channel_is_bright(case: Case) -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[2, 3, 0], pixels[2, 4, 2], pixels[2, 5, 1] = 255, 128, 127  # red, blue, and the smoothed edge of green
    write(case.slices[0].mask, pixels)
    assert np.argwhere(read_case(case).reference[0]).tolist() == [[2, 3], [2, 4]]


def test_an_rgb_mask_with_equal_channels_is_a_mask(case: Case) -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[2, 3:5] = 255
    write(case.slices[0].mask, pixels)
    assert np.argwhere(read_case(case).reference[0]).tolist() == [[2, 3], [2, 4]]


@pytest.mark.parametrize(("labels", "columns"), [(None, [3, 4, 5]), ({1, 4}, [3, 5]), ({2}, [4]), ({7}, [])])
def test_the_labels_say_which_values_are_tumour(case: Case, labels: set[int] | None, columns: list[int]) -> None:
    pixels = np.zeros((8, 8), np.uint8)
    pixels[2, 3:6] = 1, 2, 4
    write(case.slices[0].mask, pixels)
    chosen = replace(case, labels=MaskLabels(None if labels is None else frozenset(labels)))
    assert np.argwhere(read_case(chosen).reference[0])[:, 1].tolist() == columns


def test_mask_of_another_size_is_refused(case: Case) -> None:
    write(case.slices[1].mask, np.zeros((8, 4), np.uint8))
    with pytest.raises(GeometryError, match="size is 8 x 4, expected 8 x 8 as its image") as caught:
        read_case(case)
    assert caught.value.where == str(case.slices[1].mask)


@pytest.mark.parametrize("pixels", [np.zeros((8, 4, 3), np.uint8), np.zeros((8, 8), np.uint8)])
def test_slice_of_another_size_or_channel_count_is_refused(case: Case, pixels: np.ndarray) -> None:
    write(case.slices[2].image, pixels)
    write(case.slices[2].mask, np.zeros(pixels.shape[:2], np.uint8))
    with pytest.raises(GeometryError, match=r"the first slice .* give slices of one size and kind") as caught:
        read_case(case)
    assert caught.value.where == str(case.slices[2].image)


def test_slice_of_another_data_type_is_refused(case: Case) -> None:
    write(case.slices[2].image, np.zeros((8, 8, 3), np.uint16))
    with pytest.raises(GeometryError, match=r"is \(8, 8, 3\) uint16, the first slice \(8, 8, 3\) uint8"):
        read_case(case)


@pytest.mark.parametrize("kind", ["image", "mask"])
def test_error_gives_the_unreadable_file(case: Case, kind: str) -> None:
    file: Path = getattr(case.slices[1], kind)
    file.write_bytes(b"II*\0")
    with pytest.raises(FormatError) as caught:
        read_case(case)
    assert caught.value.where == str(file)


def test_missing_mask_file_is_refused(case: Case) -> None:
    case.slices[1].mask.unlink()
    with pytest.raises(FormatError, match="there is no such file"):
        read_case(case)


def test_grey_images_have_one_channel(case: Case) -> None:
    write(case.slices[0].image, np.full((8, 8), 9, np.uint8))
    image, _ = read_slice(case.slices[0])
    assert image.shape == (8, 8, 1)


def test_scan_source_of_a_single_slice_is_its_file(tmp_path: Path) -> None:
    scan = stack_slices([np.zeros((4, 5, 3), np.uint8)], [tmp_path / "a.tif"])
    assert (scan.voxels.shape, scan.source) == ((1, 4, 5, 3), str(tmp_path / "a.tif"))


def test_only_the_slices_of_the_case_are_read(case: Case) -> None:
    chosen: tuple[Slice, ...] = (case.slices[1],)
    loaded = read_case(Case(case.name, case.patient, case.site, chosen))
    assert loaded.reference.sum(axis=(1, 2)).tolist() == [16]


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_a_mask_of_one_bit_is_a_mask(tmp_path: Path, photometric: str) -> None:
    mask = np.eye(8, dtype=bool)
    write(tmp_path / "a_1.tif", np.full((8, 8), 9, np.uint8))
    stored = mask if photometric == "minisblack" else ~mask
    tifffile.imwrite(tmp_path / "a_1_mask.tif", stored, photometric=photometric)
    assert np.array_equal(read_slice(Slice(1, tmp_path / "a_1.tif", tmp_path / "a_1_mask.tif"))[1], mask)


def test_a_soft_mask_is_refused_with_the_cure() -> None:
    with pytest.raises(FormatError) as caught:
        mask_of_labels(np.array([0, 0.25, 1], np.float32), MaskLabels(), where=Path("a.nii"))
    line = "a.nii: mask has 3 values (0, 0.25, 1), expected whole numbers from 0; threshold it, for example at 0.5"
    assert caught.value.line() == line


def test_a_label_with_the_rounding_of_float32_is_a_whole_number() -> None:
    values = np.array([0, 255 * float(np.float32(1 / 255)), 2])  # 255 x 0.00392156886 is 1.00000006
    assert values[1] != 1
    assert mask_of_labels(values, MaskLabels(frozenset({1})), where=Path("a.nii")).tolist() == [False, True, False]
