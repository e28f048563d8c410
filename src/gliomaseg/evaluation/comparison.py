"""Two evaluations of the same patients, one against the other, patient by patient."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.errors import DataError
from gliomaseg.evaluation.measures import LOWER_IS_BETTER, SIGNED, definitions
from gliomaseg.evaluation.results import read_evaluation
from gliomaseg.metrics.paired_tests import compare

# Every patient has these in both evaluations, and equal: else the reference masks are others.
_SAME = ("slices", "tumour_slices", "reference_voxels")


def compare_evaluations(a: Path, b: Path) -> dict[str, Any]:
    """Return how evaluation B differs from A: for each measure that both have, and for each patient.

    Args:
        a: the baseline's folder, with `metrics.json`.
        b: the candidate's; differences are B - A.

    Returns:
        `measures`: name to the fields of `PairedComparison` (None for NaN); of signed errors the sizes are
        compared. `left_out`: measures that the two define differently (another tolerance, another unit) or that
        one lacks. `patients`: `dice_volume` of both and their difference. `a` and `b`: their settings.

    Raises:
        DataError: one is no evaluation's folder or names nobody, or they are of different patients, slices or
            reference masks.
        FormatError: a `metrics.json` is damaged.
    """
    first, second = read_evaluation(a), read_evaluation(b)
    rows = {row["patient"]: row for row in first["patients"]}
    others = {row["patient"]: row for row in second["patients"]}
    _require_same_patients(rows, others, a, b)
    known = {*definitions(unit="px", tolerance=0), *definitions(unit="mm", tolerance=0)} - {"dice_batch"}
    either = [name for name in {**first["definitions"], **second["definitions"]} if name in known]
    names = [name for name in either if first["definitions"].get(name) == second["definitions"].get(name)]
    order = sorted(rows)
    return {
        "a": first["setting"],
        "b": second["setting"],
        "left_out": [name for name in either if name not in names],
        "definitions": {name: first["definitions"][name] for name in names},
        "measures": {name: _paired(name, [rows[k] for k in order], [others[k] for k in order]) for name in names},
        "patients": [_difference(rows[name], others[name]) for name in order],
    }


def _require_same_patients(
    rows: dict[str, dict[str, Any]], others: dict[str, dict[str, Any]], a: Path, b: Path
) -> None:
    if not rows:
        raise DataError("names no patient", where=a, cure="evaluate again")
    if alone := sorted(rows.keys() ^ others.keys()):
        raise DataError(
            f"{alone[0]} ({len(alone)} in all) is in one evaluation only",
            where=f"{a}, {b}",
            cure="evaluate both models on the same patients",
        )
    for name, row in rows.items():
        for key in _SAME:
            mine, other = row.get(key), others[name].get(key)
            if None not in (mine, other) and mine != other:
                raise DataError(
                    f"{key} of {name} is {mine} in one and {other} in the other",
                    where=f"{a}, {b}",
                    cure="evaluate both models on the same slices and reference masks",
                )


def _paired(name: str, rows: list[dict[str, Any]], others: list[dict[str, Any]]) -> dict[str, Any]:
    better_low = name.startswith(LOWER_IS_BETTER) or name in SIGNED
    result = compare(baseline=_values(name, rows), candidate=_values(name, others), higher_is_better=not better_low)
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value for key, value in asdict(result).items()
    }


def _values(name: str, rows: list[dict[str, Any]]) -> NDArray[np.float64]:
    values = np.array([math.nan if row.get(name) is None else float(row[name]) for row in rows], np.float64)
    return np.abs(values) if name in SIGNED else values


def _difference(row: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    a, b = row.get("dice_volume"), other.get("dice_volume")
    return {"patient": row["patient"], "a": a, "b": b, "difference": None if a is None or b is None else b - a}
