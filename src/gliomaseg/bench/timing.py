"""Measure gliomaseg and a baseline in turns: a disturbance of the machine then affects both."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Literal

from gliomaseg.errors import GliomasegError, MissingExtraError, UsageError

GLIOMASEG_COMMAND = (sys.executable, "-m", "gliomaseg")
SECONDS = "s"

Turn = Callable[[], float]
"""Does the work once and returns its duration in seconds."""


@dataclass(frozen=True)
class Timing:
    """The measured values of gliomaseg or of its baseline.

    Attributes:
        label: the program and its settings.
        values: one value a turn, in the unit of the row: seconds, or slices, images or patients a second.
    """

    label: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """Return the median value."""
        return median(self.values)

    @property
    def low(self) -> float:
        """Return the smallest value."""
        return min(self.values)

    @property
    def high(self) -> float:
        """Return the largest value."""
        return max(self.values)


@dataclass(frozen=True)
class BenchRow:
    """One figure: gliomaseg, its baseline, and the agreement of their results.

    Attributes:
        figure: the work.
        unit: unit of both timings: "s" (less is better), or "slices/s" and the like (more is better).
        ours: timing of gliomaseg; None if it was not measured.
        baseline: timing of the baseline; None if it was not measured.
        agreement: differences between the results, and further numbers, by name; None if unknown; may be empty.
        status: "left out" if a package is not installed, "failed" after another error.
        reason: the error message if the status is not "measured"; else empty.
    """

    figure: str
    unit: str = SECONDS
    ours: Timing | None = None
    baseline: Timing | None = None
    agreement: Mapping[str, float | None] = field(default_factory=dict)
    status: Literal["measured", "left out", "failed"] = "measured"
    reason: str = ""

    @property
    def ratios(self) -> tuple[float, ...]:
        """Return for each pair of turns how many times faster gliomaseg was: above 1 is faster."""
        if self.ours is None or self.baseline is None:
            return ()
        pairs = zip(self.ours.values, self.baseline.values, strict=False)
        return tuple(base / own if self.unit == SECONDS else own / base for own, base in pairs)

    @property
    def ratio(self) -> float | None:
        """Return how many times faster gliomaseg is, from the medians; None without both timings."""
        if self.ours is None or self.baseline is None:
            return None
        quotient = self.ours.median / self.baseline.median
        return 1 / quotient if self.unit == SECONDS else quotient


def try_measurement(figure: str, unit: str, measure: Callable[[str], BenchRow]) -> BenchRow:
    """Return `measure(figure)`, or a row with the reason if it raises an error."""
    try:
        return measure(figure)
    except GliomasegError as error:
        return unmeasured_row(figure, unit, error)


def unmeasured_row(figure: str, unit: str, error: GliomasegError) -> BenchRow:
    """Return a row without timings: "left out" for a missing package, "failed" for other errors."""
    if isinstance(error, MissingExtraError):
        return BenchRow(figure, unit, status="left out", reason=error.line())
    return BenchRow(figure, unit, status="failed", reason=error.line())


def timed(work: Callable[[], object]) -> Turn:
    """Return a turn that calls `work` and returns its duration in seconds."""

    def turn() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return turn


def alternate(
    ours: Turn, baseline: Turn, *, turns: int, budget_s: float = math.inf
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Run both sides in turns, A B A B ..., and return the seconds of each. The first turn of each does not count.

    Args:
        ours: gliomaseg.
        baseline: the other program.
        turns: number of turns of each side, at least 1.
        budget_s: after this time no further pair of turns starts. A slow machine has fewer turns, but at least one.
    """
    start = time.monotonic()
    ours()  # warm-up: a rate excludes one-time loading, compilation and allocation
    baseline()
    seconds = [(ours(), baseline())]
    while len(seconds) < turns and time.monotonic() - start < budget_s:
        seconds.append((ours(), baseline()))
    return tuple(own for own, _ in seconds), tuple(base for _, base in seconds)


def rates(seconds: tuple[float, ...], count: int) -> tuple[float, ...]:
    """Return items a second for turns of `count` items.

    >>> rates((2.0, 4.0), 8)
    (4.0, 2.0)
    """
    return tuple(count / value for value in seconds)


def run_process(*command: str, folder: Path) -> tuple[str, float]:
    """Run a command in a folder, and return its stdout and its duration in seconds.

    Raises:
        GliomasegError: the exit code is not 0; the message contains the last line of stderr.
    """
    start = time.perf_counter()
    process = subprocess.run(  # noqa: S603 - our own commands
        command, cwd=folder, capture_output=True, text=True, errors="replace", check=False
    )
    seconds = time.perf_counter() - start
    if process.returncode:
        lines = process.stderr.strip().splitlines()
        reason = f": {lines[-1]}" if lines else ""
        raise GliomasegError(f"exit code of a benchmark process is {process.returncode}, expected 0{reason}")
    return process.stdout, seconds


def peak_mb() -> float:
    """Return the peak memory of this process so far, in MB (10^6 bytes).

    Raises:
        UsageError: the system does not report it, as Windows.
    """
    try:
        # VmHWM is the peak of this program alone; getrusage would include the process that started it.
        status = Path("/proc/self/status").read_text("ascii")
        kilobytes = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        try:
            import resource  # not on Windows
        except ImportError as fault:
            raise UsageError("peak memory cannot be measured on this system", where="--only scaling") from fault
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
    return kilobytes * 1024 / 1e6
