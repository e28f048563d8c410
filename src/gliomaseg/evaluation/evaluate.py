"""Measure a model on a data set: one case in memory at a time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from gliomaseg import overlays
from gliomaseg.data.case import Case, LoadedCase, read_case
from gliomaseg.data.case_list import CaseList, require_outside, require_sound
from gliomaseg.data.layouts import read_cases
from gliomaseg.data.split import choose_fold, read_splits, select
from gliomaseg.errors import DataError, GliomasegError, ResourceError, UsageError
from gliomaseg.evaluation.results import (
    METRICS,
    PICTURES,
    Evaluation,
    EvaluationSetting,
    LearningCurve,
    LoggedEpoch,
    dumps,
)
from gliomaseg.evaluation.scoring import ScoredCase, ScoreGrid, assemble, failed_case, score_case
from gliomaseg.model import file_digest, hashed_patient_id
from gliomaseg.ownership import OutputFolder
from gliomaseg.prediction import ScanPredictor
from gliomaseg.prediction.predictor import AND
from gliomaseg.preprocessing import display_levels
from gliomaseg.types import Mask


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
        data: a folder in the Kaggle layout.
        out: where `metrics.json` and a picture of each patient go.
        selection: the cases of a split that are evaluated; all cases if None.
        grid: how lengths are measured.
        overwrite: whether an earlier evaluation is replaced.
    """

    data: Path
    out: Path
    selection: CaseSelection | None = None
    grid: ScoreGrid = ScoreGrid()
    overwrite: bool = False

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


def evaluate_into(
    options: EvaluateOptions, predictor: ScanPredictor, *, progress: Callable[[str], None] | None = None
) -> Evaluation:
    """Measure a model and write the evaluation into its folder, `metrics.json` last.

    Raises:
        OutputExistsError: an evaluation exists already.
        UsageError: the folder lies inside the data.
        DataError: the data set has problems, or the splits are empty or do not fit it.
        ResourceError: the disk is full.
    """
    options.require_free()
    index = read_cases(options.data)
    require_outside(index, options.out)
    cases, setting = _choose(index, options.data, options.selection)  # before anything is written
    with options.output.new_folder(options.out / PICTURES, overwrite=True) as folder:
        evaluation = evaluate(cases, predictor, setting=setting, grid=options.grid, folder=folder, progress=progress)
        options.output.write_text(
            options.metrics, dumps(evaluation)
        )  # inside: an error keeps the old numbers and images
    return evaluation


