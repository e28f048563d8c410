"""Detection of lesions, independent of their size.

A lesion is a connected component of a mask: voxels that share a face, an edge or a corner are connected (26
neighbours).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gliomaseg.metrics.mask_checks import joint_box, require_pair
from gliomaseg.types import Mask

NEIGHBOURS = np.ones((3, 3, 3), np.bool_)


@dataclass(frozen=True)
class Lesions:
    """Lesions of one patient: reference, found, predicted, and true positives.

    Attributes:
        reference: lesions in the reference.
        found: lesions in the reference that overlap the prediction by at least one voxel.
        predicted: lesions in the prediction.
        hits: lesions in the prediction that overlap the reference by at least one voxel.
        smallest_found_voxels: size of the smallest lesion found; None if none is found.
    """

    reference: int
    found: int
    predicted: int
    hits: int
    smallest_found_voxels: int | None

    @property
    def sensitivity(self) -> float:
        """The share of the reference's lesions that are found, 0 to 1; NaN if it has none."""
        return self.found / self.reference if self.reference else float("nan")

    @property
    def precision(self) -> float:
        """The share of predicted lesions that are hits, 0 to 1; NaN if none is predicted."""
        return self.hits / self.predicted if self.predicted else float("nan")

    @property
    def f1(self) -> float:
        """The harmonic mean of sensitivity and precision, 0 to 1; NaN if both masks are empty, 0 if one is."""
        if not self.reference and not self.predicted:
            return float("nan")
        if not self.found:  # hits are then 0 too
            return 0.0
        return 2 * self.sensitivity * self.precision / (self.sensitivity + self.precision)


def count_lesions(*, reference: Mask, predicted: Mask) -> Lesions:
    """Count the lesions of two masks, and those that overlap.

    One predicted lesion can find several lesions of the reference, and several can find the same one.

    Args:
        reference: the expert's mask, bool, shape (z, y, x).
        predicted: the model's mask, bool, same shape.

    Returns:
        The counts; all 0 if both masks are empty.

    Raises:
        GeometryError: a mask is not 3D, or the shapes differ.
        TypeError: a mask is not bool.

    Source: L. Maier-Hein et al., Nature Methods 21 (2024) 195, doi:10.1038/s41592-023-02151-z.

    >>> reference, predicted = np.zeros((2, 1, 3, 8), bool)
    >>> reference[0, 0, [0, 1, 5]] = predicted[0, 0, [1, 7]] = predicted[0, 2, 0] = True
    >>> lesions = count_lesions(reference=reference, predicted=predicted)
    >>> lesions
    Lesions(reference=2, found=1, predicted=3, hits=1, smallest_found_voxels=2)
    >>> lesions.sensitivity, round(lesions.precision, 3), lesions.f1
    (0.5, 0.333, 0.4)
    """
    require_pair(reference=reference, predicted=predicted)
    box = joint_box(reference=reference, predicted=predicted)
    true_labels, true_sizes = _components(reference[box])
    predicted_labels, predicted_sizes = _components(predicted[box])
    both = (true_labels > 0) & (predicted_labels > 0)
    found, hits = np.unique(true_labels[both]), np.unique(predicted_labels[both])
    return Lesions(
        reference=int(np.count_nonzero(true_sizes)),
        found=len(found),
        predicted=int(np.count_nonzero(predicted_sizes)),
        hits=len(hits),
        smallest_found_voxels=int(true_sizes[found].min()) if len(found) else None,
    )


def _components(mask: Mask) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the label of each voxel (0 for background), and the size of each label (0 for background)."""
    labels, _ = ndimage.label(mask, structure=NEIGHBOURS)
    sizes = np.bincount(labels.ravel())
    sizes[:1] = 0
    return labels, sizes
