"""Several models for one scan: the mean of their probabilities, weighted by their predicted Dice."""

from __future__ import annotations

from collections import abc
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gliomaseg.engines import DEFAULT
from gliomaseg.model import Model, joint_digest, load_model
from gliomaseg.prediction.confidence import confidence_features
from gliomaseg.prediction.image_features import is_skull_stripped
from gliomaseg.prediction.postprocessing import to_mask
from gliomaseg.prediction.prediction import AND, Prediction
from gliomaseg.prediction.predictor import (
    Predictor,
    Progress,
    ScanPredictor,
    part_of,
    predictor_of,
    running_digest,
    with_mask_warnings,
)
from gliomaseg.preprocessing import axial_flair
from gliomaseg.scan import Scan
from gliomaseg.types import Sequence

DICE_SCALE = 0.1  # a predicted Dice lower by this much divides the weight by e
MIN_WEIGHT = 0.01
LEFT_OUT = "{} was left out: {}"
MORE_WARNINGS = "it has more warnings than {}"
LOW_WEIGHT = "its predicted Dice is much lower than that of {}"
DISAGREE = "one model found tumour and the averaged mask is empty; check the scan by eye"


class WeightedEnsemble:
    """Models that predict a scan together. Each engine but the last opens when a scan needs it."""

    def __init__(self, models: abc.Sequence[Model], *, engine: str = DEFAULT) -> None:
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

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the checksums of all networks, in order."""
        return joint_digest(running_digest(model, self.engine) for model in self.models)

    def predict(self, scan: Scan, *, progress: Progress | None = None) -> Prediction:
        """Return the weighted mean of the predictions of all models whose input sequences the scan has.

        If some models were trained on heads without skull and others were not, only those run that fit the scan. If
        the scan has the sequences of none of them, the model with the fewest sequences runs. If one of the models has
        no Dice estimator, only the model with the most sequences runs.

        Raises:
            ModelError: a model has no file for the engine.
        """
        usable, left_out = self._usable_models(scan)
        count = len(usable)
        predictions = [
            self._predictor(model).predict_unchecked(scan, progress=part_of(progress, k / count, (k + 1) / count))
            for k, model in enumerate(usable)
        ]
        found = weighted_mean(predictions, voxel_ml=scan.voxel_ml)
        return with_mask_warnings(replace(found, left_out=(*left_out, *found.left_out)), scan)

    def _usable_models(self, scan: Scan) -> tuple[list[Model], list[str]]:
        """Return the models that run, and a sentence on each of the others."""
        models = _fitting_models(self.models, scan)
        missing = {model.folder: _missing_sequences(model, scan) for model in models}
        usable = [model for model in models if not missing[model.folder]] or [models[-1]]
        reasons = [
            (model, "; ".join(map(scan.missing_reason, missing[model.folder])))
            for model in models
            if model not in usable
        ]
        if not all(model.config.dice_estimator for model in usable):
            reasons += [(model, "not every model has a Dice estimator to weight it by") for model in usable[1:]]
            usable = usable[:1]
        return usable, [LEFT_OUT.format(model.config.name, reason) for model, reason in reasons]

    def _predictor(self, model: Model) -> Predictor:
        if model.folder not in self._open:
            self._open[model.folder] = predictor_of(model, engine=self.engine)
        return self._open[model.folder]


def _fitting_models(models: tuple[Model, ...], scan: Scan) -> tuple[Model, ...]:
    """Return the models for heads with or without skull, as the scan is; all if they do not differ in this."""
    if len({model.config.skull_stripped for model in models}) == 1:
        return models
    is_stripped = is_skull_stripped(axial_flair(scan)) is True
    return tuple(model for model in models if model.config.skull_stripped == is_stripped)


def _missing_sequences(model: Model, scan: Scan) -> list[Sequence]:
    """Return the sequences of a model that the scan lacks."""
    return [name for name in Sequence if name in model.config.sequences and name not in scan.available]


def weighted_mean(predictions: abc.Sequence[Prediction], *, voxel_ml: float | None = None) -> Prediction:
    """Return several predictions of one scan as one.

    Only the predictions with the fewest warnings are averaged. The weights are proportional to exp(predicted Dice /
    0.1); weights below 0.01 become 0. `left_out` names the models of the others. The threshold is the weighted mean of
    the models' thresholds. The minimum component size and the predicted Dice are those of the model with the largest
    weight: measured, this predicted Dice is not biased for the mean. All warnings are returned, plus one if the
    averaged mask is empty although a model found tumour.

    Args:
        predictions: at least one.
        voxel_ml: volume of a voxel; None if it is unknown.
    """
    warnings = tuple(dict.fromkeys(warning for one in predictions for warning in one.warnings))
    averaged, left_out = _with_fewest_warnings(predictions)
    weights = _weights([one.predicted_dice or 0.0 for one in averaged])
    by_weight = sorted(zip(weights.tolist(), averaged, strict=True), key=lambda pair: -pair[0])  # ties keep their order
    counted = [(weight, one) for weight, one in by_weight if weight]
    first = counted[0][1]
    left_out += tuple(
        LEFT_OUT.format(one.model_name, LOW_WEIGHT.format(first.model_name)) for weight, one in by_weight if not weight
    )
    if len(counted) == 1:
        return replace(first, warnings=warnings, left_out=left_out)
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
        left_out,
        threshold,
        _mean_disagreement(counted),
    )


def _mean_disagreement(counted: abc.Sequence[tuple[float, Prediction]]) -> NDArray[np.float64] | None:
    """Return the weighted mean of `mirror_disagreement_px` over the models with flip TTA; None if none has it."""
    known = [(weight, one.mirror_disagreement_px) for weight, one in counted if one.mirror_disagreement_px is not None]
    if not known:
        return None
    weights, areas_px = zip(*known, strict=True)
    mean: NDArray[np.float64] = np.average(areas_px, axis=0, weights=weights)
    return mean


def _with_fewest_warnings(predictions: abc.Sequence[Prediction]) -> tuple[list[Prediction], tuple[str, ...]]:
    """Return the predictions with the fewest warnings, and a sentence on the model of each other one."""
    fewest = min(len(one.warnings) for one in predictions)
    kept = [one for one in predictions if len(one.warnings) == fewest]
    reason = MORE_WARNINGS.format(AND.join(one.model_name for one in kept))
    others = [one.model_name for one in predictions if len(one.warnings) > fewest]
    return kept, tuple(LEFT_OUT.format(name, reason) for name in others)


def _weights(predicted_dice: abc.Sequence[float]) -> NDArray[np.float64]:
    """Return the weights of models by their predicted Dice: shape (n,), their sum is 1."""
    powers = np.exp((np.array(predicted_dice) - max(predicted_dice)) / DICE_SCALE)
    powers[powers < MIN_WEIGHT * powers.sum()] = 0
    weights: NDArray[np.float64] = powers / powers.sum()
    return weights


def open_models(models: abc.Sequence[Path], *, engine: str = DEFAULT) -> ScanPredictor:
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
