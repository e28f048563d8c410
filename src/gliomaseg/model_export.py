"""Export of a model folder to share: one kind of weights, scores, model card and checksums."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from gliomaseg.config import Tree
from gliomaseg.errors import DataError, ModelError, UsageError, import_extra
from gliomaseg.evaluation.dice_estimation import DiceEstimatorFit, dice_estimator_text, fit_dice_estimator
from gliomaseg.evaluation.documents import read_evaluation
from gliomaseg.evaluation.results import Evaluation
from gliomaseg.model import (
    CARD,
    METRICS,
    ONNX,
    WEIGHTS,
    Model,
    ModelConfig,
    load_model,
    write_config,
    write_digests,
    write_metrics,
)
from gliomaseg.model_card import CardScores, exported_card
from gliomaseg.ownership import OutputFolder, file_digest
from gliomaseg.user_files import read_text

OPENVINO = ("model.xml", "model.bin")
KINDS: dict[str, tuple[str, ...]] = {"onnx": (ONNX,), "openvino": (ONNX, *OPENVINO), "safetensors": (WEIGHTS,)}


@dataclass(frozen=True)
class ExportOptions:
    """The options of `gliomaseg export`.

    Attributes:
        model: a run or a model folder.
        out: the new model folder.
        to: a key of `KINDS`, the kind of weights; "openvino" adds its two files to the ONNX file.
        name: name of the new model; None keeps the name.
        evaluation: a folder that `crossvalidate` or `evaluate` wrote; its scores replace those of the model.
        card: a Markdown file that replaces the model card.
        overwrite: replace a model folder that `export` wrote.
        keep_weights: also write the weights that a training can start from, in 16 bits.
    """

    model: Path
    out: Path
    to: str = "onnx"
    name: str | None = None
    evaluation: Path | None = None
    card: Path | None = None
    overwrite: bool = False
    keep_weights: bool = False


def export_model(options: ExportOptions, *, say: Callable[[str], None]) -> Path:
    """Write a model folder with exactly the network file that was evaluated.

    If the evaluation is a cross-validation with confidence features, the Dice estimator is fitted to it. If the
    cross-validation was tuned, the model gets the postprocessing chosen on all folds.

    Args:
        options: model, evaluation and folders.
        say: called with a line about the fit of the Dice estimator.

    Returns:
        The model folder.

    Raises:
        ModelError: the model is incomplete, lacks the requested weights, or has the scores of another network.
        OutputExistsError: `out` exists, or with `overwrite`, it has files that `export` did not write or that were
            changed since.
        UsageError: `to` is not a kind, the name is not valid, or `out` contains the model.
        MissingExtraError: OpenVINO is not installed.
        DataError: the evaluation or the card cannot be read.
    """
    _require_valid_options(options)
    output = OutputFolder(options.out, "export")
    output.require_replaceable(options.out, overwrite=options.overwrite)
    model = load_model(options.model)
    _require_separate_folder(options, model)
    _require_scored(model)
    scores = _scores(options, model, say)
    config = _exported_config(options, model, scores)
    card = _card(options, model, config.name, scores)
    with output.new_folder(options.out, overwrite=options.overwrite) as folder:
        _copy_network(model, options, folder)
        write_config(folder, config)
        _write_scores(folder, scores)
        (folder / CARD).write_text(card, "utf-8")
        write_digests(folder)
    return options.out


def _require_valid_options(options: ExportOptions) -> None:
    """Raise if the kind or the name is not valid."""
    if options.to not in KINDS:
        raise UsageError(f"kind is {options.to!r}, expected one of {', '.join(KINDS)}", where="--to")
    if options.name is not None and not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,63}", options.name, re.ASCII):
        raise UsageError(
            f"name is {options.name!r}, expected letters, digits and . _ -", where="--name", cure="use another name"
        )


def _require_separate_folder(options: ExportOptions, model: Model) -> None:
    """Raise if the model is an ensemble, or if `out` contains the model."""
    if len(model.members) > 1:
        raise ModelError(
            f"has {len(model.members)} networks, expected 1",
            where=options.model,
            cure="export one of its folds, for example fold-0",
        )
    if options.out.resolve() == model.folder.resolve() or options.out.resolve() in model.folder.resolve().parents:
        raise UsageError("is the model's folder or contains it", where=options.out, cure="use another --out")


@dataclass(frozen=True)
class _Scores:
    """The scores of the new model.

    Attributes:
        folder: the folder whose `metrics.json` is copied; None to write no scores.
        evaluation: the later evaluation; None if the model keeps its scores, or has none.
        fit: of the Dice estimator to this evaluation; None if it cannot be fitted.
    """

    folder: Path | None
    evaluation: Evaluation | None = None
    fit: DiceEstimatorFit | None = None

    def on_card(self, model: Model) -> CardScores | None:
        """Return the scores for the card; None if the card keeps its own."""
        if self.folder is not None and self.evaluation is None:
            return None
        folds = self.evaluation.setting.model_digests if self.evaluation else None
        return CardScores(self.evaluation, self.fit, own=not folds or model.digest in folds)


def _exported_config(options: ExportOptions, model: Model, scores: _Scores) -> ModelConfig:
    config = model.config.model_copy(update={"name": options.name or model.config.name})
    if scores.fit is not None:
        config = config.model_copy(update={"dice_estimator": scores.fit.dice_estimator})
    if scores.evaluation is not None and scores.evaluation.postprocessing is not None:
        config = config.model_copy(update={"postprocessing": scores.evaluation.postprocessing})
    if options.to == "safetensors":
        config = config.model_copy(update={"onnx_precision": "fp32"})
    return config


def _copy_network(model: Model, options: ExportOptions, folder: Path) -> None:
    """Copy the weights of the requested kind; for OpenVINO, convert them."""
    source = model.weights if options.to == "safetensors" else model.onnx
    if not source.is_file():
        cure = "name the run that trained the model"
        raise ModelError(f"{source.name} is missing, expected for --to {options.to}", where=model.folder, cure=cure)
    shutil.copyfile(source, folder / source.name)
    if options.to == "openvino":
        openvino = import_extra("openvino", "openvino", purpose="--to openvino")
        # By default, OpenVINO stores half precision: the probabilities would differ from the evaluated ones.
        openvino.save_model(openvino.convert_model(source), folder / OPENVINO[0], compress_to_fp16=False)
    if options.keep_weights and options.to != "safetensors":
        _write_half_precision(model.weights, folder / WEIGHTS)


def _write_half_precision(source: Path, target: Path) -> None:
    """Write the weights with 16 instead of 32 bits: half the size, and precise enough to start a training from.

    Raises:
        ModelError: the model has no weights for torch.
        MissingExtraError: safetensors is not installed.
    """
    if not source.is_file():
        cure = "omit --keep-weights, or name the run that trained the model"
        raise ModelError(f"{source.name} is missing, expected for --keep-weights", where=source.parent, cure=cure)
    safetensors = import_extra("safetensors.numpy", "train", purpose="--keep-weights")
    tensors = safetensors.load_file(source)
    halves = {name: array.astype("float16") if array.dtype == "float32" else array for name, array in tensors.items()}
    safetensors.save_file(halves, target)
    shutil.copymode(source, target)  # safetensors lets only the owner read


def _require_scored(model: Model) -> None:
    """Raise if the model's scores belong to another network."""
    setting = (_read_json(model.folder / METRICS) or {}).get("setting")
    digest = setting.get("model_digest") if isinstance(setting, dict) else None
    # Scores have the checksum of the ONNX file: without this file, the comparison is impossible.
    if digest is not None and model.onnx.is_file() and digest != model.digest:
        raise ModelError(
            f"{METRICS} has the scores of another network", where=model.folder, cure="evaluate or train the model again"
        )


