"""Several models for one scan: the mean of their probabilities, each weighed by the Dice to expect of it."""

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
from gliomaseg.prediction.predictor import Prediction, Predictor, PredictsScans, predictor_of, running_digest
from gliomaseg.scan import Scan

WIDTH = 0.1  # of expected Dice: a model of which so much less is expected weighs 1 / e of the other
LEAST_SHARE = 0.01
DISAGREE = "holds what one model calls tumour and another does not: together they find nothing, look at it"


class WeightedEnsemble:
    """Models that are asked together; but for the last one's, an engine is opened when a scan asks for it."""

    def __init__(self, models: Sequence[Model], *, engine: str = DEFAULT) -> None:
        """Keep models, those of many sequences first, and open the last: what is wrong with an engine is told at once.

        Raises:
            ModelError: what the engine runs is not in the last model.
            UsageError: there is no such engine.
            MissingExtraError: the engine is not installed.
        """
        self.models = tuple(sorted(models, key=lambda model: -len(model.config.sequences)))
        self.engine = engine
        last = self.models[-1]
        self._open: dict[Path, Predictor] = {last.folder: predictor_of(last, engine=engine)}

    @property
    def digest(self) -> str:
        """The SHA-256 of the digests of what runs of each model, in their order."""
        return joint_digest(running_digest(model, self.engine) for model in self.models)

    def predict(self, scan: Scan) -> Prediction:
        """Return the weighted mean of what those models say that look at nothing that the scan lacks.

        Where a model was never fitted for a Dice to expect, only that of most sequences is asked; where every model
        looks at something that the scan lacks, the one that looks at least.

        Raises:
            ModelError: what the engine runs is not in a model.
        """
        return weighted_mean([self._predictor(model).predict(scan) for model in self._able(scan)])

    def _able(self, scan: Scan) -> list[Model]:
        available = scan.available
        able = [model for model in self.models if available.issuperset(model.config.sequences)] or [self.models[-1]]
        return able if all(model.config.dice_estimator for model in able) else able[:1]

    def _predictor(self, model: Model) -> Predictor:
        if model.folder not in self._open:
            self._open[model.folder] = predictor_of(model, engine=self.engine)
        return self._open[model.folder]


def weighted_mean(found: Sequence[Prediction]) -> Prediction:
    """Return several predictions of one scan as one.

    Probabilities are weighed by e to the power of the expected Dice over .1; the mask is where their mean exceeds that
    of the thresholds, with the smallest component of the model that weighs most. The Dice to expect is that model's:
    measured, it is neither too high nor too low for the mean. What is warned of counts only where all are; all warnings
    are kept, and where the mean loses all that was found, there is one more. A share under a hundredth counts as none.

    Args:
        found: at least one.
    """
    warnings = tuple(dict.fromkeys(warning for one in found for warning in one.warnings))
    fewest = min(len(one.warnings) for one in found)
    trusted = [one for one in found if len(one.warnings) == fewest]
    shares = _shares([one.predicted_dice or 0.0 for one in trusted])
    heaviest = sorted(zip(shares.tolist(), trusted, strict=True), key=lambda pair: -pair[0])  # of equals, the first
    counted = [(share, one) for share, one in heaviest if share]
    first = counted[0][1]
    if len(counted) == 1:
        return replace(first, warnings=warnings)
    probability = np.zeros_like(first.probability)
    for share, one in counted:
        probability += np.float32(share) * one.probability
    np.minimum(probability, 1, out=probability)  # shares may sum to a rounding more
    decisions = [one.models[0].config.postprocessing for _, one in counted]
    threshold = sum(
        share * postprocessing.threshold for (share, _), postprocessing in zip(counted, decisions, strict=True)
    )
    mask = to_mask(probability, decisions[0].model_copy(update={"threshold": threshold}))
    if not mask.any() and any(one.mask.any() for _, one in counted):
        warnings = (*warnings, DISAGREE)
    return Prediction(
        probability,
        mask,
        confidence_features(probability, mask, first.signs["flip_dice"]),
        first.predicted_dice if mask.any() else None,
        warnings,
        tuple(model for _, one in counted for model in one.models),
    )


def _shares(expected: Sequence[float]) -> NDArray[np.float64]:
    """Return the weights of models by their expected Dice: shape (n,), their sum is 1."""
    powers = np.exp((np.array(expected) - max(expected)) / WIDTH)
    powers[powers < LEAST_SHARE * powers.sum()] = 0
    shares: NDArray[np.float64] = powers / powers.sum()
    return shares


def open_models(models: Sequence[Path], *, engine: str = DEFAULT) -> PredictsScans:
    """Return what predicts with several models, or with one.

    Args:
        models: folders, runs or cross-validations; at least one.
        engine: its name.

    Raises:
        ModelError: one of them is no whole model.
        UsageError: there is no such engine.
        MissingExtraError: the engine is not installed.
    """
    loaded = [load_model(model) for model in models]
    return WeightedEnsemble(loaded, engine=engine) if len(loaded) > 1 else predictor_of(loaded[0], engine=engine)
