"""Simulated strokes lie in the largest error, and the study gives the Dice after each."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "studies" / "scribbles.py"


@pytest.fixture
def script(load_script):
    return load_script(SCRIPT)


def mask(*parts):
    """Return a mask of 3 slices of 40 x 60 with these parts filled."""
    found = np.zeros((3, 40, 60), bool)
    for part in parts:
        found[part] = True
    return found


def test_a_stroke_goes_through_the_largest_wrong_region(script):
    reference = mask((1, slice(10, 17), slice(10, 50)))  # missed: 7 x 40 pixels
    predicted = mask((2, slice(10, 20), slice(10, 20)))  # false: 10 x 10
    stroke = script.next_stroke(predicted, reference)
    assert stroke.is_tumour
    assert np.flatnonzero(stroke.voxels.any(axis=(1, 2))).tolist() == [1]
    rows, columns = np.nonzero(stroke.voxels[1])
    assert set(rows.tolist()) == {12, 13, 14}  # around the middle row
    assert np.ptp(columns) + 1 <= 2 * 15 + 1 + 2
    assert not (stroke.voxels & ~reference).any()


def test_a_stroke_in_a_false_region_marks_other_tissue(script):
    stroke = script.next_stroke(mask((0, slice(5, 9), 7)), mask())
    assert not stroke.is_tumour
    np.testing.assert_array_equal(stroke.voxels, mask((0, slice(5, 9), 7)))


def test_an_equal_mask_needs_no_stroke(script):
    assert script.next_stroke(mask((0, 3, 3)), mask((0, 3, 3))) is None


def test_one_pixel_is_a_stroke(script):
    np.testing.assert_array_equal(script.next_stroke(mask(), mask((2, 0, 59))).voxels, mask((2, 0, 59)))


def outcome(script, patient, run, before):
    later = [before + 0.1 * (k + 1) for k in range(5)]
    return script.Outcome(patient, run, before, cut=later, painted=[before] * 5, seconds=[0.1] * 5)


def test_the_table_has_all_patients_the_worst_and_those_of_each_run(script):
    outcomes = [outcome(script, f"p{k}", "ab"[k % 2], 0.02 * k) for k in range(20)]
    lines = script.table(outcomes).splitlines()
    assert lines[0] == "| patients | before | 1 stroke | 3 strokes | 5 strokes |"
    # 0, 0.02, ... 0.38: mean 0.19; the worst ten: 0.09.
    assert lines[2] == "| all 20 | 0.190 | 0.290 (0.190), 0 worse | 0.490 (0.190), 0 worse | 0.690 (0.190), 0 worse |"
    assert lines[3].startswith("| all 20: worst 10 | 0.090 | 0.190 (0.090), 0 worse")
    assert [line.split(" | ")[0] for line in lines[4:]] == ["| a", "| a: worst 10", "| b", "| b: worst 10"]


def test_the_patients_of_a_run_are_measured(script, crossed, phantoms, monkeypatch, capsys, tmp_path):
    run = crossed[0] / "fold-0"
    document = {"patients": [{"patient": "x", "case": case, "fold": 0} for case in cases_of(phantoms)[:2]]}
    monkeypatch.setattr(script, "read_evaluation", lambda _folder: read_rows(document))
    monkeypatch.setattr(sys, "argv", ["scribbles.py", str(run), "--data", str(phantoms), "--out", str(tmp_path / "o")])
    script.main()
    written = json.loads((tmp_path / "o" / "outcomes.json").read_text())
    assert len(written) == 2
    assert all(len(row["cut"]) == len(row["painted"]) == 5 for row in written)
    assert all(0 <= dice <= 1 for row in written for dice in (row["before"], *row["cut"], *row["painted"]))
    assert all(row["painted"][-1] > row["before"] for row in written)
    assert "processor time" in capsys.readouterr().out


def cases_of(folder):
    from gliomaseg.data.layouts import read_cases

    return [case.name for case in read_cases(folder).cases]


def read_rows(document):
    from types import SimpleNamespace

    return SimpleNamespace(patients=[SimpleNamespace(**row) for row in document["patients"]])
