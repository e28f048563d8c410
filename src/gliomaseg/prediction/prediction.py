"""The prediction of one scan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gliomaseg.model import Model
from gliomaseg.types import Mask, Probability

AND = " + "  # between the names of models that predict together


@dataclass(frozen=True)
class Prediction:
    """The prediction of one scan.

    Attributes:
        probability: of tumour, float32 in [0, 1], shape (z, y, x), on the scan's own grid.
        mask: bool, same shape.
        confidence: the confidence features by name, each in [0, 1]; None if one is not defined. If thin slices were
            merged, they are those of the first of two merges; of both, if the first one has an empty mask.
        predicted_dice: 0 to 1; None if the model has no Dice estimator or the mask is empty.
        warnings: sentences about a scan that does not look like the training data.
        models: that were averaged, the one with the largest weight first.
        left_out: a sentence on each other model of an ensemble, with the reason.
        threshold: of the mask; the weighted mean for several models.
        mirror_disagreement_px: how far flip TTA disagrees in each axial slice of the scan, from the lowest upwards:
            float64, shape (slices,), in pixels of that slice, 0 or more. It is the area that is tumour in the mask of a
            slice or in the mask of its mirror image, mirrored back, and not in both. These masks have the model's
            temperature and threshold, and keep small components. They are compared on the network's slices. A slice of
            the scan between two of them gets the interpolated area, as it gets interpolated probabilities. For several
            models it is the mean of those with flip TTA, weighted like the probabilities. None without flip TTA.
    """

    probability: Probability
    mask: Mask
    confidence: dict[str, float | None]
    predicted_dice: float | None
    warnings: tuple[str, ...]
    models: tuple[Model, ...]
    left_out: tuple[str, ...] = ()
    threshold: float = 0.5
    mirror_disagreement_px: NDArray[np.float64] | None = None

    @property
    def model_name(self) -> str:
        """The names of its models, joined by " + "."""
        return AND.join(model.config.name for model in self.models)
