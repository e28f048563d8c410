"""`predict` writes nothing that could replace a reference mask, or be taken for one."""

from pathlib import Path

import numpy as np
import pytest
from nibabel import Nifti1Image
from nibabel import save as save_nifti

from gliomaseg.formats import write_picture
from gliomaseg.phantoms import phantom_patient
from gliomaseg.prediction import PredictOptions, PredictRow, list_inputs, open_predictor
from gliomaseg.prediction.predict import predict

INSIDE = "lies inside the data set; name a place outside of it"


@pytest.fixture(scope="module")
def predictor(bright):
    return open_predictor(bright)


def kaggle(root: Path, *, numbers: tuple[int, ...] = (5, 14), masks: tuple[int, ...] = (5, 14)) -> Path:
    folder = root / "p6"
    folder.mkdir(parents=True)
    for number in numbers:
        write_picture(folder / f"p6_{number}.tif", np.zeros((16, 16, 3), np.uint8))
    for number in masks:
        write_picture(folder / f"p6_{number}_mask.tif", np.zeros((16, 16), np.uint8))
    return folder


def volume(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    scan = phantom_patient(0, side_px=32, slices=4).image[..., 1].T
    save_nifti(Nifti1Image(scan, np.diag([-7.0, -7.0, 6.0, 1.0])), path)
    return path


def contents(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def written(path: Path, out: Path, predictor, **options) -> PredictRow:
    (entry,) = list_inputs([path])
    return predict(entry, out, predictor, PredictOptions(overwrite=True, **options))


def refused(path: Path, out: Path, predictor, *, root: Path, overwrite: bool, **options) -> str:
    before = contents(root)
    (entry,) = list_inputs([path])
    row = predict(entry, out, predictor, PredictOptions(overwrite=overwrite, **options))
    assert contents(root) == before
    assert row.fault.exit_code == 2
    return row.error


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("out", ["p6", "."])
@pytest.mark.parametrize("name", ["p6_14.tif", "."])
def test_a_patient_of_the_data_set_is_not_predicted_into_it(out, name, overwrite, predictor, tmp_path):
    folder = kaggle(tmp_path)
    if (name, out) == (".", "p6"):
        pytest.skip("results go to p6/p6, which has no reference")
    error = refused(folder / name, tmp_path / out, predictor, root=tmp_path, overwrite=overwrite)
    assert error.endswith(INSIDE)


def test_a_slice_without_reference_gets_no_mask_among_the_references(predictor, tmp_path):
    folder = kaggle(tmp_path, masks=(5,))
    assert INSIDE in refused(folder / "p6_14.tif", folder, predictor, root=tmp_path, overwrite=False)


def test_a_slice_of_the_data_set_is_predicted_elsewhere(predictor, tmp_path):
    folder = kaggle(tmp_path)
    for _ in range(2):
        assert written(folder / "p6_14.tif", tmp_path / "masks", predictor).error is None
        assert written(folder, tmp_path / "masks", predictor).error is None


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("reference", ["scan_mask.nii.gz", "scan_mask.nii", "scan_mask.nrrd"])
def test_a_reference_mask_beside_the_volume_is_kept(reference, overwrite, predictor, tmp_path):
    path = volume(tmp_path / "case" / "scan.nii.gz")
    (path.parent / reference).write_text("the expert's")
    error = refused(path, path.parent, predictor, root=tmp_path, overwrite=overwrite)
    assert error == f"{path.parent / reference}: {INSIDE}"


def test_a_mask_beside_the_volume_is_replaced_if_predict_wrote_it(predictor, tmp_path):
    path = volume(tmp_path / "scan.nii.gz")
    for _ in range(2):
        assert written(path, tmp_path, predictor).error is None
    (tmp_path / "scan_mask.nii.gz").write_text("corrected")
    error = refused(path, tmp_path, predictor, root=tmp_path, overwrite=True)
    assert (
        error == f"{tmp_path / 'scan_mask.nii.gz'}: was changed since predict wrote it; move it, or pass another --out"
    )


@pytest.mark.parametrize(
    ("image", "reference"),
    [("images/a.nii.gz", "masks/a.nii.gz"), ("imagesTr/case_0000.nii.gz", "labelsTr/case.nii.gz")],
)
def test_the_folder_of_references_gets_no_results(image, reference, predictor, tmp_path):
    path, mask = volume(tmp_path / image), tmp_path / reference
    mask.parent.mkdir()
    mask.write_text("the expert's")
    assert refused(path, mask.parent, predictor, root=tmp_path, overwrite=True) == f"{mask}: {INSIDE}"
    mask.unlink()
    assert written(path, mask.parent, predictor).error is None
