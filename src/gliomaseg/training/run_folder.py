"""The options of a run, and the checks of its folder: new, to be resumed, or finished."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import tomli_w

from gliomaseg.atomic import LOCK, remove
from gliomaseg.config import Recipe, read_recipe
from gliomaseg.data.case_list import DataOptions, DataSettings
from gliomaseg.data.split import Splits, write_splits
from gliomaseg.errors import ConfigError
from gliomaseg.model import CARD, DIGESTS, METRICS, ONNX, WEIGHTS
from gliomaseg.model import CONFIG as MODEL_CONFIG
from gliomaseg.ownership import MANIFEST, OutputFolder

# Training settings that may change when a run is resumed: none of them changes the computations of an epoch.
_CHANGEABLE = ("epochs", "checkpoint_minutes", "exported_checkpoint", "onnx_precision")
CONFIG, CURVES, SPLITS, MODEL = "config.toml", "curves.png", "splits.json", "model"
FILES = (CARD, DIGESTS, METRICS, MODEL_CONFIG, ONNX, WEIGHTS)
# Files that change all the time, so that the manifest has no checksums of them.
GROWING = (
    "checkpoint/best.safetensors", "checkpoint/last.safetensors", "log.jsonl", "trackers.json",
    "tensorboard/events.out.tfevents.*", "mlruns/mlflow.db*", "wandb/*run-*/run-*.wandb*", "wandb/*run-*/files/*",
    "wandb/*run-*/logs/*", "wandb/*run-*/*/code/*",
)  # fmt: skip


@dataclass(frozen=True)
class TrainOptions:
    """The options of `gliomaseg train`.

    Attributes:
        recipe: all settings.
        data: the data set, in any layout.
        out: the run's folder.
        splits: a splits file; None draws the split from the recipe's section `split`.
        fold: index of the fold in the split.
        device: "auto", "cpu" or "cuda".
        resume: continue the run in `out` if there is one.
        overwrite: remove an earlier run from `out`.
        cache: folder of the prepared slices; None for the user's cache folder.
        data_options: how the data set is read; those not given are taken from the splits file.
        trackers: names of `TRACKERS`; None for TensorBoard if it is installed.
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
    data_options: DataOptions = field(default_factory=DataOptions)
    trackers: tuple[str, ...] | None = None


def is_finished(options: TrainOptions) -> bool:
    """Return whether the folder has a finished run with exactly these options.

    Raises:
        ConfigError: the run in the folder has other settings; another number of epochs counts too.
    """
    if not (options.out / CONFIG).is_file():
        return False
    _require_same_recipe(options, changeable=("checkpoint_minutes",))
    return (options.out / CURVES).is_file()  # a run writes the curves last


def run_output(folder: Path, *, is_run: bool = False) -> OutputFolder:
    """Return the files that a run has written to its folder; `is_run`: whether it certainly is a run's folder."""
    output = OutputFolder(folder, "train")
    # A run starts with the splits: without a line about them, a file of these names may be anybody's.
    if output.has_record(folder / SPLITS):
        return replace(output, growing=GROWING)
    # A run of version 0.1.0 has no manifest.
    return replace(output, growing=tuple(f"{MODEL}/{name}" for name in FILES)) if is_run else output


def require_out_folder(options: TrainOptions, *, resuming: bool) -> None:
    """Raise if the folder has another run, or files that no run wrote; a resumed run replaces only its model folder."""
    output = run_output(options.out, is_run=resuming)
    if resuming:
        _require_same_recipe(options)
        output.require_replaceable(options.out / MODEL, overwrite=True)
        return
    # A run that was killed before its first checkpoint may lack its settings.
    restart = options.resume and not (options.out / "checkpoint").exists()
    output.require_replaceable(options.out, overwrite=options.overwrite or restart)


def start_folder(options: TrainOptions, splits: Splits) -> None:
    """Empty the run's folder and write its splits and settings; `config.toml` comes last and marks a run."""
    require_out_folder(options, resuming=False)  # again: preparing the data took a while
    empty_folder(options.out)
    with run_output(options.out).new_file(options.out / SPLITS) as temporary:
        write_splits(splits, temporary)
    write_settings(options)


def require_same_data_options(saved: Splits, now: DataOptions, where: Path) -> None:
    """Check that a data set is read as when the run was started; options that are not given are the same.

    Raises:
        ConfigError: the layout, the labels or the patients differ.
    """
    if (before := saved.data) == (wanted := DataSettings.of(before.complete(now))):
        return
    names = {"layout": "--layout", "labels": "--labels", "patient_pattern": "--patient-pattern"}
    changed = next(name for name in names if getattr(before, name) != getattr(wanted, name))
    value = getattr(before, changed)
    shown = ",".join(map(str, value)) if isinstance(value, tuple) else value
    cure = f"omit {names[changed]}, or pass {shown}" if value is not None else f"omit {names[changed]}"
    raise ConfigError(f"the run was started with another {names[changed]}", where=where, cure=cure)


def empty_folder(folder: Path) -> None:
    """Remove all files of a folder, the manifest last: after a kill, it still describes the remaining files."""
    # Remove the entries, not the folder: it may be the working directory or a mount point.
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name == MANIFEST):
        if entry.name != LOCK:
            remove(entry)


def write_settings(options: TrainOptions) -> None:
    """Write the recipe. Remove the curves: artifacts of the previous settings do not finish this run."""
    (options.out / CURVES).unlink(missing_ok=True)
    # TOML has no null: a missing setting gets its default.
    settings = tomli_w.dumps(options.recipe.model_dump(exclude_none=True))
    run_output(options.out).write_text(options.out / CONFIG, settings)


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
