"""Compare networks on the same patients, with the same recipe and training time: docs/results/architectures.md.

    python studies/architectures.py train unet 0 --data lgg --out architectures
    python studies/architectures.py table --data lgg --out architectures

The first form trains one network on one of five folds by patient. If it is stopped, the next call continues. The
second form evaluates each network on the patients of its trained folds, with threshold 0.5 and without flip TTA, and
measures the speed of all networks in turns. It prints the table and writes `architectures.json`.

Everything except the network follows the recipe `residual_unet`: FLAIR of five slices, 128 pixels, loss, augmentation,
optimiser, learning rate. The budget is about 16 minutes of one core, in as many whole epochs as fit.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from gliomaseg.atomic import write_text
from gliomaseg.config import Postprocessing, Recipe, Split, read_recipe
from gliomaseg.data.layouts import read_cases
from gliomaseg.data.split import read_splits, select, split_data, write_splits
from gliomaseg.engines import Engine
from gliomaseg.evaluation import EvaluationSetting, ScoreGrid, assemble, dumps, learning_curve, measure_cases
from gliomaseg.evaluation.measures import conventions
from gliomaseg.model import load_model
from gliomaseg.prediction import engine_of, open_predictor
from gliomaseg.training.run_folder import CURVES

FOLDS = 5
# Settings of the network, and epochs that take 16 minutes of one core.
NETWORKS: Mapping[str, tuple[Sequence[str], int]] = {
    "residual_unet": ((), 6),
    "residual_unet-patches": (("network.features=[32,48,96,160,256]", "network.pixel_unshuffle=2"), 12),
    "smp-unet-resnet34": (("network.name=smp", "network.architecture=Unet", "network.encoder=resnet34"), 4),
    "unet": (("network.name=unet",), 3),
    "fcn_resnet50": (("network.name=fcn_resnet50",), 1),
}
MEASURES = conventions()
PASSES = 5


def say(text: str) -> None:
    """Print a line of progress to stderr."""
    sys.stderr.write(f"{text}\n")


def recipe_of(name: str) -> Recipe:
    """Return the recipe of `residual_unet` with another network and as many epochs as the budget gives it."""
    settings, epochs = NETWORKS[name]
    more = [f"training.epochs={epochs}", "training.onnx_precision=fp32"]
    return read_recipe("residual_unet").with_settings([*settings, *more])


def train_one(name: str, fold: int, data: Path, out: Path) -> None:
    """Train a network on a fold, unless that is done."""
    from gliomaseg.training.run_folder import TrainOptions, is_finished
    from gliomaseg.training.train import train

    splits = out / "splits.json"
    if not splits.is_file():
        write_splits(split_data(read_cases(data), Split(by="patient", folds=FOLDS)), splits)
    options = TrainOptions(recipe_of(name), data, out / name / f"fold-{fold}", splits=splits, fold=fold, resume=True)
    if not is_finished(options):
        train(options, say=say)


def measured(name: str, data: Path, out: Path) -> dict[str, Any] | None:
    """Return a row of the table, and write the evaluation beside the runs; None where no fold was trained."""
    index, splits = read_cases(data), read_splits(out / "splits.json")
    folds = [number for number in range(FOLDS) if (out / name / f"fold-{number}" / CURVES).is_file()]
    if not folds:
        return None
    start, scored, logs = time.perf_counter(), [], []
    for number in folds:
        run = out / name / f"fold-{number}"
        predictor = open_predictor(run).with_postprocessing(Postprocessing())
        scored += measure_cases(
            select(index, splits.folds[number].validation), predictor, grid=ScoreGrid(), fold=number
        )
        logs.append([line.model_dump() for line in learning_curve(run)])
    setting = EvaluationSetting(
        data=data.resolve().name,
        split=splits.by,
        seed=splits.seed,
        subset=f"validation of folds {', '.join(map(str, folds))}",
        model=name,
        threshold=0.5,
        warning=None,
    )
    evaluation = assemble(scored, setting=setting, grid=ScoreGrid(), seconds=time.perf_counter() - start)
    write_text(out / name / "metrics.json", dumps(evaluation))
    return {
        "network": name,
        "folds": folds,
        "parameters": weights_of(name),
        "images": round(float(np.mean([sum(line["images"] for line in log) for log in logs]))),
        "minutes": round(float(np.mean([undisturbed_seconds(log) for log in logs])) / 60, 1),
        **{measure: evaluation.summary[measure].model_dump(exclude_unset=True) for measure in MEASURES},
    }


def undisturbed_seconds(log: Sequence[Mapping[str, Any]]) -> float:
    """Return the seconds of training, had all epochs been as fast as the fastest: others were disturbed.

    >>> undisturbed_seconds([{"images": 10, "images_per_s": 2.0}, {"images": 20, "images_per_s": 1.0}])
    15.0
    """
    return float(sum(line["images"] for line in log) / max(line["images_per_s"] for line in log))


def weights_of(name: str) -> int:
    """Return the number of trainable weights of a network."""
    from gliomaseg.networks import build_network

    recipe = recipe_of(name)
    return sum(weight.numel() for weight in build_network(recipe.network, recipe.preprocessing.inputs).parameters())


def speeds(rows: Sequence[Mapping[str, Any]], out: Path) -> dict[str, float]:
    """Return slices a second of each network on ONNX Runtime, batches of 4: the middle of passes taken in turns."""
    engines = {row["network"]: engine_of(load_model(out / row["network"] / f"fold-{row['folds'][0]}")) for row in rows}
    passes: dict[str, list[float]] = {name: [] for name in engines}
    for number in range(PASSES + 1):  # the first one does not count
        for name, engine in engines.items():
            seconds = one_pass(engine, recipe_of(name))
            passes[name] += [seconds] if number else []
    return {name: round(1 / median(some), 1) for name, some in passes.items()}


def one_pass(engine: Engine, recipe: Recipe, slices: int = 32) -> float:
    """Return the seconds that a slice takes."""
    size_px = recipe.preprocessing.size_px
    batch = np.random.default_rng(0).standard_normal((4, recipe.preprocessing.inputs, size_px, size_px), np.float32)
    start = time.perf_counter()
    for _ in range(slices // 4):
        engine.probabilities(batch)
    return (time.perf_counter() - start) / slices


def score_text(entry: Mapping[str, Any]) -> str:
    """Return a mean and, where there are patients enough for one, its interval."""
    interval = entry.get("ci95")
    return f"{entry['mean']:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as Markdown."""
    heads = ["network", "weights", "minutes", "images", *(f"`{name}`" for name in MEASURES), "slices/s"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in rows:
        scores = [score_text(row[name]) for name in MEASURES]
        cells = [row["network"], f"{row['parameters'] / 1e6:.1f} M", row["minutes"], f"{row['images']:,}"]
        lines.append(f"| {' | '.join(map(str, [*cells, *scores, row['slices_per_s']]))} |")
    return "\n".join(lines)


def main() -> None:
    """Train one network on one fold, or measure all that were trained."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    training, measuring = commands.add_parser("train"), commands.add_parser("table")
    training.add_argument("network", choices=sorted(NETWORKS))
    training.add_argument("fold", type=int, choices=range(FOLDS))
    for one in (training, measuring):
        one.add_argument("--data", type=Path, required=True, help="a folder in the Kaggle layout")
        one.add_argument("--out", type=Path, required=True, help="output folder of the runs")
    arguments = parser.parse_args()
    if arguments.command == "train":
        train_one(arguments.network, arguments.fold, arguments.data, arguments.out)
        return
    if not (arguments.out / "splits.json").is_file():
        parser.error(f"{arguments.out} has no trained network; run `train` first")
    rows = [row for name in NETWORKS if (row := measured(name, arguments.data, arguments.out))]
    slices_per_s = speeds(rows, arguments.out)
    rows = [{**row, "slices_per_s": slices_per_s[row["network"]]} for row in rows]
    write_text(arguments.out / "architectures.json", json.dumps(rows, indent=1) + "\n")
    sys.stdout.write(f"{table(rows)}\n")


if __name__ == "__main__":
    main()
