"""Print the tables of a model card: measures, sites, tumour sizes, missing sequences and the lowest scores.

    python studies/card_tables.py crossed --data lgg

prints Markdown tables. With `--data`, one more table groups the patients by their missing sequences.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from gliomaseg.evaluation.documents import read_evaluation
from gliomaseg.evaluation.measures import conventions
from gliomaseg.evaluation.results import CaseScores, Summary
from gliomaseg.metrics.bootstrap import bootstrap_interval

WORST = 10
Rows = Sequence[CaseScores]


def measures(summary: Summary) -> Iterator[str]:
    """Yield the table of the Dice conventions."""
    yield "| measure | mean | 95 % CI | median |"
    yield "|---|---|---|---|"
    for name in conventions():
        if (entry := summary.measures.get(name)) is None:
            continue
        yield f"| `{name}` | {_short(entry.mean)} | {entry.interval_text()} | {_short(entry.median)} |"


def groups(rows: Rows, heading: str, group_of: Callable[[CaseScores], str]) -> Iterator[str]:
    """Yield `dice_volume` and the false positive rate of each group, with intervals for groups of five or more."""
    yield f"| {heading} | patients | `dice_volume` (95 % CI) | median | lowest | mean false positive rate |"
    yield "|---|---|---|---|---|---|"
    scored = [row for row in rows if row["dice_volume"] is not None]
    for name in sorted({group_of(row) for row in scored}):
        some = [row for row in scored if group_of(row) == name]
        dice = np.array([row["dice_volume"] for row in some])
        low, high = bootstrap_interval([np.array([value]) for value in dice]) if len(some) >= 5 else (None, None)
        interval = "" if low is None or high is None else f" ({_short(low)} to {_short(high)})"
        rates = [row["empty_slice_false_positive_rate"] for row in some]
        alarms = np.mean([rate for rate in rates if rate is not None] or [np.nan])
        yield (
            f"| {name} | {len(some)} | {_short(dice.mean())}{interval} | {_short(np.median(dice))} "
            f"| {_short(dice.min())} | {_short(alarms)} |"
        )


def by_size(rows: Rows) -> Callable[[CaseScores], str]:
    """Return a function that sorts patients into three groups of equal number by tumour size."""
    sizes = sorted(row["reference_voxels"] for row in rows if row["reference_voxels"])
    first, second = (sizes[len(sizes) * k // 3] for k in (1, 2))

    def group_of(row: CaseScores) -> str:
        size = row["reference_voxels"]
        if size < first:
            return f"1. under {first:,} pixels"
        return f"2. under {second:,} pixels" if size < second else f"3. {second:,} pixels and more"

    return group_of


def by_missing(data: Path) -> Callable[[CaseScores], str]:
    """Return a function that groups patients by their missing sequences: copies of FLAIR."""
    from gliomaseg.data.case import read_case
    from gliomaseg.data.layouts import read_cases

    missing = {}
    for case in read_cases(data).cases:
        voxels = read_case(case).scan.voxels
        copies = [name for name, k in (("T1", 0), ("T1ce", 2)) if (voxels[..., k] == voxels[..., 1]).all()]
        missing[case.name] = " and ".join(copies) or "none"
    return lambda row: missing.get(row.case, "unknown")


def worst(rows: Rows) -> Iterator[str]:
    """Yield the patients with the lowest Dice, and the sizes of both masks."""
    yield "| patient | `dice_volume` | reference (pixels) | predicted (pixels) | overlap (pixels) |"
    yield "|---|---|---|---|---|"
    scored = sorted((row for row in rows if row["dice_volume"] is not None), key=lambda row: row["dice_volume"])
    for row in scored[:WORST]:
        sizes = " | ".join(f"{row[name]:,}" for name in ("reference_voxels", "predicted_voxels"))
        yield f"| {row.case} | {_short(row['dice_volume'])} | {sizes} | {row['overlap_voxels']:,} |"


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}" if value < 1 else f"{value:.0f}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("evaluation", type=Path, help="a folder with metrics.json")
    parser.add_argument("--data", type=Path, help="the data set; adds the table of missing sequences")
    arguments = parser.parse_args()
    evaluation = read_evaluation(arguments.evaluation)
    rows = evaluation.patients
    parts = [
        measures(evaluation.summary),
        groups(rows, "site", lambda row: str(row.site)),
        groups(rows, "tumour", by_size(rows)),
        *([groups(rows, "missing sequences", by_missing(arguments.data))] if arguments.data else []),
        worst(rows),
    ]
    sys.stdout.write("\n\n".join("\n".join(part) for part in parts) + "\n")


if __name__ == "__main__":
    main()
