"""How good a model is on patients with a reference mask: every convention under its name.

One case is in memory at a time; what stays are three counts a slice.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import gliomaseg
from gliomaseg.data.examination import read_examination
from gliomaseg.data.index import Case, read_index, require_sound
from gliomaseg.data.split import choose_fold, read_splits, select
from gliomaseg.errors import DataError
from gliomaseg.metrics import overlap
from gliomaseg.metrics.interval import DRAWS, bootstrap_interval
from gliomaseg.metrics.overlap import Counts
from gliomaseg.prediction import Predictor

Evaluation = dict[str, Any]


@dataclass(frozen=True)
class Side:
    """One side of one fold of a splits file."""

    splits: Path
    subset: Literal["train", "validation"] = "validation"
    fold: int = 0


def evaluate_data(
    data: Path, predictor: Predictor, side: Side | None = None, *, progress: Callable[[str], None] | None = None
) -> Evaluation:
    """Measure a model on a data set, or on one side of a split of it.

    Raises:
        DataError: the data set has problems, or the splits name nobody, or what is not in it.
        ConfigError: there is no such fold.
    """
    index = read_index(data)
    require_sound(index)
    setting: dict[str, Any] = {"data": data.resolve().name, "split": None, "subset": None, "warning": None}
    if side is None:
        return evaluate(index.cases, predictor, setting=setting, progress=progress)
    splits = read_splits(side.splits)
    fold = choose_fold(splits, side.fold)
    cases = select(index, fold.train if side.subset == "train" else fold.validation)
    if not cases:
        raise DataError(f"the {side.subset} side of fold {side.fold} is empty", where=side.splits)
    setting |= {
        "split": splits.by,
        "seed": splits.seed,
        "subset": side.subset,
        "fold": side.fold,
        "warning": splits.warning,
    }
    return evaluate(cases, predictor, setting=setting, progress=progress)


def evaluate(
    cases: Sequence[Case],
    predictor: Predictor,
    *,
    setting: Mapping[str, Any] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """Predict every case on its own grid and measure it against its reference mask.

    Args:
        cases: whom to measure; where a split is by slice, cases with their chosen slices only.
        predictor: the model.
        setting: what to keep beside the numbers (data, split, subset, fold, warning).
        progress: told of each case.

    Returns:
        What `metrics.json` holds: patients, summary, definitions, setting; numbers that do not exist
        are None.

    Raises:
        FormatError: a file cannot be read.
        GeometryError: a mask does not fit its picture.
    """
    start = time.perf_counter()
    counts: dict[str, Counts] = {}
    for number, case in enumerate(cases, start=1):
        examination = read_examination(case)
        predicted = predictor.mask(examination.scan)
        counts[case.name] = overlap.count_slices(reference=examination.reference, predicted=predicted)
        if progress:
            progress(f"{number} of {len(cases)} {case.name}: dice_volume {overlap.dice_volume(counts[case.name]):.3f}")
    model = predictor.model
    return {
        "patients": [_patient_row(case, counts[case.name]) for case in cases],
        "summary": summarise(counts),
        "definitions": overlap.DEFINITIONS,
        "interval": f"95 %, percentile bootstrap over patients, {DRAWS} draws, seed 0",
        "setting": {**(setting or {}), "model": model.config.name, "threshold": model.config.decision.threshold},
        "versions": {"gliomaseg": gliomaseg.__version__, "numpy": np.__version__},
        "seconds": round(time.perf_counter() - start, 3),
    }


def summarise(counts: Mapping[str, Counts]) -> dict[str, Any]:
    """Return the five conventions over patients' counts, with intervals; batches run on across patients."""
    patients = list(counts.values())
    everything = np.concatenate(patients) if patients else np.zeros((0, 3), np.int64)
    volumes = [np.array([d]) for c in patients if not math.isnan(d := overlap.dice_volume(c))]
    summary: dict[str, Any] = {
        "dice_volume": _statistics(volumes) | {"undefined": len(patients) - len(volumes)},
        "dice_tumour_slices": _statistics([overlap.dice_tumour_slices(c) for c in patients]),
        "dice_slices_empty_one": _statistics([overlap.dice_slices_empty_one(c) for c in patients]),
        "dice_batch": {"mean": _mean(overlap.dice_batch(everything))},
        "empty_slice_false_positive_rate": _statistics([overlap.empty_slice_false_positives(c) for c in patients]),
    }
    summary["patients"] = len(patients)
    summary["slices"] = len(everything)
    summary["tumour_slices"] = int((everything[:, 1] > 0).sum())
    return summary


def dumps(evaluation: Evaluation) -> str:
    """Return an evaluation as the text of `metrics.json`."""
    return json.dumps(evaluation, indent=1, allow_nan=False) + "\n"


def _statistics(groups: list[NDArray[np.float64]]) -> dict[str, Any]:
    """Return mean, median and interval of all values of all patients, with their number."""
    values = np.concatenate(groups) if groups else np.zeros(0)
    return {
        "mean": _mean(values),
        "median": _number(float(np.median(values))) if len(values) else None,
        "ci95": [_number(end) for end in bootstrap_interval(groups)],
        "n": len(values),
    }


def _patient_row(case: Case, counts: Counts) -> dict[str, Any]:
    both, reference, predicted = (int(n) for n in counts.sum(axis=0))
    return {
        "patient": case.name,
        "site": case.site,
        "slices": len(counts),
        "tumour_slices": int((counts[:, 1] > 0).sum()),
        "reference_voxels": reference,
        "predicted_voxels": predicted,
        "overlap_voxels": both,
        "dice_volume": _number(overlap.dice_volume(counts)),
        "dice_tumour_slices": _mean(overlap.dice_tumour_slices(counts)),
        "dice_slices_empty_one": _mean(overlap.dice_slices_empty_one(counts)),
        "empty_slice_false_positive_rate": _mean(overlap.empty_slice_false_positives(counts)),
    }


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(values.mean()) if len(values) else None


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
