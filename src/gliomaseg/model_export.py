"""Export of a model folder to share: one kind of weights, scores, model card and checksums."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gliomaseg.atomic import new_folder, require_free, require_own
from gliomaseg.config import Postprocessing
from gliomaseg.errors import DataError, ModelError, UsageError, import_extra
from gliomaseg.evaluation.dice_estimation import DiceEstimatorFit, dice_estimator_text, fit_dice_estimator
from gliomaseg.evaluation.measures import conventions
from gliomaseg.evaluation.results import read_evaluation
from gliomaseg.model import (
    CARD,
    CONFIG,
    DIGESTS,
    METRICS,
    ONNX,
    WEIGHTS,
    Model,
    file_digest,
    load_model,
    write_config,
    write_digests,
    write_metrics,
)
from gliomaseg.user_files import read_text

OPENVINO = ("model.xml", "model.bin")
KINDS: dict[str, tuple[str, ...]] = {"onnx": (ONNX,), "openvino": (ONNX, *OPENVINO), "safetensors": (WEIGHTS,)}
OURS = (CARD, CONFIG, DIGESTS, METRICS, ONNX, WEIGHTS, *OPENVINO)


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
        overwrite: replace an existing model folder.
    """

    model: Path
    out: Path
    to: str = "onnx"
    name: str | None = None
    evaluation: Path | None = None
    card: Path | None = None
    overwrite: bool = False


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
        OutputExistsError: `out` exists, or with `overwrite`, it is not a model folder.
        UsageError: `to` is not a kind, the name is not valid, or `out` contains the model.
        MissingExtraError: OpenVINO is not installed.
        DataError: the evaluation or the card cannot be read.
    """
    _require_valid_options(options)
    require_free(options.out, overwrite=options.overwrite)
    require_own(options.out, OURS)
    model = load_model(options.model)
    _require_separate_folder(options, model)
    _require_scored(model)
    metrics, fit = _scores(options, model, say)
    card = (
        _read(options.card)
        if options.card
        else _own_card(model, metrics, fit, scored_anew=options.evaluation is not None)
    )
    with new_folder(options.out, overwrite=options.overwrite) as folder:
        _copy_network(model, options, folder)
        write_config(folder, model.config.model_copy(update=_changes(options, model, metrics, fit)))
        if metrics is not None:
            write_metrics(folder, metrics)
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


def _changes(
    options: ExportOptions, model: Model, metrics: Mapping[str, Any] | None, fit: DiceEstimatorFit | None
) -> dict[str, Any]:
    """Return the settings of the new model that differ from those of the old one."""
    changed: dict[str, Any] = {"name": options.name or model.config.name}
    if fit is not None:
        changed["dice_estimator"] = fit.dice_estimator
    if metrics is not None and options.evaluation is not None and (postprocessing := metrics.get("postprocessing")):
        changed["postprocessing"] = Postprocessing.model_validate(postprocessing)
    if options.to == "safetensors":
        changed["onnx_precision"] = "fp32"
    return changed


def _copy_network(model: Model, options: ExportOptions, folder: Path) -> None:
    """Copy the weights of the requested kind; for OpenVINO, convert them."""
    source = model.weights if options.to == "safetensors" else model.onnx
    if not source.is_file():
        raise ModelError(f"{source.name} is missing", where=model.folder, cure="export the run that trained the model")
    shutil.copyfile(source, folder / source.name)
    if options.to == "openvino":
        openvino = import_extra("openvino", "openvino", purpose="--to openvino")
        # By default, OpenVINO stores half precision: the probabilities would differ from the evaluated ones.
        openvino.save_model(openvino.convert_model(source), folder / OPENVINO[0], compress_to_fp16=False)


def _require_scored(model: Model) -> None:
    """Raise if the model's scores belong to another network."""
    setting = (_read_json(model.folder / METRICS) or {}).get("setting")
    digest = setting.get("model_digest") if isinstance(setting, dict) else None
    # Scores have the checksum of the ONNX file: without this file, the comparison is impossible.
    if digest is not None and model.onnx.is_file() and digest != model.digest:
        raise ModelError(
            f"{METRICS} has the scores of another network", where=model.folder, cure="evaluate or train the model again"
        )


