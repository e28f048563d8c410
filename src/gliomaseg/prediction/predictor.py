"""A model on its engine: scans to probabilities, masks, predicted Dice and warnings."""

from __future__ import annotations

import hashlib
from collections import abc
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gliomaseg.config import Postprocessing
from gliomaseg.engines import DEFAULT, Engine, MeanEngine, open_engine
from gliomaseg.model import Model, load_model
from gliomaseg.ownership import file_digest
from gliomaseg.prediction.confidence import confidence_features
from gliomaseg.prediction.input_checks import (
    EMPTY,
    NO_HEAD,
    bright_region_warnings,
    dice_warnings,
    input_warnings,
    skull_warnings,
    volume_warnings,
)
from gliomaseg.prediction.postprocessing import at_temperature, combine, predict_tta, to_mask
from gliomaseg.prediction.prediction import Prediction
from gliomaseg.preprocessing import Prepared, mask_areas_px, prepare, prepare_merges, restore, restore_slices
from gliomaseg.preprocessing.label_map import LABEL_MAP, is_label_map
from gliomaseg.scan import Scan
from gliomaseg.types import Mask, Probability, Sequence

BATCH = 4
Progress = abc.Callable[[float], None]
"""Called with the share of the work of the networks that is done, from 0 to 1, after each batch."""
NOT_AN_INPUT = "{} was given and is not used: {}"


def part_of(progress: Progress | None, first: float, last: float) -> Progress | None:
    """Return the progress of a part of the work, which lies between two shares of the whole; None stays None."""
    return None if progress is None else lambda share: progress(first + share * (last - first))


@dataclass(frozen=True)
class _Output:
    """The network's output for one scan, on the network's grid.

    Attributes:
        probability: at temperature 1, float32, shape (slices, size, size).
        flip_dice: Dice of the plain and the mirrored masks; None if both are empty, or without flip TTA.
        differing_px: area of each slice that only one of the two masks marks, in pixels of the scan's axial slices:
            float64, shape (slices,); None without flip TTA.
    """

    probability: Probability
    flip_dice: float | None
    differing_px: NDArray[np.float64] | None


class ScanPredictor(Protocol):
    """Predicts scans: a `Predictor` or a `WeightedEnsemble`."""

    engine: str

    @property
    def models(self) -> tuple[Model, ...]:
        """The models; each runs if the scan has its sequences."""
        ...

    @property
    def digest(self) -> str:
        """The SHA-256 of the networks."""
        ...

    def predict(self, scan: Scan, *, progress: Progress | None = None) -> Prediction:
        """Return probabilities, mask, predicted Dice and warnings."""
        ...


def used_sequences(predictor: ScanPredictor) -> frozenset[Sequence]:
    """Return FLAIR and the sequences that a model takes: readers read no others, faulty or not."""
    names = {name for model in predictor.models for name in model.config.sequences}
    return frozenset(name for name in Sequence if name is Sequence.FLAIR or name in names)


def unused_lines(predictor: ScanPredictor, given: abc.Iterable[Sequence]) -> tuple[str, ...]:
    """Return a sentence for each given sequence that no model takes."""
    names = [model.config.name for model in predictor.models]
    reason = f"{names[0]} does not take it" if len(names) == 1 else "none of the models takes it"
    unused = [name for name in given if name not in used_sequences(predictor)]
    return tuple(NOT_AN_INPUT.format(name.value.capitalize(), reason) for name in unused)


def with_mask_warnings(found: Prediction, scan: Scan) -> Prediction:
    """Return a prediction with the warnings about its mask.

    They are a low predicted Dice, a small volume, or no tumour in a brain with a bright region.
    """
    if {LABEL_MAP, EMPTY, NO_HEAD}.intersection(found.warnings):
        return found
    if found.mask.any():
        warnings = dice_warnings(found.predicted_dice) + volume_warnings(found.mask, scan.voxel_ml)
    else:
        settings = found.models[0].config.preprocessing
        warnings = bright_region_warnings(prepare(scan, settings).slices, settings)
    return replace(found, warnings=(*found.warnings, *warnings))


