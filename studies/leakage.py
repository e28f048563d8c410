"""Measure how much a split by slice inflates the scores, with everything else equal.

For each seed, a fifth of the patients is set aside, stratified by site and tumour. Two networks predict every second
slice of these patients:

- `by-patient` trains on all slices of the other patients.
- `by-slice` trains on the same number of slices. They include the other half of the slices of the patients that were
  set aside, so that every scored slice has neighbours in training.

The network, number of slices, steps, seeds, scored slices and scoring are equal.

    python studies/leakage.py --data lgg --out leakage

If it is stopped, the next call continues.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from gliomaseg.atomic import write_text
from gliomaseg.config import Recipe, Split, read_recipe
from gliomaseg.data.case_list import CaseList
from gliomaseg.data.layouts import read_cases
from gliomaseg.data.split import LEAK, Fold, Splits, select, split_data, write_splits
from gliomaseg.evaluation.evaluate import evaluate
from gliomaseg.metrics.paired_tests import compare
from gliomaseg.prediction import open_predictor
from gliomaseg.training.run_folder import TrainOptions, is_finished
from gliomaseg.training.train import train

ARMS = ("by-patient", "by-slice")
MEASURES = ("dice_volume", "dice_tumour_slices", "dice_slices_empty_one", "empty_slice_false_positive_rate")
SMALL = ["preprocessing.size_px=64", "training.epochs=8"]


def say(text: str) -> None:
    """Print a line of progress to stderr."""
    sys.stderr.write(f"{text}\n")


def draw_arms(index: CaseList, seed: int) -> dict[str, Fold]:
    """Return training and evaluation slices of both arms: the same evaluation, equally many training slices."""
    fold = split_data(index, Split(by="patient", holdout=0.2, seed=seed)).folds[0]
    scored, known = [], []
    for case in select(index, fold.validation):
        names = case.slice_names
        scored += names[::2]
        known += names[1::2]
    others = [name for case in select(index, fold.train) for name in case.slice_names]
    kept = np.random.default_rng([seed, 1]).permutation(others)[: len(others) - len(known)]
    train = {"by-patient": others, "by-slice": [*kept.tolist(), *known]}
    return {arm: Fold(train=tuple(sorted(train[arm])), validation=tuple(sorted(scored))) for arm in ARMS}


def measure(index: CaseList, recipe: Recipe, out: Path, seed: int) -> dict[str, Any]:
    """Train and score both arms of one seed; return each arm's evaluation."""
    results = {}
    for arm, fold in draw_arms(index, seed).items():
        folder = out / f"seed-{seed}" / arm
        splits = folder.parent / f"{arm}.json"
        if not splits.is_file():
            write_splits(Splits(by="slice", seed=seed, warning=LEAK, folds=(fold,)), splits)
        options = TrainOptions(
            recipe.with_settings([f"training.seed={seed}"]), index.root, folder, splits=splits, resume=True
        )
        if not is_finished(options):
            say(f"seed {seed}, {arm}")
            train(options, say=say)
        results[arm] = evaluate(select(index, fold.validation), open_predictor(folder))
    return results


def pooled(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Return each measure of both arms, and their paired difference over patients; a patient's seeds are averaged."""
    summary: dict[str, Any] = {}
    for name in MEASURES:
        values: dict[str, dict[str, list[float]]] = {arm: {} for arm in ARMS}
        for result in results:
            for arm in ARMS:
                for row in result[arm].patients:
                    value = row[name]
                    values[arm].setdefault(row.patient, []).append(np.nan if value is None else value)
        patients = sorted(values[ARMS[0]])
        means = {arm: np.array([np.mean(values[arm][patient]) for patient in patients]) for arm in ARMS}
        paired = compare(baseline=means["by-patient"], candidate=means["by-slice"])
        summary[name] = {
            "by_seed": {arm: [result[arm].summary[name].mean for result in results] for arm in ARMS},
            "mean": {arm: float(np.nanmean(means[arm])) for arm in ARMS},
            "difference": paired.mean_difference,
            "ci95": [paired.low, paired.high],
            "p": paired.p_value,
            "patients": paired.patients,
        }
    return summary


def table(summary: dict[str, Any]) -> str:
    """Return the summary as Markdown."""
    lines = [
        "| measure, mean over patients | by patient | by slice | difference (95 % CI) | p | patients |",
        "|---|---|---|---|---|---|",
    ]
    for name, entry in summary.items():
        a, b = (f"{entry['mean'][arm]:.3f}" for arm in ARMS)
        low, high = entry["ci95"]
        lines.append(
            f"| `{name}` | {a} | {b} | {entry['difference']:+.3f} ({low:+.3f} to {high:+.3f}) "
            f"| {entry['p']:.4f} | {entry['patients']} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recipe", default="unet_small")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="section.key=value")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    recipe = read_recipe(arguments.recipe).with_settings(
        [*(SMALL if arguments.recipe == "unet_small" else []), *arguments.settings]
    )
    index = read_cases(arguments.data)
    results = [measure(index, recipe, arguments.out, seed) for seed in arguments.seeds]
    summary = pooled(results)
    document = {"recipe": recipe.model_dump(), "seeds": arguments.seeds, "measures": summary}
    write_text(arguments.out / "leakage.json", json.dumps(document, indent=1) + "\n")
    sys.stdout.write(table(summary) + "\n")


if __name__ == "__main__":
    main()