def _scores(options: ExportOptions, model: Model, say: Callable[[str], None]) -> _Scores:
    """Return the scores of the new model, and fit the Dice estimator to a cross-validation.

    Raises:
        ModelError: the evaluation belongs to another network.
        DataError: a `metrics.json` cannot be read.
    """
    if options.to == "safetensors" and model.config.onnx_precision != "fp32":
        say("scores are left out: they belong to the int8 network; evaluate the exported model")
        return _Scores(None)
    if options.evaluation is None:
        return _Scores(model.folder)
    evaluation = read_evaluation(options.evaluation)
    _require_own_scores(options.evaluation, evaluation, model)
    scored = evaluation.setting.model_digest
    same = {model.digest}
    if model.config.onnx_precision == "fp32" and model.weights.is_file():  # the torch engine differs by rounding only
        same.add(file_digest(model.weights))
    if scored is not None and scored not in same:
        raise ModelError("is not the network of this evaluation", where=options.model, cure="evaluate this model")
    if (folds := evaluation.setting.model_digests) and model.digest not in folds:
        say("the scores belong to the networks of the cross-validation; this network has no scores of its own")
    # Only in a cross-validation was every patient evaluated by a model that was not trained on this patient.
    if not evaluation.setting.model_digests:
        say("the Dice estimator is not fitted: the evaluation is not a cross-validation")
        return _Scores(options.evaluation, evaluation)
    try:
        fit = fit_dice_estimator([*evaluation.patients, *evaluation.copies])
    except DataError as fault:
        say(f"the Dice estimator is not fitted: {fault.what}")
        return _Scores(options.evaluation, evaluation)
    say(dice_estimator_text(fit))
    return _Scores(options.evaluation, evaluation, fit)


