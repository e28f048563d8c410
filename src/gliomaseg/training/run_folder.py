"""What is asked of a run, and the folder it is in: whether it may start there, go on there, or is done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from gliomaseg.atomic import LOCK, remove, require_free, require_own, write_text
from gliomaseg.config import Recipe, read_recipe
from gliomaseg.data.split import Splits, write_splits
from gliomaseg.errors import ConfigError

# What may differ when a run is picked up again: none of it changes the arithmetic of an epoch.
_FREE = ("epochs", "checkpoint_minutes", "exported_checkpoint", "onnx_precision")
CONFIG, CURVES = "config.toml", "curves.png"
# What a run writes into its folder: --overwrite removes nothing else.
OURS = (
    LOCK, "checkpoint", CONFIG, CURVES, "log.jsonl", "model", "samples.png", "splits.json", "tensorboard",
)  # fmt: skip


@dataclass(frozen=True)
class TrainOptions:
    """What the user asks for.

    Attributes:
        recipe: all settings.
        data: a folder in the Kaggle layout.
        out: the run's folder.
        splits: a splits file; drawn as the recipe says if None.
        fold: which of its folds.
        device: auto, cpu or cuda.
        resume: whether to pick up a run that is there.
        overwrite: whether to remove what is there.
        cache: where prepared slices are kept; the user's cache folder if None.
    """

    recipe: Recipe
    data: Path
    out: Path
    splits: Path | None = None
    fold: int = 0
    device: str = "auto"
    resume: bool = False
    overwrite: bool = False
    cache: Path | None = None


def is_finished(order: TrainOptions) -> bool:
    """Return whether a run of exactly this order is there and done: curves are what it draws last.

    Raises:
        ConfigError: a run is there that was started with other settings, be it a number of epochs.
    """
    if not (order.out / CONFIG).is_file():
        return False
    _require_same_recipe(order, free=("checkpoint_minutes",))
    return (order.out / CURVES).is_file()


def require_out_folder(order: TrainOptions, *, resuming: bool) -> None:
    """Refuse a folder that holds another run, or what no run wrote."""
    if resuming:
        _require_same_recipe(order)
    else:
        require_free(order.out, overwrite=order.overwrite)
        require_own(order.out, OURS)


def start_folder(order: TrainOptions, splits: Splits) -> None:
    """Empty the run's folder and write what it was started with; `config.toml` last, as the mark of a run."""
    # The entries and not the folder: it may be the current one, or a volume's.
    for entry in order.out.iterdir():
        if entry.name != LOCK:
            remove(entry)
    write_splits(splits, order.out / "splits.json")
    write_settings(order)


def write_settings(order: TrainOptions) -> None:
    """Write the recipe; what was exported by another one is no longer the end of this run."""
    (order.out / CURVES).unlink(missing_ok=True)
    write_text(order.out / CONFIG, tomli_w.dumps(_without_none(order.recipe.model_dump())))


def _without_none(tree: dict[str, Any]) -> dict[str, Any]:
    """TOML has no null: a setting that is None is left out, and comes back as its default."""
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in tree.items()
        if value is not None
    }


def _require_same_recipe(order: TrainOptions, *, free: tuple[str, ...] = _FREE) -> None:
    config = order.out / CONFIG
    before, now = read_recipe(str(config)).model_dump(), order.recipe.model_dump()
    training = order.recipe.training
    scheduled = (
        training.schedule != "constant" or training.warmup > 0
    )  # the rate of each step then depends on the length
    last = before["training"]["exported_checkpoint"] == now["training"]["exported_checkpoint"] == "last"
    for tree in (before, now):
        tree.pop("title")  # it says whether anything was changed, settings that may differ among them
        for key in free:
            if key != "epochs" or not scheduled:
                tree["training"].pop(key)
        if order.splits:  # the file decides, not the recipe's section
            tree.pop("split")
        # How masks are made of probabilities changes no weight, but may change which epoch was best.
        if "exported_checkpoint" in free and last:
            tree.pop("postprocessing")
    if before != now:
        changed = next(f"{s}.{k}" for s in now if isinstance(now[s], dict) for k in _keys(now[s], before[s]))
        raise ConfigError(
            f"the run was started with another {changed}", where=config, cure="resume with the same recipe and settings"
        )


def _keys(now: dict[str, Any], before: dict[str, Any]) -> list[str]:
    return [key for key in {**now, **before} if now.get(key) != before.get(key)]
