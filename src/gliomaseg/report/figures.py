"""Charts of the cases of an evaluation. A chart is None if the evaluation lacks its data."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from statistics import fmean, median, stdev

from matplotlib.ticker import MaxNLocator

from gliomaseg.evaluation.results import CaseScores, Evaluation
from gliomaseg.report.curves import calibration, losses, scores
from gliomaseg.report.svg import (
    BAND,
    HEIGHT,
    INK,
    ORANGE,
    QUIET,
    THOUSANDS,
    Chart,
    about_zero,
    as_svg,
    chart_style,
    dots,
    floored,
    log_axis,
    new_figure,
    share_axis,
)

MOST_SITES = 12
LONGEST_SITE = 10


def draw_charts(evaluation: Evaluation) -> dict[str, list[Chart]]:
    """Return the charts of each section; a section with nothing to draw is empty."""
    sections: dict[str, tuple[Callable[[Evaluation], Chart | None], ...]] = {
        "dice": (dice_by_patient, dice_by_site, dice_by_size, precision_and_sensitivity),
        "volume": (volumes, volume_differences),
        "calibration": (calibration,),
        "learning": (losses, scores),
    }
    with chart_style():
        return {
            section: [chart for draw in members if (chart := draw(evaluation)) is not None]
            for section, members in sections.items()
        }


def dice_by_patient(evaluation: Evaluation) -> Chart | None:
    """Draw each patient's Dice from the lowest to the highest, with the mean and its interval."""
    rows = sorted(_having(evaluation, "dice_volume"), key=_dice)
    if not rows:
        return None
    figure, axes = new_figure()
    values = [_dice(row) for row in rows]
    dots(axes, range(1, len(rows) + 1), values, gid="dots")
    entry = evaluation.summary.measures.get("dice_volume")
    low, high = entry.ci95 if entry else (None, None)
    mean = fmean(values)
    if low is not None and high is not None:
        axes.axhspan(low, high, color=BAND, linewidth=0, zorder=0)
    axes.axhline(mean, color=INK, linewidth=1, zorder=2)
    axes.annotate(f"mean {mean:.3f}", (0.01, mean), (0, 5), ("axes fraction", "data"), textcoords="offset points")
    share_axis(axes, "Dice of the whole stack")
    axes.set(xlabel="patients, lowest Dice first", xlim=(0, len(rows) + 1))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    title = "Dice of each patient"
    return Chart(
        "patients",
        title,
        f"Each dot is a patient, {len(rows)} in all, sorted. The line is the mean, the band its 95 % interval. "
        "A long tail on the left means that the model fails on a few patients.",
        as_svg(figure, name="patients", title=title, tips={"dots": [_tip(row) for row in rows]}),
    )


def dice_by_site(evaluation: Evaluation) -> Chart | None:
    """Draw each patient's Dice over the site that it comes from, with the medians."""
    sites: dict[str, list[CaseScores]] = defaultdict(list)
    for row in _having(evaluation, "dice_volume"):
        if row.site is not None:
            sites[row.site].append(row)
    shown = sorted(sites.items(), key=lambda item: (-len(item[1]), item[0]))[:MOST_SITES]
    if not shown:
        return None
    figure, axes = new_figure()
    x, y, tips = [], [], []
    for place, (_, rows) in enumerate(shown):
        for k, row in enumerate(sorted(rows, key=lambda row: row.case)):
            x.append(place + 0.5 * ((k * 0.618) % 1 - 0.5) * (len(rows) > 1))  # spread evenly, the same each time
            y.append(_dice(row))
            tips.append(_tip(row))
        middle = median(_dice(row) for row in rows)
        axes.plot([place - 0.36, place + 0.36], [middle, middle], color=INK, linewidth=1.6, zorder=4)
    dots(axes, x, y, gid="dots")
    share_axis(axes, "Dice of the whole stack")
    axes.set_xticks(range(len(shown)), [f"{_cut(site)}\n{len(rows)}" for site, rows in shown])
    axes.set(xlim=(-0.6, len(shown) - 0.4), xlabel="site, and its number of patients")
    axes.xaxis.grid(visible=False)
    title = "Dice by site"
    more = f" The {MOST_SITES} largest of {len(sites)} sites are shown." if len(sites) > len(shown) else ""
    return Chart(
        "sites",
        title,
        "Each dot is a patient, each bar the median of a site. Large differences between sites suggest that the model "
        f"depends on the scanner. The median of a site with few patients is unreliable.{more}",
        as_svg(figure, name="sites", title=title, tips={"dots": tips}),
    )


def dice_by_size(evaluation: Evaluation) -> Chart | None:
    """Draw each patient's Dice over the volume of the tumour in the reference."""
    rows = _having(evaluation, "dice_volume", "reference_voxels")
    if not rows:
        return None
    factor, unit = _volume(evaluation)
    figure, axes = new_figure()
    log_axis(
        axes.set_xscale, axes.set_xlim, axes.xaxis, sizes := [_value(row, "reference_voxels") * factor for row in rows]
    )
    dots(axes, floored(sizes), [_dice(row) for row in rows], gid="dots")
    share_axis(axes, "Dice of the whole stack")
    axes.set_xlabel(f"tumour in the reference, {unit}")
    title = "Dice by tumour size"
    return Chart(
        "sizes",
        title,
        "Each dot is a patient, on a logarithmic scale of size. Small tumours tend to score lower "
        f"with any model, because a few pixels are a large share of them.{about_zero(sizes)}",
        as_svg(figure, name="sizes", title=title, tips={"dots": [_tip(row) for row in rows]}),
    )


