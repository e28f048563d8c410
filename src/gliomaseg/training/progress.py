"""Progress of a run: a bar on a terminal, log lines elsewhere, and curves for TensorBoard."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gliomaseg.training.checkpoint import EpochRecord

LINE_EVERY_S = 60.0


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


class TensorBoard:
    """Curves of a run for `tensorboard --logdir`. It writes nothing if tensorboard is not installed."""

    def __init__(self, folder: Path, *, first_epoch: int = 0) -> None:
        self._writer: Any = None
        if find_spec("tensorboard"):
            # Optional, and slow to import.
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder), purge_step=first_epoch + 1)

    def write(self, record: EpochRecord) -> None:
        """Write the numbers of an epoch."""
        if self._writer is None:
            return
        for name, value in record.document().items():
            if name != "epoch" and value is not None:
                self._writer.add_scalar(name, value, record.epoch)
        self._writer.flush()

    def close(self) -> None:
        """Write buffered numbers and close the log."""
        if self._writer is not None:
            self._writer.close()
