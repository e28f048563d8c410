"""`curves.png`: how the losses and the Dice went, epoch by epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
DICE = {"dice_volume": BLUE, "dice_tumour_slices": ORANGE, "dice_batch": GREEN, "dice_slices_empty_one": PURPLE}


def draw_curves(history: list[dict[str, Any]], path: Path, *, title: str) -> None:
    """Draw the lines of `log.jsonl` as a PNG of 1100 x 440 pixels."""
    figure = Figure(figsize=(11, 4.4), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    losses, dice = figure.subplots(1, 2)
    epochs = [line["epoch"] for line in history]
    for name, colour in (("train_loss", BLUE), ("validation_loss", ORANGE)):
        losses.plot(epochs, [line[name] for line in history], color=colour, marker="o", label=name.replace("_", " "))
    for name, colour in DICE.items():
        values = [float("nan") if line[name] is None else line[name] for line in history]
        dice.plot(epochs, values, color=colour, marker="o", label=name)
    losses.set(title="Loss", xlabel="epoch", ylabel="loss", ylim=(0, None))
    dice.set(title="Dice on the validation side, by convention", xlabel="epoch", ylabel="Dice", ylim=(0, 1.02))
    for axes in (losses, dice):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(frameon=False)
    figure.suptitle(title)
    figure.savefig(path, format="png")
