"""Write an evaluation as one self-contained HTML file, to read, print and send.

All text from the evaluation is escaped. The page's content security policy forbids loading and sending.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Sequence
from importlib import resources
from itertools import groupby
from pathlib import Path
from typing import Any

from gliomaseg.errors import OutputExistsError, import_extra
from gliomaseg.evaluation import measures
from gliomaseg.evaluation.documents import read_evaluation
from gliomaseg.evaluation.measure import Measure
from gliomaseg.evaluation.measures import COUNTS
from gliomaseg.evaluation.results import METRICS, PICTURES, CaseScores, Evaluation, MeasureSummary, Subgroup
from gliomaseg.evaluation.subgroups import FEWEST, subgroups
from gliomaseg.ownership import OutputFolder
from gliomaseg.report import summary_text
from gliomaseg.report.images import embed_images

OTHERS = "Other measures"
MINUS, DASH = "\u2212", "\u2013"


def write_report(evaluation: Path, out: Path, *, overwrite: bool = False) -> Path:
    """Write a report of an evaluation, and return its path; the same evaluation gives the same bytes.

    Args:
        evaluation: the folder that `gliomaseg evaluate` wrote.
        out: the HTML file to write.
        overwrite: whether an earlier report of that name is replaced.

    Raises:
        OutputExistsError: `out` exists and `overwrite` is not set, or it is not a report or was changed since, or it
            is part of the evaluation.
        MissingExtraError: matplotlib or Jinja are not installed.
        DataError: there is no evaluation in the folder.
        FormatError: the evaluation is damaged.
        ResourceError: the disk is full.
    """
    if out.resolve() == (evaluation / METRICS).resolve() or (evaluation / PICTURES).resolve() in out.resolve().parents:
        raise OutputExistsError("is part of the evaluation itself", where=out, cure="name another --out")
    output = OutputFolder(out.parent, "report")
    output.require_replaceable(out, overwrite=overwrite)
    output.write_text(out, render(read_evaluation(evaluation), evaluation))
    return out


def render(evaluation: Evaluation, folder: Path) -> str:
    """Return the page.

    Args:
        evaluation: as `read_evaluation` returns it.
        folder: where its pictures are.

    Raises:
        MissingExtraError: matplotlib or Jinja are not installed.
    """
    template, figures = load_template("report.html"), _with_extra("gliomaseg.report.figures")
    script = template_text("sort.js")
    patients = evaluation.patients
    page_text: str = template.render(
        evaluation=evaluation,
        texts=summary_text,
        main=summary_text.headline(evaluation),
        charts=figures.draw_charts(evaluation),
        pictures=embed_images(evaluation, folder),
        columns=columns(patients),
        groups=grouped(evaluation),
        subgroups=_by_grouping(evaluation),
        rows=sorted(patients, key=_worst_first),
        fewest=FEWEST,
        style=template_text("report.css"),
        script=script,
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
    )
    return page_text


def load_template(name: str) -> Any:
    """Return a template of `report/templates`, with escaping, and an error for each undefined name.

    Raises:
        MissingExtraError: Jinja is not installed.
    """
    jinja2 = _with_extra("jinja2")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(template_text),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        three=three, whole=whole, sentence=summary_text.sentence, marked=marked, breakable=breakable
    )
    return environment.get_template(name)


def template_text(name: str) -> str:
    """Return a file of `report/templates`."""
    return resources.files("gliomaseg.report").joinpath("templates", name).read_text("utf-8")


def columns(patients: Sequence[CaseScores]) -> list[Measure]:
    """Return the measures that at least one patient has, in the order of the table."""
    return [m for m in measures.MEASURES if any(row.measures.get(m.name) is not None for row in patients)]


def grouped(evaluation: Evaluation) -> list[tuple[str, list[tuple[Measure, MeasureSummary]]]]:
    """Return the summary's entries under their headings; measures that are not in the table come last."""
    entries = evaluation.summary.measures
    known = [m for m in measures.MEASURES if m.name in entries and m.group != COUNTS]
    names = {m.name for m in known}
    known += [
        Measure(name, name, name, OTHERS, None, range=(-math.inf, math.inf), higher_is_better=None)
        for name in entries
        if name not in names
    ]
    heads = list(dict.fromkeys(m.group for m in known))
    known.sort(key=lambda m: heads.index(m.group))
    return [(head, [(m, entries[m.name]) for m in group]) for head, group in groupby(known, lambda m: m.group)]


def three(value: float | None) -> str:
    """Return a number with three decimals, or an en dash.

    >>> three(1234.5678)
    '1,234.568'
    """
    return DASH if value is None else f"{value:,.3f}".replace("-", MINUS)


def whole(value: float | None) -> str:
    """Return a count with its thousands apart, or an en dash.

    >>> whole(12345)
    '12,345'
    """
    return DASH if value is None else f"{value:,.0f}".replace("-", MINUS)


def marked(text: str) -> Any:
    """Return a text as markup: escaped, and what stands in backticks as code."""
    markup = _with_extra("markupsafe")
    return markup.Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(markup.escape(text))))


def breakable(text: str) -> Any:
    """Return a name as markup: escaped, and free to break after an underscore."""
    markup = _with_extra("markupsafe")
    return markup.Markup(str(markup.escape(text)).replace("_", "_<wbr>"))


def _by_grouping(evaluation: Evaluation) -> list[tuple[str, list[Subgroup]]]:
    """Return the subgroups under the names of their groupings; those of an earlier version are computed."""
    members = evaluation.subgroups or subgroups(evaluation.patients)
    return [(by, list(group)) for by, group in groupby(members, lambda member: member.by)]


def _worst_first(row: CaseScores) -> tuple[bool, bool, float, str]:
    """Order failed patients first, then those without a Dice, then from the lowest Dice up."""
    score = row.dice_volume
    return row.error is None, score is not None, score or 0.0, row.case


def _with_extra(module: str) -> Any:
    return import_extra(module, "report", purpose="a report")
