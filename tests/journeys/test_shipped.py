"""The models in the box on real patients, as a newcomer uses them: no model is named."""

import json
import os
from pathlib import Path

import nibabel
import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image

from gliomaseg.data.case import read_case
from gliomaseg.data.layouts import read_cases
from gliomaseg.pretrained import MODELS
from gliomaseg.scan import Scan
from warm_commands import run_warm


def run(*arguments):
    done = run_warm([*map(str, arguments)], folder=Path.cwd(), env=dict(os.environ), timeout_s=200)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def patients(real_data, tmp_path_factory) -> Path:
    """Link the first patient without T1, and the first two with it."""
    folder = tmp_path_factory.mktemp("some") / "kaggle_3m"
    folder.mkdir()
    wanted = {False: 1, True: 2}
    for case in read_cases(real_data).cases:
        has_t1 = "t1" in read_case(case).scan.available
        if wanted[has_t1]:
            wanted[has_t1] -= 1
            (folder / case.name).symlink_to(case.slices[0].image.parent)
    assert not any(wanted.values())
    return folder


@pytest.mark.real_data
def test_an_evaluation_asks_both_models_of_each_patient_with_t1(patients, tmp_path):
    run("evaluate", patients, "--out", tmp_path / "both")
    run("evaluate", patients, "--model", "glioma-flair", "--out", tmp_path / "flair")
    both, flair = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("both", "flair"))
    assert set(both["setting"]["model"].split(" + ")) == set(MODELS)
    assert both["setting"]["patients_seen"] is not None
    held = {case.name: read_case(case).scan.available for case in read_cases(patients).cases}
    for row, plain in zip(both["patients"], flair["patients"], strict=True):
        assert 0 < row["predicted_dice"] < 1
        names = row["model"].split(" + ")
        if "t1" in held[row["case"]]:
            assert sorted(names) == ["glioma-flair", "glioma-t1-flair"]
            assert row["dice_volume"] != plain["dice_volume"]
        else:
            assert names == ["glioma-flair"]
            assert row["dice_volume"] == plain["dice_volume"]
    run("report", tmp_path / "both", "--out", tmp_path / "report.html")
    assert "glioma-t1-flair" in (tmp_path / "report.html").read_text()


@pytest.mark.real_data
def test_volumes_of_flair_and_t1_give_the_mask_of_the_data_sets_pictures(patients, tmp_path):
    case = next(case for case in read_cases(patients).cases if "t1" in read_case(case).scan.available)
    examination = read_case(case)
    scan: Scan = examination.scan
    for name, channel in (("flair", 1), ("t1", 0)):
        # 256 pixels of .84 mm are the field that the network sees; slices from below, in LPS as pictures lie.
        affine = np.diag([-215 / 256, -215 / 256, 6.0, 1.0])
        volume = scan.voxels[..., channel].astype(np.int16).T
        nibabel.save(Nifti1Image(volume, affine), tmp_path / f"{name}.nii.gz")
    rows = []
    for more in ([], ["--t1", tmp_path / "t1.nii.gz"]):
        out = tmp_path / f"out{len(more)}"
        done = run("predict", "--flair", tmp_path / "flair.nii.gz", *more, "--out", out, "--json")
        (row,) = json.loads(done.stdout)
        mask = (np.asarray(nibabel.load(out / "flair_mask.nii.gz").dataobj) > 0).T
        overlap = 2 * (mask & examination.reference).sum() / (mask.sum() + examination.reference.sum())
        rows.append((row["model"], row["warnings"], overlap))
    assert rows[0][0] == "glioma-flair"
    assert "glioma-t1-flair" in rows[1][0]
    assert rows[1][1] == []
    assert min(overlap for _, _, overlap in rows) > 0.7, rows  # both models have seen this patient
