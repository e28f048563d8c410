"""Axes that several charts share: shares from 0 to 1, and volumes on a logarithmic scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.ticker import FixedLocator, NullLocator

ZERO_STEP = 2.2  # the place of 0 is this factor below the least volume that is none


def share_axis(axes: Any, label: str) -> None:
    """Let an axis run from 0 to 1, whatever was drawn: half a scale makes small differences look large."""
    axes.set(ylabel=label, ylim=(0, 1))
    axes.yaxis.set_major_locator(FixedLocator([0, 0.2, 0.4, 0.6, 0.8, 1]))


def about_zero(values: Sequence[float]) -> str:
    """Return a sentence for the caption where 0 occurs."""
    return " The scale has no 0: it stands at the end, by itself." if min(values) <= 0 else ""


def floored(values: Sequence[float], among: Sequence[float] = ()) -> list[float]:
    """Return values for a logarithmic axis, on which 0 has a place of its own at the lower end."""
    low = _round_range(among or values)[0]
    return [value if value > 0 else low / ZERO_STEP for value in values]


def log_axis(scale: Any, limit: Any, axis: Any, values: Sequence[float]) -> None:
    """Make an axis logarithmic between round numbers, with a place for 0 if it occurs."""
    low, high = _round_range(values)
    empty = any(value <= 0 for value in values)
    start = low / ZERO_STEP if empty else low
    scale("log")
    limit(start, high)
    powers = [step for step in _steps(low, high) if math.isclose(math.log10(step) % 1, 0, abs_tol=1e-9)]
    ticks = powers if len(powers) > 1 else _steps(low, high)
    axis.set_major_locator(FixedLocator([start, *ticks] if empty else ticks))
    axis.set_major_formatter(lambda value, _place: "0" if empty and value < low * 0.9 else f"{value:,.10g}")
    axis.set_minor_locator(NullLocator())


def _round_range(values: Sequence[float]) -> tuple[float, float]:
    """Return the round numbers around all values that are above 0, apart from each other."""
    positive = [value for value in values if value > 0] or [1.0]
    steps = _steps(min(positive) / 10, max(positive) * 10)
    low = max(step for step in steps if step <= min(positive))
    high = min(step for step in steps if step >= max(positive) and step > low)
    return low, high


def _steps(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times the powers of ten from `low` to `high`."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = [float(f"{digit}e{power}") for power in range(first, last + 1) for digit in (1, 2, 5)]
    return [step for step in steps if low * (1 - 1e-9) <= step <= high * (1 + 1e-9)]
