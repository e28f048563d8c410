"""From a run to a model folder to give away: one kind of weights, its scores and card, fresh digests."""

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

OPENVINO = ("model.xml", "model.bin")
KINDS: dict[str, tuple[str, ...]] = {"onnx": (ONNX,), "openvino": (ONNX, *OPENVINO), "safetensors": (WEIGHTS,)}
OURS = (CARD, CONFIG, DIGESTS, METRICS, ONNX, WEIGHTS, *OPENVINO)


@dataclass(frozen=True)
class ExportOptions:
    """What the user asks for.

    Attributes:
        model: a run or a model folder.
        out: the folder to make.
        to: the weights in it; "openvino" adds its two files to the ONNX.
        name: of the new model; the old one's if None.
        evaluation: a folder that `crossvalidate` or `evaluate` wrote: its scores take the place of the model's.
        card: a Markdown file that takes the place of the model's card.
        overwrite: whether a model folder that is there is replaced.
    """

    model: Path
    out: Path
    to: str = "onnx"
    name: str | None = None
    evaluation: Path | None = None
    card: Path | None = None
    overwrite: bool = False


def export_model(order: ExportOptions, *, say: Callable[[str], None]) -> Path:
    """Write a model folder; the network in it is the one that was scored, byte for byte.

    Where the evaluation is a cross-validation that kept the signs of its predictions, the model learns from it what
    Dice to expect; where it was tuned, the model decides as was chosen on all its folds.

    Args:
        order: what to export.
        say: told what the fit is worth, or why there is none.

    Returns:
        The model folder.

    Raises:
        ModelError: there is no whole model, it lacks what is asked for, or its scores are of another network.
        OutputExistsError: something is there already, or with `overwrite` something that is no model folder.
        UsageError: there is no such kind, the name cannot be a folder's, or `out` is the model itself.
        MissingExtraError: OpenVINO is not installed.
        DataError: the evaluation or the card cannot be read.
    """
    _require_sense(order)
    require_free(order.out, overwrite=order.overwrite)
    require_own(order.out, OURS)
    model = load_model(order.model)
    _require_apart(order, model)
    _require_scored(model)
    metrics, fit = _scores(order, model, say)
    card = _read(order.card) if order.card else _own_card(model, metrics, fit, scored_anew=order.evaluation is not None)
    with new_folder(order.out, overwrite=order.overwrite) as folder:
        _copy_network(model, order, folder)
        write_config(folder, model.config.model_copy(update=_changes(order, model, metrics, fit)))
        if metrics is not None:
            write_metrics(folder, metrics)
        (folder / CARD).write_text(card, "utf-8")
        write_digests(folder)
    return order.out


def _require_sense(order: ExportOptions) -> None:
    """Refuse what no model could fulfil."""
    if order.to not in KINDS:
        raise UsageError(f"there is no kind {order.to!r}", where="--to", cure=f"kinds are {', '.join(KINDS)}")
    if order.name is not None and not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,63}", order.name, re.ASCII):
        raise UsageError(
            f"{order.name!r} cannot be a model's name", where="--name", cure="use letters, digits and . _ -"
        )


def _require_apart(order: ExportOptions, model: Model) -> None:
    """Refuse several networks, and a place in the model."""
    if len(model.members) > 1:
        raise ModelError("is several networks, not one", where=order.model, cure="export one of its folds, as fold-0")
    if order.out.resolve() == model.folder.resolve() or order.out.resolve() in model.folder.resolve().parents:
        raise UsageError("is the model itself, or holds it", where=order.out, cure="name another --out")


def _changes(
    order: ExportOptions, model: Model, metrics: Mapping[str, Any] | None, fit: DiceEstimatorFit | None
) -> dict[str, Any]:
    """Return what the new model's settings say otherwise than the old one's."""
    changed: dict[str, Any] = {"name": order.name or model.config.name}
    if fit is not None:
        changed["dice_estimator"] = fit.dice_estimator
    if metrics is not None and order.evaluation is not None and (postprocessing := metrics.get("postprocessing")):
        changed["postprocessing"] = Postprocessing.model_validate(postprocessing)
    if order.to == "safetensors":
        changed["onnx_precision"] = "fp32"
    return changed


