"""Measure a model, or the masks of any tool, on a data set."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from gliomaseg.data.case import Case
from gliomaseg.data.case_list import CaseList, DataOptions, DataSettings, require_outside, require_sound
from gliomaseg.data.layouts import read_cases
from gliomaseg.data.split import Splits, choose_fold, read_splits, select
from gliomaseg.errors import DataError, UsageError
from gliomaseg.evaluation.case_measurement import grid_for, measure_cases
from gliomaseg.evaluation.documents import dumps, learning_curve
from gliomaseg.evaluation.mask_files import MaskFolder, find_masks
from gliomaseg.evaluation.results import METRICS, PICTURES, Evaluation, EvaluationSetting, LearningCurve
from gliomaseg.evaluation.scoring import ScoredCase, ScoreGrid, assemble
from gliomaseg.model import hashed_patient_id
from gliomaseg.ownership import OutputFolder, file_digest
from gliomaseg.prediction import ScanPredictor
from gliomaseg.prediction.prediction import AND


@dataclass(frozen=True)
class CaseSelection:
    """The training or the validation cases of one fold of a splits file."""

    splits: Path
    subset: Literal["train", "validation"] = "validation"
    fold: int = 0

    def __post_init__(self) -> None:
        """Check the subset.

        Raises:
            UsageError: it is neither "train" nor "validation".
        """
        if self.subset not in ("train", "validation"):
            raise UsageError(f"subset is {self.subset!r}, expected train or validation")


@dataclass(frozen=True)
class EvaluateOptions:
    """Options of an evaluation.

    Attributes:
        data: the data set, in any layout.
        out: where `metrics.json` and a picture of each patient go.
        selection: the cases of a split that are evaluated; all cases if None.
        grid: how lengths are measured.
        overwrite: whether an earlier evaluation is replaced.
        data_options: how the data set is read; those not given are taken from the splits file.
    """

    data: Path
    out: Path
    selection: CaseSelection | None = None
    grid: ScoreGrid = ScoreGrid()
    overwrite: bool = False
    data_options: DataOptions = field(default_factory=DataOptions)

    @property
    def metrics(self) -> Path:
        """The document of the evaluation."""
        return self.out / METRICS

    @property
    def output(self) -> OutputFolder:
        """The files of an earlier evaluation."""
        return OutputFolder(self.out, "evaluate")

    def require_free(self) -> None:
        """Check that the output folder is free.

        Raises:
            OutputExistsError: an evaluation exists and `overwrite` is not set, or a file was changed or is foreign.
        """
        self.output.require_replaceable(self.metrics, overwrite=self.overwrite)
        self.output.require_replaceable(self.out / PICTURES, overwrite=True)


@dataclass(frozen=True)
class MaskSource:
    """A folder of masks, made by any tool.

    Attributes:
        folder: the folder.
        resample: whether masks on another grid than their scan are resampled; else their cases are refused.
    """

    folder: Path
    resample: bool = False


def evaluate_into(
    options: EvaluateOptions, predictions: ScanPredictor | MaskSource, *, progress: Callable[[str], None] | None = None
) -> Evaluation:
    """Measure a model or a folder of masks, and write the evaluation into its folder, `metrics.json` last.

    Raises:
        OutputExistsError: an evaluation exists already.
        UsageError: the folder lies inside the data.
        DataError: the data set has problems, or the splits are empty or do not fit it.
        ResourceError: the disk is full.
    """
    options.require_free()
    # Before anything is written:
    splits = _read_splits(options.selection)
    index = _read_data(options.data, splits, options.data_options)
    require_outside(index, options.out)
    cases, setting = _choose(index, options.data, options.selection, splits)
    source = _masks_of(predictions, index, progress)
    with options.output.new_folder(options.out / PICTURES, overwrite=True) as folder:
        evaluation = evaluate(cases, source, setting=setting, grid=options.grid, folder=folder, progress=progress)
        options.output.write_text(
            options.metrics, dumps(evaluation)
        )  # inside: an error keeps the old numbers and images
    return evaluation


def evaluate_data(
    data: Path,
    predictions: ScanPredictor | MaskSource,
    selection: CaseSelection | None = None,
    *,
    grid: ScoreGrid | None = None,
    data_options: DataOptions | None = None,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """Measure a model or a folder of masks on a data set, or on the training or validation cases of a split.

    Raises:
        DataError: the data set has problems, or the splits are empty or do not fit it.
        ConfigError: there is no such fold.
        ResourceError: the disk is full.
    """
    splits = _read_splits(selection)
    index = _read_data(data, splits, data_options or DataOptions())
    cases, setting = _choose(index, data, selection, splits)
    source = _masks_of(predictions, index, progress)
    return evaluate(cases, source, setting=setting, grid=grid, progress=progress)


def _read_splits(selection: CaseSelection | None) -> Splits | None:
    return None if selection is None else read_splits(selection.splits)


def _read_data(data: Path, splits: Splits | None, options: DataOptions) -> CaseList:
    """Return the cases of a data set; options that are not given are those that its splits were drawn with."""
    recorded = DataSettings() if splits is None else splits.data
    return read_cases(data, recorded.complete(options))


def _masks_of(
    predictions: ScanPredictor | MaskSource, index: CaseList, progress: Callable[[str], None] | None
) -> ScanPredictor | MaskFolder:
    """Return a model as it is, or the masks of a folder; files that match no case are named."""
    if not isinstance(predictions, MaskSource):
        return predictions
    folder, log = predictions.folder, progress or _ignore
    masks = replace(find_masks(folder, index.cases), resample=predictions.resample)
    for name in masks.unmatched:
        log(f"skipped: {folder / name}: matches no case of the data set")
    if any(masks.has_other_values(labels) for labels in {case.labels for case in index.cases}):
        log(f"note: {folder}: all masks have one value, which is not among the labels: it counts as tumour")
        return replace(masks, binary=True)
    return masks


def _ignore(_line: str) -> None:
    """Drop a line of progress."""


def _choose(
    index: CaseList, data: Path, selection: CaseSelection | None, splits: Splits | None
) -> tuple[Sequence[Case], EvaluationSetting]:
    """Return the cases to measure, and the setting that describes them."""
    require_sound(index)
    if selection is None or splits is None:
        setting = EvaluationSetting(data=data.resolve().name, split=None, subset=None, warning=None)
        return index.cases, setting.joined_with(describe_data(index))
    fold = choose_fold(splits, selection.fold)
    cases = select(index, fold.train if selection.subset == "train" else fold.validation)
    if not cases:
        raise DataError(f"the {selection.subset} side of fold {selection.fold} is empty", where=selection.splits)
    setting = EvaluationSetting(
        data=data.resolve().name,
        split=splits.by,
        seed=splits.seed,
        subset=selection.subset,
        fold=selection.fold,
        splits_digest=file_digest(selection.splits),
        warning=splits.warning,
    )
    return cases, setting.joined_with(describe_data(index))


def describe_data(index: CaseList) -> EvaluationSetting:
    """Return the setting that describes the data set."""
    labels = {case.labels.tumour for case in index.cases}
    chosen = labels.pop() if len(labels) == 1 else None
    return EvaluationSetting(layout=index.layout, labels=None if chosen is None else sorted(chosen))


def evaluate(
    cases: Sequence[Case],
    predictions: ScanPredictor | MaskFolder,
    *,
    setting: EvaluationSetting | None = None,
    grid: ScoreGrid | None = None,
    folder: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """Measure the prediction of every case on its own grid against its reference mask.

    Args:
        cases: the cases to measure; after a split by slice, with the chosen slices only.
        predictions: one model, an ensemble, or the masks of any tool.
        setting: describes the cases; the fields on the model are added.
        grid: how lengths are measured; if None, by the affines of volumes, and in pixels for images.
        folder: for an image of each patient, `<case>.png`; images are not written if None.
        progress: called with a line for each case.

    Returns:
        The evaluation. Undefined values are None. If a case cannot be read or predicted, its row has the reason
        in `error`.

    Raises:
        ResourceError: the disk is full.
    """
    start = time.perf_counter()
    grid = grid_for(cases, grid or ScoreGrid())
    measured = measure_cases(cases, predictions, grid=grid, folder=folder, progress=progress)
    setting = (setting or EvaluationSetting()).joined_with(_source_setting(predictions, cases, measured))
    learning = [] if isinstance(predictions, MaskFolder) else _learning_of(predictions, setting)
    evaluation = assemble(measured, setting=setting, grid=grid, seconds=time.perf_counter() - start)
    return evaluation.model_copy(update={"learning": learning})


def _learning_of(predictor: ScanPredictor, setting: EvaluationSetting) -> list[LearningCurve]:
    networks = [member for model in predictor.models for member in model.members]
    lines = learning_curve(predictor.models[0].folder.parent) if len(networks) == 1 else []
    fold = setting.fold if isinstance(setting.fold, int) else 0
    return [LearningCurve(fold=fold, lines=lines)] if lines else []


def _source_setting(
    predictions: ScanPredictor | MaskFolder, cases: Sequence[Case], measured: Sequence[ScoredCase]
) -> EvaluationSetting:
    """Return the setting that describes the model, or the folder of masks."""
    if isinstance(predictions, MaskFolder):
        name = predictions.name
        return EvaluationSetting(model=name, model_digest=None, engine=None, threshold=None, predictions=name)
    return _model_setting(predictions, count_training_patients(cases, measured))


def _model_setting(predictor: ScanPredictor, patients_seen: int | None) -> EvaluationSetting:
    """Return the setting that describes the model; it has the threshold only if all models share it."""
    configs = [model.config for model in predictor.models]
    thresholds = {config.postprocessing.threshold for config in configs}
    return EvaluationSetting(
        model=AND.join(config.name for config in configs),
        model_digest=predictor.digest,
        engine=predictor.engine,
        threshold=thresholds.pop() if len(thresholds) == 1 else None,
        patients_seen=patients_seen,
    )


def count_training_patients(cases: Sequence[Case], measured: Sequence[ScoredCase]) -> int | None:
    """Return how many patients are in the training set of their model; None if the models do not name theirs."""
    pairs = zip(cases, measured, strict=True)
    seen = {case.patient for case, scored in pairs if hashed_patient_id(case.patient) in scored.trained_on}
    return len(seen) if any(scored.trained_on for scored in measured) else None
