"""K runs, each validating on patients that the others train on, and one evaluation over all patients."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gliomaseg.atomic import LOCK, locked, new_folder, remove, require_free, require_own, write_text
from gliomaseg.config import Postprocessing, Recipe, Split
from gliomaseg.data.case import read_case
from gliomaseg.data.index import DataIndex, read_index, require_outside, require_sound
from gliomaseg.data.split import Splits, read_splits, select, split_data, write_splits
from gliomaseg.errors import ConfigError, InputError, UsageError
from gliomaseg.evaluation import Evaluation, ScoreGrid, assemble, dumps, learning_curve, measure_cases
from gliomaseg.evaluation.case_scores import ScoredCase
from gliomaseg.evaluation.evaluate import require_own_pictures
from gliomaseg.evaluation.postprocessing_search import Trial, choose_postprocessing, try_postprocessing
from gliomaseg.evaluation.results import METRICS, PICTURES, Learning
from gliomaseg.model import file_digest
from gliomaseg.prediction import open_predictor
from gliomaseg.training.run_folder import OURS, TrainOptions, is_finished
from gliomaseg.training.train import train

SPLITS = "splits.json"
FOLDS = 5


@dataclass(frozen=True)
class CrossValidateOptions:
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
        tune: whether threshold, temperature and smallest component are chosen, those of each fold on the others.
    """

    recipe: Recipe
    data: Path
    out: Path
    device: str = "auto"
    resume: bool = False
    overwrite: bool = False
    cache: Path | None = None
    grid: ScoreGrid = ScoreGrid()
    tune: bool = False


def crossvalidate(order: CrossValidateOptions, *, say: Callable[[str], None]) -> Path:
    """Train every fold, then measure each patient by the model that has not seen them.

    Returns:
        The evaluation, `metrics.json`, of all patients.

    Raises:
        UsageError: something is there and neither resume nor overwrite is set, another process is at work there,
            it lies inside the data, or torchrun has started several.
        ConfigError: what is there was started with another split, recipe or setting.
        DataError: the data set has problems, or too few patients for the folds.
        Interrupted: the user asked to stop; pass resume to go on at the fold and epoch.
    """
    start = time.perf_counter()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # torchrun's word for how many there are
        raise UsageError("a cross-validation takes one process", cure="train each fold with `train --splits --fold`")
    index = read_index(order.data)
    require_sound(index)
    require_outside(index, order.out)
    splits = _draw(order, index)
    resuming = order.resume and (order.out / SPLITS).is_file()
    if not resuming:
        _require_free(order)
    with locked(order.out):
        if not resuming:
            _start_folder(order, splits)
        runs = [_fold_order(order, number) for number in range(len(splits.folds))]
        done = [is_finished(run) for run in runs]  # refuses other settings before any fold trains
        for number, run in enumerate(runs):
            say(f"fold {number + 1} of {len(runs)}" + (" is trained already" if done[number] else ""))
            if not done[number]:
                train(run, say=say)
        with new_folder(order.out / PICTURES, overwrite=True) as folder:
            evaluation = _evaluate(order, index, splits, folder, start, say)
            write_text(order.out / METRICS, dumps(evaluation))
    return order.out / METRICS


def _evaluate(
    order: CrossValidateOptions,
    index: DataIndex,
    splits: Splits,
    folder: Path,
    start: float,
    say: Callable[[str], None],
) -> Evaluation:
    """Return the pooled evaluation; pictures of its patients go into `folder`."""
    measured: list[ScoredCase] = []
    chosen = _tune(order, index, splits, say) if order.tune else None
    learning: list[Learning] = []
    digests = []
    for number, fold in enumerate(splits.folds):
        run = _fold_order(order, number).out
        predictor = open_predictor(run)
        if chosen:
            predictor = predictor.deciding(chosen.each[number])
        cases = select(index, fold.validation)
        measured += measure_cases(cases, predictor, grid=order.grid, fold=number, folder=folder, progress=say)
        learning.append(Learning(fold=number, lines=learning_curve(run)))
        digests.append(file_digest(predictor.model.onnx))
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
        "threshold": None if chosen else order.recipe.postprocessing.threshold,
        "tuned": chosen is not None,
    }
    seconds = time.perf_counter() - start
    tuned = {"postprocessing": chosen.whole, "postprocessing_by_fold": list(chosen.each)} if chosen else {}
    return assemble(measured, setting=setting, grid=order.grid, seconds=seconds, learning=learning, **tuned)


