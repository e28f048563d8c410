"""Two sides of the same work, measured in turns: what disturbs the machine for a while disturbs both."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal

Turn = Callable[[], float]
"""Does the work once and returns how many seconds it took."""

SECONDS = "s"


@dataclass(frozen=True)
class Timing:
    """What one side did.

    Attributes:
        what: which program, in which settings.
        values: a value for each turn, in the row's unit: seconds, or pieces of work a second.
    """

    what: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle value."""
        return median(self.values)

    def document(self) -> dict[str, Any]:
        """Return the side as JSON has it."""
        low, high = min(self.values), max(self.values)
        return {"what": self.what, "median": self.median, "low": low, "high": high, "values": list(self.values)}


@dataclass(frozen=True)
class BenchRow:
    """One figure: ours, its peer's, and whether both came to the same result.

    Attributes:
        figure: what was done.
        unit: of both sides: "s", where less is better, or "slices/s" and the like.
        ours: our side; None where it was not measured.
        peer: the other one; None where it was not measured.
        agreement: how far the results are apart, by name; empty where there is nothing to compare.
        status: "left out" is for what is not installed, "failed" for what should have worked.
        reason: why a side is missing; empty where none is.
    """

    figure: str
    unit: str = SECONDS
    ours: Timing | None = None
    peer: Timing | None = None
    agreement: Mapping[str, Any] = field(default_factory=dict)
    status: Literal["measured", "left out", "failed"] = "measured"
    reason: str = ""

    @property
    def ratios(self) -> tuple[float, ...]:
        """How many times faster ours was, turn by turn: over 1 is faster."""
        if self.ours is None or self.peer is None:
            return ()
        pairs = zip(self.ours.values, self.peer.values, strict=False)
        return tuple(peer / own if self.unit == SECONDS else own / peer for own, peer in pairs)

    @property
    def ratio(self) -> float | None:
        """How many times faster ours is, by the medians; None where a side is missing."""
        if self.ours is None or self.peer is None:
            return None
        quotient = self.ours.median / self.peer.median
        return 1 / quotient if self.unit == SECONDS else quotient

    def document(self) -> dict[str, Any]:
        """Return the row as JSON has it."""
        return {
            "figure": self.figure,
            "unit": self.unit,
            "ours": self.ours and self.ours.document(),
            "peer": self.peer and self.peer.document(),
            "ratio": self.ratio,
            "ratio_spread": [min(self.ratios), max(self.ratios)] if self.ratios else None,
            "agreement": dict(self.agreement),
            "status": self.status,
            "reason": self.reason or None,
        }


def timed(work: Callable[[], object]) -> Turn:
    """Return a turn that does some work and looks at the clock."""

    def turn() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return turn


def alternate(
    ours: Turn, peer: Turn, *, pairs: int, budget_s: float = math.inf
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the seconds of both sides over A B A B ...; each has one turn before that does not count.

    Args:
        ours: one side.
        peer: the other.
        pairs: how many turns each has, at least 1.
        budget_s: after this no other pair begins: a slow machine has fewer turns, and one at least.
    """
    start = time.monotonic()
    ours()  # what is loaded, compiled or allocated once is no part of a rate
    peer()
    seconds = [(ours(), peer())]
    while len(seconds) < pairs and time.monotonic() - start < budget_s:
        seconds.append((ours(), peer()))
    return tuple(own for own, _ in seconds), tuple(other for _, other in seconds)


def rates(seconds: tuple[float, ...], count: int) -> tuple[float, ...]:
    """Return pieces a second, for turns of `count` pieces.

    >>> rates((2.0, 4.0), 8)
    (4.0, 2.0)
    """
    return tuple(count / value for value in seconds)
