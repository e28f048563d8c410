"""Measured patients put together: the document of `metrics.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import gliomaseg
from gliomaseg.evaluation.case_scores import CaseScores, ScoreGrid
from gliomaseg.evaluation.measures import definitions, patient_definitions
from gliomaseg.evaluation.summary import calibration_curve, summarise, summarise_rows
from gliomaseg.metrics import calibration
from gliomaseg.metrics.bootstrap import DRAWS

Evaluation = dict[str, Any]
METRICS = "metrics.json"
PICTURES = "pictures"


def assemble(
    measured: Sequence[CaseScores], *, setting: Mapping[str, Any], grid: ScoreGrid, seconds: float, **more: Any
) -> Evaluation:
    """Return measured patients as one evaluation, the document of `metrics.json`."""
    rows = [found.row for found in measured]
    scored = [found for found in measured if found.row["error"] is None]
    summary = summarise({found.row["patient"]: found.counts for found in scored})
    totals = {name: summary.pop(name) for name in ("patients", "slices", "tumour_slices")}
    named = patient_definitions(unit=grid.unit, tolerance=grid.tolerance)
    table = sum((found.calibration for found in scored), start=calibration.empty_table())
    return {
        "patients": rows,
        "summary": {
            **summary,
            **summarise_rows([found.row for found in scored], named),
            **totals,
            "patients": len(rows),
            "failed": len(rows) - len(scored),
        },
        "definitions": definitions(unit=grid.unit, tolerance=grid.tolerance),
        "interval": f"95 %, percentile bootstrap over patients, {DRAWS} draws, seed 0",
        "calibration": calibration_curve(table),
        "examples": _examples([found.row for found in scored]),
        **more,
        "setting": {
            **setting,
            "spacing_mm": grid.spacing_mm and list(grid.spacing_mm),
            "tolerance": grid.tolerance,
            "orientation": "unknown",
        },
        "versions": {"gliomaseg": gliomaseg.__version__, "numpy": np.__version__},
        "seconds": round(seconds, 3),
    }


def dumps(evaluation: Evaluation) -> str:
    """Return an evaluation as the text of `metrics.json`."""
    return json.dumps(evaluation, indent=1, allow_nan=False) + "\n"


def _examples(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the best, median and worst patient by `dice_volume` of whom there is a picture."""
    ranked = sorted(
        (row for row in rows if row.get("picture_slice") is not None and row["dice_volume"] is not None),
        key=lambda row: row["dice_volume"],
    )
    if not ranked:
        return []
    places = {"best": len(ranked) - 1, "median": (len(ranked) - 1) // 2, "worst": 0}
    return [
        {
            "kind": kind,
            "patient": ranked[place]["patient"],
            "slice": ranked[place]["picture_slice"],
            "dice_volume": ranked[place]["dice_volume"],
            "file": f"{PICTURES}/{ranked[place]['patient']}.png",
            "orientation": "unknown",
        }
        for kind, place in places.items()
    ]
