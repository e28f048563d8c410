"""Compare fine-tuning with training from scratch on few patients of one site: docs/results/fine-tuning.md.

    python studies/fine_tuning.py base --data lgg --out fine-tuning
    python studies/fine_tuning.py scratch --data lgg --out fine-tuning
    python studies/fine_tuning.py fine_tuned --data lgg --out fine-tuning
    python studies/fine_tuning.py table --data lgg --out fine-tuning

`base` trains a network on all other sites, so that it has seen no patient of the site. The bundled models have seen
patients of all sites. `scratch` and `fine_tuned` train on 5, 10 and 20 patients of the site, for three folds by
patient: every patient of the site is evaluated once for each number. The smaller training sets are parts of the larger
ones, and all runs of one start have about as many steps. `table` prints the means with intervals, and the paired
differences. If a run is stopped, the next call continues it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from gliomaseg.config import Recipe, Split, read_recipe
from gliomaseg.data.case_list import CaseList
from gliomaseg.data.layouts import read_cases
from gliomaseg.data.split import Fold, Splits, split_data, write_splits
from gliomaseg.evaluation.documents import read_evaluation
from gliomaseg.metrics.bootstrap import bootstrap_interval

SITE, FOLDS, SIZES = "DU", 3, (5, 10, 20)
RECIPE = "residual_unet_quick"
BASE_EPOCHS, LEARNING_RATE = 12, 1e-4
STEPS = {"scratch": 600, "fine_tuned": 300}


def say(text: str) -> None:
    """Print a line of progress to stderr."""
    sys.stderr.write(f"{text}\n")


def split_site(index: CaseList) -> Splits:
    """Return fold 0 for the base, then a fold for each number of patients and third of the site."""
    inside = tuple(case for case in index.cases if case.site == SITE)
    names = {case.name for case in inside}
    outside = tuple(case.name for case in index.cases if case.site != SITE)
    thirds = split_data(CaseList(index.root, inside), Split(by="patient", folds=FOLDS))
    folds = [Fold(train=outside, validation=tuple(sorted(names)))]
    for size in SIZES:
        for number, third in enumerate(thirds.folds):
            drawn = np.random.default_rng(number).permutation(sorted(third.train))[:size]
            folds.append(Fold(train=tuple(sorted(map(str, drawn))), validation=third.validation))
    return Splits(by="patient", seed=0, folds=tuple(folds))


def recipe_of(start: str, images: int, out: Path) -> Recipe:
    """Return the recipe of a run whose epoch draws `images` slices."""
    recipe = read_recipe(RECIPE)
    if start == "base":
        return recipe.with_settings([f"training.epochs={BASE_EPOCHS}"])
    epochs = round(STEPS[start] * recipe.training.batch / images)
    settings = [f"training.epochs={epochs}"]
    if start == "fine_tuned":
        settings += [f'training.start_from="{out / "base"}"', f"training.learning_rate={LEARNING_RATE}"]
    return recipe.with_settings(settings)


def train_runs(start: str, data: Path, out: Path) -> None:
    """Train all runs of one start, except those that are finished."""
    from gliomaseg.training.run_folder import TrainOptions, is_finished
    from gliomaseg.training.train import train

    index, splits = read_cases(data), out / "splits.json"
    out.mkdir(parents=True, exist_ok=True)
    sides = split_site(index)
    if not splits.is_file():
        write_splits(sides, splits)
    slices = {case.name: len(case.slices) for case in index.cases}
    for number, fold in enumerate(sides.folds):
        if (number == 0) != (start == "base"):
            continue
        name = "base" if start == "base" else f"{start}-{len(fold.train)}-{(number - 1) % FOLDS}"
        # Slices with tumour, about a third, are drawn twice.
        images = round(sum(slices[case] for case in fold.train) * 4 / 3)
        options = TrainOptions(
            recipe_of(start, images, out),
            data,
            out / name,
            splits=splits,
            fold=number,
            resume=True,
            cache=out / "cache",
        )
        if not is_finished(options):
            say(f"run {name}")
            train(options, say=say)


def scores_of(runs: list[Path]) -> dict[str, float]:
    """Return `dice_volume` of each patient that the runs have evaluated."""
    rows = [row for run in runs for row in read_evaluation(run / "model").patients]
    return {row.patient: row.dice_volume or 0.0 for row in rows}


def mean_text(values: list[float]) -> str:
    """Return a mean with its interval."""
    low, high = bootstrap_interval([np.array([value]) for value in values])
    return f"{np.mean(values):.3f} ({low:.3f} to {high:.3f})"


def print_table(out: Path) -> None:
    """Print and write the means of all runs on the patients of the site."""
    base = scores_of([out / "base"])
    result = {"base": base}
    say(f"without training on the site: {mean_text(list(base.values()))}, {len(base)} patients")
    for size in SIZES:
        scores = {start: scores_of([out / f"{start}-{size}-{k}" for k in range(FOLDS)]) for start in STEPS}
        difference = [scores["fine_tuned"][case] - scores["scratch"][case] for case in scores["scratch"]]
        over_base = [scores["fine_tuned"][case] - base[case] for case in scores["scratch"]]
        row = [mean_text(list(scores[start].values())) for start in STEPS]
        say(f"| {size} | {' | '.join(row)} | {mean_text(difference)} | {mean_text(over_base)} |")
        result |= {f"{start}-{size}": scores[start] for start in STEPS}
    (out / "fine_tuning.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("base", *STEPS, "table"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.what == "table":
        print_table(arguments.out)
    else:
        train_runs(arguments.what, arguments.data, arguments.out)


if __name__ == "__main__":
    main()
