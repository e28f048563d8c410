"""Bootstrap confidence interval of a mean over patients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

DRAWS = 10_000
CHUNK = 500


def join_by_patient(groups: Sequence[NDArray[np.float64]], patients: Sequence[str]) -> list[NDArray[np.float64]]:
    """Return the values of each patient, who may have several cases, in the order of first appearance.

    Args:
        groups: the values of each case, shape (n,); may be empty.
        patients: the patient of each case.

    Raises:
        ValueError: the two have different lengths.

    >>> join_by_patient([np.array([0.5]), np.array([0.25]), np.array([0.75])], ["A", "B", "A"])
    [array([0.5 , 0.75]), array([0.25])]
    """
    by_patient: dict[str, list[NDArray[np.float64]]] = {}
    for values, patient in zip(groups, patients, strict=True):
        by_patient.setdefault(patient, []).append(values)
    return [np.concatenate(values) for values in by_patient.values()]


def bootstrap_interval(
    groups: Sequence[NDArray[np.float64]], *, draws: int = DRAWS, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % percentile interval of the pooled mean, patients drawn with replacement.

    Args:
        groups: the values of each patient, shape (n,); may be empty.
        draws: number of bootstrap samples.
        seed: of the random generator.

    Returns:
        Low and high, in the values' unit; (NaN, NaN) if fewer than two patients have a value.

    Source: B. Efron, Annals of Statistics 7 (1979) 1, doi:10.1214/aos/1176344552.

    >>> bootstrap_interval([np.array([0.5]), np.array([0.5])])
    (0.5, 0.5)
    """
    filled = [values for values in groups if len(values)]
    if len(filled) < 2:
        return float("nan"), float("nan")
    sums = np.array([values.sum() for values in filled])
    sizes = np.array([len(values) for values in filled])
    generator = np.random.default_rng(seed)
    means = []
    for start in range(0, draws, CHUNK):
        drawn = generator.integers(len(filled), size=(min(CHUNK, draws - start), len(filled)))
        means.append(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return float(low), float(high)
