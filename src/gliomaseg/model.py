"""A model on disk: weights, how to prepare a scan for them, what they scored, and digests of it all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gliomaseg.config import (
    DiceEstimator,
    Network,
    Postprocessing,
    Preprocessing,
    Settings,
    metrics_to_format_2,
    model_config_to_format_2,
)
from gliomaseg.errors import ModelError

FORMAT = 2
ONNX = "model.onnx"
WEIGHTS = "model.safetensors"
CONFIG = "config.json"
METRICS = "metrics.json"
CARD = "README.md"
DIGESTS = "SHA256SUMS"
SPLITS = "splits.json"  # of a cross-validation


class ModelConfig(Settings):
    """What `config.json` holds: all that is needed to use the weights."""

    format: int = FORMAT
    name: str
    preprocessing: Preprocessing
    network: Network
    postprocessing: Postprocessing
    sequences: tuple[str, ...]
    versions: dict[str, str]
    title: str = ""
    onnx_precision: Literal["fp32", "int8"] = "fp32"  # of the ONNX file; weights for torch are always fp32
    dice_estimator: DiceEstimator | None = (
        None  # from the signs of a prediction to the Dice to expect; not fitted: None
    )
    trained_on: tuple[str, ...] = ()  # marks of the patients, as `hashed_patient_id` gives them; not known: empty


@dataclass(frozen=True)
class Model:
    """A model folder that was checked: its files are what its digests say."""

    folder: Path
    config: ModelConfig

    @property
    def onnx(self) -> Path:
        """The network for engines without torch: (n, c, y, x) float32 to probabilities (n, y, x)."""
        return self.folder / ONNX

    @property
    def weights(self) -> Path:
        """The network's weights for torch."""
        return self.folder / WEIGHTS

    @property
    def digest(self) -> str:
        """The SHA-256 of the network: of the ONNX file, or of the weights where there is none."""
        return file_digest(self.onnx if self.onnx.is_file() else self.weights)

    @property
    def members(self) -> tuple[Model, ...]:
        """The networks whose probabilities are averaged: itself alone."""
        return (self,)


@dataclass(frozen=True)
class Ensemble(Model):
    """The models of a cross-validation as one; `config` is what they share, and `folder` is that of them all."""

    folds: tuple[Model, ...] = ()

    @property
    def digest(self) -> str:
        """The SHA-256 of the members' digests, in their order."""
        return joint_digest(member.digest for member in self.folds)

    @property
    def members(self) -> tuple[Model, ...]:
        """The networks whose probabilities are averaged."""
        return self.folds


def hashed_patient_id(patient: str) -> str:
    """Return a mark of a patient's identifier that does not tell it: 16 hexadecimal digits.

    Whoever holds the identifier can find the mark again; whoever guesses identifiers can too.
    """
    return hashlib.sha256(f"gliomaseg patient {patient}".encode("utf-8", "surrogateescape")).hexdigest()[:16]


def hashed_patient_ids(patients: Iterable[str]) -> tuple[str, ...]:
    """Return the marks of patients, each once, sorted: their order tells nothing."""
    return tuple(sorted({hashed_patient_id(patient) for patient in patients}))


def load_model(path: Path) -> Model:
    """Return a model from its folder, from the folder of the run that trained it, or a cross-validation's as one.

    Raises:
        ModelError: there is none, a file of it is missing, cannot be read, or differs from its digest, or the folds of
            a cross-validation do not fit together.
    """
    try:
        runs = _fold_runs(path)
        return _ensemble(path, [_load(run) for run in runs]) if runs else _load(path)
    except OSError as fault:
        raise ModelError(f"cannot be read ({fault.strerror})", where=fault.filename or path) from fault


def _fold_runs(path: Path) -> list[Path]:
    """Return the runs of a cross-validation's folder in the order of its folds; none of any other folder."""
    if (path / CONFIG).is_file() or (path / "model").is_dir() or not (path / "fold-0").is_dir():
        return []
    try:
        folds = len(json.loads((path / SPLITS).read_text("utf-8"))["folds"])
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise ModelError("holds folds and no readable " + SPLITS, where=path, cure="name one of its folds") from fault
    runs = [path / f"fold-{number}" for number in range(folds)]
    if missing := [run.name for run in runs if not (run / "model" / CONFIG).is_file()]:
        raise ModelError(
            f"lacks the model of {', '.join(missing)}", where=path, cure="finish the cross-validation with --resume"
        )
    return runs


