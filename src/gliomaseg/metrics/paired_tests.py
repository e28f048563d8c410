"""Paired comparison of two systems on the same patients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gliomaseg.metrics.bootstrap import DRAWS, bootstrap_interval


@dataclass(frozen=True)
class PairedComparison:
    """A candidate against a baseline; a difference is candidate - baseline, in the measure's unit.

    Attributes:
        patients: number of patients with a value in both.
        undefined: number of patients without a value (NaN) in one or both; they are left out of the other fields.
        mean_difference: over patients; NaN for zero patients.
        low: lower end of its 95 % interval; NaN for fewer than two patients.
        high: upper end of the same interval.
        p_value: two-sided, of Wilcoxon's signed-rank test, 0 to 1; 1 if all differences are 0, NaN
            for zero patients.
        wins: patients on whom the candidate is better.
        losses: patients on whom it is worse.
        ties: patients on whom both are exactly equal.
    """

    patients: int
    undefined: int
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
    higher_is_better: bool = True,
    draws: int = DRAWS,
    seed: int = 0,
) -> PairedComparison:
    """Compare two systems' values of one measure, patient by patient.

    Args:
        baseline: a value for each patient, float64, shape (patients,); NaN where undefined.
        candidate: the other system's, same patients in the same order.
        higher_is_better: false for distances and errors; it only decides between wins and losses.
        draws: number of bootstrap samples.
        seed: of the random generator.

    Returns:
        The comparison; its interval is `bootstrap_interval` of the differences.

    Raises:
        ValueError: the arrays do not have one equal shape (patients,), or a value is infinite.

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
            f"value arrays have shapes {baseline.shape} and {candidate.shape}, expected one equal shape (patients,)"
        )
    if np.isinf(baseline).any() or np.isinf(candidate).any():
        raise ValueError("a value is infinite, expected finite values or NaN")
    differences = candidate - baseline
    defined = differences[~np.isnan(differences)]
    low, high = bootstrap_interval([defined[k : k + 1] for k in range(len(defined))], draws=draws, seed=seed)
    up, down = int(np.count_nonzero(defined > 0)), int(np.count_nonzero(defined < 0))
    wins, losses = (up, down) if higher_is_better else (down, up)
    return PairedComparison(
        patients=len(defined),
        undefined=len(differences) - len(defined),
        mean_difference=float(defined.mean()) if len(defined) else float("nan"),
        low=low,
        high=high,
        p_value=_signed_rank_p(defined),
        wins=wins,
        losses=losses,
        ties=len(defined) - wins - losses,
    )


def _signed_rank_p(differences: NDArray[np.float64]) -> float:
    if not len(differences):
        return float("nan")
    from scipy import stats  # slow to import

    unequal = differences[differences != 0]
    # If all differences are 0, scipy divides 0 by 0.
    return float(stats.wilcoxon(unequal).pvalue) if len(unequal) else 1.0
