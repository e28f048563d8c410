"""Measure the seconds of training until the validation `dice_volume` first reaches 0.75, 0.80 and 0.85.

    python studies/time_to_accuracy.py --data lgg --out timed --recipe residual_unet --recipe fcn_resnet50
    python studies/time_to_accuracy.py --run run --run other-run

The first form trains each recipe on the same fold of a split by patient, prints the table and writes
`timed/time_to_accuracy.json`. If it is stopped, the next call continues. The second form reads finished runs. Times
include the training steps and the augmentation. They exclude the preprocessing, which is cached, and the validation.
The resolution is one epoch.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gliomaseg.atomic import write_text
from gliomaseg.config import Split, read_recipe

LEVELS = (0.75, 0.80, 0.85)


def say(text: str) -> None:
    """Print a line of progress to stderr."""
    sys.stderr.write(f"{text}\n")


def first_times(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the seconds of training until each level (None if it was not reached), and the highest score.

    >>> lines = [{"dice_volume": 0.7, "train_seconds": 60.0, "images": 10}]
    >>> lines += [{"dice_volume": 0.81, "train_seconds": 50.0, "images": 10}]
    >>> first_times(lines)["seconds_to"]
    {'0.75': 110.0, '0.80': 110.0, '0.85': None}
    """
    spent = 0.0
    reached: dict[str, float | None] = {f"{level:.2f}": None for level in LEVELS}
    for line in lines:
        spent += line["train_seconds"]
        for name, seconds in reached.items():
            if seconds is None and (line["dice_volume"] or 0) >= float(name):
                reached[name] = round(spent, 1)
    return {
        "seconds_to": reached,
        "best_dice_volume": max((line["dice_volume"] or 0 for line in lines), default=None),
        "epochs": len(lines),
        "seconds": round(spent, 1),
        "images_per_s": round(sum(line["images"] for line in lines) / spent, 1) if spent else None,
    }


def timed(run: Path) -> dict[str, Any]:
    """Return the times of a finished run."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text("utf-8").splitlines()]
    return {"run": run.name, **first_times(lines)}


def trained(arguments: argparse.Namespace) -> list[Path]:
    """Train the recipes on the same patients and return their runs."""
    from gliomaseg.data.layouts import read_cases
    from gliomaseg.data.split import split_data, write_splits
    from gliomaseg.training.run_folder import TrainOptions, is_finished
    from gliomaseg.training.train import train

    recipes = [(Path(name).stem, read_recipe(name).with_settings(arguments.set)) for name in arguments.recipe]
    splits = arguments.splits or arguments.out / "splits.json"
    if not splits.is_file():
        write_splits(split_data(read_cases(arguments.data), Split(by="patient")), splits)
    runs = []
    for name, recipe in recipes:
        options = TrainOptions(recipe, arguments.data, arguments.out / name, splits=splits, resume=True)
        if not is_finished(options):
            train(options, say=say)
        runs.append(options.out)
    return runs


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as Markdown."""
    heads = [f"to {level:.2f}" for level in LEVELS]
    lines = [
        f"| run | {' | '.join(heads)} | best `dice_volume` | epochs | images/s |",
        "|---|" + "---|" * (len(LEVELS) + 3),
    ]
    for row in rows:
        times = ["not reached" if s is None else f"{s:.0f} s" for s in row["seconds_to"].values()]
        lines.append(
            f"| {row['run']} | {' | '.join(times)} | {row['best_dice_volume']:.3f} in {row['seconds']:.0f} s "
            f"| {row['epochs']} | {row['images_per_s']} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Train the recipes, or read finished runs, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run", type=Path, action="append", default=[], help="folder of a finished run")
    parser.add_argument("--recipe", action="append", default=[], help="a recipe to train")
    parser.add_argument("--data", type=Path, help="a folder in the Kaggle layout")
    parser.add_argument("--out", type=Path, help="output folder of the runs")
    parser.add_argument("--splits", type=Path, help="splits.json of `gliomaseg split`; its first fold is used")
    parser.add_argument("--set", action="append", default=[], metavar="section.key=value")
    arguments = parser.parse_args()
    if arguments.recipe and not (arguments.data and arguments.out):
        parser.error("--recipe needs --data and --out")
    if not arguments.recipe and not arguments.run:
        parser.error("name a --run, or a --recipe to train")
    rows = [timed(run) for run in [*arguments.run, *(trained(arguments) if arguments.recipe else [])]]
    if arguments.out:
        write_text(arguments.out / "time_to_accuracy.json", json.dumps(rows, indent=1) + "\n")
    sys.stdout.write(f"{table(rows)}\n")


if __name__ == "__main__":
    main()