def _copy_network(model: Model, order: ExportOptions, folder: Path) -> None:
    """Copy the weights of a kind, and convert them where that is asked for."""
    source = model.weights if order.to == "safetensors" else model.onnx
    if not source.is_file():
        raise ModelError(f"holds no {source.name}", where=model.folder, cure="export the run that trained it")
    shutil.copyfile(source, folder / source.name)
    if order.to == "openvino":
        openvino = import_extra("openvino", "openvino", purpose="--to openvino")
        # Half precision is its default: probabilities would no longer be those that were scored.
        openvino.save_model(openvino.convert_model(source), folder / OPENVINO[0], compress_to_fp16=False)


def _require_scored(model: Model) -> None:
    """Refuse scores that say that they are of another network."""
    setting = (_read_json(model.folder / METRICS) or {}).get("setting")
    digest = setting.get("model_digest") if isinstance(setting, dict) else None
    # Scores are of the ONNX file: of weights for torch alone, they cannot be told apart.
    if digest is not None and model.onnx.is_file() and digest != model.digest:
        raise ModelError(f"{METRICS} is of another network", where=model.folder, cure="evaluate or train it again")


def _scores(
    order: ExportOptions, model: Model, say: Callable[[str], None]
) -> tuple[dict[str, Any] | None, DiceEstimatorFit | None]:
    """Return the scores to give away, with the measures of the fit in them, and the fit; neither of another network."""
    if order.to == "safetensors" and model.config.onnx_precision != "fp32":
        say("its scores are left out: they are of the network of integers; evaluate this one")
        return None, None
    if order.evaluation is None:
        return _read_json(model.folder / METRICS), None
    known = read_evaluation(order.evaluation)
    metrics = _read_json(order.evaluation / METRICS) or {}
    scored = known.setting.model_digest
    same = {model.digest}
    if model.config.onnx_precision == "fp32" and model.weights.is_file():  # the torch engine differs by rounding
        same.add(file_digest(model.weights))
    if scored is not None and scored not in same:
        raise ModelError("is not the network of this evaluation", where=order.model, cure="evaluate it")
    if (folds := known.setting.model_digests) and model.digest not in folds:
        say("the scores are of the cross-validation's networks, trained like this one: this one itself has none")
    # Only in a cross-validation was every patient scored by a model that had not seen them.
    if not known.setting.model_digests:
        say("no expected Dice is fitted: the evaluation is no cross-validation")
        return metrics, None
    try:
        fit = fit_dice_estimator(known.patients)
    except DataError as fault:
        say(f"no expected Dice is fitted: {fault.what}")
        return metrics, None
    measures = {name: value for name, value in asdict(fit).items() if name != "dice_estimator"}
    metrics["dice_estimator"] = {**measures, **fit.dice_estimator.model_dump()}
    say(dice_estimator_text(fit))
    return metrics, fit


def _own_card(
    model: Model, metrics: Mapping[str, Any] | None, fit: DiceEstimatorFit | None, *, scored_anew: bool
) -> str:
    """Return the model's card, and below it the scores that came later."""
    card = model.folder / CARD
    text = _read(card) if card.is_file() else f"# {model.config.name}\n"
    if not scored_anew or metrics is None:
        return text
    setting, summary = metrics.get("setting") or {}, metrics["summary"]
    lines = [
        "",
        "## Scores of the evaluation that comes with it",
        "",
        f"{summary.get('patients')} patients of {setting.get('data')}, {setting.get('subset') or 'all'}.",
        "",
        "| measure | mean | 95 % interval of the mean |",
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
        lines += ["", f"It decides by what all folds chose ({chosen}), whatever is said of a threshold above."]
    return text.rstrip("\n") + "\n" + "\n".join([*lines, *(_quality_lines(fit) if fit else []), ""])


def _quality_lines(fit: DiceEstimatorFit) -> list[str]:
    return ["", f"Each prediction comes with the Dice to expect, from its own signs: {dice_estimator_text(fit)}."]


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise DataError("cannot be read as text", where=path) from fault


def _read_json(path: Path) -> dict[str, Any] | None:
    """Return a JSON object; None where there is no such file.

    Raises:
        DataError: it is something else.
    """
    if not path.is_file():
        return None
    try:
        tree = json.loads(_read(path))
    except (ValueError, RecursionError) as fault:
        raise DataError("is not readable JSON", where=path) from fault
    if not isinstance(tree, dict):
        raise DataError("is no JSON object", where=path)
    return tree
