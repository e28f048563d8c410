"""The Python API: paths, scans, arrays and nibabel images give the same mask; results are typed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile

import gliomaseg
from gliomaseg.errors import GeometryError, OutputExistsError, ResourceError, UsageError
from gliomaseg.phantoms import write_phantoms
from volume_cases import taking_t1


@pytest.fixture(scope="module")
def flair(tmp_path_factory):
    """A phantom's FLAIR as NIfTI; T1 lies beside it."""
    root = tmp_path_factory.mktemp("api")
    write_phantoms(root, patients=1, side_px=128, kind="nifti")
    (path,) = root.rglob("*_flair.nii.gz")
    return path


@pytest.fixture(scope="module")
def from_path(flair, bright):
    return gliomaseg.segment(flair, model=bright)


def test_the_exported_names_are_these():
    assert sorted(gliomaseg.__all__) == [
        "Scan", "Segmentation", "__version__", "evaluate", "load_model", "metrics", "read_scan", "segment", "train",
    ]  # fmt: skip
    for name in gliomaseg.__all__:
        assert getattr(gliomaseg, name) is not None
        assert name in dir(gliomaseg)
    with pytest.raises(AttributeError, match="no attribute 'segmnt'"):
        gliomaseg.segmnt  # noqa: B018


def test_the_command_runs_as_a_module():
    done = subprocess.run([sys.executable, "-m", "gliomaseg", "--version"], capture_output=True, text=True, check=True)
    assert gliomaseg.__version__ in done.stdout


def test_a_path_gives_mask_volume_and_warnings(from_path, flair):
    image = nibabel.load(flair)
    assert from_path.mask.dtype == bool
    assert from_path.mask.shape == image.shape[::-1]
    assert from_path.mask.any()
    assert from_path.probability.dtype == np.float32
    voxel_ml = abs(np.linalg.det(image.affine[:3, :3])) / 1000
    assert from_path.volume_ml == pytest.approx(from_path.mask.sum() * voxel_ml, rel=1e-5)
    assert from_path.models == ("bright",)
    assert isinstance(from_path.warnings, tuple)


def test_scan_array_and_nibabel_image_give_the_same_mask(from_path, flair, bright):
    model = gliomaseg.load_model(bright)
    image = nibabel.load(flair)
    xyz = np.asarray(image.dataobj)
    as_scan = gliomaseg.segment(gliomaseg.read_scan(flair), model=model)
    as_image = gliomaseg.segment(image, model=model)
    as_xyz = gliomaseg.segment(xyz, affine=image.affine, axes="xyz", model=model)
    as_zyx = gliomaseg.segment(xyz.T, affine=image.affine, model=model)
    assert np.array_equal(as_scan.mask, from_path.mask)
    assert np.array_equal(as_image.mask, from_path.mask.T)
    assert np.array_equal(as_xyz.mask, from_path.mask.T)
    assert np.array_equal(as_zyx.mask, from_path.mask)
    assert as_image.probability.shape == image.shape


def test_spacing_stands_for_an_axial_affine(from_path, flair, bright):
    image = nibabel.load(flair)
    spacing_mm = tuple(float(mm) for mm in image.header.get_zooms()[::-1])
    found = gliomaseg.segment(np.asarray(image.dataobj).T, spacing_mm=spacing_mm, model=bright)
    assert found.volume_ml == pytest.approx(from_path.volume_ml, rel=1e-5)
    assert found.scan.orientation is None  # the caller gave no directions


def test_t1_is_joined_as_a_sequence(flair, bright):
    t1 = str(flair).replace("_flair", "_t1")
    found = gliomaseg.segment(flair, t1=t1, model=taking_t1(gliomaseg.load_model(bright)))
    assert found.scan.available == {"flair", "t1"}
    assert gliomaseg.read_scan(flair, t1=t1).sequences == ("t1", "flair", "t1ce")


def test_an_image_stack_without_spacing_has_no_volume(bright):
    found = gliomaseg.segment(np.zeros((2, 64, 64), np.uint8), model=bright)
    assert (found.mask.any(), found.volume_ml) == (False, None)


