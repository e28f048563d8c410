"""Commands that use a model, and what they leave: no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gliomaseg.cli.options import (
    T1,
    Data,
    Deidentify,
    Engine,
    EngineName,
    Flair,
    Fold,
    Inputs,
    Json,
    MaskFormats,
    MaxMemory,
    Model,
    Out,
    Overwrite,
    Probabilities,
    Series,
    Spacing,
    Splits,
    Subset,
    T1ce,
    Tolerance,
    Weights,
)
from gliomaseg.cli.output import bytes_of, named, opened, say, show, tell_failures, tell_rows
from gliomaseg.cli.start import import_nibabel
from gliomaseg.errors import ResourceError, UsageError


def evaluate(
    data: Data,
    out: Out,
    model: Model = None,
    splits: Splits = None,
    subset: Annotated[Subset, typer.Option("--subset", help="Which side, with --splits.")] = Subset.validation,
    fold: Fold = 0,
    engine: Engine = EngineName.onnxruntime,
    spacing_mm: Spacing = None,
    tolerance: Tolerance = 2.0,
    as_json: Json = False,
    overwrite: Overwrite = False,
) -> None:
    """Measure a model against reference masks: every measure under its name, with its interval."""
    from gliomaseg import evaluation
    from gliomaseg.report.terminal import summary_text

    if splits is None and (fold or subset is not Subset.validation):
        raise UsageError("--subset and --fold mean nothing without --splits", cure="name the splits file")
    order = evaluation.EvaluateOptions(
        data=data,
        out=out,
        side=evaluation.CaseSelection(splits, subset.value, fold) if splits else None,
        grid=evaluation.ScoreGrid(spacing_mm, tolerance),
        overwrite=overwrite,
    )
    order.require_free()
    metrics = evaluation.evaluate_into(order, opened(model, engine=engine), progress=say)
    if seen := metrics.setting.patients_seen:
        say(f"warning: the model was trained on {seen} of these {metrics.summary.patients} patients")
    show(metrics.document(), f"{summary_text(metrics.summary)}\n{order.metrics}", as_json=as_json)
    tell_failures([row.error for row in metrics.patients], "patients")


def compare(
    a: Annotated[Path, typer.Argument(metavar="EVAL_A", help="The baseline: a folder that `evaluate` wrote.")],
    b: Annotated[Path, typer.Argument(metavar="EVAL_B", help="The candidate, of the same patients.")],
    as_json: Json = False,
) -> None:
    """Compare two evaluations patient by patient: difference B - A with interval, test, wins and losses."""
    from gliomaseg.evaluation.comparison import compare_evaluations
    from gliomaseg.report.terminal import comparison_text

    comparison = compare_evaluations(a, b)
    show(comparison.document(), comparison_text(comparison), as_json=as_json)


def report(
    evaluation: Annotated[
        Path, typer.Argument(metavar="EVAL", help="A folder that `evaluate` or `crossvalidate` wrote.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The HTML file to write.")],
    overwrite: Overwrite = False,
) -> None:
    """Write an evaluation as one HTML file, to read, print and send: charts, pictures, a row for each patient."""
    from gliomaseg.report.html import write_report

    show(None, str(write_report(evaluation, out, overwrite=overwrite)), as_json=False)


def predict(
    out: Out,
    inputs: Inputs = None,
    model: Model = None,
    flair: Flair = None,
    t1: T1 = None,
    t1ce: T1ce = None,
    series: Series = None,
    to: MaskFormats = None,
    engine: Engine = EngineName.onnxruntime,
    probabilities: Probabilities = False,
    deidentify: Deidentify = False,
    max_memory: MaxMemory = "4G",
    as_json: Json = False,
    overwrite: Overwrite = False,
) -> None:
    """Write a mask and an overlay for each scan, on its own grid."""
    from gliomaseg import prediction
    from gliomaseg.prediction.inputs import Kind
    from gliomaseg.report.terminal import rows_text

    wish = prediction.PredictOptions(
        to=tuple(to or ()),
        probabilities=probabilities,
        overwrite=overwrite,
        max_bytes=bytes_of(max_memory, where="--max-memory"),
        series=series,
        deidentify=deidentify,
    )
    entries = _entries(inputs or [], flair=flair, t1=t1, t1ce=t1ce)
    prediction.require_options(entries, wish)
    if any(entry.kind is Kind.VOLUME for entry in entries):
        import_nibabel()
    predictor = opened(model, engine=engine)
    rows, stop = _rows(entries, out, predictor, wish)
    show([row.document() for row in rows], rows_text(rows), as_json=as_json)
    if stop is not None:
        raise stop
    tell_rows([row.fault for row in rows], "inputs")


def _rows(entries: list[Any], out: Path, predictor: Any, wish: Any) -> tuple[list[Any], BaseException | None]:
    """Return a row for each input, and what stopped the work before all were done: what is done is told even then."""
    from gliomaseg.prediction import failed_row
    from gliomaseg.prediction import predict as predict_module

    rows: list[Any] = []
    try:
        for entry in entries:
            rows.append(predict_module.predict(entry, out, predictor, wish))
            for warning in rows[-1].warnings:
                say(f"warning: {rows[-1].input}: {warning}")
    except ResourceError as fault:
        return [*rows, failed_row(entries[len(rows)], fault)], fault
    except KeyboardInterrupt as fault:
        return rows, fault
    return rows, None


def _entries(inputs: list[Path], *, flair: Path | None, t1: Path | None, t1ce: Path | None) -> list[Any]:
    from gliomaseg.prediction import join_sequences, list_inputs

    if flair is not None and not inputs:
        return [join_sequences(flair, t1=t1, t1ce=t1ce)]
    if flair is not None or t1 is not None or t1ce is not None:
        cure = "name --flair, and --t1 and --t1ce if you have them, without INPUT"
        raise UsageError("sequences make one case, of which FLAIR must be there", cure=cure)
    if not inputs:
        raise UsageError("there is nothing to predict", cure="name a scan, or --flair")
    return list_inputs(inputs)


def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A run, a model folder, or a shipped model's name.")],
    out: Annotated[Path, typer.Option("--out", help="The model folder to make.")],
    to: Annotated[Weights, typer.Option("--to", help="The weights in it.")] = Weights.onnx,
    name: Annotated[str | None, typer.Option("--name", help="Of the new model (default: the old one's).")] = None,
    evaluation: Annotated[
        Path | None, typer.Option("--evaluation", metavar="EVAL", help="Its scores take the place of the model's.")
    ] = None,
    card: Annotated[Path | None, typer.Option("--card", help="A Markdown file in place of the model's card.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Make a model folder to give away: one kind of weights, scores, card and digests."""
    from gliomaseg.model_export import ExportOptions, export_model

    order = ExportOptions(named(model), out, to.value, name, evaluation, card, overwrite)
    show(None, str(export_model(order, say=say)), as_json=False)


def models(as_json: Json = False) -> None:
    """List the recipes and the shipped models."""
    from dataclasses import asdict

    from gliomaseg.config import read_recipe, recipe_names
    from gliomaseg.pretrained import list_models
    from gliomaseg.report.terminal import models_text

    recipes = [{"recipe": name, "title": read_recipe(name).title} for name in recipe_names()]
    shipped = list_models()
    text = "\n".join([*(f"{entry['recipe']:<20} {entry['title']}" for entry in recipes), *models_text(shipped)])
    show({"recipes": recipes, "models": [asdict(model) for model in shipped]}, text, as_json=as_json)
