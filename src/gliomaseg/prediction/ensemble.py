"""Several models for one scan: the mean of their probabilities, weighted by their predicted Dice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gliomaseg.engines import DEFAULT
from gliomaseg.model import Model, joint_digest, load_model
from gliomaseg.prediction.confidence import confidence_features
from gliomaseg.prediction.postprocessing import to_mask
from gliomaseg.prediction.predictor import AND, Prediction, Predictor, ScanPredictor, predictor_of, running_digest
from gliomaseg.scan import Scan

DICE_SCALE = 0.1  # a predicted Dice lower by this much divides the weight by e
MIN_WEIGHT = 0.01
LEFT_OUT = "{} was left out, because it has more warnings than {}"
DISAGREE = "one model found tumour and the averaged mask is empty; check the scan by eye"


class WeightedEnsemble:
    """Models that predict a scan together. Each engine but the last opens when a scan needs it."""

    def __init__(self, models: Sequence[Model], *, engine: str = DEFAULT) -> None:
        """Sort the models, most sequences first, and open the last one, so that engine errors appear at once.

        Raises:
            ModelError: the last model has no file for the engine.
            UsageError: there is no such engine.
            MissingExtraError: the engine is not installed.
        """
        self.models = tuple(sorted(models, key=lambda model: -len(model.config.sequences)))
        self.engine = engine
        last = self.models[-1]
        self._open: dict[Path, Predictor] = {last.folder: predictor_of(last, engine=engine)}

    @property
    def digest(self) -> str:
        """The SHA-256 of the checksums of all networks, in order."""
        return joint_digest(running_digest(model, self.engine) for model in self.models)

    def predict(self, scan: Scan) -> Prediction:
        """Return the weighted mean of the predictions of all models whose input sequences the scan has.

        If the scan has the sequences of none of them, the model with the fewest sequences runs. If one of the models
        has no Dice estimator, only the model with the most sequences runs.

        Raises:
            ModelError: a model has no file for the engine.
        """
        predictions = [self._predictor(model).predict(scan) for model in self._usable_models(scan)]
        return weighted_mean(predictions, voxel_ml=scan.voxel_ml)

    def _usable_models(self, scan: Scan) -> list[Model]:
        available = scan.available
        usable = [model for model in self.models if available.issuperset(model.config.sequences)] or [self.models[-1]]
        return usable if all(model.config.dice_estimator for model in usable) else usable[:1]

    def _predictor(self, model: Model) -> Predictor:
        if model.folder not in self._open:
            self._open[model.folder] = predictor_of(model, engine=self.engine)
        return self._open[model.folder]


def weighted_mean(predictions: Sequence[Prediction], *, voxel_ml: float | None = None) -> Prediction:
    """Return several predictions of one scan as one.

    Only the predictions with the fewest warnings are averaged, and a warning names the models of the others. The
    weights are proportional to exp(predicted Dice / 0.1); weights below 0.01 become 0. The threshold is the weighted
    mean of the models' thresholds. The minimum component size and the predicted Dice are those of the model with the
    largest weight: measured, this predicted Dice is not biased for the mean. All warnings are returned, plus one if the
    averaged mask is empty although a model found tumour.

    Args:
        predictions: at least one.
        voxel_ml: volume of a voxel; None if it is unknown.
    """
    averaged, warnings = _with_fewest_warnings(predictions)
    weights = _weights([one.predicted_dice or 0.0 for one in averaged])
    by_weight = sorted(zip(weights.tolist(), averaged, strict=True), key=lambda pair: -pair[0])  # ties keep their order
    counted = [(weight, one) for weight, one in by_weight if weight]
    first = counted[0][1]
    if len(counted) == 1:
        return replace(first, warnings=warnings)
    probability = np.zeros_like(first.probability)
    for weight, one in counted:
        probability += np.float32(weight) * one.probability
    np.minimum(probability, 1, out=probability)  # rounded weights may sum to slightly more than 1
    settings = [one.models[0].config.postprocessing for _, one in counted]
    threshold = sum(weight * each.threshold for (weight, _), each in zip(counted, settings, strict=True))
    mask = to_mask(probability, settings[0].model_copy(update={"threshold": threshold}), voxel_ml=voxel_ml)
    if not mask.any() and any(one.mask.any() for _, one in counted):
        warnings = (*warnings, DISAGREE)
    return Prediction(
        probability,
        mask,
        confidence_features(probability, mask, first.confidence["flip_dice"]),
        first.predicted_dice if mask.any() else None,
        warnings,
        tuple(model for _, one in counted for model in one.models),
    )


def _with_fewest_warnings(predictions: Sequence[Prediction]) -> tuple[list[Prediction], tuple[str, ...]]:
    """Return the predictions with the fewest warnings, and all warnings, with one about the models of the others."""
    warnings = tuple(dict.fromkeys(warning for one in predictions for warning in one.warnings))
    fewest = min(len(one.warnings) for one in predictions)
    kept = [one for one in predictions if len(one.warnings) == fewest]
    others = [one.model_name for one in predictions if len(one.warnings) > fewest]
    if not others:
        return kept, warnings
    return kept, (*warnings, LEFT_OUT.format(AND.join(others), AND.join(one.model_name for one in kept)))


def _weights(predicted_dice: Sequence[float]) -> NDArray[np.float64]:
    """Return the weights of models by their predicted Dice: shape (n,), their sum is 1."""
    powers = np.exp((np.array(predicted_dice) - max(predicted_dice)) / DICE_SCALE)
    powers[powers < MIN_WEIGHT * powers.sum()] = 0
    weights: NDArray[np.float64] = powers / powers.sum()
    return weights


def open_models(models: Sequence[Path], *, engine: str = DEFAULT) -> ScanPredictor:
    """Return a predictor for one model, or for several together.

    Args:
        models: folders, runs or cross-validations; at least one.
        engine: its name.

    Raises:
        ModelError: one of them is not a complete model.
        UsageError: there is no such engine.
        MissingExtraError: the engine is not installed.
    """
    loaded = [load_model(model) for model in models]
    return WeightedEnsemble(loaded, engine=engine) if len(loaded) > 1 else predictor_of(loaded[0], engine=engine)
