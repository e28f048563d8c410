"""The options of a run, and the checks of its folder: new, to be resumed, or finished."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tomli_w

from gliomaseg.atomic import LOCK, remove, require_free, require_own, write_text
from gliomaseg.config import Recipe, read_recipe
from gliomaseg.data.split import Splits, write_splits
from gliomaseg.errors import ConfigError

# Training settings that may change when a run is resumed: none of them changes the computations of an epoch.
_CHANGEABLE = ("epochs", "checkpoint_minutes", "exported_checkpoint", "onnx_precision")
CONFIG, CURVES = "config.toml", "curves.png"
# Files and folders of a run: --overwrite removes nothing else.
OURS = (
    LOCK, "checkpoint", CONFIG, CURVES, "log.jsonl", "model", "samples.png", "splits.json", "tensorboard",
)  # fmt: skip


@dataclass(frozen=True)
class TrainOptions:
    """The options of `gliomaseg train`.

    Attributes:
        recipe: all settings.
        data: a folder in the Kaggle layout.
        out: the run's folder.
        splits: a splits file; None draws the split from the recipe's section `split`.
        fold: index of the fold in the split.
        device: "auto", "cpu" or "cuda".
        resume: continue the run in `out` if there is one.
        overwrite: remove an earlier run from `out`.
        cache: folder of the prepared slices; None for the user's cache folder.
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


def is_finished(options: TrainOptions) -> bool:
    """Return whether the folder has a finished run with exactly these options.

    Raises:
        ConfigError: the run in the folder has other settings; another number of epochs counts too.
    """
    if not (options.out / CONFIG).is_file():
        return False
    _require_same_recipe(options, changeable=("checkpoint_minutes",))
    return (options.out / CURVES).is_file()  # a run writes the curves last


def require_out_folder(options: TrainOptions, *, resuming: bool) -> None:
    """Raise if the folder has another run, or files that no run wrote."""
    if resuming:
        _require_same_recipe(options)
    else:
        require_free(options.out, overwrite=options.overwrite)
        require_own(options.out, OURS)


def start_folder(options: TrainOptions, splits: Splits) -> None:
    """Empty the run's folder and write its splits and settings; `config.toml` comes last and marks a run."""
    # Remove the entries, not the folder: it may be the working directory or a mount point.
    for entry in options.out.iterdir():
        if entry.name != LOCK:
            remove(entry)
    write_splits(splits, options.out / "splits.json")
    write_settings(options)


def write_settings(options: TrainOptions) -> None:
    """Write the recipe. Remove the curves: artifacts of the previous settings do not finish this run."""
    (options.out / CURVES).unlink(missing_ok=True)
    # TOML has no null: a missing setting gets its default.
    write_text(options.out / CONFIG, tomli_w.dumps(options.recipe.model_dump(exclude_none=True)))


def _require_same_recipe(options: TrainOptions, *, changeable: tuple[str, ...] = _CHANGEABLE) -> None:
    config = options.out / CONFIG
    before, now = read_recipe(str(config)).model_dump(), options.recipe.model_dump()
    training = options.recipe.training
    # With a schedule, the learning rate of each step depends on the number of epochs.
    scheduled = training.schedule != "constant" or training.warmup > 0
    last = before["training"]["exported_checkpoint"] == now["training"]["exported_checkpoint"] == "last"
    for tree in (before, now):
        tree.pop("title")  # it depends on changed settings, the changeable ones included
        for key in changeable:
            if key != "epochs" or not scheduled:
                tree["training"].pop(key)
        if options.splits:  # the recipe's section is not used
            tree.pop("split")
        # Postprocessing does not change weights, but it may change which epoch is best.
        if "exported_checkpoint" in changeable and last:
            tree.pop("postprocessing")
    if before != now:
        changed = (
            f"{section}.{key}"
            for section in now
            if isinstance(now[section], dict)
            for key in {**now[section], **before[section]}
            if now[section].get(key) != before[section].get(key)
        )
        raise ConfigError(
            f"the run was started with another {next(changed)}",
            where=config,
            cure="resume with the same recipe and settings",
        )
