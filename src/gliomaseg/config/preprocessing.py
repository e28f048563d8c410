"""The settings that travel with a model: scan to network input, probabilities to mask, and predicted Dice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from gliomaseg.config.base import Settings

ConfidenceFeature = Literal["soft_dice", "uncertainty", "flip_dice"]
InputSequences = Literal["grey", "flair", "t1_flair", "t1_flair_t1ce"]


class Preprocessing(Settings):
    """How a scan becomes the network's input.

    The defaults of `fov_mm` and `p99_5_level` describe the LGG data set. Its heads measure 233 x 190 pixels on their
    largest slice (median of 24 patients). Heads are about 195 x 160 mm, so 256 pixels are about 215 mm. The 99.5
    percentile of FLAIR is 157 of 255 (median).

    Attributes:
        size_px: side of the network's square input, in pixels.
        input: sequences of each slice, in this order; "grey" converts an RGB image to one channel.
        mean: subtracted from levels in [0, 1] if `normalisation` is "fixed".
        std: divides them if `normalisation` is "fixed".
        context_slices: neighbouring slices on each side that are extra channels.
        normalisation: "fixed" uses `mean` and `std`; "zscore" gives the head of the whole stack mean 0 and standard
            deviation 1.
        max_zscore: upper limit of the z-scores, which larger ones become; None for no limit. Only if `normalisation` is
            "zscore".
        fov_mm: side of the square that the network gets, in mm. Only for volumes with an affine.
        min_slice_spacing_mm: thinner slices are merged to this spacing; None keeps them. Only for volumes.
        p99_5_level: 8-bit level of the 99.5 percentile of the intensities. Only for volumes.
    """

    size_px: int = Field(default=256, ge=32, le=2048, multiple_of=16)
    input: InputSequences = "grey"
    mean: float = 0.5
    std: float = Field(default=0.5, gt=0)
    context_slices: int = Field(default=0, ge=0, le=4)
    normalisation: Literal["fixed", "zscore"] = "fixed"
    max_zscore: float | None = Field(default=None, gt=0, le=100)
    fov_mm: float = Field(default=215, ge=50, le=1000)
    min_slice_spacing_mm: float | None = Field(default=None, gt=0, le=50)
    p99_5_level: float = Field(default=157, ge=32, le=255)

    @property
    def sequences(self) -> int:
        """Channels of one prepared slice."""
        return {"t1_flair": 2, "t1_flair_t1ce": 3}.get(self.input, 1)

    @property
    def inputs(self) -> int:
        """Channels of the network's input; a single one is repeated to three, as the reference notebook does."""
        return self.sequences * (2 * self.context_slices + 1) if self.context_slices or self.sequences > 1 else 3


class Postprocessing(Settings):
    """How probabilities become a mask.

    Attributes:
        threshold: probability from which a voxel is tumour.
        temperature: divides the logits; 1 leaves the probabilities as they are.
        tta_flip: average the probabilities of a slice and of its mirror image (flip TTA).
        min_component_voxels: smaller connected components are removed.
        min_component_ml: the same for scans with voxel spacing, instead of `min_component_voxels`; 0 uses the voxels.
    """

    threshold: float = Field(default=0.5, gt=0, lt=1)
    temperature: float = Field(default=1, ge=0.1, le=10)
    tta_flip: bool = False
    min_component_voxels: int = Field(default=0, ge=0)
    min_component_ml: float = Field(default=0, ge=0)


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
