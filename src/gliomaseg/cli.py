"""The commands: each parses, calls one verb, and prints.

Nothing heavy is imported at the top: `--help` must be instant. Results go to stdout, all else to stderr.
"""

from __future__ import annotations

import io
import json
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

import gliomaseg
from gliomaseg.atomic import is_disk_full
from gliomaseg.errors import (
    DataError,
    GliomasegError,
    InputError,
    Interrupted,
    MissingExtraError,
    PartlyDoneError,
    ResourceError,
    UsageError,
)
from gliomaseg.options import (
    Cache,
    Data,
    Device,
    Engine,
    EngineName,
    Fold,
    Grouping,
    Json,
    Model,
    Out,
    Overwrite,
    PhantomFormat,
    Seed,
    Splits,
    Subset,
)

app = typer.Typer(
    name="gliomaseg",
    help="Find the tumour in a brain MRI, and say how far to trust it. Research software, not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def say(text: str) -> None:
    """Print a message to stderr, if it is open: `print` would fall back to stdout, where results belong."""
    if sys.stderr is not None:
        print(text, file=sys.stderr, flush=True)


def show(document: Any, text: str, *, as_json: bool) -> None:
    """Print a result to stdout, as JSON or for people."""
    print(json.dumps(document, indent=1) if as_json else text, flush=True)


def _version(asked: bool) -> None:
    if asked:
        print(gliomaseg.__version__)
        raise typer.Exit


@app.callback()
def _root(version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False) -> None:
    pass


@app.command()
def demo(
    out: Out = Path("gliomaseg-demo"),
    recipe: Annotated[str, typer.Option(help="A packaged recipe or a TOML file.")] = "unet_small",
    overwrite: Overwrite = False,
) -> None:
    """The whole road on phantoms, offline, in minutes: make, audit, split, train, evaluate, predict."""
    places = _with_training("gliomaseg.demo").run_demo(out, recipe, overwrite=overwrite, say=say)
    show(places, "\n".join(f"{name:<10} {place}" for name, place in places.items()), as_json=False)


@app.command()
def download(
    to: Annotated[Path | None, typer.Option("--to", help="Where the data go (default: kagglehub's cache).")] = None,
    source: Annotated[Path | None, typer.Option("--from", help="A zip or a folder that you have already.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Fetch the LGG MRI data set through kagglehub, or take it from a local copy."""
    from gliomaseg.data.download import download as fetch

    root = fetch(to=to, source=source, overwrite=overwrite, progress=say)
    show(None, str(root), as_json=False)


@app.command()
def phantom(
    folder: Annotated[Path, typer.Argument(metavar="DIR")],
    patients: Annotated[int, typer.Option("--patients")] = 12,
    seed: Seed = 0,
    size: Annotated[int, typer.Option("--size", min=64, max=1024, help="Side of a slice in pixels.")] = 256,
    kind: Annotated[PhantomFormat, typer.Option("--as", help="tiff: the Kaggle layout.")] = PhantomFormat.tiff,
    overwrite: Overwrite = False,
) -> None:
    """Make phantom patients that look like the data set, with exact masks."""
    from gliomaseg.data.phantom import write_phantoms

    del kind  # one format so far
    root = write_phantoms(folder, patients=patients, seed=seed, side_px=size, overwrite=overwrite, progress=say)
    show(None, str(root), as_json=False)


@app.command()
def audit(data: Data, as_json: Json = False) -> None:
    """Say what a data set holds and what is wrong with it; exit 3 where training would be unsafe."""
    from gliomaseg.data.audit import audit as find
    from gliomaseg.data.index import read_index
    from gliomaseg.report.text import audit_text

    findings = find(read_index(data), progress=say)
    show(asdict(findings), audit_text(findings), as_json=as_json)
    if not findings.safe:
        raise DataError(
            f"{len(findings.problems)} problem(s) make training unsafe", where=data, cure="mend or move them"
        )


@app.command()
def split(
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="The splits file to write.")],
    by: Annotated[
        Grouping, typer.Option("--by", help="site leaves one site out a fold; slice leaks, as the notebook does.")
    ] = Grouping.patient,
    folds: Annotated[int | None, typer.Option("--folds", help="As many folds, each patient validating once.")] = None,
    holdout: Annotated[float, typer.Option("--holdout", help="The share that validates, without --folds.")] = 0.2,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Draw who trains and who validates; a patient is never on two sides unless --by slice says so."""
    from gliomaseg.atomic import require_free
    from gliomaseg.config import Split, parsed
    from gliomaseg.data.index import read_index
    from gliomaseg.data.split import draw_splits, write_splits
    from gliomaseg.report.text import splits_text

    settings = parsed(Split, {"by": by, "folds": folds, "holdout": holdout, "seed": seed}, where="split")
    require_free(out, overwrite=overwrite)
    splits = draw_splits(read_index(data), settings)
    write_splits(splits, out)
    if splits.warning:
        say(f"warning: {splits.warning}")
    show(None, f"{splits_text(splits)}\n{out}", as_json=False)


@app.command()
def train(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A packaged recipe (fcn_resnet50, unet_small) or a TOML file.")
    ],
    data: Annotated[Path, typer.Option("--data")],
    out: Out,
    splits: Splits = None,
    fold: Fold = 0,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="section.key=value")] = None,
    device: Annotated[Device, typer.Option("--device")] = Device.auto,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run stopped.")] = False,
    overwrite: Overwrite = False,
    cache: Cache = None,
) -> None:
    """Train a network; RUN/model is then a model that needs no torch."""
    from gliomaseg.config import read_recipe
    from gliomaseg.report.text import summary_text

    chosen = read_recipe(recipe).with_settings(settings or [])
    run = _with_training("gliomaseg.training.run")
    order = run.Order(
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
    metrics = json.loads((model / "metrics.json").read_text("utf-8"))
    show(None, f"{summary_text(metrics['summary'])}\n{model}", as_json=False)


@app.command()
def evaluate(
    data: Data,
    out: Out,
    model: Model = None,
    splits: Splits = None,
    subset: Annotated[Subset, typer.Option("--subset", help="Which side, with --splits.")] = Subset.validation,
    fold: Fold = 0,
    engine: Engine = EngineName.onnxruntime,
    as_json: Json = False,
    overwrite: Overwrite = False,
) -> None:
    """Measure a model against reference masks: every Dice convention under its name."""
    from gliomaseg import evaluation
    from gliomaseg.atomic import require_free, write_text
    from gliomaseg.prediction import open_predictor
    from gliomaseg.report.text import summary_text

    target = out / "metrics.json"
    require_free(target, overwrite=overwrite)
    if splits is None and (fold or subset is not Subset.validation):
        raise UsageError("--subset and --fold mean nothing without --splits", cure="name the splits file")
    side = evaluation.Side(splits, subset.value, fold) if splits else None
    metrics = evaluation.evaluate_data(data, open_predictor(_named(model), engine=engine), side, progress=say)
    write_text(target, evaluation.dumps(metrics))
    show(metrics, f"{summary_text(metrics['summary'])}\n{target}", as_json=as_json)


@app.command()
def report(
    evaluation: Annotated[Path, typer.Argument(metavar="EVAL", help="A folder that `gliomaseg evaluate` wrote.")],
    out: Annotated[Path, typer.Option("--out", help="The HTML file to write.")],
    overwrite: Overwrite = False,
) -> None:
    """Write an evaluation as one HTML file, to read, print and send: charts, pictures, a row for each patient."""
    from gliomaseg.report.html import write_report

    show(None, str(write_report(evaluation, out, overwrite=overwrite)), as_json=False)


@app.command()
def predict(
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT...", help="TIFF or PNG files, folders of them, patients' folders.")
    ],
    out: Out,
    model: Model = None,
    engine: Engine = EngineName.onnxruntime,
    as_json: Json = False,
    overwrite: Overwrite = False,
) -> None:
    """Write a mask and an overlay for each picture."""
    from gliomaseg import prediction
    from gliomaseg.report.text import rows_text

    entries = prediction.list_inputs(inputs)
    predictor = prediction.open_predictor(_named(model), engine=engine)
    rows = [prediction.predict(entry, out, predictor, overwrite=overwrite) for entry in entries]
    show([asdict(row) for row in rows], rows_text(rows), as_json=as_json)
    failed = [row.error for row in rows if row.error]
    if failed and len(failed) == len(rows):
        raise InputError(failed[0] if len(rows) == 1 else f"all {len(rows)} inputs failed", cure="see their rows")
    if failed:
        raise PartlyDoneError(f"{len(failed)} of {len(rows)} inputs failed", cure="see their rows")


@app.command()
def models(as_json: Json = False) -> None:
    """List the recipes at hand."""
    from gliomaseg.config import read_recipe, recipe_names

    recipes = [{"recipe": name, "title": read_recipe(name).title} for name in recipe_names()]
    text = "\n".join(f"{entry['recipe']:<16} {entry['title']}" for entry in recipes)
    show({"recipes": recipes, "models": []}, text, as_json=as_json)


def _named(model: Path | None) -> Path:
    if model is None:
        raise UsageError("no model ships with this version", where="--model", cure="name a run or a model folder")
    return model


def _with_training(module: str) -> Any:
    """Import a module that needs the extra `train`."""
    try:
        return import_module(module)
    except ModuleNotFoundError as fault:
        if fault.name and fault.name.startswith("gliomaseg"):
            raise
        raise MissingExtraError(f"training needs {fault.name}", cure='pip install "gliomaseg[train]"') from fault


def main() -> None:
    """Run a command and turn faults into one line and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files need not be text
    try:
        app()
    except GliomasegError as fault:
        _leave(f"error: {fault.line()}", fault.exit_code)
    except (Interrupted, KeyboardInterrupt) as stop:
        _leave(
            f"interrupted: {stop}; train again with --resume to go on" if str(stop) else "interrupted",
            Interrupted.exit_code,
        )
    except MemoryError:
        _leave("error: out of memory; use smaller batches or slices", ResourceError.exit_code)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone; there is nobody to tell
        raise SystemExit(1) from None
    except OSError as fault:
        if is_disk_full(fault):
            _leave(
                f"error: {fault.filename or 'disk'}: the disk is full; free some space and run again",
                ResourceError.exit_code,
            )
        where = f"{fault.filename}: " if fault.filename else ""
        _leave(
            f"error: {where}cannot be read or written ({fault.strerror or fault}); check the path and its permissions",
            GliomasegError.exit_code,
        )


def _leave(line: str, code: int) -> NoReturn:
    say(f"gliomaseg: {line}")
    raise SystemExit(code)


if __name__ == "__main__":
    main()
