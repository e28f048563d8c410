"""A fold that trains in a process of its own.

The child reads its options from stdin, and writes one event a line to stdout. It stops as soon as stdin closes: either
the parent closes it, or the parent has died, however it did. Signals of a terminal reach the parent only.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from queue import Queue
from typing import IO, NoReturn, Self

from pydantic import TypeAdapter

from gliomaseg.atomic import is_disk_full
from gliomaseg.errors import GliomasegError, Interrupted, ResourceError
from gliomaseg.evaluation.measures import HEADLINE
from gliomaseg.training.checkpoint import EpochRecord
from gliomaseg.training.progress import ProgressDisplay
from gliomaseg.training.run_folder import TrainOptions

# -P: a module in the working directory must not replace one of the standard library.
COMMAND = (sys.executable, "-P", "-m", "gliomaseg.training.fold_process")
EVENT_EVERY_S = 0.5
LAST_LINES_S = 5
_OPTIONS = TypeAdapter(TrainOptions)


@dataclass(frozen=True)
class FoldEvent:
    """A message of a fold; fields that are None are unchanged.

    Attributes:
        line: a line of the log.
        state: a word for the table.
        position: the epoch and the batch.
        loss: mean of the training images of the epoch so far.
        dice: mean `dice_volume` of the validation cases after the last epoch.
        images_per_s: training speed.
        error: the reason why the fold failed, in one line.
        exit_code: of the failed fold, as the command line would give it.
    """

    line: str | None = None
    state: str | None = None
    position: str | None = None
    loss: float | None = None
    dice: float | None = None
    images_per_s: float | None = None
    error: str | None = None
    exit_code: int = 1

    def to_json(self) -> str:
        """Return the event as one line of JSON, without fields that are None."""
        return json.dumps({name: value for name, value in asdict(self).items() if value is not None})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the event of a line."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class FoldEnd:
    """The end of a fold's process; `code` is its exit code, negative for a signal."""

    code: int


class FoldProcess:
    """The parent's side: starts the process and puts its messages, with its key, into a queue."""

    def __init__(
        self,
        key: int,
        options: TrainOptions,
        environment: Mapping[str, str],
        messages: Queue[tuple[int, FoldEvent | FoldEnd]],
    ) -> None:
        self._key, self._messages = key, messages
        self._process = subprocess.Popen(  # noqa: S603
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **environment},
            text=True,
            encoding="utf-8",
            errors="backslashreplace",
            start_new_session=True,  # Ctrl-C of the terminal must not reach the child a second time
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        with suppress(OSError):  # it has died; the end of the process has the reason
            self._input.write(_OPTIONS.dump_json(options).decode() + "\n")
            self._input.flush()

    def stop(self) -> None:
        """Let the fold save and stop."""
        with suppress(OSError):
            self._input.close()

    def kill(self) -> None:
        """End the process at once, and wait for it."""
        self._process.kill()
        self._reader.join()

    @property
    def _input(self) -> IO[str]:
        stream = self._process.stdin
        if stream is None:
            raise ValueError("the process has no stdin")
        return stream

    def _read(self) -> None:
        readers = [
            threading.Thread(target=self._forward, args=(stream,), kwargs={"is_event": is_event}, daemon=True)
            for stream, is_event in ((self._process.stdout, True), (self._process.stderr, False))
        ]
        for reader in readers:
            reader.start()
        code = self._process.wait()
        for reader in readers:
            reader.join(LAST_LINES_S)  # a program that the fold has started may keep the pipe open
        self.stop()
        self._messages.put((self._key, FoldEnd(code)))

    def _forward(self, stream: IO[str], *, is_event: bool) -> None:
        with stream:
            for line in stream:
                text = line.rstrip("\n")
                self._messages.put((self._key, FoldEvent.from_json(text) if is_event else FoldEvent(line=text)))


class _EventDisplay(ProgressDisplay):
    """Sends the progress to the parent."""

    def __init__(self, stream: IO[str]) -> None:
        super().__init__(lambda text: self.send(FoldEvent(line=text)), None)
        self._stream = stream
        self._sent_s = -EVENT_EVERY_S

    def send(self, event: FoldEvent) -> None:
        with suppress(OSError):  # without a parent, the run still has to save
            self._stream.write(event.to_json() + "\n")
            self._stream.flush()

    def step(self, name: str, done: int, total: int, *, loss: float, images_per_s: float) -> None:
        super().step(name, done, total, loss=loss, images_per_s=images_per_s)
        if time.monotonic() - self._sent_s > EVENT_EVERY_S:
            self._sent_s = time.monotonic()
            position = f"{name}, batch {done}/{total}"
            self.send(FoldEvent(state="training", position=position, loss=loss, images_per_s=images_per_s))

    def finish_epoch(self, record: EpochRecord, *, epochs: int) -> None:
        super().finish_epoch(record, epochs=epochs)
        self.send(
            FoldEvent(
                state="evaluating" if record.epoch == epochs else "training",
                position=f"epoch {record.epoch}/{epochs}",
                loss=record.train_loss,
                dice=record.scores[HEADLINE],
                images_per_s=record.images_per_s,
            )
        )


def main() -> NoReturn:
    """Train the fold whose options stand on stdin."""
    # Libraries that print must not write among the events.
    display = _EventDisplay(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)
    options = _OPTIONS.validate_json(sys.stdin.buffer.readline())
    threading.Thread(target=_stop_at_end_of_stdin, daemon=True).start()
    from gliomaseg.training.train import train

    try:
        train(options, say=display.log, display=display)
    except (Interrupted, KeyboardInterrupt) as stop:
        display.log(str(stop) or "interrupted")
        raise SystemExit(Interrupted.exit_code) from None
    except Exception as fault:
        error = _as_error(fault)
        display.send(FoldEvent(error=error.line(), exit_code=error.exit_code))
        raise SystemExit(error.exit_code) from None
    raise SystemExit(0)


def _stop_at_end_of_stdin() -> None:
    while os.read(0, 1024):  # not sys.stdin: its lock would be held when the interpreter ends
        pass
    # As a user's SIGTERM: the run saves and stops.
    signal.raise_signal(signal.SIGTERM)


def _as_error(fault: Exception) -> GliomasegError:
    """Return a fault as an error with a line and an exit code; print the traceback of a fault in the program."""
    if isinstance(fault, GliomasegError):
        return fault
    if isinstance(fault, MemoryError):
        return ResourceError("out of memory", cure="use smaller batches or slices")
    if isinstance(fault, OSError) and is_disk_full(fault):
        return ResourceError("the disk is full", where=fault.filename or "disk", cure="free some space")
    traceback.print_exception(fault)
    return GliomasegError(f"{type(fault).__name__}: {fault}")


if __name__ == "__main__":
    main()
