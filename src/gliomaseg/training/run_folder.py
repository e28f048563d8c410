"""The options of a run, and the checks of its folder: new, to be resumed, or finished."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tomli_w

from gliomaseg.atomic import LOCK, remove
from gliomaseg.config import Recipe, read_recipe, setting_text
from gliomaseg.data.cache_digest import cache_digest
from gliomaseg.data.case_list import CaseList, DataOptions, DataSettings
from gliomaseg.data.split import Splits, read_splits, write_splits
from gliomaseg.errors import ConfigError, DataError
from gliomaseg.model import CARD, DIGESTS, METRICS, ONNX, WEIGHTS
from gliomaseg.model import CONFIG as MODEL_CONFIG
from gliomaseg.ownership import MANIFEST, OutputFolder
from gliomaseg.training.checkpoint import PREVIOUS, read_progress
from gliomaseg.training.start_weights import find_start_digest, with_absolute_start

# Training settings that may change when a run is resumed: none of them changes the computations of an epoch.
_CHANGEABLE = ("epochs", "checkpoint_minutes", "exported_checkpoint", "onnx_precision")
CONFIG, CURVES, SPLITS, MODEL = "config.toml", "curves.png", "splits.json", "model"
LAST = "checkpoint/last.safetensors"
FILES = (CARD, DIGESTS, METRICS, MODEL_CONFIG, ONNX, WEIGHTS)
# Files that change all the time, so that the manifest has no checksums of them.
GROWING = (
    "checkpoint/best.safetensors", LAST, f"checkpoint/{PREVIOUS}", "log.jsonl", "trackers.json",
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


def require_same_data(finished: Sequence[TrainOptions], index: CaseList) -> None:
    """Check that finished runs of one recipe were trained on a data set; a run without its checkpoint passes.

    Raises:
        DataError: a run was trained on other data.
    """
    known = [(run, progress) for run in finished if (progress := read_progress(run.out / LAST))]
    digest = cache_digest(index, finished[0].recipe.preprocessing) if known else ""
    for run, progress in known:
        require_same_digest(run, digest, progress.digest)


def require_same_digest(options: TrainOptions, now: str, before: str) -> None:
    """Raise DataError if a run was started with other data: the checksums of both data sets differ."""
    if before != now:
        raise DataError(
            f"the data set differs from the one that the run in {options.out} was started with",
            where=options.data,
            cure="resume with the same data, or name another folder",
        )


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


def read_run_splits(options: TrainOptions, *, resuming: bool) -> Splits | None:
    """Return the splits of the run to resume, or of the options; None if they are to be drawn.

    Raises:
        ConfigError: the run to resume has other splits, or reads its data set in another way.
        DataError: a file cannot be read.
    """
    saved, given = options.out / SPLITS, None if options.splits is None else read_splits(options.splits)
    if not (resuming and saved.is_file()):
        return given
    splits = read_splits(saved)
    if given and given.read_with(DataOptions()) != splits.read_with(DataOptions()):
        raise ConfigError(
            "the splits differ from those that the run was started with",
            where=options.splits or saved,
            cure=f"resume with {saved}",
        )
    require_same_data_options(splits, options.data_options, saved)
    return splits


def require_whole_stacks(options: TrainOptions, splits: Splits) -> None:
    """Refuse context slices with a split by slice: training and evaluation would use different neighbours.

    Raises:
        ConfigError: the recipe has context slices, and the split is by slice.
    """
    context_slices = options.recipe.preprocessing.context_slices
    if splits.by == "slice" and context_slices:
        raise ConfigError(
            f"preprocessing.context_slices is {context_slices}, expected 0 with a split by slice",
            where=options.splits or options.out,
            cure="split by patient, or set preprocessing.context_slices=0",
        )


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
    shown = [
        ",".join(map(str, value)) if isinstance(value, tuple) else value
        for value in (getattr(settings, changed) for settings in (before, wanted))
    ]
    what = f"{names[changed]} is {shown[0] or 'not set'}, expected {shown[1]} as in this command"
    raise ConfigError(what, where=where, cure=f"omit {names[changed]}, or name another --out")


def require_same_folds(saved: Splits, drawn: Splits, where: Path) -> None:
    """Check that the folds of a cross-validation are those that its options draw.

    Raises:
        ConfigError: they differ.
    """
    if saved == drawn:
        return
    cure = "resume with the same data, or name another --out"
    choices = (("--by ", "by"), ("--set split.seed=", "seed"), ("--folds ", "folds"))
    values = [{"by": splits.by, "seed": splits.seed, "folds": len(splits.folds)} for splits in (saved, drawn)]
    for option, name in choices:
        if (before := values[0][name]) != (now := values[1][name]):
            what, cure = f"split.{name} is {before}, expected {now} as in this command", f"pass {option}{before}"
            raise ConfigError(what, where=where, cure=f"{cure}, or name another --out")
    cases = [{name for fold in splits.folds for name in fold.validation} for splits in (saved, drawn)]
    if other := sorted(cases[0] ^ cases[1]):
        what = f"case {other[0]} is in {'the folds' if other[0] in cases[0] else 'the data set'} only"
        raise ConfigError(what, where=where, cure=cure)
    raise ConfigError(
        "folds differ from those of the data set: its masks or slices have changed", where=where, cure=cure
    )


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
    started = with_absolute_start(read_recipe(str(config)))
    is_same_start = _require_same_start(options, started)
    before, now = started.model_dump(), options.recipe.model_dump()
    training = options.recipe.training
    # With a schedule, the learning rate of each step depends on the number of epochs.
    scheduled = training.schedule != "constant" or training.warmup > 0
    last = before["training"]["exported_checkpoint"] == now["training"]["exported_checkpoint"] == "last"
    for tree in (before, now):
        tree.pop("title")  # it depends on changed settings, the changeable ones included
        for key in (*changeable, *(["start_from"] if is_same_start else [])):
            if key != "epochs" or not scheduled:
                tree["training"].pop(key)
        if options.splits:  # the recipe's section is not used
            tree.pop("split")
        # Postprocessing does not change weights, but it may change which epoch is best.
        if "exported_checkpoint" in changeable and last:
            tree.pop("postprocessing")
    changed = {}
    for section in (name for name, part in now.items() if isinstance(part, dict)):
        for key in now[section] | before[section]:
            if (pair := (before[section].get(key), now[section].get(key)))[0] != pair[1]:
                changed[f"{section}.{key}"] = pair
    if changed:
        raise _changed_settings(changed, config)


def _changed_settings(changed: Mapping[str, tuple[Any, Any]], config: Path) -> ConfigError:
    """Return the error for settings that differ: by name, the value of the run and that of the options."""
    name, (before, now) = next(iter(changed.items()))
    texts = ["not set" if value is None else json.dumps(value) for value in (before, now)]
    cure = f"omit {name}" if before is None else f"pass --set {setting_text(name, before)}"
    if len(changed) > 1:
        cure = f"pass {config} as RECIPE without --set ({len(changed)} settings differ)"
    what = f"{name} is {texts[0]}, expected {texts[1]} as in this command"
    return ConfigError(what, where=config, cure=f"{cure}, or name another --out")


def _require_same_start(options: TrainOptions, started: Recipe) -> bool:
    """Return whether a run and its options certainly start from the same model, by its checksum.

    Raises:
        ConfigError: they start from different models.
    """
    before, now = started.training.start_from, options.recipe.training.start_from
    progress = read_progress(options.out / LAST)
    saved = progress and progress.start
    found = now and find_start_digest(now)
    if saved is None or not found:
        return False
    if saved.digest == found:
        return True
    cure = "restore this model" if before == now else f"pass --set {setting_text('training.start_from', before)}"
    raise ConfigError(
        f"training.start_from is {before} (SHA-256 {saved.digest[:12]}), expected {now} (SHA-256 {found[:12]}) as in "
        "this command",
        where=options.out / CONFIG,
        cure=f"{cure}, or name another --out",
    )
