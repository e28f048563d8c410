"""What a person sees while a run goes on: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_EVERY_S = 60.0


class ProgressDisplay:
    """Told of every step; decides what is worth showing."""

    def __init__(self, say: Callable[[str], None], bar: Progress | None) -> None:
        self._say = say
        self._bar = bar
        self._task = bar.add_task("", total=None, loss="", rate="") if bar else None
        self._said = time.monotonic()

    def say(self, text: str) -> None:
        """Show a line."""
        self._say(text)

    def step(self, name: str, done: int, total: int, *, loss: float, images_per_s: float) -> None:
        """Show that `done` of `total` batches are done; loss is the epoch's mean so far."""
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task,
                description=name,
                completed=done,
                total=total,
                loss=f"loss {loss:.4f}",
                rate=f"{images_per_s:.1f} images/s",
            )
        elif time.monotonic() - self._said > LINE_EVERY_S:
            self._said = time.monotonic()
            self._say(f"{name}: batch {done} of {total}, loss {loss:.4f}, {images_per_s:.1f} images/s")


@contextmanager
def open_display(say: Callable[[str], None]) -> Iterator[ProgressDisplay]:
    """Give a display for the length of a run: with a bar where stderr is a terminal."""
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
