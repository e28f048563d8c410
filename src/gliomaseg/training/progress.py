"""Progress of a run: a bar on a terminal, log lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gliomaseg.evaluation.measures import HEADLINE
from gliomaseg.training.checkpoint import EpochRecord

LINE_EVERY_S = 60.0
LOGGED_SCORES = (HEADLINE, "dice_tumour_slices")


class ProgressDisplay:
    """Shows the progress of a run: every step on a bar, or a line a minute without one."""

    def __init__(self, say: Callable[[str], None], bar: Progress | None) -> None:
        self._say = say
        self._bar = bar
        self._task = bar.add_task("", total=None, loss="", rate="") if bar else None
        self._last_line_s = time.monotonic()

    def log(self, text: str) -> None:
        """Print a line."""
        self._say(text)

    def step(self, name: str, done: int, total: int, *, loss: float, images_per_s: float) -> None:
        """Show that `done` of `total` batches are done; `loss` is the mean of the epoch so far."""
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task,
                description=name,
                completed=done,
                total=total,
                loss=f"loss {loss:.4f}",
                rate=f"{images_per_s:.1f} images/s",
            )
        elif time.monotonic() - self._last_line_s > LINE_EVERY_S:
            self._last_line_s = time.monotonic()
            self._say(f"{name}: batch {done} of {total}, loss {loss:.4f}, {images_per_s:.1f} images/s")

    def finish_epoch(self, record: EpochRecord, *, epochs: int) -> None:
        """Print a line about a finished epoch of `epochs`."""
        scores = ", ".join(f"{name} {_three(record.scores[name])}" for name in LOGGED_SCORES)
        self.log(
            f"epoch {record.epoch} of {epochs}: loss {record.train_loss:.4f}, "
            f"validation loss {record.validation_loss:.4f}, {scores}, {record.images_per_s:.1f} images/s"
        )


@contextmanager
def open_display(say: Callable[[str], None]) -> Iterator[ProgressDisplay]:
    """Yield a display; it has a bar if stderr is a terminal."""
    if not sys.stderr.isatty():
        yield ProgressDisplay(say, None)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console) as bar:
        yield ProgressDisplay(lambda text: console.print(text, highlight=False), bar)


def _three(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
