"""Measure cases one after the other: read, predict, score and draw. One case is in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gliomaseg import overlays
from gliomaseg.data.case import Case, LoadedCase, read_case, with_sequences
from gliomaseg.errors import GliomasegError
from gliomaseg.evaluation.copies import changed_copies
from gliomaseg.evaluation.mask_files import FoundMask, MaskFolder
from gliomaseg.evaluation.results import CaseScores
from gliomaseg.evaluation.scoring import ScoredCase, ScoreGrid, failed_case, picture_name, score_case
from gliomaseg.prediction import ScanPredictor
from gliomaseg.prediction.confidence import confidence_features
from gliomaseg.prediction.predictor import used_sequences
from gliomaseg.preprocessing import display_levels
from gliomaseg.types import Mask, Pixels, Probability
from gliomaseg.types import Sequence as MriSequence

PIXEL_SCALE, LARGEST_PX = 2, 1024  # thin lines are visible


def grid_for(cases: Sequence[Case], grid: ScoreGrid) -> ScoreGrid:
    """Return the grid of a data set: cases of volumes are measured by their affines, unless a spacing is given."""
    by_affine = grid.spacing_mm is None and bool(cases) and all(case.volumes is not None for case in cases)
    return replace(grid, by_affine=by_affine)


def measure_cases(
    cases: Sequence[Case],
    predictions: ScanPredictor | MaskFolder,
    *,
    grid: ScoreGrid,
    fold: int | None = None,
    folder: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[ScoredCase]:
    """Predict and measure cases one after the other, or measure the masks of a folder.

    Args:
        cases: the cases to measure.
        predictions: a model, an ensemble, or the masks of any tool.
        grid: how lengths are measured.
        fold: of a cross-validation.
        folder: for an image of each patient; images are not written if None.
        progress: called with a line for each case.

    Returns:
        A row for each case; that of a case that cannot be read or predicted has the reason in `error`.

    Raises:
        ResourceError: the disk is full.
    """
    measured = []
    for number, case in enumerate(cases, start=1):
        scored = _measure_one(case, predictions, grid, fold, folder, progress)
        measured.append(scored)
        if progress:
            value = scored.scores.dice_volume
            text = scored.scores.error or f"dice_volume {'undefined' if value is None else f'{value:.3f}'}"
            if scored.scores.resampled_from:
                text += f"; mask resampled from {scored.scores.resampled_from}"
            progress(f"{number} of {len(cases)} {case.name}: {text}")
    return measured


def measure_copies(
    cases: Sequence[Case],
    predictor: ScanPredictor,
    *,
    grid: ScoreGrid,
    fold: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[CaseScores]:
    """Predict and measure the changed copies of cases, as of `changed_copies`.

    Args:
        cases: the cases to copy; those that cannot be read have no copies, and a row with the reason elsewhere.
        predictor: a model, or an ensemble.
        grid: how lengths are measured.
        fold: of a cross-validation.
        progress: called with a line for each case.
    """
    rows: list[CaseScores] = []
    for number, case in enumerate(cases, start=1):
        try:
            loaded = read_case(with_sequences(case, used_sequences(predictor)), partial=True)
            copies = [_score_copy(kind, copy, predictor, grid, fold) for kind, copy in changed_copies(loaded)]
        except GliomasegError:
            continue
        rows += copies
        if progress:
            values = ", ".join("undefined" if row.dice_volume is None else f"{row.dice_volume:.3f}" for row in copies)
            progress(f"{number} of {len(cases)} {case.name}, changed copies: {values}")
    return rows


def _score_copy(kind: str, copy: LoadedCase, predictor: ScanPredictor, grid: ScoreGrid, fold: int | None) -> CaseScores:
    found = _predict(copy, predictor)
    grid = grid if copy.scan.affine is not None else replace(grid, by_affine=False)
    scored = score_case(copy, probability=found.probability, predicted=found.mask, grid=grid, fold=fold)
    return scored.scores.model_copy(update={**found.fields, "changed": kind})


@dataclass(frozen=True)
class _PredictedCase:
    """A predicted mask with the fields that it adds to the row; a mask of another tool may have no probability."""

    mask: Mask
    probability: Probability | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    trained_on: frozenset[str] = frozenset()


def _measure_one(
    case: Case,
    predictions: ScanPredictor | MaskFolder,
    grid: ScoreGrid,
    fold: int | None,
    folder: Path | None,
    progress: Callable[[str], None] | None,
) -> ScoredCase:
    try:
        if isinstance(predictions, MaskFolder):
            loaded = read_case(with_sequences(case, (MriSequence.FLAIR,)))
            found = _found(predictions.read(loaded))
        else:
            loaded = read_case(with_sequences(case, used_sequences(predictions)), partial=True)  # as `predict` reads it
            found = _predict(loaded, predictions)
        scored = score_case(loaded, probability=found.probability, predicted=found.mask, grid=grid, fold=fold)
    except GliomasegError as fault:
        return failed_case(case, fault.line(), fold=fold)
    if progress and loaded.scan.notes:
        progress(f"note: {case.name}: {'; '.join(loaded.scan.notes)}")
    scores = scored.scores.model_copy(update=found.fields)
    if folder is not None:
        k = _slice_to_draw(scored.counts)
        _draw(loaded, k, found.mask, folder)
        scores = scores.model_copy(update={"picture_slice": loaded.axial_number(k)})
    return replace(scored, scores=scores, trained_on=found.trained_on)


def _found(found: FoundMask) -> _PredictedCase:
    fields: dict[str, Any] = {} if found.resampled_from is None else {"resampled_from": found.resampled_from}
    if found.probability is not None:
        fields |= confidence_features(found.probability, found.mask, None)
    return _PredictedCase(found.mask, found.probability, fields)


def _predict(loaded: LoadedCase, predictor: ScanPredictor) -> _PredictedCase:
    prediction = predictor.predict(loaded.scan)
    fields: dict[str, Any] = {**prediction.confidence, "predicted_dice": prediction.predicted_dice}
    if notes := [*loaded.scan.notes, *prediction.warnings, *prediction.left_out]:
        fields["notes"] = notes
    if len(predictor.models) > 1:
        fields["model"] = prediction.model_name
    trained_on = frozenset(hashed_id for model in prediction.models for hashed_id in model.config.trained_on)
    return _PredictedCase(prediction.mask, prediction.probability, fields, trained_on)


def _slice_to_draw(counts: NDArray[np.int64]) -> int:
    """Return the index of the slice with the most wrong pixels; without any, of the largest tumour.

    Args:
        counts: pixels in both masks, in the reference and in the prediction of each slice, shape (z, 3).
    """
    both, reference, predicted = counts.T
    wrong = reference + predicted - 2 * both
    return int((wrong if wrong.any() else reference).argmax())


def _draw(loaded: LoadedCase, k: int, predicted: Mask, folder: Path) -> None:
    """Write one axial slice with both outlines, enlarged so that thin lines are visible."""
    scan, turn = loaded.scan, loaded.scan.axial.turn
    image, masks = turn(scan.voxels)[k], [turn(mask)[k] for mask in (loaded.reference, predicted)]
    if scan.spacing_mm is None:
        drawn = overlays.overlay(image, reference=masks[0], predicted=masks[1], scale=PIXEL_SCALE)
    else:
        size = _square_pixels(image.shape, scan.axial.turn_spacing(scan.spacing_mm)[1:])
        plane = _resized(display_levels(image[..., scan.flair_index]), size, Image.Resampling.BICUBIC)
        reference, found = (_resized(mask.astype(np.uint8), size, Image.Resampling.NEAREST) > 0 for mask in masks)
        drawn = overlays.overlay(plane[..., None], reference=reference, predicted=found)
    Image.fromarray(drawn).save(folder / picture_name(loaded.case.name))


def _square_pixels(shape: tuple[int, ...], spacing_mm: tuple[float, ...]) -> tuple[int, int]:
    """Return width and height of an enlarged slice with square pixels."""
    lengths_mm = [count * mm for count, mm in zip(shape[:2], spacing_mm, strict=True)]
    scale = min(PIXEL_SCALE / min(spacing_mm), LARGEST_PX / max(lengths_mm))
    height, width = (max(1, round(length * scale)) for length in lengths_mm)
    return width, height


def _resized(plane: Pixels, size: tuple[int, int], how: Image.Resampling) -> Pixels:
    return np.asarray(Image.fromarray(plane).resize(size, how))
