"""The model card: what a stranger must know before using the weights."""

from __future__ import annotations

from gliomaseg.config import Recipe
from gliomaseg.data.index import identify
from gliomaseg.evaluation.results import Evaluation, Summary

LGG = (
    "The training images are of the LGG MRI segmentation data set (Kaggle `mateuszbuda/lgg-mri-segmentation`, from "
    "TCIA's TCGA-LGG), licensed CC BY-NC-SA 4.0: use the weights for non-commercial purposes and share them alike."
)
OWN = "The training images are the user's own; their terms hold for the weights too."
PHANTOM = "The training images are phantoms made by gliomaseg: the weights know no real brain."


def model_card(recipe: Recipe, metrics: Evaluation, *, patients: list[str]) -> str:
    """Return the card as Markdown.

    Args:
        recipe: what the model was trained by.
        metrics: the evaluation of the validation side.
        patients: names of the cases it was trained on.
    """
    setting, summary = metrics.setting, metrics.summary
    lines = [
        f"# {metrics.setting.model}",
        "",
        f"{recipe.title or recipe.network.name}. Outlines glioma on axial brain MRI slices.",
        "",
        "**Research software, not a medical device.** Not for diagnosis or treatment.",
        "",
        "## Data",
        "",
        _origin(patients),
        "",
        (
            f"Trained on {len(set(patients))} patients; scored on the validation side of a split by {setting.split} "
            f"(seed {setting.seed}): {summary.patients} patients, {summary.slices} slices."
        ),
    ]
    if setting.warning:
        lines += ["", f"**Warning**: {setting.warning}."]
    lines += ["", "## Scores", "", *_table(summary), "", "What each number counts:", ""]
    lines += [f"- `{name}`: {text}" for name, text in metrics.definitions.items()]
    return "\n".join([*lines, "", "## Settings", "", *_settings(recipe), ""])


def _settings(recipe: Recipe) -> list[str]:
    return [
        (
            f"- preparation: {recipe.preprocessing.size_px} x {recipe.preprocessing.size_px} pixels, channels "
            f"`{recipe.preprocessing.input}`, {recipe.preprocessing.context_slices} neighbours on each side"
        ),
        f"- network: {recipe.network.model_dump()}",
        f"- training: {recipe.training.model_dump()}",
        *([f"- augmentation: {recipe.augmentation.model_dump()}"] if recipe.augmentation.preset == "strong" else []),
        f"- initial weights: {getattr(recipe.network, 'weights', 'none')}",
        f"- tumour where the probability exceeds {recipe.postprocessing.threshold}",
    ]


def _origin(patients: list[str]) -> str:
    sources = {identify(name)[0].split("_")[0] for name in patients}
    sentences = [text for prefix, text in (("TCGA", LGG), ("PHANTOM", PHANTOM)) if prefix in sources]
    return " ".join(sentences + ([OWN] if sources - {"TCGA", "PHANTOM"} else []))


def _table(summary: Summary) -> list[str]:
    rows = ["| measure | mean | median | 95 % interval of the mean |", "|---|---|---|---|"]
    for name, entry in summary.measures.items():
        rows.append(f"| `{name}` | {_three(entry.mean)} | {_three(entry.median)} | {entry.interval_text()} |")
    return rows


def _three(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