@dataclass(frozen=True)
class _Chosen:
    """The decision of all patients, and that of each fold, chosen on the patients of the other folds."""

    whole: Postprocessing
    each: tuple[Postprocessing, ...]


def _tune(order: CrossValidateOptions, index: DataIndex, splits: Splits, say: Callable[[str], None]) -> _Chosen:
    """Predict every patient by the model that has not seen them, and choose."""
    tta_flip = order.recipe.postprocessing.tta_flip
    trials: list[list[Trial]] = []
    for number, fold in enumerate(splits.folds):
        predictor = open_predictor(_fold_order(order, number).out).deciding(Postprocessing(tta_flip=tta_flip))
        say(f"trying decisions on the patients of fold {number + 1} of {len(splits.folds)}")
        trials.append([])
        for case in select(index, fold.validation):
            try:
                examination = read_case(case)
                trials[-1].append(try_postprocessing(predictor.probability(examination.scan), examination.reference))
            except InputError as fault:  # its row will say so
                say(f"nothing is chosen by {case.name}: {fault.line()}")
    others = [
        [trial for k, some in enumerate(trials) if k != number for trial in some] for number in range(len(trials))
    ]
    each = tuple(choose_postprocessing(some, tta_flip=tta_flip) for some in others)
    whole = choose_postprocessing([trial for some in trials for trial in some], tta_flip=tta_flip)
    say(
        f"chosen on all folds: threshold {whole.threshold:g}, temperature {whole.temperature:g}, "
        f"smallest component {whole.min_component_voxels} voxels; each fold is scored by what the others chose"
    )
    return _Chosen(whole, each)


def _draw(order: CrossValidateOptions, index: DataIndex) -> Splits:
    """Return the folds that the order asks for; those that are there where a cross-validation goes on."""
    split = order.recipe.split
    if split.by == "slice":
        raise ConfigError("a cross-validation by slice leaks", where="--by", cure="use patient or site")
    folds = split.folds or (None if split.by == "site" else FOLDS)
    drawn = split_data(index, Split(by=split.by, seed=split.seed, folds=folds))
    file = order.out / SPLITS
    if order.resume and file.is_file() and read_splits(file) != drawn:
        raise ConfigError(
            "was drawn from other data, or with another --folds, --by or seed", where=file, cure="resume with the same"
        )
    return drawn


def _require_free(order: CrossValidateOptions) -> None:
    """Refuse to clear what no cross-validation wrote."""
    require_free(order.out, overwrite=order.overwrite)
    folds = [entry for entry in order.out.glob("fold-*") if re.fullmatch(r"fold-\d+", entry.name)]
    require_own(order.out, {LOCK, SPLITS, METRICS, PICTURES, *(entry.name for entry in folds)})
    require_own_pictures(order.out)
    for entry in folds:
        require_own(entry, OURS)


def _start_folder(order: CrossValidateOptions, splits: Splits) -> None:
    for entry in order.out.iterdir():
        if entry.name != LOCK:
            remove(entry)
    write_splits(splits, order.out / SPLITS)


def _fold_order(order: CrossValidateOptions, number: int) -> TrainOptions:
    return TrainOptions(
        recipe=order.recipe,
        data=order.data,
        out=order.out / f"fold-{number}",
        splits=order.out / SPLITS,
        fold=number,
        device=order.device,
        resume=True,
        cache=order.cache,
    )
