"""Fit the Dice estimator to an evaluation, and measure how well it ranks failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gliomaseg.config import DiceEstimator
from gliomaseg.errors import DataError
from gliomaseg.evaluation.results import CaseScores

CONFIDENCE_FEATURES = ("soft_dice", "uncertainty", "flip_dice")
FAILED_BELOW = 0.7
FEWEST = 10
PARTS = 5
RIDGE = 1.0
BIAS_SCALE = 1e3  # a penalty of 1 on this column is one of 1e-6 on the bias

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class EstimatorQuality:
    """How far predicted Dice is from true Dice, and how well it ranks the patients.

    Attributes:
        failures: how many patients have a Dice below 0.7.
        auroc: of predicted Dice for failures: 0.5 (chance) to 1; None if all or none failed.
        spearman: rank correlation of predicted and true Dice, -1 to 1; None if one of them is constant.
        mean_absolute_error: mean absolute difference of predicted and true Dice, 0 to 1.
        bias: mean of predicted minus true Dice, -1 to 1.
    """

    failures: int
    auroc: float | None
    spearman: float | None
    mean_absolute_error: float
    bias: float

    def text(self) -> str:
        """Return the quality in words."""
        correlation = "undefined" if self.spearman is None else f"{self.spearman:.2f}"
        ranked = "undefined" if self.auroc is None else f"{self.auroc:.2f}"
        return (
            f"bias {self.bias:+.3f}, mean absolute error {self.mean_absolute_error:.3f}, "
            f"rank correlation {correlation}, "
            f"AUROC for a Dice below {FAILED_BELOW:g} ({self.failures} of them) {ranked}"
        )


@dataclass(frozen=True)
class DiceEstimatorFit:
    """A fit, and its quality on patients that it was not fitted on.

    Attributes:
        dice_estimator: fitted on all complete rows, for a model's `config.json`.
        patients: how many cases it was fitted on, without their copies.
        left_out: how many other cases lack a Dice or a confidence feature, for example because their mask is empty.
        quality: on the patients, cross-fitted.
        copies: how many changed copies it was fitted on.
        quality_of_copies: for each kind of changed copy, cross-fitted.
    """

    dice_estimator: DiceEstimator
    patients: int
    left_out: int
    quality: EstimatorQuality
    copies: int
    quality_of_copies: dict[str, EstimatorQuality]


def fit_dice_estimator(rows: Sequence[CaseScores]) -> DiceEstimatorFit:
    """Fit predicted Dice to the rows of an evaluation on patients outside the training set.

    The quality of the fit is cross-fitted: the Dice of a case is predicted by a fit to the other folds. If all rows
    have the same fold, their patients are divided into five parts. Each case and each kind of its changed copies have
    the same weight.

    Args:
        rows: of `metrics.json`, with `dice_volume` and confidence features; those of changed copies too.

    Raises:
        DataError: fewer than ten cases, without their copies, have a Dice and confidence features.

    Source: L. E. Papke, J. M. Wooldridge, J. Appl. Econometrics 11 (1996) 619 (logistic regression of shares).
    """
    names, complete = _complete_rows(rows)
    features = np.array([[getattr(row, name) for name in names] for row in complete], np.float64)
    dice = np.array([row.dice_volume for row in complete], np.float64)
    counts = Counter((row.case, row.changed) for row in complete)
    importance = np.array([1 / counts[row.case, row.changed] for row in complete])
    predicted = _cross_fitted(features, dice, importance, divide(complete))
    bias, weights = fit_shares(features, dice, importance)
    rounded = {name: round(float(weight), 6) for name, weight in zip(names, weights, strict=True)}
    kind = np.array([row.changed or "" for row in complete])
    quality = {
        name: measure_quality(predicted[kind == name], dice[kind == name]) for name in dict.fromkeys(kind.tolist())
    }
    patients = int((kind == "").sum())
    return DiceEstimatorFit(
        dice_estimator=DiceEstimator.model_validate({"bias": round(bias, 6), "weights": rounded}),
        patients=patients,
        left_out=sum(not row.changed for row in rows) - patients,
        quality=quality.pop(""),
        copies=len(complete) - patients,
        quality_of_copies=quality,
    )


def measure_quality(predicted: Numbers, dice: Numbers) -> EstimatorQuality:
    """Return the quality of predicted Dice, shape (n,), against true Dice, shape (n,)."""
    failed = dice < FAILED_BELOW
    return EstimatorQuality(
        failures=int(failed.sum()),
        auroc=auroc(-predicted, failed),
        spearman=spearman(predicted, dice),
        mean_absolute_error=float(np.abs(predicted - dice).mean()),
        bias=float((predicted - dice).mean()),
    )


def divide(rows: Sequence[CaseScores]) -> NDArray[np.int64]:
    """Return the part of each row, shape (n,): its fold, or one of five if all rows have the same fold."""
    folds = [row.fold or 0 for row in rows]
    if len(set(folds)) == 1:
        place = {patient: k for k, patient in enumerate(dict.fromkeys(row.patient for row in rows))}
        folds = [place[row.patient] % PARTS for row in rows]
    return np.array(folds)


def _cross_fitted(features: Numbers, dice: Numbers, importance: Numbers, parts: NDArray[np.int64]) -> Numbers:
    """Return the predicted Dice of each row, by a fit to the rows of other parts: shape (n,)."""
    predicted = np.empty(len(dice))
    for part in np.unique(parts):
        others = parts != part
        bias, weights = fit_shares(features[others], dice[others], importance[others])
        predicted[parts == part] = 1 / (1 + np.exp(-(bias + features[parts == part] @ weights)))
    return predicted


def _complete_rows(rows: Sequence[CaseScores]) -> tuple[list[str], list[CaseScores]]:
    """Return the available features, and the rows that have all of them and a Dice."""
    names = [name for name in CONFIDENCE_FEATURES if any(getattr(row, name) is not None for row in rows)]
    complete = [
        row for row in rows if names and all(getattr(row, name) is not None for name in ("dice_volume", *names))
    ]
    if (patients := sum(not row.changed for row in complete)) < FEWEST:
        raise DataError(
            f"number of patients with a Dice and confidence features is {patients}, expected at least {FEWEST}",
            cure="run `gliomaseg crossvalidate` again, on more patients",
        )
    return names, complete


def dice_estimator_text(fit: DiceEstimatorFit) -> str:
    """Return the quality of a fit in a line."""
    copies = f" and {fit.copies} changed copies" if fit.copies else ""
    text = f"predicted Dice fitted on {fit.patients} patients ({fit.left_out} left out){copies}; cross-fitted: "
    others = (f"; {kind}: {quality.text()}" for kind, quality in fit.quality_of_copies.items())
    return text + fit.quality.text() + "".join(others)


def fit_shares(features: Numbers, shares: Numbers, importance: Numbers) -> tuple[float, Numbers]:
    """Return bias and weights (k,) of a logistic regression of shares (n,) from 0 to 1 on features (n, k).

    Each row counts as a positive with weight p and as a negative with weight 1 - p, where p is its share, both times
    its importance (n,). The weights of standardised features have a ridge penalty of 1; the bias has nearly none.
    """
    from sklearn.linear_model import LogisticRegression  # slow to import

    centre, spread = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-9)
    standardised = (features - centre) / spread
    # The column of a large constant is the bias: its penalty is finite, as shares that are all 1 need.
    design = np.column_stack([np.full(len(features), BIAS_SCALE), standardised])
    rows = np.concatenate([design, design])
    labels = np.repeat([1, 0], len(shares))
    model = LogisticRegression(C=1 / RIDGE, fit_intercept=False, solver="newton-cholesky", tol=1e-10, max_iter=200)
    model.fit(rows, labels, sample_weight=np.concatenate([importance * shares, importance * (1 - shares)]))
    bias, weights = BIAS_SCALE * model.coef_[0, 0], model.coef_[0, 1:] / spread
    return float(bias - weights @ centre), weights


def auroc(scores: Numbers, failed: NDArray[np.bool_]) -> float | None:
    """Return the area under the ROC curve of scores for failures, 0 to 1; None if all or none failed.

    Source: D. Bamber, J. Math. Psychology 12 (1975) 387, doi:10.1016/0022-2496(75)90001-2.

    >>> auroc(np.array([3.0, 1.0, 2.0]), np.array([True, False, False]))
    1.0
    """
    if failed.all() or not failed.any() or not np.isfinite(scores).all():
        return None
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(failed, scores))


def spearman(first: Numbers, second: Numbers) -> float | None:
    """Return the rank correlation of two arrays, -1 to 1; None if one of them is constant.

    >>> round(spearman(np.array([1.0, 2.0, 9.0]), np.array([0.1, 0.2, 0.3])), 6)
    1.0
    """
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    from scipy import stats

    return float(stats.spearmanr(first, second).statistic)
