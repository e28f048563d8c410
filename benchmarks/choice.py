"""What it is worth to take, of two models, the mask of which more is expected: two cross-validations as one evaluation.

    python benchmarks/choice.py crossed crossed-t1 --data lgg --out chosen

Both cross-validations have the same folds. What is expected of a patient is fitted on the patients of other folds, each
model's by itself, as the models that ship do it by fits of all. The second model looks at T1, too: where the data set
has none, or what does not look like it, the first one's mask is taken. `chosen/metrics.json` holds the row of each
patient's model, for `benchmarks/card_tables.py`, `gliomaseg compare` and `gliomaseg report`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gliomaseg.atomic import write_text
from gliomaseg.config import Preparation
from gliomaseg.data.examination import read_examination
from gliomaseg.data.index import read_index
from gliomaseg.evaluation.document import FILE
from gliomaseg.evaluation.quality import FAILED_BELOW, auroc, cross_fitted, spearman
from gliomaseg.metrics.interval import bootstrap_interval
from gliomaseg.prediction.plausibility import find_doubts
from gliomaseg.preprocessing import prepare

Row = dict[str, Any]
# Each mean is over what a patient has so many of.
WEIGHTS = {
    "dice_volume": None,
    "dice_tumour_slices": "tumour_slices",
    "dice_slices_empty_one": "slices",
    "empty_slice_false_positive_rate": "empty_slices",
}


def expected_dice(rows: Sequence[Row]) -> dict[str, float]:
    """Return the Dice to expect of each patient, by a fit to the patients of the other folds; 0 where there is none."""
    return {row["patient"]: one or 0.0 for row, one in zip(rows, cross_fitted(rows), strict=True)}


def with_t1(data: Path) -> set[str]:
    """Return the patients whose T1 is there and looks like T1."""
    preparation = Preparation(size_px=128, channels="t1_flair", normalise="volume")
    found = set()
    for case in read_index(data).cases:
        scan = read_examination(case).scan
        if "pre" in scan.held and not find_doubts(prepare(scan, preparation).slices, preparation):
            found.add(case.name)
    return found


def chosen_rows(first: Sequence[Row], second: Sequence[Row], able: set[str]) -> tuple[list[Row], dict[str, float]]:
    """Return each patient's row of the model of which more is expected, and how much."""
    other = {row["patient"]: row for row in second}
    ours, theirs = expected_dice(first), expected_dice(second)
    rows, expected = [], {}
    for row in first:
        name = row["patient"]
        if other[name]["fold"] != row["fold"]:
            raise ValueError(f"{name} is in another fold")
        takes_other = name in able and theirs[name] >= ours[name]
        rows.append({**(other[name] if takes_other else row), "model": "second" if takes_other else "first"})
        expected[name] = theirs[name] if takes_other else ours[name]
    return rows, expected


def summary_of(rows: Sequence[Row]) -> dict[str, Any]:
    """Return mean, median and interval of what rows can tell."""
    summary: dict[str, Any] = {}
    for name, weight in WEIGHTS.items():
        some = [row for row in rows if row.get(name) is not None]
        times = [1 if weight is None else _size(row, weight) for row in some]
        values = [np.full(count, row[name]) for row, count in zip(some, times, strict=True)]
        low, high = bootstrap_interval(values)
        summary[name] = {"mean": float(np.concatenate(values).mean()), "ci95": [low, high], "n": sum(times)}
    summary["dice_volume"]["median"] = float(np.median([row["dice_volume"] for row in rows]))
    return summary | {"patients": len(rows), "slices": sum(row["slices"] for row in rows)}


def _size(row: Row, weight: str) -> int:
    return int(row["slices"] - row["tumour_slices"] if weight == "empty_slices" else row[weight])


def trust_of(rows: Sequence[Row], expected: Mapping[str, float]) -> dict[str, Any]:
    """Return how well the Dice to expect of the mask chosen tells its Dice."""
    dice = np.array([row["dice_volume"] for row in rows])
    guess = np.array([expected[row["patient"]] for row in rows])
    failed = dice < FAILED_BELOW
    return {
        "failures": int(failed.sum()),
        "auroc": auroc(-guess, failed),
        "spearman": spearman(guess, dice),
        "mean_error": float(np.abs(guess - dice).mean()),
        "bias": float((guess - dice).mean()),
    }


def main() -> None:
    """Choose, write, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("first", type=Path, help="a cross-validation of the model that is enough for any scan")
    parser.add_argument("second", type=Path, help="of the model of T1 and FLAIR, the same folds")
    for name in ("--data", "--out"):
        parser.add_argument(name, type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.out.exists():
        parser.error(f"{arguments.out} exists: name another folder")
    documents = [json.loads((folder / FILE).read_text("utf-8")) for folder in (arguments.first, arguments.second)]
    first, second = (document["patients"] for document in documents)
    able = with_t1(arguments.data)
    rows, expected = chosen_rows(first, second, able)
    document = {key: documents[0].get(key) for key in ("definitions", "interval", "versions")}
    document |= {
        "patients": rows,
        "summary": summary_of(rows),
        "setting": {"model": "the one of which more is expected"},
    }
    arguments.out.mkdir(parents=True)
    write_text(arguments.out / FILE, json.dumps(document, indent=1) + "\n")
    other = {row["patient"]: row["dice_volume"] for row in second}
    best = [max(row["dice_volume"], other[row["patient"]]) for row in first]
    report = {
        "first": summary_of(first)["dice_volume"],
        "second": summary_of(second)["dice_volume"],
        "chosen": document["summary"],
        "the better one, were it known": float(np.mean(best)),
        "second taken": sum(row["model"] == "second" for row in rows),
        "of": len(able),
        "expected Dice": trust_of(rows, expected),
    }
    sys.stdout.write(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
