"""Paired comparison of two systems on the same patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gliomaseg.metrics.bootstrap import DRAWS, bootstrap_interval, join_by_patient


@dataclass(frozen=True)
class PairedComparison:
    """A candidate against a baseline; a difference is candidate - baseline, in the measure's unit.

    Attributes:
        patients: number of patients with a value in both.
        cases: number of cases with a value in both; a patient may have several.
        undefined: number of cases without a value (NaN) in one or both; they are left out of the other fields.
        baseline_mean: of the baseline's values, over these cases; NaN for zero cases.
        candidate_mean: of the candidate's values.
        mean_difference: over cases; NaN for zero cases.
        low: lower end of its 95 % interval; NaN for fewer than two patients.
        high: upper end of the same interval.
        p_value: two-sided, of Wilcoxon's signed-rank test on the mean difference of each patient, 0 to 1; 1 if all
            are 0, NaN for zero patients.
        wins: cases on which the candidate is better.
        losses: cases on which it is worse.
        ties: cases on which both are exactly equal.
    """

    patients: int
    cases: int
    undefined: int
    baseline_mean: float
    candidate_mean: float
    mean_difference: float
    low: float
    high: float
    p_value: float
    wins: int
    losses: int
    ties: int


def compare(
    *,
    baseline: NDArray[np.float64],
    candidate: NDArray[np.float64],
    patients: Sequence[str] | None = None,
    higher_is_better: bool = True,
    draws: int = DRAWS,
    seed: int = 0,
) -> PairedComparison:
    """Compare two systems' values of one measure, case by case.

    Args:
        baseline: a value for each case, float64, shape (cases,); NaN where undefined.
        candidate: the other system's, same cases in the same order.
        patients: the patient of each case; None if each case is a patient of its own.
        higher_is_better: false for distances and errors; it only decides between wins and losses.
        draws: number of bootstrap samples.
        seed: of the random generator.

    Returns:
        The comparison; its interval is `bootstrap_interval` of the differences, the cases of a patient drawn together.

    Raises:
        ValueError: the arrays do not have one equal shape (cases,), or a value is infinite.

    Source: F. Wilcoxon, Biometrics Bulletin 1 (1945) 80, doi:10.2307/3001968 (differences of 0 dropped);
    B. Efron, Annals of Statistics 7 (1979) 1, doi:10.1214/aos/1176344552.

    >>> result = compare(baseline=np.array([0.5, 0.75, 0.5, 0.5]), candidate=np.array([0.75, 0.75, 1.0, np.nan]))
    >>> result.patients, result.undefined, result.mean_difference, result.p_value
    (3, 1, 0.25, 0.5)
    >>> result.wins, result.losses, result.ties
    (2, 0, 1)
    """
    if baseline.shape != candidate.shape or baseline.ndim != 1:
        raise ValueError(
            f"value arrays have shapes {baseline.shape} and {candidate.shape}, expected one equal shape (cases,)"
        )
    if np.isinf(baseline).any() or np.isinf(candidate).any():
        raise ValueError("a value is infinite, expected finite values or NaN")
    differences = candidate - baseline
    known = np.flatnonzero(~np.isnan(differences))
    defined = differences[known]
    names = [str(k) if patients is None else patients[k] for k in known.tolist()]
    groups = join_by_patient([defined[k : k + 1] for k in range(len(defined))], names)
    low, high = bootstrap_interval(groups, draws=draws, seed=seed)
    up, down = int(np.count_nonzero(defined > 0)), int(np.count_nonzero(defined < 0))
    wins, losses = (up, down) if higher_is_better else (down, up)
    return PairedComparison(
        patients=len(groups),
        cases=len(defined),
        undefined=len(differences) - len(defined),
        baseline_mean=_mean(baseline[known]),
        candidate_mean=_mean(candidate[known]),
        mean_difference=_mean(defined),
        low=low,
        high=high,
        p_value=_signed_rank_p(np.array([group.mean() for group in groups])),
        wins=wins,
        losses=losses,
        ties=len(defined) - wins - losses,
    )


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _signed_rank_p(differences: NDArray[np.float64]) -> float:
    if not len(differences):
        return float("nan")
    from scipy import stats  # slow to import

    unequal = differences[differences != 0]
    # If all differences are 0, scipy divides 0 by 0.
    return float(stats.wilcoxon(unequal).pvalue) if len(unequal) else 1.0