def test_the_saved_mask_lies_on_the_scan(from_path, flair, tmp_path):
    path = from_path.save(tmp_path / "mask.nii.gz")
    saved, image = nibabel.load(path), nibabel.load(flair)
    assert np.array_equal(np.asarray(saved.dataobj).T > 0, from_path.mask)
    np.testing.assert_allclose(saved.affine, image.affine, atol=1e-5)
    assert np.array_equal(np.asarray(from_path.to_nibabel().dataobj), np.asarray(saved.dataobj))
    with pytest.raises(OutputExistsError):
        from_path.save(path)
    from_path.save(path, overwrite=True)


def test_a_mask_without_an_affine_is_saved_as_slices(bright, tmp_path):
    found = gliomaseg.segment(np.zeros((2, 64, 64), np.uint8), model=bright)
    assert found.save(tmp_path / "mask.tif").is_file()
    with pytest.raises(GeometryError, match="no affine"):
        found.save(tmp_path / "mask.nii.gz")
    with pytest.raises(UsageError, match=r"suffix is \.jpg"):
        found.save(tmp_path / "mask.jpg")
    with pytest.raises(UsageError, match=r"suffix is \.hdr"):  # read, but not written
        found.save(tmp_path / "mask.hdr")
    with pytest.raises(UsageError, match="suffix is missing"):
        found.save("")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mask.tif"]


@pytest.mark.parametrize(
    ("array", "options", "match"),
    [
        (np.zeros((2, 8)), {}, r"scan: shape is \(2, 8\), expected .*; add the slice axis: array\[None\]"),
        (np.zeros((1, 1, 2, 8, 8)), {}, "select one volume"),
        (np.zeros((8, 8, 2, 2)), {"affine": np.eye(4), "axes": "xyz"}, "select one volume"),
        (np.zeros((8, 8)), {"affine": np.eye(4), "axes": "xyz"}, r"array\[..., None\]"),
        (np.zeros((2, 8, 8)), {}, "grid is unknown"),
        (np.full((2, 8, 8), np.nan), {"spacing_mm": (1, 1, 1)}, "NaN"),
        (np.zeros((2, 8, 8)), {"spacing_mm": (1, 1, 1), "axes": "yxz"}, "axes is 'yxz'"),
        (np.zeros((2, 8, 8)), {"spacing_mm": (1, 1, 1), "affine": np.eye(4)}, "both given"),
        (np.zeros((2, 8, 8)), {"affine": "x"}, "affine is str, expected a 4 x 4 matrix of numbers"),
        (np.zeros((2, 8, 8)), {"affine": np.eye(3)}, r"affine has shape \(3, 3\), expected \(4, 4\)"),
        ([np.zeros((8, 8), np.uint8), np.zeros((8, 9), np.uint8)], {}, "slices have several shapes"),
        (np.ma.masked_less(np.zeros((1, 2, 2), np.uint8), 1), {}, r"4 masked voxels, .*array.filled\(0\)"),
    ],
)
def test_an_array_that_cannot_be_used_is_refused(array, options, match, bright):
    with pytest.raises((GeometryError, UsageError), match=match):
        gliomaseg.segment(array, model=bright, **options)


@pytest.mark.parametrize(
    ("channels", "cure"), [(3, r"add the slice axis: array\[None\]"), (4, r"array\[None, \.\.\., :3\]")]
)
def test_one_rgb_image_is_refused_with_its_cure(channels, cure, bright):
    image = np.zeros((64, 64, channels), np.uint8)
    with pytest.raises(GeometryError, match=f"one RGB image.*{cure}"):
        gliomaseg.segment(image, model=bright)
    assert gliomaseg.segment(image[None, ..., :3], model=bright).mask.shape == (1, 64, 64)


@pytest.mark.parametrize(
    "spacing_mm", [(-5, 1, 1), (5, 0, 1), (5, 1, np.nan), (5, 1, np.inf), (1, 2), 1.0, "3 1 1", (500, 1, 1)]
)
def test_a_spacing_that_is_not_three_lengths_is_refused(spacing_mm, bright):
    with pytest.raises(UsageError, match=r"spacing_mm is .*, expected three numbers from 0\.01 to 100"):
        gliomaseg.segment(np.zeros((2, 8, 8)), spacing_mm=spacing_mm, model=bright)


