"""Audits, scores and predictions as plain text for a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from gliomaseg.data.audit import Audit
from gliomaseg.data.case_list import Problem
from gliomaseg.data.split import Splits
from gliomaseg.errors import counted, printable
from gliomaseg.evaluation.comparison import Comparison
from gliomaseg.evaluation.results import Evaluation, Summary
from gliomaseg.prediction import PredictRow
from gliomaseg.prediction.prediction import AND
from gliomaseg.pretrained import MODELS, BundledModel
from gliomaseg.report.summary_text import FEW, NO_SPLIT, warnings

SHOWN = 20

SEQUENCE_LABELS = {"t1": "T1 before contrast", "flair": "FLAIR", "t1ce": "T1 after contrast"}


def audit_text(findings: Audit) -> str:
    """Return an audit as aligned lines, its problems last."""
    lines = [f"{name:<18} {value}" for name, value in audit_facts(findings)]
    lines.append(
        f"{'other files':<18} {len(findings.skipped)} skipped" if findings.skipped else "other files        none"
    )
    lines += _listed(findings.skipped)
    for title, entries in (("warnings", findings.warnings), ("problems", findings.problems)):
        lines.append(f"{title:<18} {len(entries)}")
        lines += _listed(entries)
    return "\n".join([*lines, verdict(findings)])


def audit_facts(findings: Audit) -> list[tuple[str, str]]:
    """Return the contents of a data set as pairs of a name and a text."""
    share = findings.tumour_slices / max(1, findings.slices)
    pixels = f"{100 * findings.tumour_pixel_share:.2f} % of all pixels"
    tumour = f"{counted(findings.tumour_slices, 'slice')} ({100 * share:.1f} %), {pixels}"
    several = findings.several_examinations
    pairs = [
        ("folder", findings.root),
        ("layout", findings.layout),
        ("patients", f"{findings.patients:,}"),
        ("cases", f"{findings.cases:,}"),
        ("examined twice", f"{counted(len(several), 'patient')}: {_some(list(several))}" if several else ""),
        ("slices", f"{findings.slices:,}"),
        ("with tumour", tumour),
        ("tumour volumes", _volumes(findings)),
        ("sites", _pairs(findings.sites)),
        ("sequences", _pairs(findings.sequences)),
        ("missing sequences", _pairs(findings.missing_sequences) or "none"),
        ("intensities", _intensities(findings)),
        ("spacings", _spacings(findings)),
        ("shapes", _most(findings.shapes)),
        ("orientations", _most(findings.orientations)),
        ("mask values", ", ".join(f"{label} ({voxels:,} voxels)" for label, voxels in findings.labels.items())),
        (
            "empty masks",
            f"{len(findings.empty_masks)}: {_some(findings.empty_masks)}" if findings.empty_masks else "none",
        ),
        ("nearly black", counted(findings.near_black_slices, "slice")),
        ("copies", f"{counted(len(findings.duplicates), 'group')} of equal slices in different patients"),
        ("notes", "; ".join(findings.notes)),
        ("second copy", ", ".join(findings.second_copies) + " (not read)" if findings.second_copies else "none"),
    ]
    return [(name, value) for name, value in pairs if value]


def _listed(entries: Sequence[Problem]) -> list[str]:
    lines = [printable(f"  {entry.where}: {entry.what}") for entry in entries[:SHOWN]]
    return [*lines, f"  ... and {len(entries) - SHOWN} more (--json lists all)"] if len(entries) > SHOWN else lines


def _intensities(findings: Audit) -> str:
    limits = findings.intensities.items()
    return ", ".join(f"{name} {_short(low)} to {_short(high)}" for name, (low, high) in limits)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:,.2f}"


def _volumes(findings: Audit) -> str:
    spread = findings.tumour_ml
    if spread is None:
        return ""
    return f"{spread.min:.1f} to {spread.max:.1f} ml, median {spread.median:.1f} ml"


def _spacings(findings: Audit) -> str:
    """Return the most frequent spacings as x, y and z, with the number of cases."""
    named = {
        " x ".join(f"{length:g}" for length in reversed(spacing)) + " mm": cases
        for spacing, cases in zip(findings.spacings_mm, findings.spacing_cases, strict=True)
    }
    unknown = sum(one.slices > 0 and one.spacing_mm is None for one in findings.by_case)
    return _most(named | ({"unknown": unknown} if unknown else {}))


def _most(counts: Mapping[str, int]) -> str:
    """Return up to five entries, each with its number of cases."""
    shown = [f"{name}: {cases:,}" for name, cases in counts.items()]
    return "; ".join([*shown[:5], *([f"{len(shown) - 5} more"] if len(shown) > 5 else [])])


def verdict(findings: Audit) -> str:
    """Return whether one may train on a data set, in a line."""
    if not findings.safe:
        return "NOT safe to train on: repair or move these files"
    return "safe to train on, if the warnings are expected" if findings.warnings else "safe to train on"


def splits_text(splits: Splits) -> str:
    """Return the size of each fold's sides."""
    unit = "slices" if splits.by == "slice" else "cases"
    lines = [
        f"fold {k}: {len(fold.train)} {unit} to train on, {len(fold.validation)} to validate on"
        for k, fold in enumerate(splits.folds)
    ]
    return "\n".join([f"split by {splits.by}, seed {splits.seed}", *lines])


