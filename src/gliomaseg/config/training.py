"""The loop: who trains, and how."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from gliomaseg.config.base import Settings


class Split(Settings):
    """Who trains and who validates."""

    by: Literal["patient", "site", "slice"] = "patient"
    folds: int | None = Field(default=None, ge=2)
    holdout: float = Field(default=0.2, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)


LOSS_NAMES = ("cross_entropy", "bce", "dice")
_TERM = re.compile(r"(?:(\d+(?:\.\d*)?|\.\d+)\s*\*?\s*)?([a-z_]+)")


def loss_terms(text: str) -> tuple[tuple[float, str], ...]:
    """Return the weight and the name of each term of a loss.

    Raises:
        ValueError: it is no sum of losses, or a weight is 0.

    >>> loss_terms("0.5 bce + dice")
    ((0.5, 'bce'), (1.0, 'dice'))
    """
    found = [_TERM.fullmatch(term.strip()) for term in text.split("+")]
    terms = tuple((float(match[1] or 1), match[2]) for match in found if match)
    if len(terms) < len(found) or not all(weight > 0 and name in LOSS_NAMES for weight, name in terms):
        raise ValueError(f"a loss is one of {', '.join(LOSS_NAMES)}, or a sum of them such as '0.5 bce + dice'")
    return terms


def _checked_loss(text: str) -> str:
    loss_terms(text)
    return text


class Augmentation(Settings):
    """How far "strong" goes: each is the largest change, and 0 leaves it out.

    Mirroring, rotation, scale, shift, gain, gamma and offset are drawn evenly for every slice. Elastic, bias, blur and
    noise leave half of the slices as they are. The last four are shares of slices.
    """

    preset: Literal["none", "light", "strong"] = "none"
    strength: float = Field(default=1, ge=0, le=4)  # all but mirroring and the last five are multiplied by it
    mirror: bool = True  # left to right, one slice in two
    rotation_deg: float = Field(default=20, ge=0, le=180)
    scale: float = Field(default=0.25, ge=0, le=1)  # by e to the power of plus or minus this
    shift: float = Field(default=0.1, ge=0, le=0.5)  # as a share of the side
    elastic: float = Field(default=0.015, ge=0, le=0.1)  # the deviation's standard deviation, as a share of the side
    brightness: float = Field(default=0.2, ge=0, le=2)  # by e to the power of plus or minus this
    gamma: float = Field(default=0.3, ge=0, le=2)  # the exponent is e to the power of plus or minus this
    offset: float = Field(default=0.05, ge=0, le=1)  # as a share of the brightest pixel, as is noise
    bias_field: float = Field(default=0.2, ge=0, le=2)  # the standard deviation of a smooth field's logarithm
    blur_px: float = Field(default=1, ge=0, le=2)
    noise: float = Field(default=0.05, ge=0, le=1)
    downsample_prob: float = Field(default=0.1, ge=0, le=1)
    channel_dropout: float = Field(default=0.1, ge=0, le=1)  # neighbours become the slice itself, T1 FLAIR
    t1_dropout: float | None = Field(default=None, ge=0, le=1)  # of T1, where it is another share
    graft: float = Field(default=0, ge=0, le=1)  # another patient's tumour is put in


class Training(Settings):
    """The loop: loss, optimiser, length, precision."""

    loss: Annotated[str, AfterValidator(_checked_loss)] = "cross_entropy"
    optimiser: Literal["adam", "adamw"] = "adam"
    weight_decay: float = Field(default=0, ge=0)
    learning_rate: float = Field(default=1e-4, gt=0)  # the highest of the run
    schedule: Literal["constant", "cosine", "one_cycle"] = "constant"
    warmup: float = Field(default=0, ge=0, lt=1)  # the share of the run in which the rate rises
    clip_norm: float = Field(default=0, ge=0)  # longer gradients are shortened to this; 0: none is
    ema: float = Field(default=0, ge=0, lt=1)  # the average of the weights keeps this much of itself a step; 0: none
    batch: int = Field(default=4, ge=1)
    epochs: int = Field(default=3, ge=1)
    tumour_oversampling: float = Field(
        default=1, ge=1, le=10
    )  # how often an epoch draws slices with tumour, others once
    seed: int = Field(default=0, ge=0, le=2**63 - 1)  # torch takes no larger one
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    exported_checkpoint: Literal["last", "best"] = "last"
    onnx_precision: Literal["fp32", "int8"] = "fp32"  # of the ONNX file; for int8, ranges come from training slices
    checkpoint_minutes: float = Field(default=10, ge=0)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        """Refuse what would do nothing, or not what its name says."""
        if self.weight_decay and self.optimiser != "adamw":
            raise ValueError("weight_decay needs optimiser 'adamw'")
        if self.schedule == "one_cycle" and not self.warmup:
            raise ValueError("schedule 'one_cycle' needs warmup, the share of the run in which the rate rises")
        return self
