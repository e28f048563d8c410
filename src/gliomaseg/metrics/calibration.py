"""Calibration: agreement of predicted probability and observed frequency of tumour.

All measures are computed from a table of counts per bin of probability. Tables of patients add up, so a data set is
measured one patient at a time, and all pixels have the same weight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gliomaseg.errors import GeometryError
from gliomaseg.types import Mask, Probability

BINS = 15
CANDIDATE = 0.01


@dataclass(frozen=True, eq=False)
class CalibrationTable:
    """Counts per bin of probability; bin k of n counts k/n <= probability < (k+1)/n, the last bin also 1.

    Attributes:
        pixels: number of pixels, int64, shape (bins,).
        probability: the sum of their probabilities, float64, shape (bins,).
        reference: number of pixels that are tumour in the reference, int64, shape (bins,).
        squared_error: the sum of (probability - reference)^2 over all pixels.
    """

    pixels: NDArray[np.int64]
    probability: NDArray[np.float64]
    reference: NDArray[np.int64]
    squared_error: float

    def __add__(self, other: CalibrationTable) -> CalibrationTable:
        """Return the table of both tables' pixels.

        Raises:
            ValueError: the numbers of bins differ.
        """
        if len(self.pixels) != len(other.pixels):
            raise ValueError(f"numbers of bins are {len(self.pixels)} and {len(other.pixels)}, expected equal numbers")
        return CalibrationTable(
            self.pixels + other.pixels,
            self.probability + other.probability,
            self.reference + other.reference,
            self.squared_error + other.squared_error,
        )


def empty_table(*, bins: int = BINS) -> CalibrationTable:
    """Return a table without pixels, as the start of a sum.

    Raises:
        ValueError: `bins` is less than 1.

    >>> int(empty_table().pixels.sum())
    0
    """
    if bins < 1:
        raise ValueError(f"bins is {bins}, expected 1 or more")
    return CalibrationTable(np.zeros(bins, np.int64), np.zeros(bins), np.zeros(bins, np.int64), 0.0)


def calibration_table(*, reference: Mask, predicted: Probability, bins: int = BINS) -> CalibrationTable:
    """Count all pixels by their probability. Background, about 99 % of the pixels, dominates the result.

    Args:
        reference: the expert's mask, bool, shape (z, y, x).
        predicted: the probability of tumour, float32 in [0, 1], same shape.
        bins: of equal width, 1 or more.

    Returns:
        The table; all 0 for empty arrays.

    Raises:
        GeometryError: the shapes differ.
        TypeError: the reference is not bool.
        ValueError: a probability is outside [0, 1] or NaN, or `bins` is less than 1.

    Source: C. Guo et al., ICML 2017, doi:10.48550/arXiv.1706.04599.

    >>> table = calibration_table(
    ...     reference=np.array([[[False, True, True]]]), predicted=np.array([[[0.1, 0.8, 1.0]]], np.float32), bins=2
    ... )
    >>> table.pixels.tolist(), table.probability.round(3).tolist(), table.reference.tolist()
    ([1, 2], [0.1, 1.8], [0, 2])
    >>> round(table.squared_error, 3)
    0.05
    """
    _require(reference, predicted)
    return _tabulate(reference.ravel(), predicted.ravel(), bins)


def candidate_calibration_table(*, reference: Mask, predicted: Probability, bins: int = BINS) -> CalibrationTable:
    """Count only candidates: pixels with a probability of 0.01 or more, and tumour pixels of the reference.

    Background with a low probability, about 99 % of a head, is left out. Missed tumour is included. Name this choice
    beside the number: it differs from the error over all pixels.

    Arguments, result and errors are those of `calibration_table`.

    >>> table = candidate_calibration_table(
    ...     reference=np.array([[[False, False, True]]]), predicted=np.array([[[0.0, 0.5, 0.0]]], np.float32), bins=2
    ... )
    >>> table.pixels.tolist(), table.reference.tolist()
    ([1, 1], [1, 0])
    """
    _require(reference, predicted)
    chosen = reference | (predicted >= np.float32(CANDIDATE))
    return _tabulate(reference[chosen], predicted[chosen], bins)


def expected_calibration_error(table: CalibrationTable) -> float:
    """Return the mean distance of probability and tumour share, bins weighted by pixels: no unit, 0 (calibrated) to 1.

    NaN if the table has no pixels.

    Source: M. P. Naeini et al., AAAI 29 (2015), doi:10.1609/aaai.v29i1.9602.

    >>> reference = np.array([[[False, True, True, True]]])
    >>> predicted = np.array([[[0.2, 0.4, 0.9, 0.9]]], np.float32)
    >>> round(expected_calibration_error(calibration_table(reference=reference, predicted=predicted, bins=2)), 3)
    0.15
    """
    pixels = int(table.pixels.sum())
    return float(np.abs(table.probability - table.reference).sum() / pixels) if pixels else float("nan")


def brier_score(table: CalibrationTable) -> float:
    """Return the mean of (probability - reference)^2: no unit, 0 (certain and correct) to 1 (certain and wrong).

    NaN if the table has no pixels. The bins do not matter.

    Source: G. W. Brier, Monthly Weather Review 78 (1950) 1,
    doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2 (half of his sum over both outcomes).

    >>> table = calibration_table(reference=np.array([[[True]]]), predicted=np.array([[[0.5]]], np.float32))
    >>> brier_score(table)
    0.25
    """
    pixels = int(table.pixels.sum())
    return table.squared_error / pixels if pixels else float("nan")


def mean_probabilities(table: CalibrationTable) -> NDArray[np.float64]:
    """Return the mean probability of each bin, 0 to 1, NaN in empty bins: shape (bins,).

    The horizontal axis of a reliability diagram.

    Source: A. Niculescu-Mizil, R. Caruana, ICML 2005, doi:10.1145/1102351.1102430.

    >>> table = calibration_table(reference=np.array([[[True]]]), predicted=np.array([[[0.75]]], np.float32), bins=2)
    >>> mean_probabilities(table).tolist()
    [nan, 0.75]
    """
    return _per_pixel(table.probability, table.pixels)


def tumour_shares(table: CalibrationTable) -> NDArray[np.float64]:
    """Return the share of each bin's pixels that are tumour, 0 to 1, NaN in empty bins: shape (bins,).

    The vertical axis of a reliability diagram; source as for `mean_probabilities`.

    >>> table = calibration_table(reference=np.array([[[True]]]), predicted=np.array([[[0.75]]], np.float32), bins=2)
    >>> tumour_shares(table).tolist()
    [nan, 1.0]
    """
    return _per_pixel(table.reference, table.pixels)


def _require(reference: Mask, predicted: Probability) -> None:
    if reference.dtype != np.bool_:
        raise TypeError(f"reference mask has dtype {reference.dtype}, expected bool")
    if reference.shape != predicted.shape:
        raise GeometryError(f"reference mask has shape {reference.shape}, predicted probability has {predicted.shape}")
    # Comparisons with NaN are false: `not (... and ...)` also catches NaN.
    if predicted.size and not (predicted.min() >= 0 and predicted.max() <= 1):
        raise ValueError(f"probabilities range from {predicted.min()} to {predicted.max()}, expected 0 to 1")


def _tabulate(reference: Mask, predicted: Probability, bins: int) -> CalibrationTable:
    """Count pixels, both arrays of shape (n,)."""
    empty = empty_table(bins=bins)
    if not predicted.size:
        return empty
    probability = predicted.astype(np.float64)  # float32 sums over millions of pixels lose digits
    places = np.minimum((probability * bins).astype(np.int64), bins - 1)
    error = probability - reference
    return CalibrationTable(
        np.bincount(places, minlength=bins).astype(np.int64),
        np.asarray(np.bincount(places, weights=probability, minlength=bins), np.float64),
        np.bincount(places[reference], minlength=bins).astype(np.int64),
        float(error @ error),
    )


def _per_pixel(sums: NDArray[np.int64] | NDArray[np.float64], pixels: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.where(pixels > 0, sums / np.maximum(pixels, 1), np.nan)
