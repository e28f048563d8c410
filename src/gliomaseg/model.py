"""Model folders: weights, settings, scores, model card, and their SHA-256 checksums."""

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
from gliomaseg.engines.onnx_file import require_own_tensors
from gliomaseg.errors import ModelError, counted
from gliomaseg.ownership import file_digest
from gliomaseg.user_files import read_text

FORMAT = 2
ONNX = "model.onnx"
WEIGHTS = "model.safetensors"
CONFIG = "config.json"
METRICS = "metrics.json"
CARD = "README.md"
DIGESTS = "SHA256SUMS"
# Files that PyTorch and scikit-learn load with pickle.
PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".bin")
SPLITS = "splits.json"  # in the folder of a cross-validation


class StartModel(Settings):
    """The model whose weights a training started from.

    Attributes:
        name: of the model.
        digest: the SHA-256 of its ONNX file; of its weights if there is no ONNX file.
        not_loaded: the tensors of the network that this model lacks, or has in another shape; they started at random.
        trained_on: hashed ids of its training patients; empty if unknown.
    """

    name: str
    digest: str
    not_loaded: tuple[str, ...] = ()
    trained_on: tuple[str, ...] = ()

    @property
    def random_text(self) -> str:
        """The number of tensors that started at random and the first three, as the end of a line; empty without any."""
        shown = ", ".join([*self.not_loaded[:3], *(["..."] if len(self.not_loaded) > 3 else [])])
        return f"; {counted(len(self.not_loaded), 'tensor')} random: {shown}" if self.not_loaded else ""


class ModelConfig(Settings):
    """The content of `config.json`: everything that prediction needs besides the weights.

    Attributes:
        format: version of this file.
        name: of the model.
        preprocessing: scan to network input.
        network: settings that build the network.
        postprocessing: probabilities to mask.
        sequences: input sequences.
        versions: versions of Python and of the libraries that wrote the model.
        title: one line.
        onnx_precision: of the ONNX file; the weights for torch are always fp32.
        dice_estimator: computes the predicted Dice; None if it was not fitted.
        trained_on: hashed ids of the training patients, from `hashed_patient_id`; empty if unknown. Those of the
            start's model are among them.
        start: the model whose weights the training started from; None if it started at random.
        skull_stripped: whether the training had heads without skull and scalp.
    """

    format: int = FORMAT
    name: str
    preprocessing: Preprocessing
    network: Network
    postprocessing: Postprocessing
    sequences: tuple[str, ...]
    versions: dict[str, str]
    title: str = ""
    onnx_precision: Literal["fp32", "int8"] = "fp32"
    dice_estimator: DiceEstimator | None = None
    trained_on: tuple[str, ...] = ()
    start: StartModel | None = None
    skull_stripped: bool = False


@dataclass(frozen=True)
class Model:
    """A model folder whose files agree with its checksums."""

    folder: Path
    config: ModelConfig

    @property
    def onnx(self) -> Path:
        """The ONNX file: input (n, c, y, x) float32, output probabilities (n, y, x)."""
        return self.folder / ONNX

    @property
    def weights(self) -> Path:
        """The weights for torch."""
        return self.folder / WEIGHTS

    @property
    def digest(self) -> str:
        """The SHA-256 of the ONNX file; of the weights if there is no ONNX file."""
        return file_digest(self.onnx if self.onnx.is_file() else self.weights)

    @property
    def members(self) -> tuple[Model, ...]:
        """The networks whose probabilities are averaged: only this model."""
        return (self,)


@dataclass(frozen=True)
class Ensemble(Model):
    """The models of a cross-validation as one model. `folder` is the cross-validation's folder, `config` is shared."""

    folds: tuple[Model, ...] = ()

    @property
    def digest(self) -> str:
        """The SHA-256 of the members' checksums, in their order."""
        return joint_digest(member.digest for member in self.folds)

    @property
    def members(self) -> tuple[Model, ...]:
        """The networks whose probabilities are averaged."""
        return self.folds


def hashed_patient_id(patient: str) -> str:
    """Return a hash of a patient's identifier: 16 hexadecimal digits.

    The hash does not contain the identifier, but it can be recomputed from the identifier, or from a correct guess.
    """
    return hashlib.sha256(f"gliomaseg patient {patient}".encode("utf-8", "surrogateescape")).hexdigest()[:16]


def hashed_patient_ids(patients: Iterable[str]) -> tuple[str, ...]:
    """Return the hashed ids of patients without duplicates, sorted, so that their order has no meaning."""
    return tuple(sorted({hashed_patient_id(patient) for patient in patients}))


def load_model(path: Path) -> Model:
    """Return the model of a model folder, of a run's folder, or of a cross-validation's folder as an ensemble.

    Raises:
        ModelError: the folder has no model, a file is missing, cannot be read or differs from its checksum, or the
            folds of a cross-validation have different settings.
    """
    try:
        runs = _fold_runs(path)
        return _ensemble(path, [_load(run) for run in runs]) if runs else _load(path)
    except OSError as fault:
        raise ModelError(f"cannot be read ({fault.strerror})", where=fault.filename or path) from fault


