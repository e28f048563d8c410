"""Cross-validation: one run for each fold, and one evaluation of all patients."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from gliomaseg.atomic import locked
from gliomaseg.config import Recipe, Split
from gliomaseg.data.cache import open_cache
from gliomaseg.data.case_list import CaseList, DataOptions, require_outside, require_sound
from gliomaseg.data.layouts import read_cases
from gliomaseg.data.split import Splits, read_splits, select, split_data, write_splits
from gliomaseg.errors import ConfigError, UsageError
from gliomaseg.evaluation import Evaluation, EvaluationSetting, ScoreGrid, dumps, grid_for
from gliomaseg.evaluation.evaluate import describe_data
from gliomaseg.evaluation.results import METRICS, PICTURES
from gliomaseg.ownership import OutputFolder, file_digest
from gliomaseg.training.accelerator import require_device
from gliomaseg.training.fold_evaluation import FoldEvaluator, TrainedFold, choose_for_folds
from gliomaseg.training.parallel_folds import LOG, Fold, choose_places, train_folds
from gliomaseg.training.run_folder import (
    TrainOptions,
    empty_folder,
    is_finished,
    require_same_data,
    require_same_data_options,
    require_same_folds,
    run_output,
)
from gliomaseg.training.start_weights import read_start, with_absolute_start
from gliomaseg.training.trackers import choose_trackers, create_shared_stores
from gliomaseg.training.train import train

SPLITS = "splits.json"
FOLDS = 5


@dataclass(frozen=True)
class CrossValidateOptions:
    """The options of `gliomaseg crossvalidate`.

    Attributes:
        recipe: all settings; its section `split` determines the folds.
        data: the data set, in any layout.
        out: folder of the runs, the splits and the evaluation.
        device: "auto", "cpu" or "cuda".
        resume: continue the cross-validation in `out`.
        overwrite: remove an earlier cross-validation from `out`.
        cache: folder of the prepared slices; None for the user's cache folder.
        grid: voxel spacing of distances and volumes.
        tune: choose threshold, temperature and minimum component size of each fold on the other folds.
        data_options: how the data set is read; if resumed, those not given are the same as before.
        jobs: number of folds that train side by side, if `devices` is empty.
        devices: numbers of GPUs; a fold trains on each of them side by side.
        trackers: names of `TRACKERS`; None for TensorBoard if it is installed.
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
    data_options: DataOptions = field(default_factory=DataOptions)
    jobs: int = 1
    devices: tuple[int, ...] = ()
    trackers: tuple[str, ...] | None = None


def crossvalidate(options: CrossValidateOptions, *, say: Callable[[str], None]) -> Path:
    """Train every fold, then evaluate each patient with the model that was not trained on this patient.

    Returns:
        The path of `metrics.json`, the evaluation of all patients.

    Raises:
        UsageError: the folder is not empty and neither resume nor overwrite is set, it lies inside the data set,
            torchrun has started several processes, or a GPU is absent or repeated.
        FolderInUseError: another process works in the folder.
        ConfigError: the cross-validation in the folder has another split, recipe or setting.
        DataError: the data set has problems, or too few patients for the folds.
        TrainingError: a fold that trained beside others has failed; its exit code is that of the fold.
        Interrupted: the user has interrupted the run; resume to continue at the same fold and epoch.
    """
    start = time.perf_counter()
    if (processes := int(os.environ.get("WORLD_SIZE", "1"))) > 1:  # torchrun sets it
        raise UsageError(
            f"number of processes is {processes}, expected 1 for a cross-validation",
            cure="train each fold with `train --splits --fold`",
        )
    choose_trackers(options.trackers)  # raises before any work
    places = choose_places(options.device, options.devices, jobs=options.jobs)
    options = _with_saved_data_options(replace(options, recipe=with_absolute_start(options.recipe)))
    index = read_cases(options.data, options.data_options)
    require_sound(index)
    require_outside(index, options.out)
    splits = _draw_folds(options, index)
    require_device(options.device)  # before anything is written
    read_start(options.recipe)
    resuming = options.resume and (options.out / SPLITS).is_file()
    if not resuming:
        _require_free(options)
    with locked(options.out):
        if not resuming:
            _start_folder(options, splits)
        runs = [_fold_options(options, number) for number in range(len(splits.folds))]
        folds = [Fold(f"fold {number + 1} of {len(runs)}", run) for number, run in enumerate(runs)]
        done = [fold for fold in folds if is_finished(fold.options)]  # raises for other settings before any fold trains
        require_same_data([fold.options for fold in done], index)
        for fold in done:
            say(f"{fold.name} is already trained")
        folds = [fold for fold in folds if fold not in done]
        if places and folds:
            brain = options.recipe.augmentation.needs_brain
            open_cache(index, options.recipe.preprocessing, folder=options.cache, brain=brain, progress=say)
            create_shared_stores(options.trackers)
            train_folds(folds, places, options.out / LOG, say=say)
        else:
            for fold in folds:
                say(fold.name)
                train(fold.options, say=say)
        with _output(options).new_folder(options.out / PICTURES, overwrite=True) as folder:
            evaluation = _evaluate(options, index, splits, folder, start, say)
            _output(options).write_text(options.out / METRICS, dumps(evaluation))
    return options.out / METRICS


