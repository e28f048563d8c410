"""Loading an input as one scan: pages are slices, sequences are channels, unsuitable files are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile
from nibabel.nifti1 import Nifti1Image
from PIL import Image

from gliomaseg.errors import FormatError, GeometryError, ResourceError
from gliomaseg.formats import write_picture
from gliomaseg.inputs.load import load_input
from gliomaseg.prediction import PredictOptions, Predictor, PredictRow, join_sequences, list_inputs, open_predictor
from gliomaseg.prediction.predict import predict

MOST_BYTES = 2**30
RANDOM = np.random.default_rng(0)


def volume(path: Path, voxels: Any, affine: Any = None) -> Path:
    nibabel.save(Nifti1Image(np.asarray(voxels).T, np.diag([2.0, 2, 5, 1]) if affine is None else affine), path)
    return path


def noise(dtype: str = "i2", shape: tuple[int, ...] = (4, 6, 5)) -> Any:
    return RANDOM.integers(1, 100, shape).astype(dtype)


@pytest.fixture(scope="module")
def predictor(bright: Path) -> Predictor:
    return open_predictor(bright)


# --- sequences


def test_sequences_become_channels_in_the_order_of_the_data_set(tmp_path: Path) -> None:
    parts = {name: noise() for name in ("flair", "t1", "t1ce")}
    files = {name: volume(tmp_path / f"{name}.nii", voxels) for name, voxels in parts.items()}
    scan = load_input(join_sequences(files["flair"], t1=files["t1"], t1ce=files["t1ce"]), max_bytes=MOST_BYTES).scan
    assert scan.sequences == ("t1", "flair", "t1ce")
    for channel, name in enumerate(("t1", "flair", "t1ce")):
        assert np.array_equal(scan.voxels[..., channel], parts[name])


def test_a_missing_sequence_is_a_copy_of_flair(tmp_path: Path) -> None:
    flair, t1ce = noise(), noise("f4")
    entry = join_sequences(volume(tmp_path / "f.nii", flair), t1=None, t1ce=volume(tmp_path / "c.nii", t1ce))
    voxels = load_input(entry, max_bytes=MOST_BYTES).scan.voxels
    assert np.array_equal(voxels[..., 0], flair)
    assert np.array_equal(voxels[..., 2], t1ce)


@pytest.mark.parametrize(
    ("shape", "shift_mm", "words"), [((4, 6, 6), 0, "6 x 6 x 4 voxels"), ((4, 6, 5), 0.1, "by up to 0.1 mm")]
)
def test_sequences_on_different_grids_are_refused(
    shape: tuple[int, ...], shift_mm: float, words: str, tmp_path: Path
) -> None:
    affine = np.diag([2.0, 2, 5, 1])
    affine[0, 3] = shift_mm
    other = volume(tmp_path / "t1.nii", noise(shape=shape), affine)
    with pytest.raises(GeometryError, match=words):
        load_input(join_sequences(volume(tmp_path / "f.nii", noise()), t1=other, t1ce=None), max_bytes=MOST_BYTES)


def test_colour_images_are_refused_as_a_single_sequence(tmp_path: Path) -> None:
    write_picture(tmp_path / "f.png", noise("u1", (8, 8, 3)))
    write_picture(tmp_path / "t.png", noise("u1", (8, 8)))
    with pytest.raises(GeometryError, match="image is in colour"):
        load_input(join_sequences(tmp_path / "f.png", t1=tmp_path / "t.png", t1ce=None), max_bytes=MOST_BYTES)


def test_the_memory_limit_covers_all_sequences_together(tmp_path: Path) -> None:
    files = [volume(tmp_path / f"{name}.nii", noise()) for name in "abc"]
    needed = 4 * 6 * 5 * 9
    load_input(join_sequences(files[0], t1=files[1], t1ce=files[2]), max_bytes=3 * needed)
    with pytest.raises(ResourceError):
        load_input(join_sequences(files[0], t1=files[1], t1ce=files[2]), max_bytes=3 * needed - 3)


def test_a_flair_of_several_sequences_gives_one_row(predictor: Predictor, tmp_path: Path) -> None:
    entry = join_sequences(
        volume(tmp_path / "f.nii", noise()), t1=volume(tmp_path / "t.nii", noise()), t1ce=None
    )  # fmt: skip
    row = predict(entry, tmp_path / "out", predictor)
    assert row.error is None
    assert [Path(file).name for file in row.outputs] == ["f_mask.nii.gz", "f_overlay.png"]


# --- pages


def pages(path: Path, voxels: Any, **options: Any) -> Path:
    tifffile.imwrite(path, voxels, photometric="minisblack", **options)
    return path


def predicted(path: Path, out: Path, predictor: Predictor, **options: Any) -> PredictRow:
    (entry,) = list_inputs([path])
    return predict(entry, out, predictor, PredictOptions(**options))


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_pages_are_the_slices_of_one_scan(dtype: str, tmp_path: Path) -> None:
    voxels = noise(dtype, (5, 16, 12))
    scan = load_input(list_inputs([pages(tmp_path / "a.tif", voxels)])[0], max_bytes=MOST_BYTES).scan
    assert scan.affine is None
    assert np.array_equal(scan.voxels[..., 0], voxels)


def test_the_mask_of_a_tiff_has_as_many_pages(predictor: Predictor, tmp_path: Path) -> None:
    voxels = np.zeros((5, 32, 24), np.uint8)
    voxels[2, 8:20, 6:18] = 255
    row = predicted(pages(tmp_path / "a.tif", voxels), tmp_path / "out", predictor, probabilities=True)
    assert [Path(file).name for file in row.outputs] == ["a_mask.tif", "a_overlay.png", "a_probability.tif"]
    mask = tifffile.imread(tmp_path / "out" / "a_mask.tif")
    assert (mask.shape, mask.dtype, set(np.unique(mask))) == (voxels.shape, np.uint8, {0, 255})
    assert (mask > 0).any(axis=(1, 2)).tolist() == [False, False, True, False, False]
    assert (row.tumour_slices, row.tumour_volume_ml) == (1, None)
    with Image.open(tmp_path / "out" / "a_overlay.png") as sheet:
        assert sheet.size[0] > 24


@pytest.mark.parametrize("other", [(16, 10), (18, 12)])
def test_tiff_pages_of_two_sizes_are_refused(other: tuple[int, int], tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for shape in ((16, 12), other):
            file.write(noise("u1", shape), photometric="minisblack", metadata=None)
    with pytest.raises(FormatError, match="page 2 is"):
        load_input(list_inputs([tmp_path / "a.tif"])[0], max_bytes=MOST_BYTES)


def test_tiff_pages_over_the_memory_limit_are_refused_before_reading(tmp_path: Path) -> None:
    file = pages(tmp_path / "a.tif", np.zeros((50, 200, 200), np.uint8), compression="zlib")
    with pytest.raises(ResourceError, match="declares 50 pages"):
        load_input(list_inputs([file])[0], max_bytes=1_000_000)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ome": True, "metadata": {"axes": "CZYX"}}, "2 channels"),
        ({"imagej": True, "metadata": {"axes": "TZYX"}}, "2 times"),
    ],
)
def test_tiff_pages_that_are_channels_or_time_points_are_refused(
    options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    file = pages(tmp_path / "a.tif", noise("u1", (2, 4, 16, 12)), **options)
    with pytest.raises(FormatError, match=words):
        load_input(list_inputs([file])[0], max_bytes=MOST_BYTES)


def test_a_gap_in_a_numbered_stack_gives_a_warning(predictor: Predictor, tmp_path: Path) -> None:
    for number in (1, 2, 5):
        write_picture(tmp_path / f"{number}.png", noise("u1", (20, 20)))
    row = predicted(tmp_path, tmp_path / "out", predictor)
    assert row.warnings[0] == "its numbers jump from 2 to 5: slices may be missing"


def test_truncated_tiff_pages_are_refused(tmp_path: Path) -> None:
    file = pages(tmp_path / "a.tif", noise("u1", (5, 64, 64)))
    file.write_bytes(file.read_bytes()[:9_000])
    with pytest.raises(FormatError):
        load_input(list_inputs([file])[0], max_bytes=MOST_BYTES)


def test_a_numbered_stack_gives_a_folder_of_masks(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "anna").mkdir()
    for number in range(1, 4):
        write_picture(tmp_path / "anna" / f"{number:03d}.png", noise("u1", (20, 20)))
    row = predicted(tmp_path / "anna", tmp_path / "out", predictor, to=("tiff",))
    assert row.error is None
    assert sorted(file.name for file in (tmp_path / "out" / "anna").iterdir())[:2] == [
        "001_mask.tif",
        "001_overlay.png",
    ]
    assert len(row.outputs) == 6
