"""Each kind of error is mended, and no other."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gliomaseg.errors import UsageError

SCRIPT = Path(__file__).parents[2] / "studies" / "error_kinds.py"


@pytest.fixture
def script(load_script, monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    return load_script(SCRIPT)


def masks(*squares):
    """Return a mask of 4 slices of 30 x 30 with squares of 10 x 10 at (z, y, x)."""
    mask = np.zeros((4, 30, 30), bool)
    for z, y, x in squares:
        mask[z, y : y + 10, x : x + 10] = True
    return mask


# A tumour in slices 1 and 2. Found: in slice 1, four columns beside it; nothing in slice 2; a piece in slice 3.
REFERENCE = masks((1, 10, 10), (2, 10, 10))
FOUND = masks((1, 10, 14), (3, 10, 10))


def dice(overlap, found):
    return 2 * overlap / (200 + found)


def test_what_each_kind_is_worth(script):
    scores = script.mended(REFERENCE, FOUND)
    assert list(scores.values()) == pytest.approx(
        [
            dice(60, 200),
            dice(60, 100),  # slice 3 is emptied
            dice(160, 300),  # slice 2 is filled
            # Of the four columns that are missed, the outline's own: 10 + 2 x 3 pixels; of the four too much, 1 column.
            dice(60 + 16, 200 + 16 - 10),
            dice(60 + 28, 200 + 28 - 20),
            dice(60 + 36, 200 + 36 - 30),
            dice(60 + 12, 200 + 12),
            dice(60, 200 - 20),
        ]
    )


def test_every_wrong_pixel_is_of_one_kind(script):
    kinds = list(script.KINDS.values())
    disjoint = [kinds[k](REFERENCE, FOUND) for k in (1, 2, 4, 6, 7)]
    wrong = REFERENCE ^ FOUND
    np.testing.assert_array_equal(sum(kind.astype(int) for kind in disjoint)[wrong], 1)


def test_a_border_is_round_and_there_is_none_at_the_pictures_edge(script):
    reference = np.zeros((1, 12, 12), bool)
    reference[0, :6, :6] = True
    near = script.border(2)(reference, reference)[0]
    assert near[7, 5]
    assert not near[8, 5]
    assert near[5, 7]
    assert near[6, 6]
    assert not near[7, 7]  # 2.8 from the corner
    assert not near[0, 0]
    np.testing.assert_array_equal(near[0], [False] * 4 + [True] * 4 + [False] * 4)


def test_a_table_has_means_intervals_medians_and_failures(script):
    patients = [dict.fromkeys(script.KINDS, value) for value in (0.6, 0.7, 0.9)]
    patients[0]["tumour-free slices"] = 0.9
    lines = script.table(patients).splitlines()
    assert lines[2] == "| none | 0.733 (0.600 to 0.900) | 0.700 | 1 |"
    assert lines[3] == "| tumour-free slices | 0.833 (0.700 to 0.900) | 0.900 | 0 |"
    assert len(lines) == 2 + len(script.KINDS)


def test_all_folds_patients_are_scored_but_those_without_tumour(script, monkeypatch, tmp_path):
    examinations = {"a": REFERENCE, "b": np.zeros_like(REFERENCE), "c": FOUND}
    predicts = SimpleNamespace(predict=lambda _scan: SimpleNamespace(mask=FOUND))
    folds = [(0, ["a", "b"], predicts), (1, ["c"], predicts)]
    monkeypatch.setattr("ensemble.read_tuned", lambda folder: folder)
    monkeypatch.setattr("ensemble.fold_ensembles", lambda crossed, data: iter(folds))
    monkeypatch.setattr("ensemble.read_case", lambda case: SimpleNamespace(reference=examinations[case], scan=None))
    assert script.score_patients([tmp_path], tmp_path) == [script.mended(REFERENCE, FOUND), script.mended(FOUND, FOUND)]


@pytest.mark.parametrize("together", [1, 2])
def test_real_models_patients_are_scored(script, crossed, phantoms, monkeypatch, capsys, together):
    monkeypatch.setattr(sys, "argv", ["error_kinds.py", *map(str, crossed[:together]), "--data", str(phantoms)])
    script.main()
    assert capsys.readouterr().out.splitlines()[2].startswith("| none | 0.")


@pytest.mark.parametrize("missing", ["metrics.json", "splits.json", "fold-1"])
def test_what_is_missing_is_told_in_one_line(script, crossed, phantoms, monkeypatch, capsys, missing):
    (crossed[0] / missing).rename(crossed[0] / "elsewhere")
    monkeypatch.setattr(sys, "argv", ["error_kinds.py", str(crossed[0]), "--data", str(phantoms)])
    with pytest.raises(SystemExit) as left:
        script.main()
    assert left.value.code == 3
    told = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("fold ")]
    assert len(told) == 1
    assert "crossed" in told[0]


def test_folds_that_differ_are_told_as_a_misuse(script, monkeypatch, tmp_path):
    def refuse(crossed, data):
        raise UsageError("have other folds", where=crossed[0])

    monkeypatch.setattr("ensemble.read_tuned", lambda folder: folder)
    monkeypatch.setattr("ensemble.fold_ensembles", refuse)
    monkeypatch.setattr(sys, "argv", ["error_kinds.py", str(tmp_path), "--data", str(tmp_path)])
    with pytest.raises(SystemExit) as left:
        script.main()
    assert left.value.code == 2