def _evaluate(
    options: CrossValidateOptions,
    index: CaseList,
    splits: Splits,
    folder: Path,
    start: float,
    say: Callable[[str], None],
) -> Evaluation:
    """Return the evaluation of all patients; it writes their images into `folder`."""
    folds = [
        TrainedFold(_fold_options(options, number).out, select(index, fold.validation))
        for number, fold in enumerate(splits.folds)
    ]
    grid, postprocessing = grid_for(index.cases, options.grid), options.recipe.postprocessing
    chosen = None
    if options.tune:
        chosen = choose_for_folds(folds, tta_flip=postprocessing.tta_flip, in_ml=grid.by_affine, say=say)
    setting = EvaluationSetting(
        data=options.data.resolve().name,
        split=splits.by,
        seed=splits.seed,
        folds=len(folds),
        subset="validation of every fold",
        splits_digest=file_digest(options.out / SPLITS),
        warning=None,
        model=options.recipe.title or options.recipe.network.name,
        threshold=None if chosen else postprocessing.threshold,
        tuned=options.tune,
    ).joined_with(describe_data(index))
    with_copies = options.recipe.augmentation.strips_skulls
    evaluator = FoldEvaluator(with_copies=with_copies, grid=grid, folder=folder, start=start, say=say)
    return evaluator.evaluate(folds, setting, chosen=chosen)


def _draw_folds(options: CrossValidateOptions, index: CaseList) -> Splits:
    """Return the folds of the options.

    Raises:
        ConfigError: the cross-validation to resume has other folds.
    """
    split = options.recipe.split
    if split.by == "slice":
        raise ConfigError("split is by slice, which leaks", where="--by", cure="use patient or site")
    folds = split.folds or (None if split.by == "site" else FOLDS)
    drawn = split_data(index, Split(by=split.by, seed=split.seed, folds=folds)).read_with(options.data_options)
    file = options.out / SPLITS
    if options.resume and file.is_file():
        require_same_folds(read_splits(file), drawn, file)
    return drawn


def _with_saved_data_options(options: CrossValidateOptions) -> CrossValidateOptions:
    """Return options that read the data set as when the cross-validation was started.

    Raises:
        ConfigError: the layout, the labels or the patients differ.
    """
    file = options.out / SPLITS
    if not (options.resume and file.is_file()):
        return options
    saved = read_splits(file)
    require_same_data_options(saved, options.data_options, file)
    return replace(options, data_options=saved.data.complete(options.data_options))


def _output(options: CrossValidateOptions) -> OutputFolder:
    output = OutputFolder(options.out, "crossvalidate")
    # Without a line about the splits, a file of the log's name may be anybody's.
    return replace(output, growing=(LOG,)) if output.has_record(options.out / SPLITS) else output


def _require_free(options: CrossValidateOptions) -> None:
    """Raise if the folder has files that no cross-validation wrote; each fold's folder is a run."""
    folds = [entry for entry in sorted(options.out.glob("fold-*")) if re.fullmatch(r"fold-\d+", entry.name)]
    others = [entry for entry in sorted(options.out.glob("*")) if entry not in folds]
    _output(options).require_replaceable(*others, overwrite=options.overwrite)
    for entry in folds:
        run_output(entry).require_replaceable(entry, overwrite=options.overwrite)


def _start_folder(options: CrossValidateOptions, splits: Splits) -> None:
    _require_free(options)
    empty_folder(options.out)
    with _output(options).new_file(options.out / SPLITS) as temporary:
        write_splits(splits, temporary)


def _fold_options(options: CrossValidateOptions, number: int) -> TrainOptions:
    return TrainOptions(
        recipe=options.recipe,
        data=options.data,
        out=options.out / f"fold-{number}",
        splits=options.out / SPLITS,
        fold=number,
        device="cuda" if options.devices else options.device,
        resume=True,
        cache=options.cache,
        data_options=options.data_options,
        trackers=options.trackers,
    )
