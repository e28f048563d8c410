"""Charts of two evaluations of the same cases: paired values, and their differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.ticker import MaxNLocator

from gliomaseg.errors import counted
from gliomaseg.evaluation.comparison import CaseDifference, Comparison
from gliomaseg.evaluation.measures import HEADLINE
from gliomaseg.report.svg import BAND, BLUE, HEIGHT, INK, ORANGE, QUIET, Chart, as_svg, chart_style, dots, new_figure

SQUARE = HEIGHT + 130  # so that both axes of the paired chart have one scale
LINES_UP_TO = 60  # more cases are drawn as dots without lines
TICKS = [0, 0.2, 0.4, 0.6, 0.8, 1]


def draw_comparison(comparison: Comparison) -> list[Chart]:
    """Return the charts of a comparison; none without a Dice of the same definition in both evaluations."""
    known = [entry for entry in comparison.patients if entry.difference is not None]
    if not known or HEADLINE not in comparison.measures:
        return []
    with chart_style():
        return [_paired(known, comparison.noun), _differences(known, comparison)]


def _paired(known: Sequence[CaseDifference], noun: str) -> Chart:
    """Draw the Dice of B over that of A."""
    figure, axes = new_figure(SQUARE)
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    tips = _dots_by_sign(axes, known, lambda _k, entry: (entry.a, entry.b))
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="Dice of A", ylabel="Dice of B", aspect="equal")
    axes.set_xticks(TICKS)
    axes.set_yticks(TICKS)
    title = "Paired values"
    return Chart(
        "pairs",
        title,
        f"Each dot is one of {counted(len(known), noun)}. Above the dashed line B is better (blue), below it A "
        "(orange), on it both are equal (grey). Dots far from the line are the disagreements.",
        as_svg(figure, name="pairs", title=title, tips=tips),
    )


def _differences(known: Sequence[CaseDifference], comparison: Comparison) -> Chart:
    """Draw the difference of each case from the lowest to the highest, with the mean and its interval."""
    figure, axes = new_figure(SQUARE)
    ranked = sorted(known, key=lambda entry: entry.difference or 0.0)
    paired = comparison.measures[HEADLINE]
    if not math.isnan(paired.low):
        axes.axhspan(paired.low, paired.high, color=BAND, linewidth=0, zorder=0)
    axes.axhline(0, color=QUIET, linewidth=1, zorder=1)
    axes.axhline(paired.mean_difference, color=INK, linewidth=1, zorder=2)
    if len(ranked) <= LINES_UP_TO:
        for k, entry in enumerate(ranked, start=1):
            colour = BLUE if (entry.difference or 0) > 0 else ORANGE
            axes.plot([k, k], [0, entry.difference], color=colour, linewidth=1.2, alpha=0.5, zorder=2)
    tips = _dots_by_sign(axes, ranked, lambda k, entry: (k, entry.difference))
    reach = max(0.05, *(abs(entry.difference or 0.0) for entry in ranked)) * 1.1
    axes.set(xlim=(0, len(ranked) + 1), ylim=(-reach, reach), xlabel=f"{comparison.noun}s, lowest difference first")
    axes.set_ylabel("Dice of B \u2212 Dice of A")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    title = "Differences"
    return Chart(
        "differences",
        title,
        f"Each dot is a {comparison.noun}: B is better above 0. The black line is the mean difference, the band its "
        "95 % interval. A mean near 0 may hide large differences in both directions.",
        as_svg(figure, name="differences", title=title, tips=tips),
    )


def _dots_by_sign(axes: Any, entries: Sequence[CaseDifference], place: Any) -> dict[str, Sequence[str]]:
    """Draw the cases in the colour of the better evaluation, and return the titles of the dots."""
    tips: dict[str, Sequence[str]] = {}
    for gid, colour, sign in (("up", BLUE, 1), ("down", ORANGE, -1), ("equal", QUIET, 0)):
        chosen = [(k, e) for k, e in enumerate(entries, start=1) if _sign(e.difference or 0.0) == sign]
        if chosen:
            x, y = zip(*(place(k, entry) for k, entry in chosen), strict=True)
            dots(axes, x, y, gid=gid, color=colour)
            tips[gid] = [_tip(entry) for _, entry in chosen]
    return tips


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _tip(entry: CaseDifference) -> str:
    return f"{entry.case}: A {entry.a:.3f}, B {entry.b:.3f}"
