"""Measure models on scans of other sources: docs/results/other-sources.md.

    python studies/other_sources.py RUN ... --lgg lgg --external external --out other-sources

`external` has folders `brats_*` with FLAIR and mask, folders `ms_*` with FLAIR of heads without a tumour, and `png`
with single slices in the layout `pairs`. The patients of `lgg` are also measured without skull: `gliomaseg` finds the
brain of each and sets everything else to 0. `--changes` also measures the stripped volumes with a painted scalp,
rotated, tilted, cropped, and with thick or fewer slices. For each model and data set, the study prints mean, median,
lowest value and the numbers of values below 0.7 and of 0, how far the predicted Dice is from the Dice, and the volume
that was found where there is no tumour. `--max-zscore 3` sets `preprocessing.max_zscore` of the models; 0 removes it.

A model is a run, a model folder, a bundled model, the folder of a cross-validation, or "bundled": all bundled models as
`predict` uses them. A run is measured on the LGG patients of its validation side. The bundled models were trained on
them: leave out `--lgg`. A cross-validation is measured on all of them, each with the run that was not trained on it;
elsewhere its numbers are the means of its runs.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from changed_scans import CHANGES

import gliomaseg
from gliomaseg.data.case import Case, LoadedCase, read_case
from gliomaseg.data.case_list import DataOptions
from gliomaseg.data.layouts import read_cases
from gliomaseg.evaluation.copies import without_skull
from gliomaseg.evaluation.dice_estimation import FAILED_BELOW, measure_quality
from gliomaseg.evaluation.documents import read_evaluation
from gliomaseg.evaluation.scoring import ScoreGrid, score_case
from gliomaseg.metrics.bootstrap import bootstrap_interval
from gliomaseg.model import load_model
from gliomaseg.prediction import open_models
from gliomaseg.prediction.mask_statistics import measure_mask
from gliomaseg.prediction.predictor import Predictor, predictor_of
from gliomaseg.pretrained import find_model, find_models

FEWEST = 3
Pair = tuple[float, float]
"""The Dice and the predicted Dice."""


def say(text: str) -> None:
    """Print a line of progress to stderr."""
    sys.stderr.write(f"{text}\n")


def unchanged(case: LoadedCase) -> LoadedCase:
    """Return a case as it is."""
    return case


def dice_of(
    cases: Sequence[Case], predictor: Predictor, change: Callable[[LoadedCase], LoadedCase] = unchanged
) -> dict[str, Pair]:
    """Return `dice_volume` and the predicted Dice of each case; an empty mask has the values 0 and NaN.

    Without a Dice estimator, the predicted Dice is NaN.
    """
    values = {}
    for case in cases:
        loaded = change(read_case(case))
        found = predictor.predict(loaded.scan)
        row = score_case(loaded, probability=None, predicted=found.mask, grid=ScoreGrid()).scores
        values[case.name] = row.dice_volume or 0.0, math.nan if found.predicted_dice is None else found.predicted_dice
        say(f"{case.name} {values[case.name][0]:.3f}")
    return values


def slice_dice_of(cases: Sequence[Case], predictor: Predictor) -> dict[str, Pair]:
    """Return the values of `dice_of` for each single slice, predicted alone."""
    values = {}
    for case in cases:
        for one in case.slices:
            alone = replace(case, slices=(one,))
            values[f"{case.name}/{one.number}"] = next(iter(dice_of([alone], predictor).values()))
    return values


def volumes_of(folders: Sequence[Path], predictor: Predictor) -> dict[str, float]:
    """Return the volume in ml that is found in heads without a tumour."""
    found = {}
    for folder in folders:
        scan = gliomaseg.read_scan(folder)
        found[folder.name] = measure_mask(predictor.predict(scan).mask, scan).tumour_volume_ml or 0.0
        say(f"{folder.name} {found[folder.name]:.1f} ml")
    return found


def text_of(values: dict[str, Pair]) -> str:
    """Return mean with interval, median, lowest value and the number below 0.70."""
    numbers = np.array([dice for dice, _ in values.values()])
    low, high = bootstrap_interval([np.array([value]) for value in numbers])
    return (
        f"{numbers.mean():.3f} ({low:.3f} to {high:.3f}), median {np.median(numbers):.3f}, lowest {numbers.min():.3f}, "
        f"{(numbers < FAILED_BELOW).sum()} of {len(numbers)} below {FAILED_BELOW:g}, {(numbers == 0).sum()} are 0"
    )


def estimate_text(values: dict[str, Pair]) -> str:
    """Return how far the predicted Dice is from the Dice; masks without a predicted Dice are left out."""
    dice, predicted = np.array([pair for pair in values.values() if not math.isnan(pair[1])]).reshape(-1, 2).T
    if len(dice) < FEWEST:
        return f"{len(dice)} predicted values"
    return f"{len(dice)} values: {measure_quality(predicted, dice).text()}"


def runs_of(model: str) -> list[Path]:
    """Return the runs of a cross-validation, or the model itself; for "bundled", the default model."""
    if model == "bundled":
        return [find_model(None)]
    return sorted(Path(model).glob("fold-*")) or [find_model(Path(model))]


def opened(run: Path, max_zscore: float | None) -> Predictor:
    """Return the predictor of a model with another `max_zscore`: 0 for no limit, None for that of the model."""
    model = load_model(run)
    if max_zscore is not None:
        settings = model.config.preprocessing.model_copy(update={"max_zscore": max_zscore or None})
        model = replace(model, config=model.config.model_copy(update={"preprocessing": settings}))
    return predictor_of(model)


def own_cases(run: Path, cases: Sequence[Case]) -> list[Case]:
    """Return the cases that a model may be measured on: those of its own evaluation."""
    if not cases:
        return []
    rows = {row.case for row in read_evaluation(run / "model" if (run / "model").is_dir() else run).patients}
    return [case for case in cases if case.name in rows]


def mean_of(found: Sequence[dict[str, Pair]]) -> dict[str, Pair]:
    """Return the means of the values of each case over the runs that measured it."""
    names = dict.fromkeys(name for values in found for name in values)
    pairs = {name: np.array([values[name] for values in found if name in values]) for name in names}
    return {name: (float(pair[:, 0].mean()), float(pair[:, 1].mean())) for name, pair in pairs.items()}


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--lgg", type=Path)
    parser.add_argument("--external", type=Path, required=True)
    parser.add_argument("--changes", action="store_true")
    parser.add_argument("--max-zscore", type=float)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    external = arguments.external
    brats = [case for case in read_cases(external, DataOptions(layout="brats")).cases if case.name.startswith("brats")]
    slices = read_cases(external / "png").cases
    lgg = [] if arguments.lgg is None else read_cases(arguments.lgg).cases
    for name in arguments.models:
        found: dict[str, list[dict[str, Pair]]] = {}
        volumes = []
        for run in runs_of(name):
            predictor = open_models(find_models(None)) if name == "bundled" else opened(run, arguments.max_zscore)
            own = own_cases(run, lgg)
            sets = {
                "a: LGG": dice_of(own, predictor),
                "b: LGG without skull": dice_of(own, predictor, without_skull),
                "c: stripped volumes": dice_of(brats, predictor),
                "d: single slices": slice_dice_of(slices, predictor),
            }
            changes = CHANGES if arguments.changes else {}
            sets |= {f"c, {name}": dice_of(brats, predictor, change) for name, change in changes.items()}
            for key, values in sets.items():
                found.setdefault(key, []).append(values)
            volumes.append(volumes_of(sorted(external.glob("ms_*")), predictor))
        results = {key: mean_of(values) for key, values in found.items() if any(values)}
        without_tumour = {key: float(np.mean([one[key] for one in volumes])) for key in volumes[0]}
        lines = [f"{key}: {text_of(values)}\n   {estimate_text(values)}" for key, values in results.items()]
        lines.append("e: without tumour: " + ", ".join(f"{volume:.1f} ml" for volume in without_tumour.values()))
        sys.stdout.write("\n".join([name, *lines, ""]))
        sys.stdout.flush()
        document = {**results, "e: ml without tumour": without_tumour}
        file = arguments.out / f"{Path(name).name}.json"
        file.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
