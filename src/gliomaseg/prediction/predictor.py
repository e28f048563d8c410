"""A model on its engine: scans in, probabilities and masks out, and how far to trust them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gliomaseg.config import Postprocessing
from gliomaseg.engines import DEFAULT, Engine, open_engine
from gliomaseg.model import Model, file_digest, load_model
from gliomaseg.prediction.confidence import confidence_features
from gliomaseg.prediction.input_checks import input_warnings
from gliomaseg.prediction.postprocessing import at_temperature, combine, predict_tta, to_mask
from gliomaseg.preprocessing import Prepared, prepare, restore
from gliomaseg.scan import Scan
from gliomaseg.types import Batch, Mask, Probability

BATCH = 4
AND = " + "  # between the names of models that predict together


@dataclass(frozen=True)
class Prediction:
    """All that a model says of a scan.

    Attributes:
        probability: of tumour, float32 in [0, 1], shape (z, y, x), on the scan's own grid.
        mask: bool, same shape.
        signs: of how good the mask is, each 0 to 1, by name; None where one is not defined.
        predicted_dice: the Dice to expect, 0 to 1; None where the model has no fit for it, or nothing was found.
        warnings: what speaks against the scan being what the model was made for.
        models: that predicted, the one that weighs most first.
    """

    probability: Probability
    mask: Mask
    signs: dict[str, float | None]
    predicted_dice: float | None
    warnings: tuple[str, ...]
    models: tuple[Model, ...]

    @property
    def model_name(self) -> str:
        """The names of its models, as a row has them."""
        return AND.join(model.config.name for model in self.models)

    def trust(self) -> dict[str, Any]:
        """Return what a row says of how far to trust the mask: `predicted_dice`, rounded, and `warnings`."""
        expected = None if self.predicted_dice is None else round(self.predicted_dice, 3)
        return {"predicted_dice": expected, "warnings": list(self.warnings)}


class PredictsScans(Protocol):
    """What predicts scans: a `Predictor`, or a `WeightedEnsemble`."""

    engine: str

    @property
    def models(self) -> tuple[Model, ...]:
        """The models that are asked, where a scan holds what they look at."""
        ...

    @property
    def digest(self) -> str:
        """The SHA-256 of what runs."""
        ...

    def predict(self, scan: Scan) -> Prediction:
        """Return probabilities, mask, and how far to trust them."""
        ...


class Predictor:
    """A model and the engine it runs on, loaded once for many scans."""

    def __init__(self, model: Model, runs: Engine, *, engine: str = DEFAULT) -> None:
        """Keep a model, what runs it, and the engine's name."""
        self.model = model
        self.engine = engine
        self._engine = runs

    @property
    def models(self) -> tuple[Model, ...]:
        """The models, as those of a `WeightedEnsemble`: its own."""
        return (self.model,)

    @property
    def digest(self) -> str:
        """The SHA-256 of what runs."""
        return running_digest(self.model, self.engine)

    def deciding(self, postprocessing: Postprocessing) -> Predictor:
        """Return a predictor on the same engine that decides otherwise."""
        config = self.model.config.model_copy(update={"postprocessing": postprocessing})
        return Predictor(replace(self.model, config=config), self._engine, engine=self.engine)

    def predict(self, scan: Scan) -> Prediction:
        """Return probabilities, mask, and how far to trust them."""
        prepared = prepare(scan, self.model.config.preprocessing)
        seen, flip_dice = self._run(prepared)
        probability = self._restored(seen, prepared)
        mask = self.to_mask(probability)
        signs = confidence_features(probability, mask, flip_dice)
        dice_estimator = self.model.config.dice_estimator
        predicted_dice = dice_estimator.predicted_dice(signs) if dice_estimator else None
        warnings = input_warnings(prepared.slices, self.model.config.preprocessing, merged=prepared.merged)
        return Prediction(probability, mask, signs, predicted_dice, warnings, (self.model,))

    def probability(self, scan: Scan) -> Probability:
        """Return how likely each voxel of a scan is tumour: float32 in [0, 1], shape (z, y, x)."""
        prepared = prepare(scan, self.model.config.preprocessing)
        return self._restored(self._run(prepared)[0], prepared)

    def mask(self, scan: Scan) -> Mask:
        """Return the tumour's mask on the scan's own grid: bool, shape (z, y, x)."""
        return self.to_mask(self.probability(scan))

    def to_mask(self, probability: Probability) -> Mask:
        """Return where the model's probabilities (z, y, x) of a scan mean tumour: bool, same shape."""
        return to_mask(probability, self.model.config.postprocessing)

    def _restored(self, seen: Probability, prepared: Prepared) -> Probability:
        # The temperature comes last: what is chosen by it and by a threshold then holds on the scan's own grid.
        return at_temperature(restore(seen, prepared), self.model.config.postprocessing.temperature)

    def _run(self, prepared: Prepared) -> tuple[Probability, float | None]:
        """Return probabilities on the network's grid, at temperature 1, and the Dice of plain and mirrored masks."""
        postprocessing = self.model.config.postprocessing
        count, black = len(prepared.slices), prepared.is_black
        # Black slices of one scan are the same input and have the same output: the network runs on the first one only.
        distinct = np.flatnonzero(~black | (np.cumsum(black) == 1))
        probability, voxels = np.empty((count, *prepared.slices.shape[2:]), np.float32), np.zeros(3, np.int64)
        for start, batch in zip(range(0, len(distinct), BATCH), prepared.batches(BATCH, distinct), strict=True):
            views = predict_tta(batch, self._engine.probabilities, postprocessing)
            probability[distinct[start : start + BATCH]] = combine(views)
            if len(views) == 2:
                tempered = (at_temperature(view, postprocessing.temperature) for view in views)
                voxels += _count_flips(*(view > postprocessing.threshold for view in tempered))
        if black.any():
            probability[black] = probability[black.argmax()]
        both, plain, mirrored = voxels.tolist()
        return probability, 2 * both / (plain + mirrored) if plain + mirrored else None


