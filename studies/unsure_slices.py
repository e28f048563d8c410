"""Compare rules that rank slices by how wrong the mask may be: docs/results/plausibility.md.

    python studies/unsure_slices.py bundled external
    python studies/unsure_slices.py RUN lgg

A model is a run, a model folder, a bundled model, or "bundled": all of them as `predict` uses them. A run is measured
on its validation patients, any other model on all cases. For each case and rule, the study prints the rank correlation
of the rule's number with the wrong voxels of a slice, false and missed ones, without slices that have no tumour in both
masks; then the wrong voxels of the rule's first three slices, as a share of those of the worst three.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from gliomaseg.data.case import LoadedCase, read_case
from gliomaseg.data.case_list import DataOptions
from gliomaseg.data.layouts import read_cases
from gliomaseg.evaluation.documents import read_evaluation
from gliomaseg.metrics.overlap import dice
from gliomaseg.prediction import ScanPredictor, open_models
from gliomaseg.pretrained import find_models

LISTED = 3
RULES = ("mirror image", "probability 0.3 to 0.7", "expected errors")


def rank(loaded: LoadedCase, predictor: ScanPredictor) -> tuple[float, dict[str, tuple[float, float]]]:
    """Return the Dice of a case, and for each rule the rank correlation and the share of wrong voxels."""
    scan, found = loaded.scan, predictor.predict(loaded.scan)
    if found.mirror_disagreement_px is None:
        raise SystemExit(f"{found.model_name} has no flip TTA")
    mask, reference, probability = (
        scan.axial.turn(array).reshape(len(found.mirror_disagreement_px), -1)
        for array in (found.mask, loaded.reference, found.probability)
    )
    wrong, kept = (mask != reference).sum(axis=1), (mask | reference).any(axis=1)
    middle = ((probability > 0.3) & (probability <= 0.7)).sum(axis=1)
    expected = np.where(mask, 1 - probability, probability).sum(axis=1)
    numbers = dict(zip(RULES, (found.mirror_disagreement_px, middle, expected), strict=True))
    values = {name: (correlation(one[kept], wrong[kept]), share(one, wrong)) for name, one in numbers.items()}
    return dice(predicted=found.mask, reference=loaded.reference), values


def correlation(one: NDArray[Any], wrong: NDArray[Any]) -> float:
    """Return the rank correlation; 0 if a rule has one number for all slices."""
    return float(np.nan_to_num(stats.spearmanr(one, wrong).statistic)) if np.ptp(one) else 0.0


def share(one: NDArray[Any], wrong: NDArray[Any]) -> float:
    """Return the wrong voxels of the first slices of a rule, as a share of those of the worst slices."""
    return float(wrong[np.argsort(-one, kind="stable")[:LISTED]].sum() / np.sort(wrong)[-LISTED:].sum())


def main(arguments: Sequence[str]) -> None:
    """Run the study."""
    model, data = arguments
    predictor = open_models(find_models(None if model == "bundled" else Path(model)))
    layout = "brats" if any(Path(data).glob("brats_*")) else None  # other folders beside them have no masks
    cases, run = read_cases(Path(data), DataOptions(layout)).cases, Path(model, "model")
    own = {row.case for row in read_evaluation(run).patients} if run.is_dir() else {case.name for case in cases}
    rows = {case.name: rank(read_case(case), predictor) for case in cases if case.name in own}
    sys.stdout.write(f"| case | Dice | {' | '.join(RULES)} |\n|---|---|{'---|' * len(RULES)}\n")
    for name, (agreement, values) in rows.items():
        cells = " | ".join(f"{rho:.2f}, {part:.2f}" for rho, part in values.values())
        sys.stdout.write(f"| {name} | {agreement:.3f} | {cells} |\n")
    means = [np.mean([values[rule] for _, values in rows.values()], axis=0) for rule in RULES]
    sys.stdout.write(f"| mean | | {' | '.join(f'{rho:.3f}, {part:.3f}' for rho, part in means)} |\n")


if __name__ == "__main__":
    main(sys.argv[1:])
