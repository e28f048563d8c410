"""The loop: who trains, and how."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gliomaseg.config.settings import Settings


class Split(Settings):
    """Who trains and who validates."""

    by: Literal["patient", "site", "slice"] = "patient"
    folds: int | None = Field(default=None, ge=2)
    holdout: float = Field(default=0.2, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)


LOSS_NAMES = ("cross_entropy", "bce", "dice", "focal", "tversky")
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


class Training(Settings):
    """The loop: loss, optimiser, length, precision."""

    loss: Annotated[str, AfterValidator(_checked_loss)] = "cross_entropy"
    optimiser: Literal["adam"] = "adam"
    learning_rate: float = Field(default=1e-4, gt=0)
    schedule: Literal["constant", "cosine"] = "constant"
    batch: int = Field(default=4, ge=1)
    epochs: int = Field(default=3, ge=1)
    augment: Literal["none", "light"] = "none"
    seed: int = Field(default=0, ge=0, le=2**63 - 1)  # torch takes no larger one
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    export: Literal["last", "best"] = "last"
    checkpoint_minutes: float = Field(default=10, ge=0)