def _require_own_scores(folder: Path, evaluation: Evaluation, model: Model) -> None:
    """Refuse the scores of masks, and those of a cross-validation of other networks.

    Raises:
        ModelError: the scores do not belong to this kind of network.
    """
    if evaluation.setting.predictions is not None:
        what = f"has the scores of masks ({evaluation.setting.predictions}), expected those of a model"
        raise ModelError(what, where=folder, cure="evaluate the model")
    if evaluation.setting.model_digests and (folder / "fold-0").is_dir():
        config, ours = load_model(folder / "fold-0").config, model.config
        for name in ("network", "preprocessing"):
            if getattr(config, name) != getattr(ours, name):
                what = f"is a cross-validation of networks with other settings ({name})"
                raise ModelError(what, where=folder, cure="name the cross-validation of this model's recipe")


def _write_scores(folder: Path, scores: _Scores) -> None:
    """Copy `metrics.json`, and add the Dice estimator with its measures if it was fitted."""
    metrics = None if scores.folder is None else _read_json(scores.folder / METRICS)
    if metrics is None:
        return
    if scores.fit is not None:
        measures = {name: value for name, value in asdict(scores.fit).items() if name != "dice_estimator"}
        metrics["dice_estimator"] = {**measures, **scores.fit.dice_estimator.model_dump()}
    write_metrics(folder, metrics)


def _card(options: ExportOptions, model: Model, name: str, scores: _Scores) -> str:
    """Return the given card, or the model's with the new name and the new scores."""
    if options.card:
        return _read(options.card)
    card = _read(model.folder / CARD) if (model.folder / CARD).is_file() else ""
    return exported_card(card, name=name, scores=scores.on_card(model))


def _read(path: Path) -> str:
    try:
        return read_text(path)
    except (OSError, UnicodeDecodeError) as fault:
        raise DataError("cannot be read as text", where=path) from fault


def _read_json(path: Path) -> Tree | None:
    """Return a JSON object; None if the file does not exist.

    Raises:
        DataError: the file is not a JSON object.
    """
    if not path.is_file():
        return None
    try:
        tree = json.loads(_read(path))
    except (ValueError, RecursionError) as fault:
        raise DataError("is not readable JSON", where=path) from fault
    if not isinstance(tree, dict):
        raise DataError("is not a JSON object", where=path)
    return tree