class Predictor:
    """A model and the engine it runs on, loaded once for many scans."""

    def __init__(self, model: Model, runs: Engine, *, engine: str = DEFAULT) -> None:
        """Store a model, its opened engine, and the engine's name."""
        self.model = model
        self.engine = engine
        self._engine = runs

    @property
    def models(self) -> tuple[Model, ...]:
        """The model, in a tuple as in `WeightedEnsemble`."""
        return (self.model,)

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the network."""
        return running_digest(self.model, self.engine)

    def with_postprocessing(self, postprocessing: Postprocessing) -> Predictor:
        """Return a predictor on the same engine with other postprocessing."""
        config = self.model.config.model_copy(update={"postprocessing": postprocessing})
        return Predictor(replace(self.model, config=config), self._engine, engine=self.engine)

    def predict(self, scan: Scan, *, progress: Progress | None = None) -> Prediction:
        """Return probabilities, mask, predicted Dice and warnings."""
        return with_mask_warnings(self.predict_unchecked(scan, progress=progress), scan)

    def predict_unchecked(self, scan: Scan, *, progress: Progress | None = None) -> Prediction:
        """Return the same as `predict`, with the warnings about the scan but not those about the mask."""
        merges = prepare_merges(scan, self.model.config.preprocessing)
        flip = self.model.config.postprocessing.tta_flip
        first_share = 1.0 if len(merges) == 1 else (1 + flip) / (2 + flip)
        probability, output = self._predict_slices(merges[0], part_of(progress, 0, first_share), flip=flip)
        mask = self.to_mask(probability, voxel_ml=scan.voxel_ml)
        # The Dice estimator was fitted on one prediction. The mean of two is softer.
        confidence = confidence_features(probability, mask, output.flip_dice)
        if len(merges) > 1:
            is_empty = not mask.any()
            self._average_with(merges[1], probability, part_of(progress, first_share, 1))
            mask = self.to_mask(probability, voxel_ml=scan.voxel_ml)
            if is_empty:  # without a mask of the first merge, flip TTA did not confirm anything
                confidence = confidence_features(probability, mask, (output.flip_dice or 0.0) if flip else None)
        dice_estimator = self.model.config.dice_estimator
        predicted_dice = dice_estimator.predicted_dice(confidence) if dice_estimator and mask.any() else None
        warnings = self._warnings(scan, merges[0])
        threshold = self.model.config.postprocessing.threshold
        return Prediction(
            probability,
            mask,
            confidence,
            predicted_dice,
            warnings,
            (self.model,),
            threshold=threshold,
            mirror_disagreement_px=None
            if output.differing_px is None
            else restore_slices(output.differing_px, merges[0]),
        )

    def _warnings(self, scan: Scan, prepared: Prepared) -> tuple[str, ...]:
        if is_label_map(scan.voxels[..., scan.flair_index]):
            return (LABEL_MAP,)
        has_t1 = Sequence.T1 in scan.available
        config = self.model.config
        warnings = input_warnings(prepared.slices, config.preprocessing, merged=prepared.merged, has_t1=has_t1)
        if config.skull_stripped or warnings in ((EMPTY,), (NO_HEAD,)):
            return warnings
        return warnings + skull_warnings(prepared.slices, config.preprocessing)

    def probability(self, scan: Scan) -> Probability:
        """Return the probability of tumour in each voxel: float32 in [0, 1], shape (z, y, x)."""
        merges = prepare_merges(scan, self.model.config.preprocessing)
        probability, _ = self._predict_slices(merges[0], None, flip=self.model.config.postprocessing.tta_flip)
        if len(merges) > 1:
            self._average_with(merges[1], probability, None)
        return probability

    def mask(self, scan: Scan) -> Mask:
        """Return the tumour mask on the scan's grid: bool, shape (z, y, x)."""
        return self.to_mask(self.probability(scan), voxel_ml=scan.voxel_ml)

    def to_mask(self, probability: Probability, *, voxel_ml: float | None = None) -> Mask:
        """Return the mask of a scan's probabilities (z, y, x) with the model's postprocessing: bool, same shape."""
        return to_mask(probability, self.model.config.postprocessing, voxel_ml=voxel_ml)

    def _predict_slices(
        self, prepared: Prepared, progress: Progress | None, *, flip: bool
    ) -> tuple[Probability, _Output]:
        """Return the probability of prepared slices on the scan's grid, and the output of the network."""
        output = self._run(prepared, progress, flip=flip)
        restored = restore(output.probability, prepared)
        # The temperature comes last, because temperature and threshold were chosen on the scan's grid.
        return at_temperature(restored, self.model.config.postprocessing.temperature), output

    def _average_with(self, shifted: Prepared, probability: Probability, progress: Progress | None) -> None:
        """Replace the probability of the first merge by its mean with that of the shifted one.

        The shifted merge is predicted without flip TTA, which would gain nothing (docs/results/other-sources.md).
        """
        probability += self._predict_slices(shifted, progress, flip=False)[0]
        probability *= np.float32(0.5)

    def _run(self, prepared: Prepared, progress: Progress | None, *, flip: bool) -> _Output:
        """Return the output of the network; it runs twice for flip TTA."""
        postprocessing = self.model.config.postprocessing
        count, black = len(prepared.slices), prepared.is_black
        # Black slices of one scan are the same input and have the same output: the network runs on the first one only.
        distinct = np.flatnonzero(~black | (np.cumsum(black) == 1))
        probability, voxels = np.empty((count, *prepared.slices.shape[2:]), np.float32), np.zeros(3, np.int64)
        differing_px = np.zeros(count)
        for start, batch in zip(range(0, len(distinct), BATCH), prepared.batches(BATCH, distinct), strict=True):
            views, places = predict_tta(batch, self._engine.probabilities, flip=flip), distinct[start:][:BATCH]
            probability[places] = combine(views)
            if len(views) == 2:
                tempered = (at_temperature(view, postprocessing.temperature) for view in views)
                plain, mirrored = (view > postprocessing.threshold for view in tempered)
                voxels += _count_flips(plain, mirrored)
                differing_px[places] = mask_areas_px(plain != mirrored, prepared)
            if progress is not None:
                progress(min(start + BATCH, len(distinct)) / len(distinct))
        if black.any():
            probability[black], differing_px[black] = probability[black.argmax()], differing_px[black.argmax()]
        both, each, other = voxels.tolist()
        flip_dice = 2 * both / (each + other) if each + other else None
        return _Output(probability, flip_dice, differing_px if flip else None)