def precision_and_sensitivity(evaluation: Evaluation) -> Chart | None:
    """Draw each patient's sensitivity over its precision."""
    rows = _having(evaluation, "precision", "sensitivity")
    if not rows:
        return None
    figure, axes = new_figure()
    dots(axes, [_value(row, "precision") for row in rows], [_value(row, "sensitivity") for row in rows], gid="dots")
    share_axis(axes, "sensitivity")
    axes.set(xlabel="precision", xlim=(0, 1))
    title = "Precision and sensitivity"
    return Chart(
        "balance",
        title,
        "Each dot is a patient. Sensitivity is the share of the tumour that was found; precision is the share of what "
        "was found that is tumour. Low dots have missed tumour; dots on the left have false positives.",
        as_svg(figure, name="balance", title=title, tips={"dots": [_tip(row) for row in rows]}),
    )


def volumes(evaluation: Evaluation) -> Chart | None:
    """Draw the predicted volume over the reference's."""
    rows = _having(evaluation, "reference_voxels", "predicted_voxels")
    if not rows:
        return None
    factor, unit = _volume(evaluation)
    x, y = ([_value(row, key) * factor for row in rows] for key in ("reference_voxels", "predicted_voxels"))
    figure, axes = new_figure(HEIGHT + 40)
    for scale, limit, axis in (
        (axes.set_xscale, axes.set_xlim, axes.xaxis),
        (axes.set_yscale, axes.set_ylim, axes.yaxis),
    ):
        log_axis(scale, limit, axis, x + y)
    ends = axes.get_xlim()
    axes.plot(ends, ends, color=QUIET, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    dots(axes, floored(x, x + y), floored(y, x + y), gid="dots")
    axes.set(xlabel=f"reference, {unit}", ylabel=f"predicted, {unit}")
    title = "Predicted and reference volume"
    return Chart(
        "volumes",
        title,
        "Each dot is a patient. On the dashed line both volumes are equal; below it the prediction is too small, "
        f"above it too large. Equal volumes do not mean equal masks.{about_zero(x + y)}",
        as_svg(figure, name="volumes", title=title, tips={"dots": [_tip(row) for row in rows]}),
    )


def volume_differences(evaluation: Evaluation) -> Chart | None:
    """Draw the difference of the two volumes over their mean: Bland and Altman, Lancet 327 (1986) 307."""
    rows = _having(evaluation, "reference_voxels", "predicted_voxels")
    if len(rows) < 2:
        return None
    factor, unit = _volume(evaluation)
    pairs = [(_value(row, "reference_voxels") * factor, _value(row, "predicted_voxels") * factor) for row in rows]
    differences = [predicted - reference for reference, predicted in pairs]
    bias, spread = fmean(differences), 1.96 * stdev(differences)
    figure, axes = new_figure(HEIGHT + 40)
    axes.axhline(0, color=QUIET, linewidth=0.8, zorder=1)
    lines = (
        [("bias", bias)]
        if not spread
        else [("+1.96 SD", bias + spread), ("bias", bias), ("\u22121.96 SD", bias - spread)]
    )
    for label, level in lines:
        axes.axhline(level, color=ORANGE, linewidth=1.4, linestyle="-" if label == "bias" else (0, (4, 3)), zorder=2)
        text = f"{label}\n{THOUSANDS(level)}"
        axes.annotate(text, (1, level), (5, 0), ("axes fraction", "data"), textcoords="offset points", va="center")
    dots(axes, [(reference + predicted) / 2 for reference, predicted in pairs], differences, gid="dots")
    axes.set(xlabel=f"mean of both volumes, {unit}", ylabel=f"predicted \u2212 reference, {unit}", xlim=(0, None))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5))
        axis.set_major_formatter(THOUSANDS)
    title = "Difference of the volumes (Bland and Altman)"
    return Chart(
        "differences",
        title,
        "Each dot is a patient. Below zero the prediction is too small. The solid line is the mean difference. "
        "If the differences are normally distributed, 95 % of them lie between the dashed lines.",
        as_svg(figure, name="differences", title=title, tips={"dots": [_tip(row) for row in rows]}),
    )


def _having(evaluation: Evaluation, *keys: str) -> list[CaseScores]:
    return [row for row in evaluation.patients if all(row.measures.get(key) is not None for key in keys)]


def _tip(row: CaseScores) -> str:
    score = "no Dice" if row.dice_volume is None else f"Dice {row.dice_volume:.3f}"
    return f"{row.case}: {score}"


def _value(row: CaseScores, name: str) -> float:
    """Return a measure of a case that has it."""
    value = row.measures[name]
    return math.nan if value is None else value


def _dice(row: CaseScores) -> float:
    return _value(row, "dice_volume")


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_SITE else f"{text[: LONGEST_SITE - 1]}\u2026"


def _volume(evaluation: Evaluation) -> tuple[float, str]:
    """Return what a voxel counts, and the unit: millilitres only where the spacing is known."""
    spacing_mm = evaluation.setting.spacing_mm
    return (math.prod(spacing_mm) / 1000, "ml") if spacing_mm else (1, "pixels")
