"""Fit what Dice to expect of a prediction from its own signs, and say how well that ranks the failures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.config import DiceEstimator
from gliomaseg.errors import DataError

CONFIDENCE_FEATURES = ("soft_dice", "uncertainty", "flip_dice")
FAILED_BELOW = 0.7
FEWEST = 10
PARTS = 5
RIDGE = 1.0
STEPS = 50

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class DiceEstimatorFit:
    """A fit, and how good it is on patients that it was not made of.

    Attributes:
        dice_estimator: what goes into a model's settings, of all patients.
        patients: how many it was fitted on.
        left_out: how many have no Dice or no sign, such as those of whom nothing was found.
        failures: how many have a Dice below .7.
        auroc: how likely a failure has the lower predicted Dice of a failure and another: .5 (chance) to 1; None where
            all or none failed.
        spearman: rank correlation of predicted and true Dice, -1 to 1; None where one of them is the same for all.
        mean_error: the mean distance of predicted and true Dice, 0 to 1.
    """

    dice_estimator: DiceEstimator
    patients: int
    left_out: int
    failures: int
    auroc: float | None
    spearman: float | None
    mean_error: float


def fit_dice_estimator(rows: Sequence[Mapping[str, Any]]) -> DiceEstimatorFit:
    """Fit a predicted Dice to the rows of an evaluation, patients whom the model had not seen.

    The measures of the fit are by cross-fitting: what is predicted of a patient comes from the patients of the other
    folds of the rows, or, where all are of one fold, from four fifths of the others.

    Args:
        rows: of `metrics.json`, with `dice_volume` and signs.

    Raises:
        DataError: fewer than ten rows have a Dice and signs.

    Source: L. E. Papke, J. M. Wooldridge, J. Appl. Econometrics 11 (1996) 619 (logistic regression of shares).
    """
    names, whole = _whole_rows(rows)
    signs = np.array([[row[name] for name in names] for row in whole], np.float64)
    dice = np.array([row["dice_volume"] for row in whole], np.float64)
    predicted = _cross_fitted(signs, dice, np.array([row.get("fold") or 0 for row in whole]))
    bias, weights = fit_shares(signs, dice)
    rounded = {name: round(float(weight), 6) for name, weight in zip(names, weights, strict=True)}
    return DiceEstimatorFit(
        dice_estimator=DiceEstimator.model_validate({"bias": round(bias, 6), "weights": rounded}),
        patients=len(whole),
        left_out=len(rows) - len(whole),
        **measure_confidence(predicted, dice),
    )


def measure_confidence(predicted: Numbers, dice: Numbers) -> dict[str, Any]:
    """Return what `DiceEstimatorFit` has of how well expected Dice, shape (n,), tell the true ones, shape (n,)."""
    failed = dice < FAILED_BELOW
    return {
        "failures": int(failed.sum()),
        "auroc": auroc(-predicted, failed),
        "spearman": spearman(predicted, dice),
        "mean_error": float(np.abs(predicted - dice).mean()),
    }


def _cross_fitted(signs: Numbers, dice: Numbers, folds: NDArray[np.int64]) -> Numbers:
    """Return the Dice to expect of each row, by a fit to the rows of other folds: shape (n,)."""
    parts = folds if len(set(folds.tolist())) > 1 else np.arange(len(folds)) % PARTS
    predicted = np.empty(len(dice))
    for part in np.unique(parts):
        bias, weights = fit_shares(signs[parts != part], dice[parts != part])
        predicted[parts == part] = 1 / (1 + np.exp(-(bias + signs[parts == part] @ weights)))
    return predicted


def _whole_rows(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[Mapping[str, Any]]]:
    """Return the signs that there are, and the rows that have them and a Dice."""
    names = [name for name in CONFIDENCE_FEATURES if any(row.get(name) is not None for row in rows)]
    whole = [row for row in rows if names and all(row.get(name) is not None for name in ("dice_volume", *names))]
    if len(whole) < FEWEST:
        raise DataError(
            f"{len(whole)} patients have a Dice and its signs, {FEWEST} are needed to fit a predicted Dice",
            cure="run `gliomaseg crossvalidate` again, on more patients",
        )
    return names, whole


def dice_estimator_text(fit: DiceEstimatorFit) -> str:
    """Return what a fit is worth, in a line."""
    correlation = "undefined" if fit.spearman is None else f"{fit.spearman:.2f}"
    ranked = "undefined" if fit.auroc is None else f"{fit.auroc:.2f}"
    return (
        f"expected Dice fitted on {fit.patients} patients ({fit.left_out} left out); cross-fitted, it is off by "
        f"{fit.mean_error:.3f} on average, its rank correlation is {correlation}, and its AUROC for a Dice below "
        f"{FAILED_BELOW:g} ({fit.failures} patients) is {ranked}"
    )


def fit_shares(signs: Numbers, shares: Numbers) -> tuple[float, Numbers]:
    """Return bias and weights (k,) of a logistic curve through shares (n,) of 0 to 1, for signs (n, k).

    Newton's method; the weights of standardised signs are held back by a ridge of 1.
    """
    centre, spread = signs.mean(axis=0), np.maximum(signs.std(axis=0), 1e-9)
    design = np.column_stack([np.ones(len(signs)), (signs - centre) / spread])
    ridge = np.diag([0.0] + [RIDGE] * signs.shape[1])
    ridge[0, 0] = 1e-6  # shares that are all 1 would send the bias to infinity
    weights = np.zeros(design.shape[1])
    for _ in range(STEPS):
        curve = 1 / (1 + np.exp(-design @ weights))
        slope = design.T @ (shares - curve) - ridge @ weights
        bend = (design * (curve * (1 - curve))[:, None]).T @ design + ridge
        step = np.linalg.solve(bend, slope)
        weights += np.clip(step, -2, 2)
    plain = weights[1:] / spread
    return float(weights[0] - plain @ centre), plain


def auroc(scores: Numbers, failed: NDArray[np.bool_]) -> float | None:
    """Return how likely a failure scores higher than another, ties half: 0 to 1; None where all or none failed.

    Source: D. Bamber, J. Math. Psychology 12 (1975) 387, doi:10.1016/0022-2496(75)90001-2.

    >>> auroc(np.array([3.0, 1.0, 2.0]), np.array([True, False, False]))
    1.0
    """
    bad, good = scores[failed], scores[~failed]
    if not bad.size or not good.size:
        return None
    higher = (bad[:, None] > good).sum() + 0.5 * (bad[:, None] == good).sum()
    return float(higher / (bad.size * good.size))


def spearman(first: Numbers, second: Numbers) -> float | None:
    """Return the correlation of two lists' ranks, -1 to 1; None where one holds the same number only.

    >>> round(spearman(np.array([1.0, 2.0, 9.0]), np.array([0.1, 0.2, 0.3])), 6)
    1.0
    """
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    from scipy import stats

    return float(np.corrcoef(stats.rankdata(first), stats.rankdata(second))[0, 1])
