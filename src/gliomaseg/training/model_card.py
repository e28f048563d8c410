"""The model card: data, licence, scores and settings of a trained model."""

from __future__ import annotations

from gliomaseg.config import Recipe
from gliomaseg.evaluation.results import Evaluation, Summary
from gliomaseg.model import StartModel

LGG = (
    "The training images come from the LGG MRI segmentation data set (Kaggle `mateuszbuda/lgg-mri-segmentation`, from "
    "TCIA's TCGA-LGG). Its licence is CC BY-NC-SA 4.0: use the weights for non-commercial purposes and share them "
    "alike."
)
OWN = "The training images are the user's own. Their terms apply to the weights too."
PHANTOM = "The training images are phantoms drawn by gliomaseg. The weights were not trained on real brains."


def model_card(recipe: Recipe, metrics: Evaluation, *, patients: list[str], start: StartModel | None = None) -> str:
    """Return the model card as Markdown.

    Args:
        recipe: settings of the training.
        metrics: the evaluation of the validation cases.
        patients: names of the training cases.
        start: the model whose weights the training started from.
    """
    setting, summary = metrics.setting, metrics.summary
    lines = [
        f"# {metrics.setting.model}",
        "",
        f"{recipe.title or recipe.network.name}. This model outlines glioma on axial brain MRI.",
        "",
        "**Research software, not a medical device.** Not for diagnosis or treatment.",
        "",
        "## Data and licence",
        "",
        _origin(patients, start),
        "",
        (
            f"Trained on {len(set(patients))} patients. Evaluated on the validation cases of a split by "
            f"{setting.split} (seed {setting.seed}): {summary.patients} patients, {summary.slices} slices."
        ),
    ]
    if setting.labels:
        lines += ["", f"Tumour is the mask values {', '.join(map(str, setting.labels))}."]
    if setting.warning:
        lines += ["", f"**Warning**: {setting.warning}."]
    lines += ["", "## Scores", "", *_table(summary), "", "Definitions:", ""]
    lines += [f"- `{name}`: {text}" for name, text in metrics.definitions.items()]
    return "\n".join([*lines, "", "## Training", "", *_settings(recipe, start), ""])


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
        f"- training: {recipe.training.model_dump()}",
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
