"""Two cross-validations become one, each patient by the model of which more is expected."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "choice.py"


@pytest.fixture(scope="module")
def script(load_script):
    return load_script(SCRIPT)


def rows_of(dice, names=None):
    """Return rows whose sign is the Dice itself: what is expected is nearly what is."""
    names = names or [f"P{k}" for k in range(len(dice))]
    return [
        {"patient": name, "fold": k % 2, "dice_volume": value, "soft_dice": value, "slices": 10, "tumour_slices": 4,
         "site": "XX", "reference_voxels": 100 + k, "predicted_voxels": 90, "overlap_voxels": 80, "error": None,
         "dice_tumour_slices": value, "dice_slices_empty_one": 1.0, "empty_slice_false_positive_rate": 0.0}
        for k, (name, value) in enumerate(zip(names, dice, strict=True))
    ]  # fmt: skip


FIRST = np.linspace(0.3, 0.9, 24)
SECOND = FIRST[::-1]


def test_each_patient_has_the_row_of_the_model_of_which_more_is_expected(script):
    first, second = rows_of(FIRST), rows_of(SECOND)
    rows, expected = script.chosen_rows(first, second, able={row["patient"] for row in first})
    assert [row["dice_volume"] for row in rows] == np.maximum(FIRST, SECOND).tolist()
    assert rows[0]["model"] == "second"
    assert rows[-1]["model"] == "first"
    assert 0.7 < expected["P0"] < 0.9


def test_who_has_no_t1_has_the_first(script):
    rows, _ = script.chosen_rows(rows_of(FIRST), rows_of(SECOND), able=set())
    assert [row["dice_volume"] for row in rows] == FIRST.tolist()


def test_what_is_expected_of_a_patient_is_not_fitted_on_it(script):
    first = rows_of(FIRST)
    before = script.expected_dice(first)
    for row in first:
        if row["fold"] == 0:
            row["dice_volume"] = 0.0
    after = script.expected_dice(first)
    assert all(after[row["patient"]] == before[row["patient"]] for row in first if row["fold"] == 0)
    assert any(after[row["patient"]] != before[row["patient"]] for row in first if row["fold"] == 1)


def test_other_folds_are_refused(script):
    second = rows_of(SECOND)
    second[3]["fold"] = 0
    with pytest.raises(ValueError, match="P3 is in another fold"):
        script.chosen_rows(rows_of(FIRST), second, able=set())


def test_means_over_slices_weigh_patients_by_their_slices(script):
    rows = rows_of([0.2, 0.8])
    rows[0]["tumour_slices"], rows[1]["tumour_slices"] = 1, 3
    summary = script.summary_of(rows)
    assert summary["dice_volume"]["mean"] == pytest.approx(0.5)
    assert summary["dice_tumour_slices"]["mean"] == pytest.approx((0.2 + 3 * 0.8) / 4)


def test_what_it_writes_is_an_evaluation(phantoms, tmp_path):
    from gliomaseg.data.index import read_index

    names = [case.name for case in read_index(phantoms).cases]
    more = [f"P{k}" for k in range(24 - len(names))]
    for name, dice in (("first", FIRST), ("second", SECOND)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.json").write_text(json.dumps({"patients": rows_of(dice, names + more)}))
    command = [sys.executable, SCRIPT, tmp_path / "first", tmp_path / "second", "--data", phantoms]
    done = subprocess.run([*command, "--out", tmp_path / "chosen"], capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    assert report["first"]["mean"] <= report["chosen"]["dice_volume"]["mean"] <= report["the better one, were it known"]
    cards = SCRIPT.with_name("card_tables.py")
    tables = subprocess.run([sys.executable, cards, tmp_path / "chosen"], capture_output=True, text=True, check=True)
    assert "| `dice_volume` | ." in tables.stdout