@pytest.mark.parametrize(
    ("scan", "match"),
    [
        (None, "scan is NoneType, expected a path, a Scan, a nibabel image or an array"),
        (5, "scan is int"),
        (b"a.nii", "scan is bytes"),
        ({"flair": "a.nii"}, "scan is dict"),
        ([Path("a.nii"), Path("b.nii")], "scan is list of PosixPath"),
        (["a.nii", "b.nii"], "scan is list of str"),
    ],
)
def test_an_input_of_another_type_is_a_type_error(scan, match, bright):
    with pytest.raises(TypeError, match=match):
        gliomaseg.segment(scan, model=bright)


def test_an_array_is_named_by_its_argument(bright):
    flair = np.zeros((2, 8, 8), np.uint8)
    with pytest.raises(GeometryError, match="t1: shape is"):
        gliomaseg.segment(flair, t1=flair[0], model=taking_t1(gliomaseg.load_model(bright)))


def test_t1_that_the_model_does_not_take_is_a_warning(bright):
    flair = np.zeros((2, 64, 64), np.uint8)
    found = gliomaseg.segment(flair, t1=flair, model=bright)
    assert found.scan.available == {"flair"}
    assert found.warnings[0] == "T1 was given and is not used: bright does not take it"


@pytest.mark.parametrize("options", [{"spacing_mm": (1, 1, 1)}, {"affine": np.eye(4)}, {"axes": "zyx"}])
def test_geometry_beside_an_input_that_has_its_own_is_refused(options, flair, bright):
    for scan in (flair, gliomaseg.read_scan(flair), nibabel.load(flair)):
        with pytest.raises(UsageError, match="only for arrays"):
            gliomaseg.segment(scan, model=bright, **options)


def test_a_nan_voxel_is_background_in_every_input(flair, bright, tmp_path):
    image = nibabel.load(flair)
    voxels = np.asarray(image.dataobj, np.float32).copy()
    voxels[0, 0, 0] = np.nan
    holed = nibabel.Nifti1Image(voxels, image.affine)
    nibabel.save(holed, tmp_path / "holed.nii.gz")
    model = gliomaseg.load_model(bright)
    from_file = gliomaseg.segment(tmp_path / "holed.nii.gz", model=model)
    scan = gliomaseg.Scan(voxels.T[..., None], "here", image.affine)
    assert np.array_equal(gliomaseg.segment(holed, model=model).mask.T, from_file.mask)
    assert np.array_equal(gliomaseg.segment(voxels.T, affine=image.affine, model=model).mask, from_file.mask)
    assert np.array_equal(gliomaseg.segment(scan, model=model).mask, from_file.mask)


def test_a_last_axis_of_length_1_is_dropped(from_path, flair, bright):
    image = nibabel.load(flair)
    voxels = np.asarray(image.dataobj)[..., None]
    found = gliomaseg.segment(nibabel.Nifti1Image(voxels, image.affine), model=bright)
    assert np.array_equal(found.mask, from_path.mask.T)


def test_saved_pages_are_axial_slices_that_ascend(from_path, flair, bright, tmp_path):
    coronal = nibabel.load(flair).as_reoriented([[0, 1], [2, -1], [1, 1]])  # voxel axes L, S, P
    found = gliomaseg.segment(coronal, model=bright)
    pages = tifffile.imread(found.save(tmp_path / "new" / "mask.tif"))
    assert np.array_equal(pages > 0, found.scan.axial.turn(found.mask.T))
    assert pages.shape == from_path.mask.shape
    assert np.array_equal(pages > 0, tifffile.imread(from_path.save(tmp_path / "axial.tif")) > 0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: gliomaseg.segment(""),
        lambda: gliomaseg.segment(np.zeros((1, 8, 8), np.uint8), t1=" "),
        lambda: gliomaseg.read_scan("a.nii", t1ce=""),
        lambda: gliomaseg.load_model(""),
        lambda: gliomaseg.evaluate("", model="glioma-flair"),
        lambda: gliomaseg.evaluate("lgg", splits=""),
        lambda: gliomaseg.train("", "lgg", "run"),
        lambda: gliomaseg.train("unet_small", "lgg", ""),
    ],
)
def test_an_empty_path_is_refused(call):
    with pytest.raises(UsageError, match=r"is an empty string, expected a path"):
        call()


