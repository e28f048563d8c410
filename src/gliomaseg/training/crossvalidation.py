"""K runs, each validating on patients that the others train on, and one evaluation over all patients."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gliomaseg.atomic import remove, require_free, require_own, write_text
from gliomaseg.config import Recipe, Split
from gliomaseg.data.index import Index, read_index, require_sound
from gliomaseg.data.split import Splits, read_splits, select, split_data, write_splits
from gliomaseg.errors import ConfigError
from gliomaseg.evaluation import Grid, assemble, dumps, learning_curve, measure_cases
from gliomaseg.evaluation.patient import Measured
from gliomaseg.evaluation.verb import METRICS, PICTURES
from gliomaseg.model import file_digest
from gliomaseg.prediction import open_predictor
from gliomaseg.training.run import Order, is_finished, train

SPLITS = "splits.json"


@dataclass(frozen=True)
class CrossOrder:
    """What the user asks for.

    Attributes:
        recipe: all settings; its section `split` says how folds are drawn.
        data: a folder in the Kaggle layout.
        out: where the folds' runs, their splits and the evaluation go.
        device: auto, cpu or cuda.
        resume: whether to go on with what is there.
        overwrite: whether to remove what is there.
        cache: where prepared slices are kept; the user's cache folder if None.
        grid: how lengths are measured.
    """

    recipe: Recipe
    data: Path
    out: Path
    device: str = "auto"
    resume: bool = False
    overwrite: bool = False
    cache: Path | None = None
    grid: Grid = Grid()


def crossvalidate(order: CrossOrder, *, say: Callable[[str], None]) -> Path:
    """Train every fold, and measure each patient by the model that has not seen them.

    Returns:
        The evaluation, `metrics.json`, of all patients.

    Raises:
        UsageError: something is there, and neither resume nor overwrite is set.
        ConfigError: what is there was started with another split, recipe or setting.
        DataError: the data set has problems, or too few patients for the folds.
        Interrupted: the user asked to stop; pass resume to go on at the fold and epoch.
    """
    start = time.perf_counter()
    index = read_index(order.data)
    require_sound(index)
    splits = _splits(order, index)
    measured: list[Measured] = []
    learning: list[dict[str, Any]] = []
    digests = []
    pictures = order.out / PICTURES
    pictures.mkdir(exist_ok=True)
    for number, fold in enumerate(splits.folds):
        run = order.out / f"fold-{number}"
        _train_fold(order, number, len(splits.folds), say)
        predictor = open_predictor(run)
        digests.append(file_digest(predictor.model.onnx))
        measured += measure_cases(
            select(index, fold.validation), predictor, grid=order.grid, fold=number, folder=pictures, progress=say
        )
        learning.append({"fold": number, "lines": learning_curve(run)})
    setting = {
        "data": order.data.resolve().name,
        "split": splits.by,
        "seed": splits.seed,
        "folds": len(splits.folds),
        "subset": "validation of every fold",
        "splits_digest": file_digest(order.out / SPLITS),
        "warning": None,
        "model": order.recipe.title or order.recipe.network.name,
        "model_digests": digests,
        "threshold": order.recipe.decision.threshold,
    }
    seconds = time.perf_counter() - start
    evaluation = assemble(measured, setting=setting, grid=order.grid, seconds=seconds, learning=learning)
    write_text(order.out / METRICS, dumps(evaluation))
    return order.out / METRICS


def _splits(order: CrossOrder, index: Index) -> Splits:
    """Return the folds: those that are there where a cross-validation goes on, else drawn and written."""
    split = order.recipe.split
    if split.by == "slice":
        raise ConfigError("a cross-validation by slice leaks", where="--by", cure="use patient or site")
    file = order.out / SPLITS
    asked = Split(by=split.by, seed=split.seed, folds=None if split.by == "site" else split.folds or 5)
    if order.resume and file.is_file():
        there = read_splits(file)
        if there != split_data(index, asked):
            raise ConfigError(
                "was drawn from other data, or with another --folds, --by or seed",
                where=file,
                cure="resume with the same",
            )
        return there
    require_free(order.out, overwrite=order.overwrite)
    splits = split_data(index, asked)
    own = {SPLITS, METRICS, PICTURES, *(entry.name for entry in order.out.glob("fold-[0-9]*"))}
    require_own(order.out, own)
    for entry in order.out.iterdir() if order.out.exists() else ():
        remove(entry)
    write_splits(splits, file)
    return splits


def _train_fold(order: CrossOrder, number: int, folds: int, say: Callable[[str], None]) -> None:
    fold_order = Order(
        recipe=order.recipe,
        data=order.data,
        out=order.out / f"fold-{number}",
        splits=order.out / SPLITS,
        fold=number,
        device=order.device,
        resume=True,
        cache=order.cache,
    )
    if is_finished(fold_order):
        say(f"fold {number + 1} of {folds} is trained already")
        return
    say(f"fold {number + 1} of {folds}")
    train(fold_order, say=say)
