"""Settings of the split, the augmentation and the training loop."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from gliomaseg.config.base import Settings


class Split(Settings):
    """How cases are split into training and validation.

    Attributes:
        by: the unit that stays on one side. "slice" leaks: slices of one patient train and validate.
        folds: number of folds; None for a single split by `holdout`, or for one fold a site.
        holdout: share of the cases that validate in a single split.
        seed: of the random numbers.
    """

    by: Literal["patient", "site", "slice"] = "patient"
    folds: int | None = Field(default=None, ge=2)
    holdout: float = Field(default=0.2, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)


LOSS_NAMES = ("cross_entropy", "bce", "dice")
_TERM = re.compile(r"(?:(\d+(?:\.\d*)?|\.\d+)\s*\*?\s*)?([a-z_]+)")


def loss_terms(text: str) -> tuple[tuple[float, str], ...]:
    """Return the weight and the name of each term of a loss.

    Raises:
        ValueError: the text is not a sum of losses, or a weight is 0.

    >>> loss_terms("0.5 bce + dice")
    ((0.5, 'bce'), (1.0, 'dice'))
    """
    found = [_TERM.fullmatch(term.strip()) for term in text.split("+")]
    terms = tuple((float(match[1] or 1), match[2]) for match in found if match)
    if len(terms) < len(found) or not all(weight > 0 and name in LOSS_NAMES for weight, name in terms):
        raise ValueError(f"expected one of {', '.join(LOSS_NAMES)}, or a sum of them such as '0.5 bce + dice'")
    return terms


def _checked_loss(text: str) -> str:
    loss_terms(text)
    return text


class Augmentation(Settings):
    """The limits of the preset "strong". 0 turns a change off; "none" and "light" use no other field.

    Mirroring, rotation, scale, shift, brightness, gamma and offset are drawn uniformly for every slice. Elastic
    deformation, bias field, blur and noise change half of the slices.

    Attributes:
        preset: "none", "light" (mirroring, brightness and contrast) or "strong".
        strength: factor for all limits except `mirror` and the probabilities.
        mirror: mirror half of the slices left to right.
        rotation_deg: largest angle in degrees.
        scale: the zoom is e to the power of -scale to +scale.
        shift: largest shift, as a fraction of the side.
        elastic: standard deviation of the displacement, as a fraction of the side.
        brightness: the factor is e to the power of -brightness to +brightness.
        gamma: the exponent is e to the power of -gamma to +gamma.
        offset: largest offset, as a fraction of the brightest pixel.
        bias_field: standard deviation of the logarithm of a smooth field.
        blur_px: largest sigma in pixels.
        noise: largest standard deviation, as a fraction of the brightest pixel.
        downsample_prob: share of slices that get half the resolution.
        channel_dropout: share of slices whose context slices become the slice itself, and share whose T1 or T1ce
            becomes FLAIR.
        t1_dropout: the share for T1 and T1ce; None for `channel_dropout`.
        skull_strip: share of slices without skull and scalp, in all sequences and context slices alike.
        fat_suppression: share of slices whose scalp is darker.
        stripped_rotation_deg: largest angle of the slices without skull; None for `rotation_deg`.
    """

    preset: Literal["none", "light", "strong"] = "none"
    strength: float = Field(default=1, ge=0, le=4)
    mirror: bool = True
    rotation_deg: float = Field(default=20, ge=0, le=180)
    scale: float = Field(default=0.25, ge=0, le=1)
    shift: float = Field(default=0.1, ge=0, le=0.5)
    elastic: float = Field(default=0.015, ge=0, le=0.1)
    brightness: float = Field(default=0.2, ge=0, le=2)
    gamma: float = Field(default=0.3, ge=0, le=2)
    offset: float = Field(default=0.05, ge=0, le=1)
    bias_field: float = Field(default=0.2, ge=0, le=2)
    blur_px: float = Field(default=1, ge=0, le=2)
    noise: float = Field(default=0.05, ge=0, le=1)
    downsample_prob: float = Field(default=0.1, ge=0, le=1)
    channel_dropout: float = Field(default=0.1, ge=0, le=1)
    t1_dropout: float | None = Field(default=None, ge=0, le=1)
    skull_strip: float = Field(default=0, ge=0, le=1)
    fat_suppression: float = Field(default=0, ge=0, le=1)
    stripped_rotation_deg: float | None = Field(default=None, ge=0, le=180)

    @property
    def strips_skulls(self) -> bool:
        """Whether slices without skull are among those of the training."""
        return self.preset == "strong" and self.skull_strip > 0

    @property
    def needs_brain(self) -> bool:
        """Whether the brain of each case must be known."""
        return self.preset == "strong" and self.skull_strip + self.fat_suppression > 0

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        """Raise ValueError if more slices than all would be changed."""
        if self.skull_strip + self.fat_suppression > 1:
            raise ValueError(
                f"skull_strip + fat_suppression is {self.skull_strip + self.fat_suppression:g}, expected 1 or less"
            )
        return self


class Training(Settings):
    """The training loop: loss, optimiser, length, precision, export.

    Attributes:
        loss: a name of `LOSS_NAMES`, or a sum such as "0.5 bce + dice".
        optimiser: "adam" or "adamw".
        weight_decay: of "adamw".
        learning_rate: the maximum of the run.
        schedule: "constant", "cosine" (falls to 0), or "one_cycle" (rises and falls along half cosines).
        warmup: share of the run in which the learning rate rises.
        clip_norm: largest norm of the gradient; 0 does not clip.
        ema: decay of the moving average of the weights at each step; 0 keeps no average.
        batch: slices in a batch.
        epochs: number of epochs.
        tumour_oversampling: how often an epoch draws each slice with tumour; other slices are drawn once.
        seed: of all random numbers.
        precision: "auto" uses bf16 if the hardware supports it, otherwise fp32.
        exported_checkpoint: "last" epoch, or "best" on the validation cases.
        onnx_precision: of the ONNX file; "int8" takes the ranges of the features from training slices.
        checkpoint_minutes: time between checkpoints within an epoch, in minutes.
        start_from: a run, a model folder or a bundled model whose weights the training starts from; None starts at
            random, or from `network.weights`. A relative path is relative to the working directory.
    """

    loss: Annotated[str, AfterValidator(_checked_loss)] = "cross_entropy"
    optimiser: Literal["adam", "adamw"] = "adam"
    weight_decay: float = Field(default=0, ge=0)
    learning_rate: float = Field(default=1e-4, gt=0)
    schedule: Literal["constant", "cosine", "one_cycle"] = "constant"
    warmup: float = Field(default=0, ge=0, lt=1)
    clip_norm: float = Field(default=0, ge=0)
    ema: float = Field(default=0, ge=0, lt=1)
    batch: int = Field(default=4, ge=1)
    epochs: int = Field(default=3, ge=1)
    tumour_oversampling: float = Field(default=1, ge=1, le=10)
    seed: int = Field(default=0, ge=0, le=2**63 - 1)  # torch accepts no larger seed
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    exported_checkpoint: Literal["last", "best"] = "last"
    onnx_precision: Literal["fp32", "int8"] = "fp32"
    checkpoint_minutes: float = Field(default=10, ge=0)
    start_from: str | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        """Raise ValueError for a setting that would have no effect."""
        if self.start_from is not None and not self.start_from.strip():
            raise ValueError(
                f"start_from is {self.start_from!r}, expected a run, a model folder or a bundled model; without this "
                "setting, the training starts at random"
            )
        if self.weight_decay and self.optimiser != "adamw":
            raise ValueError(f"weight_decay is {self.weight_decay:g}, expected 0 unless optimiser is 'adamw'")
        if self.schedule == "one_cycle" and not self.warmup:
            raise ValueError("warmup is 0, expected a share of the run above 0 with schedule 'one_cycle'")
        return self