@pytest.mark.parametrize("model", [5, ["glioma-flair"]])
def test_a_model_of_another_type_is_a_type_error(model):
    with pytest.raises(TypeError, match=r"model is \w+, expected a name, a path or the result of load_model"):
        gliomaseg.segment(np.zeros((2, 64, 64), np.uint8), model=model)


def test_an_unknown_engine_is_refused_by_its_name(bright):
    with pytest.raises(UsageError, match=r"^engine is 'tensorrt', expected one of onnxruntime"):
        gliomaseg.load_model(bright, engine="tensorrt")


def test_a_series_is_only_for_dicom(flair):
    with pytest.raises(UsageError, match="series: no input is a DICOM series; omit it"):
        gliomaseg.read_scan(flair, series="1")


def test_a_small_memory_limit_is_named_with_its_unit(flair):
    with pytest.raises(ResourceError, match=r"over the limit of 1\.0 KiB; .*in Python max_bytes"):
        gliomaseg.read_scan(flair, max_bytes=1024)


def test_a_result_is_printed_without_its_mask_and_compared_by_identity(from_path, flair, bright):
    assert "array" not in repr(from_path)
    assert from_path != gliomaseg.segment(flair, model=bright)


def test_an_evaluation_is_typed(phantoms, bright):
    found = gliomaseg.evaluate(phantoms, model=bright)
    assert len(found.patients) == 5
    assert 0 < found.summary["dice_volume"].mean <= 1
    assert "dice_volume" in found.definitions
    table = [row.model_dump() for row in found.patients]
    assert table[0]["dice_volume"] == found.patients[0]["dice_volume"]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"splits": "splits.json", "subset": "test"}, "subset is 'test', expected train or validation"),
        ({"subset": "train"}, "subset and fold need splits"),
        ({"fold": 1}, "subset and fold need splits"),
        ({"spacing_mm": (5, 1)}, r"spacing_mm is \(5, 1\), expected three lengths"),
        ({"spacing_mm": "5"}, "spacing_mm is '5', expected three lengths"),
    ],
)
def test_options_of_an_evaluation_are_checked(options, match, phantoms, bright):
    with pytest.raises(UsageError, match=match):
        gliomaseg.evaluate(phantoms, model=bright, **options)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"device": "tpu"}, UsageError, "device is 'tpu', expected one of auto, cpu, cuda"),
        ({"settings": "training.epochs=1"}, TypeError, "settings is a string, expected a list of strings"),
        ({"resume": True, "overwrite": True}, UsageError, "resume and overwrite are both True"),
    ],
)
def test_options_of_a_training_are_checked(options, error, match, phantoms, tmp_path):
    with pytest.raises(error, match=match):
        gliomaseg.train("unet_small", phantoms, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_a_trained_model_is_read_by_load_model(phantoms, tmp_path):
    small = ["preprocessing.size_px=64", "network.base_features=4", "network.levels=2", "training.epochs=1"]
    lines = []
    folder = gliomaseg.train("unet_small", phantoms, tmp_path / "run", settings=small, progress=lines.append)
    assert lines
    assert gliomaseg.segment(np.zeros((2, 64, 64), np.uint8), model=folder).models == ("run",)


def test_the_metrics_are_functions_of_two_masks():
    mask = np.ones((1, 2, 2), bool)
    assert gliomaseg.metrics.dice(reference=mask, predicted=mask) == 1
    distances = gliomaseg.metrics.surface_distances(reference=mask, predicted=mask, spacing=(5, 1, 1))
    assert gliomaseg.metrics.hausdorff_95(distances) == 0
    for name in gliomaseg.metrics.__all__:
        assert callable(getattr(gliomaseg.metrics, name))
