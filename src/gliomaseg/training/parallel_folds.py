"""Folds side by side: each trains in its own process, on its own GPU or on its share of the processor cores."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import Empty, Queue
from typing import TextIO

import torch
from rich.console import Console
from rich.live import Live
from rich.table import Table

from gliomaseg.engines.threads import thread_count
from gliomaseg.errors import Interrupted, TrainingError, UsageError
from gliomaseg.training.accelerator import handle_signals
from gliomaseg.training.fold_process import FoldEnd, FoldEvent, FoldProcess
from gliomaseg.training.run_folder import TrainOptions

LOG = "folds.log"
VISIBLE = "CUDA_VISIBLE_DEVICES"
POLL_S = 0.2


@dataclass(frozen=True)
class Place:
    """A place for one fold at a time: its name for the table, and the variables of its process."""

    name: str
    environment: Mapping[str, str]


def choose_places(device: str, devices: Sequence[int], *, jobs: int) -> list[Place]:
    """Return the places of folds that train side by side; none if the folds train one after the other.

    Args:
        device: "auto", "cpu" or "cuda".
        devices: numbers of GPUs, or none.
        jobs: number of folds side by side, if `devices` is empty.

    Raises:
        UsageError: a GPU is absent or repeated, or the options contradict each other.
    """
    if not devices:
        return core_places(jobs) if jobs > 1 else []
    if jobs > 1 or device == "cpu":
        raise UsageError("--devices names GPUs, so neither --jobs nor --device cpu fits", cure="omit one of them")
    return gpu_places(devices, available=torch.cuda.device_count())


def gpu_places(devices: Sequence[int], *, available: int) -> list[Place]:
    """Return a place for each GPU; a process sees only its own.

    Args:
        devices: numbers of GPUs, as this process sees them.
        available: number of GPUs that this process sees.

    Raises:
        UsageError: a GPU is absent or repeated.
    """
    visible = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    for device in devices:
        if not 0 <= device < available:
            there = f"expected 0 to {available - 1}" if available else "but torch finds no GPU"
            raise UsageError(f"device is {device}, {there}", where="--devices", cure="see `nvidia-smi --list-gpus`")
        if list(devices).count(device) > 1:
            raise UsageError(f"device {device} is repeated, expected each once", where="--devices")
    threads = _threads(len(devices))
    return [
        Place(f"GPU {device}", {**threads, VISIBLE: visible[device] if visible else str(device)}) for device in devices
    ]


def core_places(jobs: int) -> list[Place]:
    """Return places that share the processor cores; they share a GPU too, if the folds use one."""
    return [Place(f"job {number + 1}", _threads(jobs)) for number in range(jobs)]


def _threads(processes: int) -> dict[str, str]:
    """Return the number of threads of a process as a variable; a number that the user has set stays."""
    if "OMP_NUM_THREADS" in os.environ:
        return {}
    return {"OMP_NUM_THREADS": str(max(1, thread_count() // processes))}


@dataclass
class Fold:
    """A fold and what is known of it.

    Attributes:
        name: such as "fold 1 of 5".
        options: of its run.
        place: where it trains; None before it starts.
        process: its process; None before it starts and after its end.
        latest: what the table shows.
        error: the reason of its failure, and its exit code.
    """

    name: str
    options: TrainOptions
    place: Place | None = None
    process: FoldProcess | None = None
    latest: FoldEvent = field(default_factory=lambda: FoldEvent(state="waiting"))
    error: tuple[str, int] | None = None

    def take(self, event: FoldEvent) -> None:
        """Keep the numbers and the error of an event."""
        names = ("state", "position", "loss", "dice", "images_per_s")
        changes = {name: value for name in names if (value := getattr(event, name)) is not None}
        self.latest = replace(self.latest, **changes)
        if event.error is not None:
            self.error = (event.error, event.exit_code)

    def end(self, code: int, *, is_stopping: bool) -> None:
        """Keep the end of the process; an end that is neither success nor a requested stop is a failure."""
        self.process = None
        if code == 0:
            self.take(FoldEvent(state="done"))
        elif is_stopping and self.error is None:
            self.take(FoldEvent(state="stopped"))
        else:
            self.take(FoldEvent(state="failed"))
            self.error = self.error or (_reason(code), 1)


def train_folds(folds: Sequence[Fold], places: Sequence[Place], log: Path, *, say: Callable[[str], None]) -> None:
    """Train folds side by side, one at each place; a fold waits for a free place.

    Args:
        folds: the folds that are not trained yet.
        places: at least one.
        log: a file that gets all lines, each with the name of its fold.
        say: called with the same lines; on a terminal they stand above a table.

    Raises:
        Interrupted: the user has interrupted the training; all folds have saved.
        GliomasegError: a fold has failed; the other folds have saved and stopped. Exit code as that of the fold.
    """
    with (
        handle_signals() as stop,
        log.open("a", encoding="utf-8") as file,
        _open_board(folds, say) as show,
        _Children(folds, places, file, show) as children,
    ):
        while children.advance(is_stopping=stop.requested or any(fold.error for fold in folds)):
            pass
    for fold in folds:
        if fold.error and not stop.requested:
            reason, code = fold.error
            # --resume refuses other settings, so it cannot mend a wrong one.
            option = "--overwrite" if code == UsageError.exit_code else "--resume"
            error = TrainingError(f"{fold.name} failed: {reason}", cure=f"see {log}, then use {option}")
            error.exit_code = code
            raise error
    if stop.requested:
        raise Interrupted("stopped all folds")


class _Children:
    """The processes of the folds. None is left behind when the block ends."""

    def __init__(
        self, folds: Sequence[Fold], places: Sequence[Place], file: TextIO, show: Callable[[str], None]
    ) -> None:
        self._folds, self._file, self._show = folds, file, show
        self._waiting, self._free = list(folds), list(places)
        self._messages: Queue[tuple[int, FoldEvent | FoldEnd]] = Queue()
        self._is_stopping = False

    def __enter__(self) -> _Children:
        return self

    def __exit__(self, *_: object) -> None:
        for fold in self._folds:
            if fold.process is not None:  # a second Ctrl-C, or a fault of ours
                fold.process.kill()

    def advance(self, *, is_stopping: bool) -> bool:
        """Start folds or stop them, take one message, and return whether a process is left."""
        if is_stopping:
            self._waiting.clear()
            if not self._is_stopping:
                self._is_stopping = True
                for fold in self._folds:
                    if fold.process is not None:
                        fold.process.stop()
        while self._waiting and self._free:
            self._start(self._waiting.pop(0), self._free.pop(0))
        if all(fold.process is None for fold in self._folds):
            return False
        try:
            key, message = self._messages.get(timeout=POLL_S)
        except Empty:
            return True
        self._take(self._folds[key], message)
        return True

    def _start(self, fold: Fold, place: Place) -> None:
        fold.place = place
        fold.take(FoldEvent(state="starting"))
        self._print(fold, f"starting on {place.name}")
        key = next(number for number, entry in enumerate(self._folds) if entry is fold)
        fold.process = FoldProcess(key, fold.options, place.environment, self._messages)

    def _take(self, fold: Fold, message: FoldEvent | FoldEnd) -> None:
        if isinstance(message, FoldEvent):
            fold.take(message)
            if text := message.line or message.error:
                self._print(fold, text)
            return
        fold.end(message.code, is_stopping=self._is_stopping)
        self._print(fold, fold.error[0] if fold.error else fold.latest.state or "")
        if fold.place is not None:
            self._free.append(fold.place)

    def _print(self, fold: Fold, text: str) -> None:
        line = f"{fold.name}: {text}"
        self._file.write(line + "\n")
        self._file.flush()
        self._show(line)


def _reason(code: int) -> str:
    """Return the reason of a process that has ended without an event."""
    if code == Interrupted.exit_code:
        return "its process was interrupted"
    if code >= 0:
        return f"its process ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = " (is the memory full?)" if name == "SIGKILL" else ""
    return f"its process was killed by {name}{hint}"


@contextmanager
def _open_board(folds: Sequence[Fold], say: Callable[[str], None]) -> Iterator[Callable[[str], None]]:
    """Yield a function that prints lines: above a table on a terminal, else with `say`."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield say
        return
    with Live(console=console, get_renderable=lambda: fold_table(folds), refresh_per_second=2):
        yield lambda text: console.print(text, highlight=False, markup=False)


def fold_table(folds: Sequence[Fold]) -> Table:
    """Return the progress of the folds as a table with a row for each."""
    table = Table("fold", "place", "state", "position", "loss", "Dice", "images/s", box=None)
    for fold in folds:
        latest = fold.latest
        numbers = (_number(latest.loss, 4), _number(latest.dice, 3), _number(latest.images_per_s, 1))
        place = fold.place.name if fold.place else ""
        table.add_row(fold.name, place, latest.state, latest.position or "", *numbers)
    return table


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
