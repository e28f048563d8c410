"""Pictures become volumes that show the same, and are scored on their own grid."""

from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from gliomaseg.data.case import read_case
from gliomaseg.data.layouts import read_cases
from gliomaseg.scan import Scan

SCRIPT = Path(__file__).parents[2] / "studies" / "as_volumes.py"


@pytest.fixture
def script(load_script, monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    return load_script(SCRIPT)


def test_a_volume_shows_what_the_pictures_show(script, phantoms, tmp_path):
    examination = read_case(read_cases(phantoms).cases[0])
    side = examination.reference.shape[-1]
    made = script.as_volumes(examination, script.FIELD_MM / side, tmp_path, 0)
    assert made.scan.voxels.shape == (*examination.reference.shape, 3)
    assert made.scan.spacing_mm == pytest.approx((script.SLICE_MM, script.FIELD_MM / side, script.FIELD_MM / side))
    assert made.scan.orientation == "LAS"
    assert made.scan.available == {"flair", "t1"}
    np.testing.assert_array_equal(made.reference[:, ::-1], examination.reference)
    flair = made.scan.voxels[:, ::-1, :, 1] / script.TWELVE_BITS
    original = examination.scan.voxels[..., 1]
    assert np.abs(flair - original)[original > 50].mean() < 3 * script.NOISE * 255
    assert np.corrcoef(flair.ravel(), original.ravel())[0, 1] > 0.95


def test_other_pixels_leave_the_field_of_view_and_the_share_of_tumour(script, phantoms, tmp_path):
    examination = read_case(read_cases(phantoms).cases[0])
    side = examination.reference.shape[-1]
    made = script.as_volumes(examination, script.FIELD_MM / side / 2, tmp_path, 0)
    assert made.reference.shape[1:] == (2 * side, 2 * side)
    assert made.reference.mean() == pytest.approx(examination.reference.mean(), rel=0.05)


def test_a_sequence_that_is_missing_is_not_written(script, phantoms, tmp_path):
    examination = read_case(read_cases(phantoms).cases[0])
    alone = replace(examination, scan=Scan(examination.scan.voxels[..., [1, 1, 1]], "flair"))
    made = script.as_volumes(alone, 1.0, tmp_path, 0)
    assert [file.name for file in tmp_path.iterdir()] == ["flair.nii.gz"]
    assert made.scan.voxels.shape[-1] == 1
    assert nibabel.load(tmp_path / "flair.nii.gz").get_data_dtype() == np.int16


def test_patients_are_scored_in_each_form_by_networks_that_have_not_seen_them(script, crossed, phantoms):
    scores = script.score_patients(crossed, phantoms, [])
    one_fold = script.score_patients(crossed, phantoms, [1])
    assert 0 < len(one_fold) < len(scores)
    assert list(scores[0]) == [script.AS_PICTURES, "0.56 mm", "0.84 mm", "1.05 mm"]
    assert all(0 <= value <= 1 for row in scores for value in row.values())
    assert np.mean([row[script.AS_PICTURES] for row in scores]) > 0


def test_a_table_says_how_much_is_lost_and_by_whom(script):
    rows = [{script.AS_PICTURES: 0.9, "1.05 mm": 0.85}, {script.AS_PICTURES: 0.7, "1.05 mm": 0.71}]
    lines = script.table(rows).splitlines()
    assert lines[2] == "| original images | 0.800 | 0.000 (0.000 to 0.000) | 0.000 |"
    assert lines[3] == "| 1.05 mm | 0.780 | 0.020 (-0.010 to 0.050) | 0.050 |"


def test_what_is_missing_is_told_in_a_line(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["as_volumes.py", str(tmp_path / "none"), "--data", str(tmp_path)])
    with pytest.raises(SystemExit):
        script.main()
    said = capsys.readouterr().err
    assert len(said.strip().splitlines()) == 1
    assert "none" in said
