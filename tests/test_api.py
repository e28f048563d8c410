"""The Python API: paths, scans, arrays and nibabel images give the same mask; results are typed."""

from __future__ import annotations

import subprocess
import sys

import nibabel
import numpy as np
import pytest

import gliomaseg
from gliomaseg.errors import GeometryError, OutputExistsError, UsageError
from gliomaseg.phantoms import write_phantoms


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
    found = gliomaseg.segment(flair, t1=t1, model=bright)
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
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mask.tif"]


@pytest.mark.parametrize(
    ("array", "options", "match"),
    [
        (np.zeros((2, 8)), {}, "shape"),
        (np.zeros((2, 8, 8)), {}, "grid is unknown"),
        (np.full((2, 8, 8), np.nan), {"spacing_mm": (1, 1, 1)}, "NaN"),
        (np.zeros((2, 8, 8)), {"spacing_mm": (1, 1, 1), "axes": "yxz"}, "axes is 'yxz'"),
        (np.zeros((2, 8, 8)), {"spacing_mm": (1, 1, 1), "affine": np.eye(4)}, "both given"),
    ],
)
def test_an_array_that_cannot_be_used_is_refused(array, options, match, bright):
    with pytest.raises((GeometryError, UsageError), match=match):
        gliomaseg.segment(array, model=bright, **options)


def test_geometry_beside_a_file_is_refused(flair, bright):
    with pytest.raises(UsageError, match="only for arrays"):
        gliomaseg.segment(flair, spacing_mm=(1, 1, 1), model=bright)


def test_an_evaluation_is_typed(phantoms, bright):
    found = gliomaseg.evaluate(phantoms, model=bright)
    assert len(found.patients) == 5
    assert 0 < found.summary["dice_volume"].mean <= 1
    assert "dice_volume" in found.definitions


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
