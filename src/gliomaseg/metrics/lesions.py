"""Detection of lesions, each of which counts once whatever its size.

A lesion is a connected component of a mask: voxels that touch by a face, an edge or a corner belong
together (26 neighbours).
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
    """How many lesions of one patient are found, and how many predicted ones are true.

    Attributes:
        reference: lesions in the reference.
        found: those of them that the prediction touches with any voxel.
        predicted: lesions in the prediction.
        hits: those of them that touch the reference with any voxel.
        smallest_found_voxels: size of the smallest lesion of the reference that is found; None if all are missed.
    """

    reference: int
    found: int
    predicted: int
    hits: int
    smallest_found_voxels: int | None

    @property
    def sensitivity(self) -> float:
        """The share of the reference's lesions that are found, 0 to 1; NaN if the reference is empty."""
        return self.found / self.reference if self.reference else float("nan")

    @property
    def precision(self) -> float:
        """The share of predicted lesions that are hits, 0 to 1; NaN if the prediction is empty."""
        return self.hits / self.predicted if self.predicted else float("nan")

    @property
    def f1(self) -> float:
        """The harmonic mean of sensitivity and precision, 0 to 1; NaN if both masks are empty, 0 if one is."""
        if not self.reference and not self.predicted:
            return float("nan")
        if not self.found:  # then nothing is hit either
            return 0.0
        return 2 * self.sensitivity * self.precision / (self.sensitivity + self.precision)


def count_lesions(*, reference: Mask, predicted: Mask) -> Lesions:
    """Count the lesions of two masks, and the lesions that overlap.

    One predicted lesion may find several of the reference's, and several may find one.

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
    """Return each voxel's label (0: background) and each label's size."""
    labels, _ = ndimage.label(mask, structure=NEIGHBOURS)
    sizes = np.bincount(labels.ravel())
    sizes[:1] = 0  # label 0 is the background
    return labels, sizes
