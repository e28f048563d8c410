"""Charts of calibration and training."""

from __future__ import annotations

import math
from itertools import pairwise

from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from gliomaseg.evaluation.results import Evaluation, LoggedEpoch
from gliomaseg.report.svg import BLUE, HEIGHT, ORANGE, QUIET, THOUSANDS, Chart, as_svg, new_figure, share_axis


def calibration(evaluation: Evaluation) -> Chart | None:
    """Draw the share of tumour over the predicted probability, and how many pixels each bin holds."""
    table = evaluation.calibration
    if table is None or not any(table.pixels):
        return None
    figure, (upper, lower) = new_figure(HEIGHT + 80, nrows=2, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    pairs = zip(table.mean_probability, table.tumour_share, strict=True)
    points = [(x, y) for x, y in pairs if x is not None and y is not None]
    x, y = [p for p, _ in points], [share for _, share in points]
    upper.plot(x, y, color=BLUE, marker="o", markersize=5.5, clip_on=False, zorder=3)
    share_axis(upper, "observed frequency of tumour")
    edges, pixels = table.edges, table.pixels
    widths = [high - low for low, high in pairwise(edges)]
    lower.bar(edges[:-1], pixels, [0.86 * width for width in widths], align="edge", color=BLUE, alpha=0.72, log=True)
    lower.set(xlabel="predicted probability", ylabel="pixels", xlim=(0, 1))
    top = math.ceil(math.log10(max(pixels) + 1))
    lower.set_ylim(0.7, 10**top)
    lower.yaxis.set_major_locator(FixedLocator([10**k for k in range(0, top + 1, 3 if top > 3 else 1)]))
    lower.yaxis.set_major_formatter(THOUSANDS)
    lower.yaxis.set_minor_locator(NullLocator())
    lower.xaxis.grid(visible=False)
    title = "Calibration: predicted probability against observed frequency"
    return Chart(
        "calibration",
        title,
        "Pixels are grouped by predicted probability. On the dashed line the two agree: of the pixels predicted with "
        "70 %, 70 % are tumour. Below the line the model is overconfident, above it underconfident. The bars show the "
        "number of pixels in each group on a logarithmic scale; points over a short bar are unreliable.",
        as_svg(figure, name="calibration", title=title),
    )


def losses(evaluation: Evaluation) -> Chart | None:
    """Draw the losses of training and validation, epoch by epoch."""
    names = {"train_loss": ("training side", QUIET), "validation_loss": ("validation side", BLUE)}
    text = "Lower is better. A rising validation loss with a falling training loss is a sign of overfitting."
    return _curves(evaluation, names, ("losses", "Loss during training", text))


def scores(evaluation: Evaluation) -> Chart | None:
    """Draw the Dice of the validation side, epoch by epoch."""
    names = {"dice_volume": ("whole stack", BLUE), "dice_tumour_slices": ("tumour slices", ORANGE)}
    text = "Two Dice conventions on the validation side; higher is better. At a flat end, training has converged."
    return _curves(evaluation, names, ("scores", "Dice during training", text))


def _curves(evaluation: Evaluation, names: dict[str, tuple[str, str]], words: tuple[str, str, str]) -> Chart | None:
    """Draw some columns of the training logs, one line per fold."""
    name, title, caption = words
    folds = [fold.lines for fold in evaluation.learning if fold.lines]
    drawn = {key for key in names for lines in folds for line in lines if _value(line, key) is not None}
    if not drawn:
        return None
    figure, axes = new_figure()
    single = max(map(len, folds)) == 1
    look = {"linewidth": 1.8 if len(folds) == 1 else 1.1, "marker": "o" if single else "", "markersize": 5}
    for key, (label, colour) in names.items():
        for k, lines in enumerate(folds if key in drawn else []):
            values = [math.nan if (value := _value(line, key)) is None else value for line in lines]
            axes.plot([line.epoch for line in lines], values, color=colour, label="" if k else label, **look)
    last = max(line.epoch for lines in folds for line in lines)
    axes.set(xlabel="epoch", xlim=(0, max(1, last) * 1.02))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if name == "scores":
        share_axis(axes, "Dice, validation side")
    else:
        axes.set(ylabel="loss", ylim=(min(0, axes.get_ylim()[0]), None))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    more = f" One line per fold, {len(folds)} folds." if len(folds) > 1 else ""
    return Chart(name, title, caption + more, as_svg(figure, name=name, title=title))


def _value(line: LoggedEpoch, key: str) -> float | None:
    value: float | None = getattr(line, key)
    return value