def _fold_runs(path: Path) -> list[Path]:
    """Return the folders of a cross-validation's runs in the order of its folds; empty for any other folder."""
    if (path / CONFIG).is_file() or (path / "model").is_dir() or not (path / "fold-0").is_dir():
        return []
    try:
        folds = len(json.loads(read_text(path / SPLITS))["folds"])
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise ModelError(f"has folds but no readable {SPLITS}", where=path, cure="name one of its folds") from fault
    runs = [path / f"fold-{number}" for number in range(folds)]
    if missing := [run.name for run in runs if not (run / "model" / CONFIG).is_file()]:
        raise ModelError(
            f"the model of {', '.join(missing)} is missing",
            where=path,
            cure="finish the cross-validation with --resume",
        )
    return runs


def _ensemble(path: Path, models: list[Model]) -> Ensemble:
    first = models[0].config
    for model in models:
        config = model.config
        settings = [(one.preprocessing, one.postprocessing, one.onnx_precision) for one in (config, first)]
        if settings[0] != settings[1]:
            raise ModelError(
                f"preprocessing, postprocessing or ONNX precision differ from {models[0].folder.parent.name}",
                where=model.folder.parent,
                cure="train the folds with one recipe",
            )
    trained_on = [set(model.config.trained_on) for model in models]
    config = first.model_copy(
        update={
            "name": path.resolve().name,
            "title": f"{first.title or first.network.name}, mean of {len(models)} folds",
            "dice_estimator": None,  # the fit of single folds does not apply to their mean
            "postprocessing": _chosen_postprocessing(path) or first.postprocessing,
            # If the training patients of one member are unknown, the union is incomplete.
            "trained_on": tuple(sorted(set.union(*trained_on))) if all(trained_on) else (),
        }
    )
    return Ensemble(path, config, tuple(models))


def _chosen_postprocessing(path: Path) -> Postprocessing | None:
    """Return the postprocessing that `crossvalidate --tune` chose on all folds; None without `--tune`."""
    try:
        chosen = metrics_to_format_2(json.loads(read_text(path / METRICS))).get("postprocessing")
        return chosen and Postprocessing.model_validate(chosen)
    except FileNotFoundError:
        return None
    except (ValueError, AttributeError) as fault:
        raise ModelError(
            "postprocessing cannot be read", where=path / METRICS, cure="run crossvalidate --tune again"
        ) from fault


def _load(path: Path) -> Model:
    folder = path / "model" if (path / "model" / CONFIG).is_file() else path
    if path.suffix.lower() in PICKLES and path.is_file():
        what = "may be a pickle, which runs code as it is loaded, expected a model folder"
        raise ModelError(what, where=path, cure="train with gliomaseg, or convert the weights to ONNX or safetensors")
    if not (folder / CONFIG).is_file():
        raise ModelError("is not a model", where=path, cure="name a run, or a folder with config.json and model.onnx")
    _verify(folder)
    try:
        tree = json.loads((folder / CONFIG).read_bytes())
        config = ModelConfig.model_validate(model_config_to_format_2(tree))
    except (OSError, ValueError, AttributeError, RecursionError) as fault:  # pydantic's errors are ValueErrors
        raise ModelError(
            "cannot be read by this version", where=folder / CONFIG, cure="train or export the model again"
        ) from fault
    if config.format != FORMAT:
        raise ModelError(f"format is {config.format}, expected {FORMAT}", where=folder / CONFIG)
    if (folder / ONNX).is_file():
        require_own_tensors(folder / ONNX)
    return Model(folder, config)


def write_config(folder: Path, config: ModelConfig) -> None:
    """Write `config.json` into a new model folder."""
    (folder / CONFIG).write_text(json.dumps(config.model_dump(), indent=1) + "\n", "utf-8")


def write_metrics(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Write `metrics.json` into a new model folder."""
    (folder / METRICS).write_text(json.dumps(metrics, indent=1) + "\n", "utf-8")


def write_digests(folder: Path) -> None:
    """Write `SHA256SUMS` with the checksums of all other files; the last step of writing a model folder."""
    names = sorted(entry.name for entry in folder.iterdir() if entry.name != DIGESTS)
    lines = [f"{file_digest(folder / name)}  {name}\n" for name in names]
    (folder / DIGESTS).write_text("".join(lines), "utf-8")


def joint_digest(digests: Iterable[str]) -> str:
    """Return the SHA-256 of several checksums, in their order, hexadecimal."""
    return hashlib.sha256(" ".join(digests).encode("ascii")).hexdigest()


def _verify(folder: Path) -> None:
    try:
        lines = read_text(folder / DIGESTS).splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise ModelError(
            f"{DIGESTS} is missing or cannot be read", where=folder, cure="copy the whole model folder again"
        ) from fault
    listed = {name: digest for digest, gap, name in (line.partition("  ") for line in lines) if gap}
    # A model for torch only has no ONNX file. An ONNX file that exists must be listed.
    torch_only = WEIGHTS in listed and not (folder / ONNX).exists() and ONNX not in listed
    for name in (CONFIG,) if torch_only else (ONNX, CONFIG):
        if name not in listed:
            raise ModelError(f"{DIGESTS} does not list {name}", where=folder, cure="copy the whole model folder again")
    for name, digest in listed.items():
        file = folder / name
        if Path(name).name != name:
            raise ModelError(f"{DIGESTS} lists {name}, expected names of files in this folder", where=folder)
        if not file.is_file():
            if name == WEIGHTS:  # a bundled model may omit it: only torch needs it
                continue
            raise ModelError("is missing", where=file, cure="copy the whole model folder again")
        if file_digest(file) != digest:
            raise ModelError("checksum differs from SHA256SUMS", where=file, cure="copy the whole model folder again")