def _ensemble(path: Path, models: list[Model]) -> Ensemble:
    first = models[0].config
    for model in models:
        config = model.config
        ways = [(one.preprocessing, one.postprocessing, one.onnx_precision) for one in (config, first)]
        if ways[0] != ways[1]:
            raise ModelError(
                f"prepares, computes or decides otherwise than {models[0].folder.parent.name}",
                where=model.folder.parent,
                cure="train the folds with one recipe",
            )
    marks = [set(model.config.trained_on) for model in models]
    config = first.model_copy(
        update={
            "name": path.resolve().name,
            "title": f"{first.title or first.network.name}, the mean of {len(models)} folds",
            "dice_estimator": None,  # a fit of single folds says nothing of their mean
            "postprocessing": _chosen_postprocessing(path) or first.postprocessing,
            # One member that does not say whom it has seen, and the rest tells too little.
            "trained_on": tuple(sorted(set.union(*marks))) if all(marks) else (),
        }
    )
    return Ensemble(path, config, tuple(models))


def _chosen_postprocessing(path: Path) -> Postprocessing | None:
    """Return what `crossvalidate --tune` chose on all folds; None where it chose nothing."""
    try:
        chosen = metrics_to_format_2(json.loads((path / METRICS).read_text("utf-8"))).get("postprocessing")
        return chosen and Postprocessing.model_validate(chosen)
    except FileNotFoundError:
        return None
    except (ValueError, AttributeError) as fault:
        raise ModelError("holds no readable decision", where=path / METRICS, cure="tune it again") from fault


def _load(path: Path) -> Model:
    folder = path / "model" if (path / "model" / CONFIG).is_file() else path
    if not (folder / CONFIG).is_file():
        raise ModelError("is no model", where=path, cure="name a run, or a folder with config.json and model.onnx")
    _verify(folder)
    try:
        tree = json.loads((folder / CONFIG).read_bytes())
        config = ModelConfig.model_validate(model_config_to_format_2(tree))
    except (OSError, ValueError, AttributeError, RecursionError) as fault:  # pydantic's errors are ValueErrors
        raise ModelError(
            "cannot be read by this version", where=folder / CONFIG, cure="train or export the model again"
        ) from fault
    if config.format != FORMAT:
        raise ModelError(f"is of format {config.format}, not {FORMAT}", where=folder / CONFIG)
    return Model(folder, config)


def write_config(folder: Path, config: ModelConfig) -> None:
    """Write `config.json` into a model folder that is being made."""
    (folder / CONFIG).write_text(json.dumps(config.model_dump(), indent=1) + "\n", "utf-8")


def write_metrics(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Write `metrics.json` into a model folder that is being made."""
    (folder / METRICS).write_text(json.dumps(metrics, indent=1) + "\n", "utf-8")


def write_digests(folder: Path) -> None:
    """Write `SHA256SUMS` over all other files of a model folder: the last step of making one."""
    names = sorted(entry.name for entry in folder.iterdir() if entry.name != DIGESTS)
    lines = [f"{file_digest(folder / name)}  {name}\n" for name in names]
    (folder / DIGESTS).write_text("".join(lines), "utf-8")


def joint_digest(digests: Iterable[str]) -> str:
    """Return the SHA-256 of several digests, in their order, hexadecimal."""
    return hashlib.sha256(" ".join(digests).encode("ascii")).hexdigest()


def file_digest(path: Path) -> str:
    """Return a file's SHA-256, hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _verify(folder: Path) -> None:
    try:
        lines = (folder / DIGESTS).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise ModelError(
            f"has no readable {DIGESTS}", where=folder, cure="copy the whole model folder again"
        ) from fault
    listed = {name: digest for digest, gap, name in (line.partition("  ") for line in lines) if gap}
    # A model for torch alone has no ONNX file; one that is there is never left unchecked.
    torch_only = WEIGHTS in listed and not (folder / ONNX).exists() and ONNX not in listed
    for name in (CONFIG,) if torch_only else (ONNX, CONFIG):
        if name not in listed:
            raise ModelError(f"{DIGESTS} does not list {name}", where=folder, cure="copy the whole model folder again")
    for name, digest in listed.items():
        file = folder / name
        if Path(name).name != name:
            raise ModelError(f"{DIGESTS} names a file elsewhere ({name})", where=folder)
        if not file.is_file():
            if name == WEIGHTS:  # may be left out of a shipped model: only torch needs it
                continue
            raise ModelError("is missing", where=file, cure="copy the whole model folder again")
        if file_digest(file) != digest:
            raise ModelError("differs from its digest", where=file, cure="copy the whole model folder again")
