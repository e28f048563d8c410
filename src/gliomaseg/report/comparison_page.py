"""Write a comparison of two evaluations as one self-contained HTML file."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gliomaseg.errors import OutputExistsError, import_extra
from gliomaseg.evaluation import measures
from gliomaseg.evaluation.comparison import CaseDifference, Comparison, compare_evaluations
from gliomaseg.evaluation.documents import read_evaluation
from gliomaseg.evaluation.measure import Measure
from gliomaseg.evaluation.results import METRICS, PICTURES, CaseScores, Evaluation, Example
from gliomaseg.evaluation.scoring import picture_name
from gliomaseg.metrics.paired_tests import PairedComparison
from gliomaseg.ownership import OutputFolder
from gliomaseg.report import summary_text
from gliomaseg.report.html import load_template, template_text
from gliomaseg.report.images import EmbeddedImage, crop_alike, embed_image

MOST_PICTURES = 6
SCALES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


@dataclass(frozen=True)
class Disagreement:
    """A case on which the two evaluations differ, with its picture of each."""

    entry: CaseDifference
    a: EmbeddedImage
    b: EmbeddedImage

    @property
    def same_slice(self) -> bool:
        """Whether both pictures show one slice."""
        return self.a.example.slice == self.b.example.slice


@dataclass(frozen=True)
class MeasureRow:
    """One measure of the table.

    Attributes:
        measure: its names and its direction.
        paired: the comparison.
        definition: a sentence.
    """

    measure: Measure
    paired: PairedComparison
    definition: str

    @property
    def verdict(self) -> str:
        """Return "better" or "worse" if the interval of B - A excludes 0, else "open"."""
        low, high = self.paired.low, self.paired.high
        if math.isnan(low) or low <= 0 <= high:
            return "open"
        return "better" if (low > 0) != self.measure.lower_is_better else "worse"


def write_comparison(a: Path, b: Path, out: Path, *, overwrite: bool = False) -> Path:
    """Write the page of a comparison, and return its path; the same evaluations give the same bytes.

    Args:
        a: the baseline's folder, which `gliomaseg evaluate` wrote.
        b: the candidate's.
        out: the HTML file to write.
        overwrite: whether an earlier page of that name is replaced.

    Raises:
        OutputExistsError: `out` exists and `overwrite` is not set, or `compare` did not write it, it was changed since,
            or it is part of an evaluation.
        MissingExtraError: matplotlib or Jinja are not installed.
        DataError: a folder has no evaluation, or the evaluations are of other cases.
        FormatError: an evaluation is damaged.
        ResourceError: the disk is full.
    """
    for folder in (a, b):
        if out.resolve() == (folder / METRICS).resolve() or (folder / PICTURES).resolve() in out.resolve().parents:
            raise OutputExistsError("is part of an evaluation itself", where=out, cure="name another --out")
    output = OutputFolder(out.parent, "compare")
    output.require_replaceable(out, overwrite=overwrite)
    output.write_text(out, render(compare_evaluations(a, b), a, b))
    return out


def render(comparison: Comparison, a: Path, b: Path) -> str:
    """Return the page.

    Args:
        comparison: of the evaluations in both folders.
        a: the baseline's folder.
        b: the candidate's.

    Raises:
        MissingExtraError: matplotlib or Jinja are not installed.
    """
    template = load_template("compare.html")
    figures = import_extra("gliomaseg.report.comparison_figures", "report", purpose="a comparison page")
    first, second = read_evaluation(a), read_evaluation(b)
    rows = _measure_rows(comparison)
    script = template_text("sort.js")
    page: str = template.render(
        comparison=comparison,
        main=comparison.measures.get(measures.HEADLINE),
        titles=(first.setting.model or "A model", second.setting.model or "A model"),
        data=first.setting.data or "a data set",
        noun=comparison.noun,
        cautions=list(_cautions(comparison, first, second)),
        charts=figures.draw_comparison(comparison),
        rows=rows,
        scale=_scale(rows),
        disagreements=_disagreements(comparison, (a, first), (b, second)),
        facts=_facts(first, second),
        entries=sorted(comparison.patients, key=_largest_first),
        number=number,
        signed=signed,
        p_text=p_text,
        style=template_text("report.css") + template_text("compare.css"),
        script=script,
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
    )
    return page


def number(value: float | None) -> str:
    """Return a number with three decimals, or an en dash for None and NaN."""
    return "\u2013" if value is None or math.isnan(value) else f"{value:,.3f}".replace("-", "\u2212")


def signed(value: float | None) -> str:
    """Return a difference with its sign and three decimals, or an en dash.

    >>> signed(0.0125), signed(0.0)
    ('+0.013', '0.000')
    """
    if value is None or math.isnan(value):
        return "\u2013"
    text = f"{value:+,.3f}"
    return text[1:] if float(text.replace(",", "")) == 0 else text.replace("-", "\u2212")


def p_text(value: float) -> str:
    """Return a p value as "= 0.031", or "< 0.001"."""
    return "\u2013" if math.isnan(value) else "< 0.001" if value < 0.001 else f"= {value:.3f}"


def _measure_rows(comparison: Comparison) -> list[MeasureRow]:
    named = ((measures.measure_named(name), paired) for name, paired in comparison.measures.items())
    return [
        MeasureRow(measure, paired, comparison.definitions[measure.name] or "")
        for measure, paired in named
        if measure is not None
    ]


def _scale(rows: Sequence[MeasureRow]) -> float:
    """Return the largest difference that the bars of the shares show, a round number."""
    ends = [abs(end) for row in rows if row.measure.is_share for end in (row.paired.low, row.paired.high)]
    largest = max((end for end in ends if not math.isnan(end)), default=0.0)
    return next((scale for scale in SCALES if scale >= largest), SCALES[-1])


def _cautions(comparison: Comparison, first: Evaluation, second: Evaluation) -> Iterator[tuple[str, str]]:
    """Yield the warnings: those of both evaluations, few patients, and measures that were left out."""
    own: dict[tuple[str, str], list[str]] = {}
    for name, evaluation in (("A", first), ("B", second)):
        for entry in summary_text.warnings(evaluation):
            own.setdefault(entry, []).append(name)
    for (head, text), names in own.items():
        if not head.startswith("Few ") and head != summary_text.NO_SPLIT:
            yield f"{head}, {' and '.join(names)}", text
    if (count := len({entry.patient for entry in comparison.patients})) < summary_text.FEW:
        # Each of the 2^n sign patterns is equally likely: two of them are the most extreme.
        least = min(1, 2 / 2**count)
        yield "Few patients", f"The intervals are unreliable, and no p can be below {least:.2g}: check each case."
    if comparison.left_out:
        yield "Not compared", f"The definitions differ: {', '.join(comparison.left_out)}."


def _disagreements(
    comparison: Comparison, a: tuple[Path, Evaluation], b: tuple[Path, Evaluation]
) -> list[Disagreement]:
    """Return the cases with the largest differences of the Dice, and their pictures."""
    rows = [{row.case: row for row in evaluation.patients} for _, evaluation in (a, b)]
    chosen = [entry for entry in sorted(comparison.patients, key=_largest_first) if entry.difference]
    return [
        Disagreement(entry, *crop_alike(_picture(a[0], rows[0][entry.case]), _picture(b[0], rows[1][entry.case])))
        for entry in chosen[:MOST_PICTURES]
    ]


def _picture(folder: Path, row: CaseScores) -> EmbeddedImage:
    example = Example(
        kind="worst",
        case=row.case,
        slice=row.picture_slice,
        dice_volume=row.dice_volume,
        file=None if row.picture_slice is None else f"{PICTURES}/{picture_name(row.case)}",
    )
    return embed_image(folder, example)


def _facts(first: Evaluation, second: Evaluation) -> list[tuple[str, str, str]]:
    """Return what was measured and how in both evaluations; facts that only one has are a dash in the other."""
    one, other = dict(summary_text.facts(first)), dict(summary_text.facts(second))
    names = [name for name in {**one, **other} if name not in ("Report by", "Interval", "Measuring took")]
    return [(name, one.get(name, "\u2013"), other.get(name, "\u2013")) for name in names]


def _largest_first(entry: CaseDifference) -> tuple[bool, float, str]:
    """Order cases without a difference last, and the others from the largest difference down."""
    return entry.difference is None, -abs(entry.difference or 0.0), entry.case
