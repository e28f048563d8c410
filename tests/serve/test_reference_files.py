"""Reference masks of slices and of DICOM series: the worker's task on a job's folder, and the order of slices."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from fastapi import HTTPException
from starlette.datastructures import UploadFile

from gliomaseg.choices import PhantomFormat
from gliomaseg.data.masks import MaskLabels
from gliomaseg.errors import DataError, FormatError, GeometryError
from gliomaseg.inputs import list_inputs, load_input
from gliomaseg.phantoms import write_phantoms
from gliomaseg.serve.reference import compare_reference, read_reference
from gliomaseg.serve.reference_routes import _by_number
from gliomaseg.serve.view import view_of

MAX_BYTES = 2**30


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """Return the folder of a job of three slices; the mask of the model is the first column of each."""
    folder = tmp_path / "job"
    upload = folder / "upload" / "f1"
    upload.mkdir(parents=True)
    for number in (9, 10, 11):
        image = np.arange(12, dtype=np.uint8).reshape(3, 4) + number
        tifffile.imwrite(upload / f"case1_{number}.tif", image)
    scan = load_input(list_inputs([folder / "upload"])[0], max_bytes=MAX_BYTES).scan
    mask = np.zeros((3, 3, 4), bool)
    mask[..., 0] = True
    (folder / "out").mkdir()
    (folder / "view.json").write_text(view_of(scan).to_json())
    (folder / "out" / "model-mask.u8").write_bytes(view_of(scan).to_bytes(mask))
    (folder / "prediction.json").write_text(json.dumps({"number": 1, "series": None, "input": "Doe"}))
    return folder


def write_slices(job: Path, slices: dict[int, Any]) -> list[str]:
    (job / "reference").mkdir()
    for number, values in slices.items():
        tifffile.imwrite(job / "reference" / f"mask_{number}.tif", np.asarray(values, np.uint8))
    return [f"mask_{number}.tif" for number in slices]


def column(start: int, stop: int) -> np.ndarray:
    values = np.zeros((3, 4), np.uint8)
    values[:, start:stop] = 255
    return values


def test_each_slice_is_compared_with_the_mask_of_its_number(job: Path) -> None:
    # The first two columns, the second one, nothing: Dice 2 x 3 / (3 + 6), 0 and 0. In all: 2 x 3 / (9 + 9).
    names = write_slices(job, {9: column(0, 2), 10: column(1, 2), 11: column(0, 0)})
    document = compare_reference(job, is_corrected=False, files=names)
    assert [(one["slice"], round(one["dice"], 3)) for one in document["slices"]] == [(1, 0.667), (2, 0), (3, 0)]
    assert document["dice_volume"] == pytest.approx(1 / 3)
    assert (document["reference_voxels"], document["predicted_voxels"]) == (9, 9)
    lengths = ("reference_ml", "predicted_ml", "hausdorff_95_mm", "average_surface_distance_mm", "surface_dice")
    assert [document[name] for name in lengths] == [None] * 5
    assert compare_reference(job, is_corrected=False) == document


def test_pages_of_a_file_are_slices(job: Path) -> None:
    (job / "reference").mkdir()
    pages = np.stack([column(0, 2), column(1, 2), column(0, 0)])
    tifffile.imwrite(job / "reference" / "mask_1.tif", pages, photometric="minisblack")
    document = compare_reference(job, is_corrected=False, files=["mask_1.tif"])
    assert [round(one["dice"], 3) for one in document["slices"]] == [0.667, 0, 0]


def test_masks_of_other_slices_are_refused(job: Path) -> None:
    names = write_slices(job, {8: column(0, 2), 9: column(0, 2), 10: column(0, 2)})
    with pytest.raises(DataError, match="3 masks of the slices 8 to 10, expected 3 masks of the slices 9 to 11"):
        compare_reference(job, is_corrected=False, files=names)


def test_one_mask_for_several_slices_is_refused(job: Path) -> None:
    names = write_slices(job, {9: column(0, 2)})
    with pytest.raises(GeometryError, match=r"grid is 4 x 3 x 1 pixels.*expected 4 x 3 x 3 pixels.* as Doe"):
        compare_reference(job, is_corrected=False, files=names)
    assert not (job / "out" / "reference.u8").exists()


def test_images_are_ordered_by_their_numbers() -> None:
    names = ["Doe/flair_10_mask.png", "Doe/flair_9_mask.png", "Doe/flair_011-seg.png"]
    files = [UploadFile(io.BytesIO(), filename=name) for name in names]
    assert [(number, file.filename) for number, file in _by_number(files).items()] == [
        (9, names[1]),
        (10, names[0]),
        (11, names[2]),
    ]
    with pytest.raises(HTTPException):
        _by_number([*files, UploadFile(io.BytesIO(), filename="other_10.png")])


def test_a_dicom_segmentation_and_a_volume_are_the_same_mask(tmp_path: Path) -> None:
    """Both phantoms are of one seed; the DICOM files have no suffix, as on many disks."""
    pytest.importorskip("highdicom")
    masks = []
    for kind, name in ((PhantomFormat.dicom, "*_mask.dcm"), (PhantomFormat.nifti, "*_seg.nii.gz")):
        folder = write_phantoms(tmp_path, patients=1, side_px=48, kind=kind)
        flair = next(folder.glob("*/*flair*"))
        scan = load_input(list_inputs([flair])[0], max_bytes=MAX_BYTES).scan
        file = next(folder.glob(f"*/{name}"))
        if kind is PhantomFormat.dicom:
            file = file.rename(tmp_path / "mask")
            with pytest.raises(FormatError, match="expected a DICOM segmentation"):
                read_reference([next(flair.iterdir())], scan, MaskLabels())
        masks.append(scan.axial.turn(read_reference([file], scan, MaskLabels())))
    assert masks[0].any()
    assert np.array_equal(*masks)
