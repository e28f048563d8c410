"""Model cards as Markdown: data, licence, scores and settings of a trained model, and their change by an export."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gliomaseg.config import Recipe
from gliomaseg.errors import counted
from gliomaseg.evaluation.dice_estimation import DiceEstimatorFit, dice_estimator_text
from gliomaseg.evaluation.results import Evaluation, Summary
from gliomaseg.model import StartModel

LGG = (
    "The training images come from the LGG MRI segmentation data set (Kaggle `mateuszbuda/lgg-mri-segmentation`, from "
    "TCIA's TCGA-LGG). Its licence is CC BY-NC-SA 4.0: use the weights for non-commercial purposes and share them "
    "alike."
)
OWN = "The training images are the user's own. Their terms apply to the weights too."
PHANTOM = "The training images are phantoms drawn by gliomaseg. The weights were not trained on real brains."
UNSCORED = "The exported weights have no scores: the training measured the int8 network."
OTHER_NETWORKS = "The scores belong to the networks of a cross-validation; this network has no scores of its own."
# Up to the next heading of this level. Version 0.1.0 added a second section, "Scores of the later evaluation".
_SCORES = re.compile(r"^## Scores\b.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^# .*$", re.MULTILINE)


@dataclass(frozen=True)
class CardScores:
    """The scores on the card of an exported model.

    Attributes:
        evaluation: the evaluation; None if the new model has no scores.
        fit: of the Dice estimator to it; None if it was not fitted.
        own: whether this network was evaluated; otherwise, the networks of a cross-validation were.
    """

    evaluation: Evaluation | None
    fit: DiceEstimatorFit | None = None
    own: bool = True


def model_card(recipe: Recipe, metrics: Evaluation, *, patients: list[str], start: StartModel | None = None) -> str:
    """Return the card of a trained model as Markdown.

    Args:
        recipe: settings of the training.
        metrics: the evaluation of the validation cases.
        patients: names of the training cases.
        start: the model whose weights the training started from.
    """
    lines = [
        f"# {metrics.setting.model}",
        "",
        f"{recipe.title or recipe.network.name}. This model outlines glioma on axial brain MRI.",
        "",
        "**Research software, not a medical device.** Not for diagnosis or treatment.",
        "",
        "## Data and licence",
        "",
        f"{_origin(patients, start)} Trained on {counted(len(set(patients)), 'patient')}.",
    ]
    if metrics.setting.labels:
        lines += ["", f"Tumour is the mask values {', '.join(map(str, metrics.setting.labels))}."]
    return "\n".join([*lines, "", _scores(CardScores(metrics)), "## Training", "", *_settings(recipe, start), ""])


def exported_card(card: str, *, name: str, scores: CardScores | None) -> str:
    """Return a model's card with the name of the exported model as heading.

    Args:
        card: the card of the model; may be empty.
        name: of the exported model.
        scores: replace the scores of the card; None keeps them.
    """
    if not _HEADING.search(card):
        card = f"# {name}\n\n{card}"
    card = _HEADING.sub(lambda _: f"# {name}", card, count=1)
    if scores is None:
        return card
    own = _SCORES.search(card)
    place = own.start() if own else len(card)
    parts = [card[:place], _scores(scores), _SCORES.sub("", card[place:])]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def _scores(scores: CardScores) -> str:
    """Return the section of the scores, with an empty line at its end."""
    lines = ["## Scores", ""]
    evaluation = scores.evaluation
    if evaluation is None:
        return "\n".join([*lines, UNSCORED, ""])
    lines += [_evaluated_on(evaluation), ""]
    if not scores.own:
        lines += [OTHER_NETWORKS, ""]
    if evaluation.setting.warning:
        lines += [f"**Warning**: {evaluation.setting.warning}.", ""]
    if seen := evaluation.setting.patients_seen:
        lines += [f"**Warning**: the network was trained on {seen} of these patients. Their scores are too high.", ""]
    lines += [*_table(evaluation.summary), ""]
    if chosen := evaluation.postprocessing:
        values = (pair for pair in chosen.model_dump().items() if not isinstance(pair[1], bool))
        shown = ", ".join(f"{name} {value:g}" for name, value in values)
        lines += [f"The postprocessing was chosen on all folds ({shown}). It replaces that of the training.", ""]
    if scores.fit:
        text = dice_estimator_text(scores.fit)
        lines += [f"Each prediction has a predicted Dice, computed from its confidence features: {text}.", ""]
    if evaluation.definitions:
        lines += ["Definitions:", "", *(f"- `{name}`: {text}" for name, text in evaluation.definitions.items()), ""]
    return "\n".join(lines)


def _evaluated_on(evaluation: Evaluation) -> str:
    """Return a sentence about the evaluated patients."""
    setting, summary = evaluation.setting, evaluation.summary
    split = setting.split and f"split by {setting.split}"
    side = setting.subset and f"side: {setting.subset}"
    seed = None if setting.seed is None else f"seed {setting.seed}"
    details = ", ".join(part for part in (split, side, seed) if part)
    return f"Evaluated on {setting.data or 'a data set'}: {summary.amount_text()}{f' ({details})' if details else ''}."


def _settings(recipe: Recipe, start: StartModel | None) -> list[str]:
    weights = recipe.network.pretrained_weights
    if start is not None:
        weights = f"{start.name} (SHA-256 {start.digest}){start.random_text}"
    return [
        (
            f"- preprocessing: {recipe.preprocessing.size_px} x {recipe.preprocessing.size_px} pixels, input "
            f"`{recipe.preprocessing.input}`, {recipe.preprocessing.context_slices} context slices on each side"
        ),
        f"- network: {recipe.network.model_dump()}",
        f"- training: {recipe.training.model_dump(exclude={'start_from'})}",  # its path is of this machine
        *([f"- augmentation: {recipe.augmentation.model_dump()}"] if recipe.augmentation.preset == "strong" else []),
        f"- initial weights: {weights}",
        f"- postprocessing: tumour if the probability exceeds {recipe.postprocessing.threshold}",
    ]


def _origin(patients: list[str], start: StartModel | None) -> str:
    sources = {name.split("_")[0] for name in patients}
    sentences = [text for prefix, text in (("TCGA", LGG), ("PHANTOM", PHANTOM)) if prefix in sources]
    sentences += [OWN] if sources - {"TCGA", "PHANTOM"} else []
    if start is not None:
        sentences.append(f"The training started from the weights of {start.name}, whose terms apply too.")
    return " ".join(sentences)


def _table(summary: Summary) -> list[str]:
    rows = ["| measure | mean | median | 95 % CI |", "|---|---|---|---|"]
    for name, entry in summary.measures.items():
        rows.append(f"| `{name}` | {_three(entry.mean)} | {_three(entry.median)} | {entry.interval_text()} |")
    return rows


def _three(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