def evaluate_data(
    data: Path,
    predictor: ScanPredictor,
    selection: CaseSelection | None = None,
    *,
    grid: ScoreGrid | None = None,
    folder: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """Measure a model on a data set, or on the training or validation cases of a split.

    Raises:
        DataError: the data set has problems, or the splits are empty or do not fit it.
        ConfigError: there is no such fold.
        ResourceError: the disk is full.
    """
    cases, setting = _choose(read_cases(data), data, selection)
    return evaluate(cases, predictor, setting=setting, grid=grid, folder=folder, progress=progress)


def _choose(index: CaseList, data: Path, selection: CaseSelection | None) -> tuple[Sequence[Case], EvaluationSetting]:
    """Return the cases to measure, and the setting that describes them."""
    require_sound(index)
    if selection is None:
        setting = EvaluationSetting(data=data.resolve().name, split=None, subset=None, warning=None)
        return index.cases, setting
    splits = read_splits(selection.splits)
    fold = choose_fold(splits, selection.fold)
    cases = select(index, fold.train if selection.subset == "train" else fold.validation)
    if not cases:
        raise DataError(f"the {selection.subset} side of fold {selection.fold} is empty", where=selection.splits)
    return cases, EvaluationSetting(
        data=data.resolve().name,
        split=splits.by,
        seed=splits.seed,
        subset=selection.subset,
        fold=selection.fold,
        splits_digest=file_digest(selection.splits),
        warning=splits.warning,
    )


def evaluate(
    cases: Sequence[Case],
    predictor: ScanPredictor,
    *,
    setting: EvaluationSetting | None = None,
    grid: ScoreGrid | None = None,
    folder: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """Predict every case on its own grid and measure it against its reference mask.

    Args:
        cases: the cases to measure; after a split by slice, with the chosen slices only.
        predictor: one model, or an ensemble.
        setting: describes the cases; the fields on the model are added.
        grid: how lengths are measured; in pixels if None.
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
    measured = measure_cases(cases, predictor, grid=grid, folder=folder, progress=progress)
    setting = (setting or EvaluationSetting()).joined_with(
        _model_setting(predictor, _count_training_patients(cases, measured))
    )
    networks = [member for model in predictor.models for member in model.members]
    lines = learning_curve(predictor.models[0].folder.parent) if len(networks) == 1 else []
    fold = setting.fold if isinstance(setting.fold, int) else 0
    learning = [LearningCurve(fold=fold, lines=lines)] if lines else []
    evaluation = assemble(measured, setting=setting, grid=grid, seconds=time.perf_counter() - start)
    return evaluation.model_copy(update={"learning": learning})


def grid_for(cases: Sequence[Case], grid: ScoreGrid) -> ScoreGrid:
    """Return the grid of a data set: cases of volumes are measured by their affines, unless a spacing is given."""
    by_affine = grid.spacing_mm is None and bool(cases) and all(case.volumes is not None for case in cases)
    return replace(grid, by_affine=by_affine)


def measure_cases(
    cases: Sequence[Case],
    predictor: ScanPredictor,
    *,
    grid: ScoreGrid,
    fold: int | None = None,
    folder: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[ScoredCase]:
    """Predict and measure cases one after the other; arguments as for `evaluate`, `fold` of a cross-validation."""
    measured = []
    for number, case in enumerate(cases, start=1):
        try:
            scored = _measure_one(case, predictor, grid, fold, folder)
        except ResourceError:
            raise
        except GliomasegError as fault:
            scored = failed_case(case, fault.line(), fold=fold)
        measured.append(scored)
        if progress:
            value = scored.scores.dice_volume
            text = scored.scores.error or f"dice_volume {'undefined' if value is None else f'{value:.3f}'}"
            progress(f"{number} of {len(cases)} {case.name}: {text}")
    return measured


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


def _count_training_patients(cases: Sequence[Case], measured: Sequence[ScoredCase]) -> int | None:
    """Return how many patients are in the training set of their model; None if the models do not name theirs."""
    count = sum(
        hashed_patient_id(case.patient) in scored.trained_on for case, scored in zip(cases, measured, strict=True)
    )
    return count if any(scored.trained_on for scored in measured) else None


def learning_curve(run: Path) -> list[LoggedEpoch]:
    """Return the lines of a run's `log.jsonl`; empty if the folder is not a run."""
    try:
        text = (run / "log.jsonl").read_text("utf-8")
        lines = [json.loads(line, parse_constant=lambda _nan: None) for line in text.splitlines()]
    except (OSError, ValueError, RecursionError):
        return []
    try:
        return [LoggedEpoch.model_validate(line) for line in lines if isinstance(line, dict)]
    except ValidationError:
        return []


def _measure_one(
    case: Case, predictor: ScanPredictor, grid: ScoreGrid, fold: int | None, folder: Path | None
) -> ScoredCase:
    loaded = read_case(case)
    prediction = predictor.predict(loaded.scan)
    predicted = prediction.mask
    scored = score_case(loaded, probability=prediction.probability, predicted=predicted, grid=grid, fold=fold)
    confidence = {**prediction.confidence, "predicted_dice": prediction.predicted_dice}
    scores = scored.scores.model_copy(update=confidence)
    if len(predictor.models) > 1:
        scores = scores.model_copy(update={"model": prediction.model_name})
    if folder is not None:
        k = _slice_to_draw(scored.counts)
        _draw(loaded, k, predicted, folder)
        # The axial slices of a volume are numbered from below.
        number = k + 1 if case.volumes is not None else loaded.numbers[k]
        scores = scores.model_copy(update={"picture_slice": number})
    trained_on = frozenset(hashed_id for model in prediction.models for hashed_id in model.config.trained_on)
    return replace(scored, scores=scores, trained_on=trained_on)


def _slice_to_draw(counts: NDArray[np.int64]) -> int:
    """Return the index of the slice with the most wrong pixels; without any, of the largest tumour.

    Args:
        counts: pixels in both masks, in the reference and in the prediction of each slice, shape (z, 3).
    """
    both, reference, predicted = counts.T
    wrong = reference + predicted - 2 * both
    return int((wrong if wrong.any() else reference).argmax())


def _draw(loaded: LoadedCase, k: int, predicted: Mask, folder: Path) -> None:
    """Write one axial slice with both outlines, enlarged twice so that thin lines are visible."""
    scan, turn = loaded.scan, loaded.scan.axial.turn
    image = turn(scan.voxels)[k]
    if scan.affine is not None:
        image = display_levels(image[..., scan.flair_index])[..., None]
    drawn = overlays.overlay(image, reference=turn(loaded.reference)[k], predicted=turn(predicted)[k], scale=2)
    Image.fromarray(drawn).save(folder / f"{loaded.case.name}.png")