def summary_text(summary: Summary) -> str:
    """Return the measures as a table."""
    lines = [f"{'':<34}{'mean':>7}{'median':>9}   95 % interval"]
    for name, entry in summary.measures.items():
        numbers = f"{three_decimals(entry.mean):>7}{three_decimals(entry.median):>9}"
        lines.append(f"{name:<34}{numbers}   {entry.interval_text()}".rstrip())
    several = summary.cases is not None and summary.cases != summary.patients
    of = f"{counted(summary.cases or 0, 'case')} of " if several else ""
    with_tumour = "" if summary.tumour_slices is None else f"{summary.tumour_slices} with tumour"
    lines.append(of + ", ".join(filter(None, (summary.amount_text(), with_tumour))))
    if summary.failed:
        failed = counted(summary.failed, "case" if several else "patient")
        lines.append(f"{failed} failed, in no mean: see the rows")
    return "\n".join(lines)


def warning_lines(evaluation: Evaluation) -> list[str]:
    """Return the warnings about the numbers of an evaluation, a line each."""
    shown = [(heading, text) for heading, text in warnings(evaluation) if heading != NO_SPLIT]
    return [f"warning: {heading}: {text}" for heading, text in shown]


def comparison_text(comparison: Comparison) -> str:
    """Return a comparison of two evaluations as a table, one measure per line."""
    a, b = comparison.a, comparison.b
    patients, cases = len({entry.patient for entry in comparison.patients}), len(comparison.patients)
    noun = f"{comparison.noun}s"
    of = f"{counted(cases, 'case')} of " if cases > patients else ""
    lines = [
        f"A: {a.model} on {a.data}   B: {b.model} on {b.data}",
        f"{f'B - A, mean over {noun}':<34}{'difference':>11}   {'95 % interval':<18}{'p':>7}  wins/losses/ties",
    ]
    for name, entry in comparison.measures.items():
        interval = "" if math.isnan(entry.low) else f"{entry.low:+.3f} to {entry.high:+.3f}"
        difference = "-" if math.isnan(entry.mean_difference) else f"{entry.mean_difference:+.3f}"
        p = "-" if math.isnan(entry.p_value) else f"{entry.p_value:.3f}"
        counts = f"{entry.wins}/{entry.losses}/{entry.ties}"
        undefined = f", {entry.undefined} undefined" if entry.undefined else ""
        lines.append(f"{name:<34}{difference:>11}   {interval:<18}{p:>7}  {counts}{undefined}")
    if comparison.means_of_slices:
        names = ", ".join(comparison.means_of_slices)
        lines.append(f"here each {comparison.noun} counts once; `evaluate` gives means over slices of {names}")
    if comparison.left_out:
        lines.append(f"not compared, because the definitions differ: {', '.join(comparison.left_out)}")
    lines.append(f"{of}{counted(patients, 'patient')}; p: Wilcoxon signed-rank, two-sided; a win is B better")
    lines += [
        f"warning: {name} was trained on {seen} of these patients: its scores are too high"
        for name, seen in (("A", a.patients_seen), ("B", b.patients_seen))
        if seen
    ]
    if patients < FEW:
        # Each of the 2^n sign patterns is equally likely: two of them are the most extreme.
        lines.append(f"few patients: the intervals are unreliable, and no p can be below {min(1, 2 / 2**patients):.2g}")
    return "\n".join(lines)


def row_text(row: PredictRow) -> str:
    """Return the line of a predicted input."""
    name = printable(row.input)
    if row.error is not None:
        return row.error if row.error.startswith(name) else f"{name}: {printable(row.error)}"
    if row.tumour_voxels is None:
        return f"{name}: predicted before, {counted(len(row.outputs), 'file')} kept"
    return "; ".join([f"{name}: {_amount(row)}, by {row.model}, {_work(row)}", *map(printable, row.left_out)])


def dice_note(rows: Sequence[PredictRow]) -> str:
    """Return a line on the data that the predicted Dice was fitted on; empty if no row has a predicted Dice."""
    names = {name for row in rows if row.predicted_dice is not None for name in (row.model or "").split(AND)}
    if not names:
        return ""
    data = "lower-grade gliomas of the LGG data set" if names <= set(MODELS) else "patients of the model's data set"
    return f"predicted Dice: an estimate, fitted on {data}; other tumours and scanners can differ"


def _work(row: PredictRow) -> str:
    return f"{counted(len(row.outputs), 'file')}, {row.seconds:.2f} s"


def models_text(models: Sequence[BundledModel]) -> list[str]:
    """Return a line for each bundled model: name, title, size, headline with its interval."""
    lines = []
    for model in models:
        score = model.dice_volume
        low, high = (score and score.ci95) or (None, None)
        interval = "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"
        headline = f"dice_volume {score.mean:.3f}{interval}" if score else "not scored"
        needed = " and ".join(SEQUENCE_LABELS.get(name, name) for name in model.sequences)
        if model.default:
            when = "the default"
        elif model.skull_stripped:
            when = f"run if a scan has {needed} and no skull"
        else:
            when = f"also run if a scan has {needed}"
        words = [model.title, f"{model.size_bytes / 2**20:.1f} MiB", headline, when]
        lines.append(f"{model.model:<25} {', '.join(word for word in words if word)}")
    return lines


def _amount(row: PredictRow) -> str:
    voxels = counted(row.tumour_voxels or 0, "tumour voxel")
    amount = voxels if row.tumour_volume_ml is None else f"{row.tumour_volume_ml:.2f} ml tumour ({voxels})"
    return amount if row.predicted_dice is None else f"{amount}, predicted Dice {row.predicted_dice:.2f}"


def _pairs(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in numbers.items())


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def three_decimals(value: float | None) -> str:
    """Return a number with three decimals, or "-" if it is undefined."""
    return "-" if value is None else f"{value:.3f}"
