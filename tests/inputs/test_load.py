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
from gliomaseg.formats import Grid, write_picture, write_volume
from gliomaseg.formats.dicom import Acquisition, write_series
from gliomaseg.inputs.load import load_input
from gliomaseg.prediction import PredictOptions, Predictor, PredictRow, join_sequences, list_inputs, open_predictor
from gliomaseg.prediction.predict import predict
from volume_cases import taking_t1

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


GRID = np.diag([2.0, 2, 5, 1])


def shifted(x_mm: float = 0, z_mm: float = 0) -> Any:
    affine = GRID.copy()
    affine[0, 3], affine[2, 3] = x_mm, z_mm
    return affine


def head() -> Any:
    """Return FLAIR, 10 slices of 8 x 8, whose head is the inner 4 x 4 pixels of each slice."""
    voxels = np.zeros((10, 8, 8), np.int16)
    voxels[:, 2:6, 2:6] = 500 + np.arange(160).reshape(10, 4, 4)
    return voxels


def joined(tmp_path: Path, t1: Any, affine: Any, flair: Any = None) -> Any:
    flair = volume(tmp_path / "f.nii", head() if flair is None else flair, GRID)
    entry = join_sequences(flair, t1=volume(tmp_path / "t.nii", t1, affine), t1ce=None)
    return load_input(entry, max_bytes=MOST_BYTES).scan


def test_t1_on_another_grid_is_resampled_and_the_scan_has_a_note(tmp_path: Path) -> None:
    t1 = noise(shape=(12, 9, 10))  # begins a voxel before FLAIR in x, and a slice below
    scan = joined(tmp_path, t1, shifted(-2, -5))
    assert np.array_equal(scan.voxels[..., 0], t1[1:11, :8, 1:9])
    assert np.array_equal(scan.voxels[..., 1], head())
    assert scan.given == {"flair", "t1"}
    assert scan.notes == ("T1 was resampled to the grid of FLAIR, from 10 x 9 x 12 voxels of 2 x 2 x 5 mm",)


def test_a_head_without_t1_in_some_slices_is_in_the_note(tmp_path: Path) -> None:
    scan = joined(tmp_path, head(), shifted(0, 5))  # T1 lacks the lowest of ten slices
    assert not scan.voxels[0, ..., 0].any()
    assert np.array_equal(scan.voxels[1:, ..., 0], head()[:9])
    assert scan.notes[0].endswith("of 2 x 2 x 5 mm, and has no signal in 10 % of the head")


@pytest.mark.parametrize(("z_mm", "percent"), [(10, 80), (1000, 0)])
def test_t1_that_covers_too_little_of_the_head_is_left_out_with_a_note(
    z_mm: float, percent: int, tmp_path: Path
) -> None:
    scan = joined(tmp_path, head(), shifted(0, z_mm))
    assert scan.sequences == ("flair",)
    assert scan.available == {"flair"}
    assert scan.notes == (f"T1 was not used: it covers {percent} % of the head in FLAIR, expected at least 90 %",)


def test_the_row_of_a_resampled_t1_has_a_warning(predictor: Predictor, tmp_path: Path) -> None:
    flair, t1 = volume(tmp_path / "f.nii", head(), GRID), volume(tmp_path / "t.nii", head(), shifted(0.5))
    row = predict(join_sequences(flair, t1=t1, t1ce=None), tmp_path / "out", taking_t1(predictor))
    assert row.error is None
    assert row.warnings[0].startswith("T1 was resampled to the grid of FLAIR")


def test_t1_for_a_model_of_flair_is_not_read_and_the_row_has_a_warning(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "t.nii").write_bytes(b"damaged")
    entry = join_sequences(volume(tmp_path / "f.nii", head(), GRID), t1=tmp_path / "t.nii", t1ce=None)
    row = predict(entry, tmp_path / "out", predictor)
    assert row.error is None
    assert row.warnings[0] == "T1 was given and is not used: bright does not take it"
    assert predict(entry, tmp_path / "other", taking_t1(predictor)).error is not None


def test_a_model_of_flair_does_not_ask_for_the_t1_beside_it(predictor: Predictor, tmp_path: Path) -> None:
    for name in ("f_flair.nii", "f_t1.nii"):
        volume(tmp_path / name, head(), GRID)
    (entry,) = list_inputs([tmp_path])
    advice = "f_t1.nii is T1 of the same case and was not used; pass it with --t1, and FLAIR with --flair"
    assert advice in predict(entry, tmp_path / "both", taking_t1(predictor)).warnings
    row = predict(entry, tmp_path / "out", predictor)
    assert advice not in row.warnings
    assert row.skipped == ["f_t1.nii: is T1 beside FLAIR"]


@pytest.mark.parametrize("kind", ["nii", "nrrd", "mha"])
def test_sequences_in_different_formats_are_joined(kind: str, tmp_path: Path) -> None:
    t1 = noise(shape=(12, 9, 10))
    grid = Grid((12, 9, 10), shifted(-2, -5))
    write_volume(tmp_path / f"t.{kind}", t1, grid, description="image")
    entry = join_sequences(volume(tmp_path / "f.nii", head(), GRID), t1=tmp_path / f"t.{kind}", t1ce=None)
    scan = load_input(entry, max_bytes=MOST_BYTES).scan
    assert np.array_equal(scan.voxels[..., 0], t1[1:11, :8, 1:9])


