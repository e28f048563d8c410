"""Growth: the same work ten times over takes ten times as long, and no more memory."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from statistics import median
from typing import Any

from gliomaseg.bench.fixtures import Fixtures
from gliomaseg.bench.hardware import run
from gliomaseg.bench.timing import BenchRow, Timing
from gliomaseg.errors import GliomasegError, MissingExtraError

Errand = Callable[[int], dict[str, Any]]


def measure(material: Fixtures) -> list[BenchRow]:
    """Return a row for each step from few to many: slices predicted, volume after volume, and patients evaluated."""
    plan = material.plan
    rows = [
        _row(material, "slices", "prediction", few, many, lambda count: _predict(material, count))
        for few, many in pairwise(plan.grown)
    ]
    few, many = plan.evaluated
    return [*rows, _row(material, "patients", "evaluation", few, many, lambda count: _evaluate(material, count))]


def _row(material: Fixtures, unit: str, verb: str, few: int, many: int, errand: Errand) -> BenchRow:
    figure = f"{verb} of {many:,} {unit} against {few:,}"
    material.log(figure)
    try:
        start = time.monotonic()
        pairs = [(errand(many), errand(few))]
        while len(pairs) < material.plan.grown_pairs and time.monotonic() - start < material.plan.budget_s:
            pairs.append((errand(many), errand(few)))
    except MissingExtraError as fault:
        return BenchRow(figure, f"{unit}/s", status="left out", reason=fault.line())
    except GliomasegError as fault:
        return BenchRow(figure, f"{unit}/s", status="failed", reason=fault.line())
    large, small = ([pair[k]["count"] / pair[k]["seconds"] for pair in pairs] for k in (0, 1))
    peaks = [median(pair[k]["peak_mb"] for pair in pairs) for k in (0, 1)]
    agreement = {
        "time_a_piece_grows_percent": round((median(small) / median(large) - 1) * 100, 2),
        "memory_grows_mb": round(peaks[0] - peaks[1], 1),
        "peak_mb": round(peaks[0], 1),
    }
    ours, peer = Timing(f"{many:,} {unit}", tuple(large)), Timing(f"{few:,} {unit}", tuple(small))
    return BenchRow(figure, f"{unit}/s", ours, peer, agreement)


def _predict(material: Fixtures, count: int) -> dict[str, Any]:
    return _errand(material, {"do": "predict", "count": count, "volume": str(material.volume)})


def _evaluate(material: Fixtures, count: int) -> dict[str, Any]:
    given = {"do": "evaluate", "count": count, "data": str(material.index.root)}
    return _errand(material, {**given, "slices": material.plan.evaluated_slices})


def _errand(material: Fixtures, order: dict[str, Any]) -> dict[str, Any]:
    given = json.dumps({**order, "model": str(material.small.resolve())})
    printed, _ = run(sys.executable, "-m", "gliomaseg.bench.worker", given, folder=material.folder)
    done: dict[str, Any] = json.loads(printed)
    return done