def open_predictor(model: Path, *, engine: str = DEFAULT) -> Predictor:
    """Return a predictor for a model folder, a run, or a cross-validation: then for the mean of its folds.

    Raises:
        ModelError: there is no whole model, or what the engine runs is not in it.
        UsageError: there is no such engine.
        MissingExtraError: the engine is not installed.
    """
    return predictor_of(load_model(model), engine=engine)


def predictor_of(model: Model, *, engine: str = DEFAULT) -> Predictor:
    """Return a predictor for a model that is loaded; raises what `engine_of` does."""
    engines = [engine_of(member, engine) for member in model.members]
    return Predictor(model, engines[0] if len(engines) == 1 else MeanEngine(engines), engine=engine)


def running_digest(model: Model, engine: str) -> str:
    """Return the SHA-256 of what runs: for torch, of one network, the weights, else the ONNX file."""
    return file_digest(model.weights) if engine == "torch" and len(model.members) == 1 else model.digest


def engine_of(model: Model, engine: str = DEFAULT) -> Engine:
    """Return what runs the network of one model.

    Raises:
        ModelError: what the engine runs is not in the model.
        UsageError: there is no such engine.
        MissingExtraError: the engine is not installed.
    """
    network, inputs = model.config.network, model.config.preprocessing.inputs
    return open_engine(engine, onnx=model.onnx, weights=model.weights, network=network, inputs=inputs)


class MeanEngine:
    """Several networks as one: the mean of their probabilities."""

    def __init__(self, engines: Sequence[Engine]) -> None:
        self._engines = engines

    def probabilities(self, batch: Batch) -> Probability:
        """Return the tumour's probability: float32 in [0, 1], shape (n, y, x).

        Raises:
            ModelError: a network does not take such a batch, or gives something else.
        """
        total: Probability = np.zeros((len(batch), *batch.shape[2:]), np.float32)
        for engine in self._engines:
            total += engine.probabilities(batch)
        return total / np.float32(len(self._engines))


def _count_flips(plain: Mask, mirrored: Mask) -> NDArray[np.int64]:
    return np.array([np.count_nonzero(plain & mirrored), np.count_nonzero(plain), np.count_nonzero(mirrored)])
