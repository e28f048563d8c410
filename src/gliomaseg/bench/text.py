"""The document of a benchmark as plain text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def benchmark_text(document: Mapping[str, Any]) -> str:
    """Return the machine, and for each figure both medians, the ratio with its spread, and the agreement."""
    machine = document["machine"]
    counts = f"{machine['processors']} processors, {machine['threads']} threads, load {machine['load_before']}"
    lines = [f"{machine['processor']}, {counts}; {' '.join(machine['flags'])}"]
    for name, section in document["sections"].items():
        lines += ["", f"{name} ({section['seconds']:.0f} s)"]
        for row in section["rows"]:
            lines += _row_lines(row)
    lines += ["", f"times over 1: ours is faster. {document['plan']} plan, {document['seconds']:.0f} s in all"]
    return "\n".join(lines)


def _row_lines(row: Mapping[str, Any]) -> list[str]:
    lines = [f"  {row['figure']}"]
    for side in ("ours", "peer"):
        if (found := row[side]) is not None:
            spread = f"({_short(found['low'])} to {_short(found['high'])})"
            lines.append(f"    {side}  {_short(found['median']):>9} {row['unit']:<10} {spread:<22} {found['what']}")
    if row["ratio"] is not None:
        low, high = row["ratio_spread"]
        lines.append(f"    times {_short(row['ratio']):>9} {'':<10} ({_short(low)} to {_short(high)})")
    if row["agreement"]:
        lines.append("    " + ", ".join(f"{key} {_short(value)}" for key, value in row["agreement"].items()))
    if row["reason"]:
        lines.append(f"    {row['status']}: {row['reason']}")
    return lines


def _short(value: Any) -> str:
    """Return a number in a few digits.

    >>> [_short(value) for value in (1234.5, 12.345, 0.01234, 3, None)]
    ['1,234', '12.3', '0.0123', '3', 'unknown']
    """
    if value is None:
        return "unknown"
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
