"""The bundled models: one folder and one entry of `MODELS` each. `gliomaseg export` writes such a folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from gliomaseg.errors import ModelError, UsageError
from gliomaseg.model import METRICS, load_model
from gliomaseg.types import WITHOUT_SKULL

HOME = Path(__file__).parent
# Folder names. The first model is the default. The others need more sequences, or are for scans without skull.
MODELS: tuple[str, ...] = ("glioma-flair", "glioma-t1-flair", "glioma-flair-stripped", "glioma-t1-flair-stripped")


@dataclass(frozen=True)
class DiceSummary:
    """Mean, median and 95 % confidence interval of a model's `dice_volume`; None if the scores lack one."""

    mean: float
    median: float | None
    ci95: tuple[float | None, float | None] | None


@dataclass(frozen=True)
class BundledModel:
    """The description of a bundled model.

    Attributes:
        model: its name.
        title: one line.
        size_bytes: size of its folder.
        dice_volume: of its cross-validation, for a model for scans without skull of the copies without skull; None if
            it was not measured.
        default: whether it is the model that runs on whole heads if the user names no model. Other models run if the
            scan has all their sequences, or is without skull.
        sequences: its input sequences.
        skull_stripped: whether it is for scans without skull.
    """

    model: str
    title: str
    size_bytes: int
    dice_volume: DiceSummary | None
    default: bool
    sequences: tuple[str, ...]
    skull_stripped: bool


def find_model(model: Path | None) -> Path:
    """Return the folder of a model: an existing path, a bundled model's name, or None for the default model.

    Raises:
        UsageError: `model` is None, and this version has no bundled model.
        ModelError: neither a path nor a bundled model has this name.
    """
    if model is None:
        if not MODELS:
            raise UsageError("this version has no bundled model", where="model", cure="name a run or a model folder")
        return HOME / MODELS[0]
    if str(model) in MODELS and not model.exists():
        return HOME / str(model)
    try:
        model.stat()
    except FileNotFoundError as fault:
        names = f"bundled models are {', '.join(MODELS)}" if MODELS else "this version has no bundled model"
        raise ModelError(
            f"is not a model: neither a path nor a bundled model has this name ({names})",
            where=model,
            cure="name a run or a model folder",
        ) from fault
    except OSError as fault:
        raise ModelError(f"cannot be read ({fault.strerror})", where=model) from fault
    return model


def find_models(model: Path | None) -> list[Path]:
    """Return the folder of a model as `find_model` does; for None, the folders of all bundled models.

    Raises:
        UsageError: `model` is None, and this version has no bundled model.
        ModelError: neither a path nor a bundled model has this name.
    """
    return [find_model(model), *([HOME / name for name in MODELS[1:]] if model is None else [])]


def list_models() -> list[BundledModel]:
    """Return the bundled models, the default model first.

    Raises:
        ModelError: a bundled model is damaged.
    """
    return [_describe(name, default=index == 0) for index, name in enumerate(MODELS)]


def _describe(name: str, *, default: bool) -> BundledModel:
    model = load_model(HOME / name)
    size_bytes = sum(file.stat().st_size for file in model.folder.iterdir())
    dice_volume = _dice_volume(model.folder / METRICS, stripped=model.config.skull_stripped)
    config = model.config
    return BundledModel(name, config.title, size_bytes, dice_volume, default, config.sequences, config.skull_stripped)


def _dice_volume(metrics: Path, *, stripped: bool) -> DiceSummary | None:
    """Return the summary of `dice_volume`, or that of the copies without skull; None if file or number is missing."""
    try:
        tree = json.loads(metrics.read_text("utf-8"))
        copies = (group for group in tree.get("subgroups") or () if group["name"] == WITHOUT_SKULL)
        entry = (next(copies, tree["summary"]) if stripped else tree["summary"])["dice_volume"]
        low, high = entry.get("ci95") or (None, None)
        interval = (low, high) if entry.get("ci95") else None
        return DiceSummary(float(entry["mean"]), entry.get("median"), interval)
    except (OSError, ValueError, KeyError, TypeError):
        return None