def open_predictor(model: Path, *, engine: str = DEFAULT) -> Predictor:
    """Return a predictor for a model folder, a run, or a cross-validation (the mean of its folds).

    Raises:
        ModelError: the model is incomplete, or has no file for the engine.
        UsageError: there is no such engine.
        MissingExtraError: the engine is not installed.
    """
    return predictor_of(load_model(model), engine=engine)


def predictor_of(model: Model, *, engine: str = DEFAULT) -> Predictor:
    """Return a predictor for a loaded model; raises the errors of `engine_of`."""
    engines = [engine_of(member, engine) for member in model.members]
    return Predictor(model, engines[0] if len(engines) == 1 else MeanEngine(engines), engine=engine)


def settings_digest(predictor: ScanPredictor) -> str:
    """Return the SHA-256 of what its masks depend on: the networks, and the settings of the models."""
    sections = (
        section.model_dump_json()
        for model in predictor.models
        for section in (model.config.preprocessing, model.config.postprocessing)
    )
    return hashlib.sha256("\n".join([predictor.digest, *sections]).encode()).hexdigest()


def running_digest(model: Model, engine: str) -> str:
    """Return the SHA-256 of the file that the engine runs: the weights for torch, else the ONNX file."""
    return file_digest(model.weights) if engine == "torch" and len(model.members) == 1 else model.digest


def engine_of(model: Model, engine: str = DEFAULT) -> Engine:
    """Return the engine with the network of one model.

    Raises:
        ModelError: the model has no file for the engine.
        UsageError: there is no such engine.
        MissingExtraError: the engine is not installed.
    """
    network, inputs = model.config.network, model.config.preprocessing.inputs
    return open_engine(engine, onnx=model.onnx, weights=model.weights, network=network, inputs=inputs)


def _count_flips(plain: Mask, mirrored: Mask) -> NDArray[np.int64]:
    return np.array([np.count_nonzero(plain & mirrored), np.count_nonzero(plain), np.count_nonzero(mirrored)])