def _scores(
    options: ExportOptions, model: Model, say: Callable[[str], None]
) -> tuple[dict[str, Any] | None, DiceEstimatorFit | None]:
    """Return the scores of the new model, including the measures of the fit, and the fit of the Dice estimator."""
    if options.to == "safetensors" and model.config.onnx_precision != "fp32":
        say("scores are left out: they belong to the int8 network; evaluate the exported model")
        return None, None
    if options.evaluation is None:
        return _read_json(model.folder / METRICS), None
    known = read_evaluation(options.evaluation)
    metrics = _read_json(options.evaluation / METRICS) or {}
    scored = known.setting.model_digest
    same = {model.digest}
    if model.config.onnx_precision == "fp32" and model.weights.is_file():  # the torch engine differs by rounding only
        same.add(file_digest(model.weights))
    if scored is not None and scored not in same:
        raise ModelError("is not the network of this evaluation", where=options.model, cure="evaluate this model")
    if (folds := known.setting.model_digests) and model.digest not in folds:
        say("the scores belong to the networks of the cross-validation; this network has no scores of its own")
    # Only in a cross-validation was every patient evaluated by a model that was not trained on this patient.
    if not known.setting.model_digests:
        say("the Dice estimator is not fitted: the evaluation is not a cross-validation")
        return metrics, None
    try:
        fit = fit_dice_estimator(known.patients)
    except DataError as fault:
        say(f"the Dice estimator is not fitted: {fault.what}")
        return metrics, None
    measures = {name: value for name, value in asdict(fit).items() if name != "dice_estimator"}
    metrics["dice_estimator"] = {**measures, **fit.dice_estimator.model_dump()}
    say(dice_estimator_text(fit))
    return metrics, fit


def _own_card(
    model: Model, metrics: Mapping[str, Any] | None, fit: DiceEstimatorFit | None, *, scored_anew: bool
) -> str:
    """Return the model card, with the scores of a later evaluation at its end."""
    card = model.folder / CARD
    text = _read(card) if card.is_file() else f"# {model.config.name}\n"
    if not scored_anew or metrics is None:
        return text
    setting, summary = metrics.get("setting") or {}, metrics["summary"]
    lines = [
        "",
        "## Scores of the later evaluation",
        "",
        f"{summary.get('patients')} patients of {setting.get('data')}, {setting.get('subset') or 'all'}.",
        "",
        "| measure | mean | 95 % CI |",
        "|---|---|---|",
    ]
    for name in conventions():
        entry = summary.get(name) or {}
        low, high = entry.get("ci95") or (None, None)
        interval = "" if low is None or high is None else f"{low:.3f} to {high:.3f}"
        if entry.get("mean") is not None:
            lines.append(f"| `{name}` | {entry['mean']:.3f} | {interval} |")
    if postprocessing := metrics.get("postprocessing"):
        chosen = ", ".join(f"{name} {value:g}" for name, value in postprocessing.items() if not isinstance(value, bool))
        lines += ["", f"The postprocessing was chosen on all folds ({chosen}). It replaces the threshold above."]
    return text.rstrip("\n") + "\n" + "\n".join([*lines, *(_dice_estimator_lines(fit) if fit else []), ""])


def _dice_estimator_lines(fit: DiceEstimatorFit) -> list[str]:
    return [
        "",
        f"Each prediction has a predicted Dice, computed from its confidence features: {dice_estimator_text(fit)}.",
    ]


def _read(path: Path) -> str:
    try:
        return read_text(path)
    except (OSError, UnicodeDecodeError) as fault:
        raise DataError("cannot be read as text", where=path) from fault


def _read_json(path: Path) -> dict[str, Any] | None:
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
