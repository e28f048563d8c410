"""The sentences of a report: the headline, the warnings, and the facts about the evaluation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import gliomaseg
from gliomaseg.data.split import LEAK
from gliomaseg.errors import counted
from gliomaseg.evaluation.results import CaseScores, Evaluation, MeasureSummary
from gliomaseg.evaluation.summaries import row_noun

FEW = 20
MOST_NOTES = 3
NO_SPLIT = "No split named"
SIDES = {"train": "training side", "validation": "validation side"}


@dataclass(frozen=True)
class Headline:
    """The summary of `dice_volume`, and the numbers of cases behind it."""

    entry: MeasureSummary
    with_dice: int
    cases: int


def noun(evaluation: Evaluation) -> str:
    """Return the word for a row: "case" if a patient has several, else "patient"."""
    return row_noun([row.patient for row in evaluation.patients])


def failures(evaluation: Evaluation) -> list[CaseScores]:
    """Return the rows without a prediction."""
    return [row for row in evaluation.patients if row.error is not None]


def headline(evaluation: Evaluation) -> Headline:
    """Return the entry of `dice_volume`, with the number of cases."""
    entry = evaluation.summary.measures.get("dice_volume") or MeasureSummary()
    defined = sum(row.dice_volume is not None for row in evaluation.patients)
    return Headline(entry, defined if entry.n is None else entry.n, len(evaluation.patients))


def title(evaluation: Evaluation) -> str:
    """Return what the page is called."""
    setting = evaluation.setting
    source = "Masks" if setting.predictions else "A model"
    return f"{setting.model or source} on {setting.data or 'a data set'}"


def subtitle(evaluation: Evaluation) -> str:
    """Return the side, the fold and the kind of split in a line."""
    setting = evaluation.setting
    parts = [f"split by {setting.split}" if setting.split else "no split named"]
    if setting.subset:
        parts.append(SIDES.get(setting.subset, f"side: {setting.subset}"))
    if setting.fold is not None:
        parts.append(f"fold {setting.fold}")
    return ", ".join(parts)


def warnings(evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    """Yield the warnings about the numbers: a heading and a sentence each."""
    setting, main, one = evaluation.setting, headline(evaluation), noun(evaluation)
    if setting.warning or setting.split == "slice":
        yield "The split leaks", sentence(setting.warning or LEAK)
    if setting.subset == "train":
        yield "Training side", "The model was trained on these patients. The scores do not apply to new patients."
    elif seen := setting.patients_seen:
        whom = "one of these patients" if seen == 1 else f"{seen} of these patients"
        yield "Seen in training", f"The model was trained on {whom}. The scores do not apply to new patients."
    elif not setting.split and seen == 0:
        yield NO_SPLIT, "By their identifiers, none of these patients trained the model."
    elif not setting.split:
        yield NO_SPLIT, "If any of these patients trained the model, the scores are too good."
    yield from _mask_warnings(evaluation)
    yield from _notes(evaluation)
    if failed := failures(evaluation):
        count = f"All {main.cases}" if len(failed) == main.cases else f"{len(failed)} of {main.cases}"
        text = "failed. No mean includes them; the first rows of the table give the reasons."
        yield f"Failed {one}s", f"{count} {one}s {text}"
    if without := main.cases - len(failed) - sum(row.dice_volume is not None for row in evaluation.patients):
        which = f"{counted(without, one)} {'has' if without == 1 else 'have'}"
        yield (
            "Without a Dice",
            f"{which} tumour neither in the reference nor in the prediction. Dice is then undefined.",
        )
    if 0 < main.with_dice < FEW:
        few = f"A single {one} has" if main.with_dice == 1 else f"Only {counted(main.with_dice, one)} have"
        yield f"Few {one}s", f"{few} a Dice. The interval is unreliable: check each {one} in the table."


def _mask_warnings(evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    if (labels := evaluation.setting.labels) and evaluation.summary.tumour_slices == 0:
        values = ", ".join(map(str, labels))
        yield "No tumour in the reference", f"No reference mask has one of the values of --labels ({values})."
    if text := _nothing_predicted(evaluation):
        yield "Nothing predicted", text
    if resampled := sum(row.resampled_from is not None for row in evaluation.patients):
        which = f"{counted(resampled, 'mask')} {'was' if resampled == 1 else 'were'}"
        yield "Resampled masks", f"{which} on another grid than the scan. Each voxel got the value of the nearest one."


def _notes(evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    """Yield the most frequent notes of the rows, each with the number of cases."""
    counts = Counter(note for row in evaluation.patients for note in row.notes)
    if counts:
        parts = [f"{counted(n, noun(evaluation))}: {note}" for note, n in counts.most_common(MOST_NOTES)]
        if more := len(counts) - len(parts):
            parts.append(f"{counted(more, 'further note')} in the rows")
        yield "Notes", sentence("; ".join(parts))


def _nothing_predicted(evaluation: Evaluation) -> str:
    """Return a sentence if no mask has a pixel, with the score that this gives by the most lenient convention."""
    predicted = [row.measures.get("predicted_voxels") for row in evaluation.patients]
    if not evaluation.summary.tumour_slices or any(predicted) or all(value is None for value in predicted):
        return ""
    entry = evaluation.summary.measures.get("dice_slices_empty_one")
    value = "" if entry is None or entry.mean is None else f" and is {entry.mean:.3f} although nothing was found"
    return f"No slice has a predicted tumour. dice_slices_empty_one counts each slice without tumour as 1{value}."


def facts(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Return what was measured and how, as pairs; missing values are left out."""
    setting, summary = evaluation.setting, evaluation.summary
    split = subtitle(evaluation) + (f", seed {setting.seed}" if setting.seed is not None else "")
    cases, patients = len(evaluation.patients), len({row.patient for row in evaluation.patients})
    counts = (("slices", summary.slices), ("with tumour", summary.tumour_slices))
    sizes = [f"{n:,.0f} {word}" for word, n in counts if n is not None]
    made = [f"{name} {version}" for name, version in evaluation.versions.items() if version]
    pairs = [
        ("Data", setting.data),
        ("Patients", ", ".join([f"{patients:,}", *([f"{cases:,} cases"] if cases > patients else []), *sizes])),
        ("Split", split[:1].upper() + split[1:]),
        ("Layout", setting.layout),
        ("Tumour labels", None if setting.labels is None else ", ".join(map(str, setting.labels))),
        ("Predictions" if setting.predictions else "Model", setting.model),
        ("Threshold", None if setting.threshold is None else f"{setting.threshold:g}"),
        ("Voxel", _voxel(evaluation)),
        ("Orientation", setting.orientation or "unknown"),
        ("Interval", evaluation.interval),
        ("Measured with", ", ".join(made)),
        ("Measuring took", None if evaluation.seconds is None else _duration(evaluation.seconds)),
        ("Report by", f"gliomaseg {gliomaseg.__version__}"),
        ("Model checksum", setting.model_digest),
        ("Splits checksum", setting.splits_digest),
        ("Command", evaluation.command),
    ]  # fmt: skip
    return [(name, value) for name, value in pairs if value]


def sentence(text: str) -> str:
    """Return a text that begins with a capital and ends with a full stop."""
    return text[:1].upper() + text[1:].removesuffix(".") + "."


def _voxel(evaluation: Evaluation) -> str:
    """Return the spacing of all scans, or its range; between slices first."""
    setting = evaluation.setting
    spacings = [row.spacing_mm for row in evaluation.patients if row.spacing_mm]
    if setting.spacing_mm:
        return _sides(setting.spacing_mm)
    if setting.unit != "mm":
        return "spacing unknown: lengths are in pixels"
    if not spacings:
        return "by the affine of each scan"
    lowest, highest = (list(map(side, zip(*spacings, strict=True))) for side in (min, max))
    if lowest == highest:
        return f"{_sides(lowest)}, by the affine of each scan"
    ranges = (f"{a:g}" if a == b else f"{a:g} to {b:g}" for a, b in zip(lowest, highest, strict=True))
    return " \u00d7 ".join(ranges) + " mm, by the affine of each scan"


def _sides(spacing_mm: list[float]) -> str:
    return " \u00d7 ".join(f"{side:g}" for side in spacing_mm) + " mm"


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