@pytest.mark.parametrize(("patient", "count"), [("A", 0), ("B", 1)])
def test_dicom_series_of_different_frames_of_reference_have_a_note(patient: str, count: int, tmp_path: Path) -> None:
    # The writer gives each patient a frame of reference.
    flair = Acquisition(patient="A", description="FLAIR", number=1)
    t1 = Acquisition(patient=patient, description="T1", number=2, repetition_ms=500, echo_ms=10, inversion_ms=None)
    write_series(tmp_path / "f", noise("u2"), GRID, acquisition=flair)
    write_series(tmp_path / "t", noise("u2"), GRID, acquisition=t1)
    entry = join_sequences(tmp_path / "f", t1=tmp_path / "t", t1ce=None)
    notes = load_input(entry, max_bytes=MOST_BYTES).scan.notes
    assert len(notes) == count
    assert all(note.startswith("T1 has another FrameOfReferenceUID than FLAIR") for note in notes)


def test_nan_in_a_resampled_t1_is_background(tmp_path: Path) -> None:
    t1 = head().astype(np.float32)
    t1[3, 4, 4] = np.nan
    scan = joined(tmp_path, t1, shifted(2))
    assert scan.voxels[3, 4, 5, 0] == 0
    assert np.isfinite(scan.voxels).all()


def test_t1_of_several_volumes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"t\.nii: .*volumes"):
        joined(tmp_path, noise(shape=(2, 10, 8, 8)), GRID)


def test_t1_beyond_the_memory_limit_is_refused(tmp_path: Path) -> None:
    files = volume(tmp_path / "f.nii", head(), GRID), volume(tmp_path / "t.nii", noise(shape=(50, 80, 80)))
    with pytest.raises(ResourceError, match=r"t\.nii: declares 320,000 voxels"):
        load_input(join_sequences(files[0], t1=files[1], t1ce=None), max_bytes=80_000_000)


def test_a_file_without_orientation_is_not_resampled(tmp_path: Path) -> None:
    image = Nifti1Image(noise(shape=(9, 8, 8)).T, None)
    image.header.set_zooms((2, 2, 5))
    nibabel.save(image, tmp_path / "t.nii")
    entry = join_sequences(volume(tmp_path / "f.nii", head(), GRID), t1=tmp_path / "t.nii", t1ce=None)
    with pytest.raises(GeometryError, match=r"t\.nii: has no orientation"):
        load_input(entry, max_bytes=MOST_BYTES)


@pytest.mark.parametrize("shape", [(3, 9, 8), (4, 8, 8)])
def test_images_of_different_sizes_are_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    files = pages(tmp_path / "f.tif", noise("u1", (3, 8, 8))), pages(tmp_path / "t.tif", noise("u1", shape))
    with pytest.raises(GeometryError, match=r"t\.tif: size is 8 x . x . voxels"):
        load_input(join_sequences(files[0], t1=files[1], t1ce=None), max_bytes=MOST_BYTES)


def test_colour_images_are_refused_as_a_single_sequence(tmp_path: Path) -> None:
    write_picture(tmp_path / "f.png", noise("u1", (8, 8, 3)))
    write_picture(tmp_path / "t.png", noise("u1", (8, 8)))
    with pytest.raises(GeometryError, match="image is in colour"):
        load_input(join_sequences(tmp_path / "f.png", t1=tmp_path / "t.png", t1ce=None), max_bytes=MOST_BYTES)


def test_the_memory_limit_covers_all_sequences_together(tmp_path: Path) -> None:
    files = [volume(tmp_path / f"{name}.nii", noise()) for name in "abc"]
    needed = 4 * 6 * 5 * 20 + 6 * 9 * 256 * 256
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
    with pytest.raises(ResourceError, match="declares 200 x 200 pixels in each of 50 slices"):
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


OME = """<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="Pixels:0"
 DimensionOrder="XYZCT" Type="uint8" SizeX="12" SizeY="16" SizeZ="{z}" SizeC="1" SizeT="1"><Channel ID="Channel:0:0"
 SamplesPerPixel="1"/>{planes}</Pixels></Image></OME>"""


def ome_pages(path: Path, voxels: Any, *, order: list[int], z: int) -> Path:
    planes = "".join(f'<TiffData FirstZ="{place}" IFD="{page}" PlaneCount="1"/>' for place, page in enumerate(order))
    return pages(path, voxels, description=OME.format(z=z, planes=planes), metadata=None)


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_an_ome_tiff_of_slices_is_one_scan(dtype: str, tmp_path: Path) -> None:
    voxels = noise(dtype, (5, 16, 12))
    file = pages(tmp_path / "a.ome.tif", voxels, metadata={"axes": "ZYX"})
    assert np.array_equal(load_input(list_inputs([file])[0], max_bytes=MOST_BYTES).scan.voxels[..., 0], voxels)


def test_an_ome_description_orders_the_pages(tmp_path: Path) -> None:
    voxels = noise("u1", (3, 16, 12))
    file = ome_pages(tmp_path / "a.ome.tif", voxels, order=[2, 0, 1], z=3)
    scan = load_input(list_inputs([file])[0], max_bytes=MOST_BYTES).scan
    assert np.array_equal(scan.voxels[..., 0], voxels[[2, 0, 1]])


def test_an_ome_tiff_of_two_images_is_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as file:
        for seed in (1, 2):
            file.write(noise("u1", (2, 16, 12)) // seed, photometric="minisblack", metadata={"axes": "ZYX"})
    with pytest.raises(FormatError, match="has 2 images, expected 1; save a file for each"):
        load_input(list_inputs([tmp_path / "a.ome.tif"])[0], max_bytes=MOST_BYTES)


def test_an_ome_tiff_with_slices_in_other_files_is_refused(tmp_path: Path) -> None:
    file = ome_pages(tmp_path / "a.ome.tif", noise("u1", (2, 16, 12)), order=[0, 1], z=4)
    with pytest.raises(FormatError, match=r"has 2 pages, and its OME description has shape \(4, 16, 12\)"):
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
