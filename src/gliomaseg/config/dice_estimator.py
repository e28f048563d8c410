"""The Dice estimator: from confidence features of a prediction to its predicted Dice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from gliomaseg.config.base import Settings

ConfidenceFeature = Literal["soft_dice", "uncertainty", "flip_dice"]


class DiceEstimator(Settings):
    """A logistic regression, fitted on patients that the model was not trained on.

    predicted Dice = 1 / (1 + exp(-(bias + sum of weight x feature)))
    """

    bias: float
    weights: dict[ConfidenceFeature, float]

    def predicted_dice(self, features: Mapping[str, float | None]) -> float | None:
        """Return the predicted Dice in [0, 1]; None if a feature is missing.

        >>> DiceEstimator(bias=-1, weights={"soft_dice": 2}).predicted_dice({"soft_dice": 0.5})
        0.5
        """
        total = self.bias
        for name, weight in self.weights.items():
            value = features.get(name)
            if value is None:
                return None
            total += weight * value
        return 1 / (1 + math.exp(-min(max(total, -500.0), 500.0)))
