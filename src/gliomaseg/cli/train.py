"""The commands demo, train and crossvalidate; they need the extra `train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gliomaseg.cli.options import (
    Cache,
    Device,
    DeviceName,
    Devices,
    Fold,
    Folds,
    FoldsBy,
    Jobs,
    Labels,
    Layout,
    Out,
    Overwrite,
    PatientPattern,
    Recipe,
    Resume,
    Sets,
    Spacing,
    Splits,
    Tolerance,
    Tracker,
    TrainingData,
    Tune,
)
from gliomaseg.cli.output import data_options, import_training, log, parse_devices, print_result, raise_for_failures


def demo(
    out: Out = Path("gliomaseg-demo"),
    recipe: Annotated[str, typer.Option(help="A packaged recipe, or a TOML file.")] = "unet_small",
    overwrite: Overwrite = False,
) -> None:
    """Run the whole workflow on phantoms, offline. It makes, audits, splits, trains, evaluates and predicts."""
    paths = import_training("gliomaseg.demo").run_demo(out, recipe, overwrite=overwrite, log=log)
    print_result(paths, "\n".join(f"{name:<10} {path}" for name, path in paths.items()), as_json=False)


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
    layout: Layout = None,
    labels: Labels = None,
    patient_pattern: PatientPattern = None,
    tracker: Tracker = None,
) -> None:
    """Train a network and export it. RUN/model does not need PyTorch."""
    from gliomaseg.config import read_recipe
    from gliomaseg.evaluation.documents import read_evaluation
    from gliomaseg.report.terminal import summary_text, warning_lines

    chosen = read_recipe(recipe).with_settings(settings or [])
    module = import_training("gliomaseg.training.train")
    options = module.TrainOptions(
        recipe=chosen,
        data=data,
        out=out,
        splits=splits,
        fold=fold,
        device=device,
        resume=resume,
        overwrite=overwrite,
        cache=cache,
        data_options=data_options(layout, labels, patient_pattern),
        trackers=tuple(tracker) if tracker else None,
    )
    model = module.train(options, say=log)
    scores = read_evaluation(model)
    for line in warning_lines(scores):
        log(line)
    print_result(None, f"{summary_text(scores.summary)}\n{model}", as_json=False)


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
    layout: Layout = None,
    labels: Labels = None,
    patient_pattern: PatientPattern = None,
    devices: Devices = None,
    jobs: Jobs = 1,
    tracker: Tracker = None,
) -> None:
    """Train K folds and pool their results. Each patient is evaluated with the model that was not trained on it."""
    from gliomaseg.config import read_recipe
    from gliomaseg.evaluation.documents import read_evaluation
    from gliomaseg.evaluation.scoring import ScoreGrid
    from gliomaseg.report.terminal import summary_text

    split_settings = [f"split.by={by.value}"] if by else []
    split_settings += [f"split.folds={folds}"] if folds else []
    module = import_training("gliomaseg.training.crossvalidation")
    options = module.CrossValidateOptions(
        read_recipe(recipe).with_settings([*(settings or []), *split_settings]),
        data,
        out,
        device=device,
        resume=resume,
        overwrite=overwrite,
        cache=cache,
        grid=ScoreGrid(spacing_mm, tolerance),
        tune=tune,
        data_options=data_options(layout, labels, patient_pattern),
        jobs=jobs,
        devices=parse_devices(devices),
        trackers=tuple(tracker) if tracker else None,
    )
    metrics = module.crossvalidate(options, say=log)
    evaluation = read_evaluation(metrics.parent)
    print_result(None, f"{summary_text(evaluation.summary)}\n{metrics}", as_json=False)
    raise_for_failures([row.error for row in evaluation.patients], "patients")
