"""Each kind of error is mended, and no other."""

import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "error_kinds.py"


@pytest.fixture
def script(load_script, monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    return load_script(SCRIPT)


def masks(*squares):
    """Return a mask of 5 slices of 20 x 20 with squares of 6 x 6 at (z, y, x)."""
    mask = np.zeros((5, 20, 20), bool)
    for z, y, x in squares:
        mask[z, y : y + 6, x : x + 6] = True
    return mask


# Two tumours, in slices 1 and 2, and in 2 alone. Found: the first one's slice 1, a column beside it, and a piece in 4.
REFERENCE = masks((1, 2, 2), (2, 2, 2), (2, 12, 12))
FOUND = masks((1, 2, 3), (4, 2, 2))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("as_it_is", FOUND),
        ("empty_slices", masks((1, 2, 3))),
        ("missed_slices", masks((1, 2, 3), (2, 2, 2), (2, 12, 12), (4, 2, 2))),
        ("false_pieces", masks((1, 2, 3))),
        ("missed_pieces", masks((1, 2, 3), (2, 12, 12), (4, 2, 2))),
    ],
)
def test_one_kind_is_mended(script, name, expected):
    np.testing.assert_array_equal(getattr(script, name)(REFERENCE, FOUND), expected)


def test_what_is_right_stays(script):
    for name, mend in script.KINDS.items():
        np.testing.assert_array_equal(mend(REFERENCE, REFERENCE), REFERENCE, err_msg=name)


def test_a_border_is_forgiven_on_both_sides_in_its_slice_only(script):
    mended = script.border(1)(REFERENCE, FOUND)
    np.testing.assert_array_equal(mended[1], REFERENCE[1])  # one column too far to the right
    rim = np.zeros((20, 20), bool)
    rim[2:8, 2:8] = True
    rim[3:7, 3:7] = False
    np.testing.assert_array_equal(mended[2, :9, :9], rim[:9, :9])
    np.testing.assert_array_equal(mended[4], FOUND[4])
    assert script.border(3)(REFERENCE, FOUND)[2, 4, 4]


@pytest.mark.parametrize("together", [1, 2])
def test_patients_are_predicted_by_one_model_or_both(script, crossed, phantoms, monkeypatch, capsys, together):
    monkeypatch.setattr(sys, "argv", ["error_kinds.py", *map(str, crossed[:together]), "--data", str(phantoms)])
    script.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(script.KINDS)
    assert lines[2].startswith("| as it is | .")


def test_a_table_has_means_intervals_medians_and_failures(script):
    line = script.table({"as it is": [0.6, 0.8, 0.9]}).splitlines()[-1]
    assert line.startswith("| as it is | .767 (.")
    assert line.endswith("| .800 | 1 |")
