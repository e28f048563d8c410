"""The commands export and models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gliomaseg.cli.options import Json, Overwrite, Weights
from gliomaseg.cli.output import log, model_folder, print_result
from gliomaseg.cli.paths import Output


def export(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A run folder, a model folder, or a bundled model's name.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The model folder to write."), Output.FOLDER],
    to: Annotated[Weights, typer.Option("--to", help="Format of the exported weights.")] = Weights.onnx,
    name: Annotated[str | None, typer.Option("--name", help="Name of the exported model (default: unchanged).")] = None,
    evaluation: Annotated[
        Path | None, typer.Option("--evaluation", metavar="EVAL", help="Evaluation whose scores replace the model's.")
    ] = None,
    card: Annotated[Path | None, typer.Option("--card", help="Markdown file that replaces the model card.")] = None,
    keep_weights: Annotated[
        bool, typer.Option("--keep-weights", help="Also keep the weights that a training can start from, in 16 bits.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Write a model folder to share. It has weights in one format, scores, model card and checksums."""
    from gliomaseg.model_export import ExportOptions, export_model

    options = ExportOptions(model_folder(model), out, to.value, name, evaluation, card, overwrite, keep_weights)
    print_result(None, str(export_model(options, say=log)), as_json=False)


def models(as_json: Json = False) -> None:
    """List the packaged recipes and the bundled models."""
    from dataclasses import asdict

    from gliomaseg.config import read_recipe, recipe_names
    from gliomaseg.pretrained import list_models
    from gliomaseg.report.terminal import models_text

    recipes = [{"recipe": name, "title": read_recipe(name).title} for name in recipe_names()]
    bundled = list_models()
    text = "\n".join([*(f"{entry['recipe']:<20} {entry['title']}" for entry in recipes), *models_text(bundled)])
    print_result({"recipes": recipes, "models": [asdict(model) for model in bundled]}, text, as_json=as_json)
