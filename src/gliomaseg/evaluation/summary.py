"""Numbers of many patients: means, medians, intervals, and how often there was none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.metrics import calibration, overlap
from gliomaseg.metrics.bootstrap import bootstrap_interval
from gliomaseg.metrics.calibration import CalibrationTable
from gliomaseg.metrics.overlap import Counts


def summarise(counts: Mapping[str, Counts]) -> dict[str, Any]:
    """Return the five conventions over patients' counts, with intervals; batches run on across patients."""
    patients = list(counts.values())
    everything = np.concatenate(patients) if patients else np.zeros((0, 3), np.int64)
    volumes = [np.array([d]) for c in patients if not math.isnan(d := overlap.dice_volume(c))]
    return {
        "dice_volume": _statistics(volumes) | {"undefined": len(patients) - len(volumes)},
        "dice_tumour_slices": _statistics([overlap.dice_tumour_slices(c) for c in patients]),
        "dice_slices_empty_one": _statistics([overlap.dice_slices_empty_one(c) for c in patients]),
        "dice_batch": {"mean": mean(overlap.dice_batch(everything))},
        "empty_slice_false_positive_rate": _statistics([overlap.empty_slice_false_positives(c) for c in patients]),
        "patients": len(patients),
        "slices": len(everything),
        "tumour_slices": int((everything[:, 1] > 0).sum()),
    }


def summarise_rows(rows: Sequence[Mapping[str, Any]], names: Iterable[str]) -> dict[str, Any]:
    """Return mean, median, interval, and the number of patients with and without a value, of each named measure."""
    summary = {}
    for name in names:
        values = [np.array([row[name]], np.float64) for row in rows if row.get(name) is not None]
        summary[name] = _statistics(values) | {"undefined": len(rows) - len(values)}
    return summary


def calibration_curve(table: CalibrationTable) -> dict[str, list[float | int | None]]:
    """Return what a reliability diagram needs: edges of the bins, and pixels, probability and tumour share of each."""
    return {
        "edges": np.linspace(0, 1, len(table.pixels) + 1).tolist(),
        "pixels": table.pixels.tolist(),
        "mean_probability": [number(value) for value in calibration.mean_probabilities(table).tolist()],
        "tumour_share": [number(value) for value in calibration.tumour_shares(table).tolist()],
    }


def _statistics(groups: list[NDArray[np.float64]]) -> dict[str, Any]:
    """Return mean, median and interval of all values of all patients, with their number."""
    values = np.concatenate(groups) if groups else np.zeros(0)
    return {
        "mean": mean(values),
        "median": number(float(np.median(values))) if len(values) else None,
        "ci95": [number(end) for end in bootstrap_interval(groups)],
        "n": len(values),
    }


def mean(values: NDArray[np.float64]) -> float | None:
    """Return the mean of values, shape (n,); None where there are none."""
    return float(values.mean()) if len(values) else None


def number(value: float | None) -> float | None:
    """Return a value as JSON has it: None for NaN."""
    return None if value is None or math.isnan(value) else value
