"""A reference mask: the API as its page in the guide describes it, against a real server."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from PIL import Image

from gliomaseg.choices import PhantomFormat
from gliomaseg.metrics import surface
from gliomaseg.phantoms import write_phantoms
from serve.conftest import finished

Document = dict[str, Any]


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a phantom with its exact mask, as NIfTI."""
    folder = write_phantoms(tmp_path_factory.mktemp("reference"), patients=1, side_px=96, kind=PhantomFormat.nifti)
    return next(folder.glob("*/*_flair.nii.gz")).parent


@pytest.fixture(scope="module")
def mask(case: Path) -> nib.Nifti1Image:
    return nib.load(next(case.glob("*_seg.nii.gz")))


@pytest.fixture(scope="module")
def path(server_address: str, case: Path) -> Iterator[str]:
    """Return the address of a finished job of the phantom."""
    flair = next(case.glob("*_flair.nii.gz"))
    with httpx.Client(base_url=f"{server_address}/v1", timeout=60) as opened:
        job = opened.post("/segmentations", files={"flair": (flair.name, flair.read_bytes())}).json()
        job = finished(opened, job)
        assert job["state"] == "done", job
        yield f"{server_address}/v1/segmentations/{job['id']}"
        opened.delete(f"/segmentations/{job['id']}")


@pytest.fixture(autouse=True)
def model_mask(request: pytest.FixtureRequest) -> None:
    """Each test begins with the model's mask and without a reference."""
    if "path" in request.fixturenames:
        address = request.getfixturevalue("path")
        httpx.delete(f"{address}/mask")
        httpx.delete(f"{address}/reference")


def packed(image: nib.Nifti1Image) -> bytes:
    return gzip.compress(image.to_bytes(), 1)


def put(path: str, *files: tuple[str, bytes], **data: str) -> httpx.Response:
    return httpx.put(f"{path}/reference", files=[("mask", file) for file in files], data=data, timeout=60)


def compared(path: str, *files: tuple[str, bytes], **data: str) -> Document:
    document: Document = put(path, *files, **data).raise_for_status().json()
    return document


def predicted(path: str) -> nib.Nifti1Image:
    return nib.Nifti1Image.from_bytes(gzip.decompress(httpx.get(f"{path}/mask.nii.gz").content))


def array(image: nib.Nifti1Image) -> np.ndarray:
    return np.asarray(image.dataobj) > 0


def test_measures_are_those_of_both_masks(path: str, mask: nib.Nifti1Image) -> None:
    document = compared(path, ("expert.nii.gz", packed(mask)))
    a, b = array(mask), array(predicted(path))
    voxel_ml = abs(np.linalg.det(mask.affine)) / 1000
    assert document["name"] == "expert.nii.gz"
    assert document["dice_volume"] == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()))
    assert 0.3 < document["dice_volume"] < 1
    assert document["reference_ml"] == pytest.approx(a.sum() * voxel_ml)
    assert document["predicted_ml"] == pytest.approx(b.sum() * voxel_ml)
    distances = surface.surface_distances(reference=a.T, predicted=b.T, affine=mask.affine)
    assert document["hausdorff_95_mm"] == pytest.approx(surface.hausdorff_95(distances))
    mean = surface.average_symmetric_surface_distance(distances)
    assert document["average_surface_distance_mm"] == pytest.approx(mean)
    assert document["surface_dice"] == pytest.approx(surface.normalised_surface_dice(distances, tolerance=2))
    assert httpx.get(path).json()["reference"] == "expert.nii.gz"


def test_slices_are_the_axial_ones_with_a_voxel_in_either_mask(path: str, mask: nib.Nifti1Image) -> None:
    document = compared(path, ("expert.nii.gz", packed(mask)))
    a, b = (array(nib.as_closest_canonical(image)) for image in (mask, predicted(path)))
    expected = [k + 1 for k in range(a.shape[2]) if a[..., k].any() or b[..., k].any()]
    assert [one["slice"] for one in document["slices"]] == expected
    for one in document["slices"]:
        p, q = a[..., one["slice"] - 1], b[..., one["slice"] - 1]
        assert one["dice"] == pytest.approx(2 * (p & q).sum() / (p.sum() + q.sum()))
        assert (one["reference_voxels"], one["predicted_voxels"]) == (p.sum(), q.sum())


@pytest.mark.parametrize("codes", ["RAS", "LPI", "SAL", "PIR"])
def test_axes_of_the_file_do_not_matter_and_a_mirrored_mask_lies_elsewhere(
    path: str, mask: nib.Nifti1Image, codes: str
) -> None:
    right = compared(path, ("expert.nii.gz", packed(mask)))["dice_volume"]
    turned = mask.as_reoriented(ornt_transform(io_orientation(mask.affine), axcodes2ornt(codes)))
    assert compared(path, ("turned.nii.gz", packed(turned)))["dice_volume"] == right
    voxels = httpx.get(f"{path}/reference.u8").content
    side = next(axis for axis, letter in enumerate(codes) if letter in "LR")
    mirrored = nib.Nifti1Image(np.flip(np.asarray(turned.dataobj), side), turned.affine)
    assert compared(path, ("mirrored.nii.gz", packed(mirrored)))["dice_volume"] < 0.5 * right
    assert np.array_equal(page_voxels(voxels, mask), array(nib.as_closest_canonical(mask)))


def page_voxels(content: bytes, image: nib.Nifti1Image) -> np.ndarray:
    shape = nib.as_closest_canonical(image).shape
    return np.frombuffer(content, np.uint8).reshape(shape, order="F") > 0


