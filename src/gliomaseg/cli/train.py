"""Commands that train, and need the extra `train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gliomaseg.cli.options import (
    Cache,
    Device,
    DeviceName,
    Fold,
    Folds,
    FoldsBy,
    Out,
    Overwrite,
    Recipe,
    Resume,
    Sets,
    Spacing,
    Splits,
    Tolerance,
    TrainingData,
    Tune,
)
from gliomaseg.cli.output import say, show, tell_failures, with_training


def demo(
    out: Out = Path("gliomaseg-demo"),
    recipe: Annotated[str, typer.Option(help="A packaged recipe or a TOML file.")] = "unet_small",
    overwrite: Overwrite = False,
) -> None:
    """The whole road on phantoms, offline, in minutes: make, audit, split, train, evaluate, predict."""
    places = with_training("gliomaseg.demo").run_demo(out, recipe, overwrite=overwrite, say=say)
    show(places, "\n".join(f"{name:<10} {place}" for name, place in places.items()), as_json=False)


def train(
    recipe: Recipe,
    data: TrainingData,
    out: Out,
    splits: Splits = None,
    fold: Fold = 0,
    settings: Sets = None,
    device: Device = DeviceName.auto,
    resume: Resume = False,
    overwrite: Overwrite = False,
    cache: Cache = None,
) -> None:
    """Train a network; RUN/model is then a model that needs no torch."""
    from gliomaseg.config import read_recipe
    from gliomaseg.evaluation.results import read_evaluation
    from gliomaseg.report.terminal import summary_text

    chosen = read_recipe(recipe).with_settings(settings or [])
    run = with_training("gliomaseg.training.train")
    order = run.TrainOptions(
        recipe=chosen,
        data=data,
        out=out,
        splits=splits,
        fold=fold,
        device=device,
        resume=resume,
        overwrite=overwrite,
        cache=cache,
    )
    model = run.train(order, say=say)
    show(None, f"{summary_text(read_evaluation(model).summary)}\n{model}", as_json=False)


def crossvalidate(
    recipe: Recipe,
    data: TrainingData,
    out: Out,
    folds: Folds = None,
    by: FoldsBy = None,
    settings: Sets = None,
    device: Device = DeviceName.auto,
    resume: Resume = False,
    overwrite: Overwrite = False,
    cache: Cache = None,
    spacing_mm: Spacing = None,
    tolerance: Tolerance = 2.0,
    tune: Tune = False,
) -> None:
    """Train K folds and measure each patient by the model that has not seen them: one evaluation over all."""
    from gliomaseg.config import read_recipe
    from gliomaseg.evaluation.case_scores import ScoreGrid
    from gliomaseg.evaluation.results import read_evaluation
    from gliomaseg.report.terminal import summary_text

    asked = [f"split.by={by.value}"] if by else []
    asked += [f"split.folds={folds}"] if folds else []
    module = with_training("gliomaseg.training.crossvalidation")
    order = module.CrossValidateOptions(
        read_recipe(recipe).with_settings([*(settings or []), *asked]),
        data,
        out,
        device=device,
        resume=resume,
        overwrite=overwrite,
        cache=cache,
        grid=ScoreGrid(spacing_mm, tolerance),
        tune=tune,
    )
    metrics = module.crossvalidate(order, say=say)
    evaluation = read_evaluation(metrics.parent)
    show(None, f"{summary_text(evaluation.summary)}\n{metrics}", as_json=False)
    tell_failures([row.error for row in evaluation.patients], "patients")
