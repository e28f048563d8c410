"""The models that ship: a folder and a line each. `gliomaseg export` makes such a folder out of a run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gliomaseg.errors import ModelError, UsageError
from gliomaseg.model import METRICS, load_model

HOME = Path(__file__).parent
# Names of folders beside this file; the first is enough for any scan, the others look at more sequences.
MODELS: tuple[str, ...] = ("glioma-flair", "glioma-t1-flair")


@dataclass(frozen=True)
class BundledModel:
    """A shipped model.

    Attributes:
        model: its name.
        title: a line about it.
        size_bytes: of its folder.
        dice_volume: mean, median and ci95 of its headline; None where it was not measured.
        default: whether it is asked for every scan where none is named; the others only if the scan holds enough.
        sequences: what it looks at.
    """

    model: str
    title: str
    size_bytes: int
    dice_volume: dict[str, Any] | None
    default: bool
    sequences: tuple[str, ...]


def find_model(model: Path | None) -> Path:
    """Return the folder of a model: what exists on disk, else a shipped one by its name, else the default.

    Raises:
        UsageError: none is named, and none ships.
        ModelError: there is neither such a path nor such a name.
    """
    if model is None:
        if not MODELS:
            raise UsageError("no model ships with this version", where="--model", cure="name a run or a model folder")
        return HOME / MODELS[0]
    if str(model) in MODELS and not model.exists():
        return HOME / str(model)
    try:
        model.stat()
    except FileNotFoundError as fault:
        at_hand = f"shipped models are {', '.join(MODELS)}" if MODELS else "no model ships with this version"
        raise ModelError(
            f"is no model: there is no such path and no shipped model of that name ({at_hand})",
            where=model,
            cure="name a run or a model folder",
        ) from fault
    except OSError as fault:
        raise ModelError(f"cannot be read ({fault.strerror})", where=model) from fault
    return model


def find_models(model: Path | None) -> list[Path]:
    """Return the folder of a model as `find_model` does; where none is named, those of all that ship.

    Raises:
        UsageError: none is named, and none ships.
        ModelError: there is neither such a path nor such a name.
    """
    return [find_model(model), *([HOME / name for name in MODELS[1:]] if model is None else [])]


def list_models() -> list[BundledModel]:
    """Return the shipped models, the default first.

    Raises:
        ModelError: one of them is damaged.
    """
    return [_describe(name, default=place == 0) for place, name in enumerate(MODELS)]


def _describe(name: str, *, default: bool) -> BundledModel:
    model = load_model(HOME / name)
    size_bytes = sum(file.stat().st_size for file in model.folder.iterdir())
    score = _headline(model.folder / METRICS)
    return BundledModel(name, model.config.title, size_bytes, score, default, model.config.sequences)


def _headline(metrics: Path) -> dict[str, Any] | None:
    """Return mean, median and interval of `dice_volume`; None where there is no such number."""
    try:
        entry = json.loads(metrics.read_text("utf-8"))["summary"]["dice_volume"]
        return {"mean": float(entry["mean"]), "median": entry.get("median"), "ci95": entry.get("ci95")}
    except (OSError, ValueError, KeyError, TypeError):
        return None