def test_a_correction_is_compared_after_it_is_stored(path: str, mask: nib.Nifti1Image) -> None:
    before = compared(path, ("expert.nii.gz", packed(mask)))
    reference = httpx.get(f"{path}/reference.u8").content
    httpx.put(f"{path}/mask", content=reference, timeout=60).raise_for_status()
    after = httpx.get(f"{path}/reference.json").json()
    assert (after["dice_volume"], after["hausdorff_95_mm"], after["predicted_ml"]) == (1, 0, before["reference_ml"])
    httpx.delete(f"{path}/mask").raise_for_status()
    assert httpx.get(f"{path}/reference.json").json() == before


def test_a_removed_reference_is_gone(path: str, mask: nib.Nifti1Image) -> None:
    compared(path, ("expert.nii.gz", packed(mask)))
    assert httpx.delete(f"{path}/reference").status_code == 204
    assert httpx.get(path).json()["reference"] is None
    assert [httpx.get(f"{path}/{name}").status_code for name in ("reference.json", "reference.u8")] == [404, 404]
    assert httpx.delete(f"{path}/reference").status_code == 404


def test_only_the_named_values_are_tumour(path: str, mask: nib.Nifti1Image) -> None:
    parts = array(mask).astype(np.uint8)
    parts[: int(np.median(parts.nonzero()[0]))] *= 4
    file = ("parts.nii.gz", packed(nib.Nifti1Image(parts, mask.affine)))
    assert compared(path, file)["reference_voxels"] == (parts > 0).sum()
    assert compared(path, file, labels="4")["reference_voxels"] == (parts == 4).sum()
    assert compared(path, file, labels="1, 4")["reference_voxels"] == (parts > 0).sum()
    absent = put(path, file, labels="9")
    assert (absent.status_code, "no voxel has one of the labels 9" in absent.json()["error"]) == (422, True)
    answer = put(path, file, labels="tumour")
    assert (answer.status_code, answer.json()["error"]) == (
        422, "labels: labels are 'tumour', expected whole numbers above 0; write 1,2,4",
    )  # fmt: skip


def test_distances_to_an_empty_mask_are_those_of_evaluate(path: str, mask: nib.Nifti1Image) -> None:
    """One mask is empty: the diagonal of the grid. Both are: undefined."""
    nothing = nib.Nifti1Image(np.zeros(mask.shape, np.uint8), mask.affine)
    document = compared(path, ("nothing.nii.gz", packed(nothing)))
    z, y, x = (count - 1 for count in mask.shape[::-1])
    diagonal = np.linalg.norm(mask.affine[:3, :3] @ (x, y, z))
    assert (document["dice_volume"], document["reference_ml"]) == (0, 0)
    assert document["hausdorff_95_mm"] == pytest.approx(diagonal)
    httpx.put(f"{path}/mask", content=bytes(int(np.prod(mask.shape))), timeout=60).raise_for_status()
    both = httpx.get(f"{path}/reference.json").json()
    assert (both["dice_volume"], both["hausdorff_95_mm"], both["slices"]) == (None, None, [])


def test_a_mask_of_another_grid_is_refused_and_the_old_one_stays(path: str, case: Path, mask: nib.Nifti1Image) -> None:
    before = compared(path, ("expert.nii.gz", packed(mask)))
    moved = mask.affine.copy()
    moved[0, 3] += 3
    image = next(case.glob("*_flair.nii.gz")).read_bytes()
    picture = io.BytesIO()
    Image.fromarray(np.zeros((96, 96), np.uint8)).save(picture, "PNG")
    for name, content, reason in (
        ("case1_cut.nii.gz", packed(mask.slicer[:, :, :-1]), "grid is"),
        ("moved.nii.gz", packed(nib.Nifti1Image(array(mask).astype(np.uint8), moved)), "grid is"),
        ("flair.nii.gz", image, "values"),
        ("../../etc/notes.txt", b"no mask", "suffix is .txt"),
        ("broken.nii.gz", b"no mask", "not a readable NIfTI"),
        ("slice.png", picture.getvalue(), "96 x 96 x 1 pixels without an affine"),
    ):
        answer = put(path, (name, content))
        error = answer.json()["error"]
        assert (answer.status_code, error.startswith(f"{name.rpartition('/')[2]}: "), reason in error) == (
            422, True, True,
        ), error  # fmt: skip
        assert "\n" not in error
        assert "/tmp" not in error
    assert httpx.get(f"{path}/reference.json").json() == before


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"files": {"file": ("a.nii", b"1")}}, 400),
        ({"data": {"labels": "1"}, "files": {}}, 400),
        ({"json": {}}, 400),
        ({"files": [("mask", ("a.png", b"1")), ("mask", ("b.png", b"1"))]}, 422),
        ({"files": [("mask", ("1.nii", b"1")), ("mask", ("2.nii", b"1"))]}, 422),
    ],
)
def test_a_wrong_form_is_refused(path: str, options: dict[str, Any], status: int) -> None:
    answer = httpx.put(f"{path}/reference", **options, timeout=60)
    assert (answer.status_code, "error" in answer.json()) == (status, True)


def test_a_job_that_does_not_exist_has_no_reference(client: httpx.Client) -> None:
    answer = client.put(f"/segmentations/{'a' * 22}/reference", files={"mask": ("a.nii", b"1")})
    assert answer.status_code == 404
