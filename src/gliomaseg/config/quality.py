"""How the signs of a good prediction become a predicted Dice: fitted on patients that the model had not seen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from gliomaseg.config.settings import Settings

Sign = Literal["soft_dice", "uncertainty", "flip_dice"]


class Quality(Settings):
    """A logistic curve: predicted Dice = 1 / (1 + exp(-(bias + sum of weight times sign)))."""

    bias: float
    weights: dict[Sign, float]

    def predicted_dice(self, signs: Mapping[str, float | None]) -> float | None:
        """Return the Dice to expect of a prediction, 0 to 1; None where a sign is not there.

        >>> Quality(bias=-1, weights={"soft_dice": 2}).predicted_dice({"soft_dice": 0.5})
        0.5
        """
        total = self.bias
        for name, weight in self.weights.items():
            sign = signs.get(name)
            if sign is None:
                return None
            total += weight * sign
        return 1 / (1 + math.exp(-min(max(total, -500.0), 500.0)))
