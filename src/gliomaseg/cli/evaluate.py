"""The commands evaluate, compare and report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gliomaseg.cli.options import (
    Data,
    Engine,
    EngineName,
    Fold,
    Json,
    Labels,
    Layout,
    Model,
    Out,
    Overwrite,
    PatientPattern,
    Predictions,
    Resample,
    Spacing,
    Splits,
    Subset,
    Tolerance,
)
from gliomaseg.cli.output import data_options, log, open_predictor, print_result, raise_for_failures
from gliomaseg.cli.paths import Output
from gliomaseg.errors import UsageError


def evaluate(
    data: Data,
    out: Out,
    model: Model = None,
    predictions: Predictions = None,
    resample: Resample = False,
    splits: Splits = None,
    subset: Annotated[Subset, typer.Option("--subset", help="Side of the split; needs --splits.")] = Subset.validation,
    fold: Fold = 0,
    engine: Engine = EngineName.onnxruntime,
    spacing_mm: Spacing = None,
    tolerance: Tolerance = 2.0,
    layout: Layout = None,
    labels: Labels = None,
    patient_pattern: PatientPattern = None,
    as_json: Json = False,
    overwrite: Overwrite = False,
) -> None:
    """Measure a model, or masks of any tool, against reference masks. All measures have confidence intervals."""
    from gliomaseg import evaluation
    from gliomaseg.report.summary_text import noun
    from gliomaseg.report.terminal import summary_text, warning_lines

    if splits is None and (fold or subset is not Subset.validation):
        raise UsageError("--subset and --fold need --splits", cure="add --splits, or omit both")
    if predictions is not None and (model is not None or engine is not EngineName.onnxruntime):
        raise UsageError("with --predictions no model runs", cure="omit --model and --engine")
    if resample and predictions is None:
        raise UsageError("--resample needs --predictions", cure="add --predictions, or omit --resample")
    options = evaluation.EvaluateOptions(
        data=data,
        out=out,
        selection=evaluation.CaseSelection(splits, subset.value, fold) if splits else None,
        grid=evaluation.ScoreGrid(spacing_mm, tolerance),
        overwrite=overwrite,
        data_options=data_options(layout, labels, patient_pattern),
    )
    options.require_free()
    masks = None if predictions is None else evaluation.MaskSource(predictions, resample)
    source = masks or open_predictor(model, engine=engine)
    metrics = evaluation.evaluate_into(options, source, progress=log)
    for line in warning_lines(metrics):
        log(line)
    print_result(metrics.document(), f"{summary_text(metrics.summary)}\n{options.metrics}", as_json=as_json)
    raise_for_failures([row.error for row in metrics.patients], f"{noun(metrics)}s")


def compare(
    a: Annotated[Path, typer.Argument(metavar="EVAL_A", help="The baseline: a folder that `evaluate` wrote.")],
    b: Annotated[Path, typer.Argument(metavar="EVAL_B", help="The candidate, evaluated on the same patients.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE.html", help="Also write a page with charts and images."),
        Output.FILE,
    ] = None,
    as_json: Json = False,
    overwrite: Overwrite = False,
) -> None:
    """Compare two evaluations patient by patient. The result is B - A with interval, test, wins and losses."""
    from gliomaseg.evaluation.comparison import compare_evaluations
    from gliomaseg.report.terminal import comparison_text

    comparison = compare_evaluations(a, b)
    if a.resolve() == b.resolve():
        log(f"warning: A and B are the same evaluation: {a}")
    text = comparison_text(comparison)
    if out is not None:
        from gliomaseg.report.comparison_page import write_comparison

        text += f"\n{write_comparison(a, b, out, overwrite=overwrite)}"
    print_result(comparison.document(), text, as_json=as_json)


def report(
    evaluation: Annotated[
        Path, typer.Argument(metavar="EVAL", help="A folder that `evaluate` or `crossvalidate` wrote.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The HTML file to write."), Output.FILE],
    overwrite: Overwrite = False,
) -> None:
    """Write an evaluation as one HTML file. It has charts, images, and a row for each patient."""
    from gliomaseg.report.html import write_report

    print_result(None, str(write_report(evaluation, out, overwrite=overwrite)), as_json=False)
