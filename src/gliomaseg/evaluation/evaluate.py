"""Measure a model on a data set: one case in memory at a time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from gliomaseg import overlays
from gliomaseg.atomic import new_folder, require_free, require_own, write_text
from gliomaseg.data.case import LoadedCase, read_case
from gliomaseg.data.index import Case, DataIndex, read_index, require_outside, require_sound
from gliomaseg.data.split import choose_fold, read_splits, select
from gliomaseg.errors import DataError, GliomasegError, OutputExistsError, ResourceError, UsageError
from gliomaseg.evaluation.case_scores import ScoredCase, ScoreGrid, failed_case, score_case
from gliomaseg.evaluation.results import METRICS, PICTURES, Evaluation, Learning, Line, dumps
from gliomaseg.evaluation.summary import assemble
from gliomaseg.model import file_digest, hashed_patient_id
from gliomaseg.prediction import ScanPredictor
from gliomaseg.prediction.predictor import AND


@dataclass(frozen=True)
class CaseSelection:
    """One side of one fold of a splits file."""

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
        side: of a split; all patients if None.
        grid: how lengths are measured.
        overwrite: whether an existing evaluation is replaced.
    """

    data: Path
    out: Path
    side: CaseSelection | None = None
    grid: ScoreGrid = ScoreGrid()
    overwrite: bool = False

    @property
    def metrics(self) -> Path:
        """The document of the evaluation."""
        return self.out / METRICS

    def require_free(self) -> None:
        """Check that the output folder is free.

        Raises:
            OutputExistsError: an evaluation exists and `overwrite` is not set, or the folder of images contains
                other files.
        """
        if self.out.exists() and not self.out.is_dir():
            raise OutputExistsError("is a file", where=self.out, cure="name another place")
        require_free(self.metrics, overwrite=self.overwrite)
        require_own_pictures(self.out)


def evaluate_into(
    order: EvaluateOptions, predictor: ScanPredictor, *, progress: Callable[[str], None] | None = None
) -> Evaluation:
    """Measure a model and write the evaluation into its folder, `metrics.json` last.

    Raises:
        OutputExistsError: an evaluation exists already.
        UsageError: the folder lies inside the data.
        DataError: the data set has problems, or the splits are empty or do not fit it.
        ResourceError: the disk is full.
    """
    order.require_free()
    index = read_index(order.data)
    require_outside(index, order.out)
    cases, setting = _choose(index, order.data, order.side)  # before anything is written
    with new_folder(order.out / PICTURES, overwrite=True) as folder:
        evaluation = evaluate(cases, predictor, setting=setting, grid=order.grid, folder=folder, progress=progress)
        write_text(order.metrics, dumps(evaluation))  # inside: an error keeps the old numbers and images
    return evaluation


def require_own_pictures(folder: Path) -> None:
    """Check that the images in a folder belong to its evaluation.

    Raises:
        OutputExistsError: there is another file.
    """
    try:
        drawn = {f"{row['patient']}.png" for row in json.loads((folder / METRICS).read_text("utf-8"))["patients"]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        drawn = set()
    require_own(folder / PICTURES, drawn)


def evaluate_data(
    data: Path,
    predictor: ScanPredictor,
    side: CaseSelection | None = None,
    *,
    grid: ScoreGrid | None = None,
    folder: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """Measure a model on a data set, or on one side of a split of it.

    Raises:
        DataError: the data set has problems, or the splits are empty or do not fit it.
        ConfigError: there is no such fold.
        ResourceError: the disk is full.
    """
    cases, setting = _choose(read_index(data), data, side)
    return evaluate(cases, predictor, setting=setting, grid=grid, folder=folder, progress=progress)


def _choose(index: DataIndex, data: Path, side: CaseSelection | None) -> tuple[Sequence[Case], dict[str, Any]]:
    """Return the cases to measure, and the fields of `Setting` that describe them."""
    require_sound(index)
    setting: dict[str, Any] = {"data": data.resolve().name, "split": None, "subset": None, "warning": None}
    cases = index.cases
    if side is not None:
        splits = read_splits(side.splits)
        fold = choose_fold(splits, side.fold)
        cases = select(index, fold.train if side.subset == "train" else fold.validation)
        if not cases:
            raise DataError(f"the {side.subset} side of fold {side.fold} is empty", where=side.splits)
        setting |= {
            "split": splits.by,
            "seed": splits.seed,
            "subset": side.subset,
            "fold": side.fold,
            "splits_digest": file_digest(side.splits),
            "warning": splits.warning,
        }
    return cases, setting


def evaluate(
    cases: Sequence[Case],
    predictor: ScanPredictor,
    *,
    setting: Mapping[str, Any] | None = None,
    grid: ScoreGrid | None = None,
    folder: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """Predict every case on its own grid and measure it against its reference mask.

    Args:
        cases: the cases to measure; after a split by slice, with the chosen slices only.
        predictor: one model, or an ensemble.
        setting: fields of `Setting` (data, split, subset, fold, warning).
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
    grid = grid or ScoreGrid()
    measured = measure_cases(cases, predictor, grid=grid, folder=folder, progress=progress)
    about = {**(setting or {}), **predictor_setting(predictor), "patients_seen": _seen(cases, measured)}
    networks = [member for model in predictor.models for member in model.members]
    lines = learning_curve(predictor.models[0].folder.parent) if len(networks) == 1 else []
    learning = [Learning(fold=about.get("fold") or 0, lines=lines)] if lines else []
    return assemble(measured, setting=about, grid=grid, seconds=time.perf_counter() - start, learning=learning)


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
            found = _measure_one(case, predictor, grid, fold, folder)
        except ResourceError:
            raise
        except GliomasegError as fault:
            found = failed_case(case, fault.line(), fold=fold)
        measured.append(found)
        if progress:
            value = found.scores.dice_volume
            text = found.scores.error or f"dice_volume {'undefined' if value is None else f'{value:.3f}'}"
            progress(f"{number} of {len(cases)} {case.name}: {text}")
    return measured


def predictor_setting(predictor: ScanPredictor) -> dict[str, Any]:
    """Return the fields of `Setting` that describe the model; the threshold only if all models share it."""
    configs = [model.config for model in predictor.models]
    thresholds = {config.postprocessing.threshold for config in configs}
    return {
        "model": AND.join(config.name for config in configs),
        "model_digest": predictor.digest,
        "engine": predictor.engine,
        "threshold": thresholds.pop() if len(thresholds) == 1 else None,
    }


def _seen(cases: Sequence[Case], measured: Sequence[ScoredCase]) -> int | None:
    """Return how many patients are in the training set of their model; None if the models do not name theirs."""
    seen = sum(hashed_patient_id(case.patient) in found.trained_on for case, found in zip(cases, measured, strict=True))
    return seen if any(found.trained_on for found in measured) else None


def learning_curve(run: Path) -> list[Line]:
    """Return the lines of a run's `log.jsonl`; empty if the folder is not a run."""
    try:
        text = (run / "log.jsonl").read_text("utf-8")
        lines = [json.loads(line, parse_constant=lambda _nan: None) for line in text.splitlines()]
    except (OSError, ValueError, RecursionError):
        return []
    try:
        return [Line.model_validate(line) for line in lines if isinstance(line, dict)]
    except ValidationError:
        return []


def _measure_one(
    case: Case, predictor: ScanPredictor, grid: ScoreGrid, fold: int | None, folder: Path | None
) -> ScoredCase:
    examination = read_case(case)
    prediction = predictor.predict(examination.scan)
    probability, predicted = prediction.probability, prediction.mask
    found = score_case(
        case, reference=examination.reference, probability=probability, predicted=predicted, grid=grid, fold=fold
    )
    changes: dict[str, Any] = {**prediction.confidence, "predicted_dice": prediction.predicted_dice}
    if len(predictor.models) > 1:
        changes["model"] = prediction.model_name
    if folder is not None:
        k = _slice_to_draw(found.counts)
        _draw(examination, k, predicted[k], folder)
        changes["picture_slice"] = case.slices[k].number
    trained_on = frozenset(mark for model in prediction.models for mark in model.config.trained_on)
    return replace(found, scores=found.scores.model_copy(update=changes), trained_on=trained_on)


def _slice_to_draw(counts: NDArray[np.int64]) -> int:
    """Return the index of the slice with the most wrong pixels; without any, of the largest tumour.

    Args:
        counts: pixels in both masks, in the reference and in the prediction of each slice, shape (z, 3).
    """
    both, reference, predicted = counts.T
    wrong = reference + predicted - 2 * both
    return int((wrong if wrong.any() else reference).argmax())


def _draw(examination: LoadedCase, k: int, predicted: Any, folder: Path) -> None:
    """Write one slice with both outlines, enlarged twice so that thin lines are visible."""
    image = examination.scan.voxels[k]
    drawn = overlays.overlay(image, reference=examination.reference[k], predicted=predicted, scale=2)
    Image.fromarray(drawn).save(folder / f"{examination.case.name}.png")
