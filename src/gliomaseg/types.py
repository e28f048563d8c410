"""Array types and sequence names: shape, dtype and axis order, stated once.

Arrays are indexed `z, y, x` (slice, row, column). A channel axis is last in the pixels of files (`z, y, x, c`) and
second in a network's input (`z, c, y, x`).
"""

from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""One image of a file: uint8, shape (y, x) or (y, x, 3), red green blue."""

Voxels = NDArray[Any]
"""The slices of one examination: real numbers, shape (z, y, x, c) with c = 1 or 3."""

Mask = NDArray[np.bool_]
"""Tumour or not: bool, shape (z, y, x), or (y, x) for one slice."""

Probability = NDArray[np.float32]
"""Probability of tumour in each voxel: float32 in [0, 1], shape (z, y, x)."""

PreparedSlices = NDArray[np.uint8]
"""Prepared slices before normalisation, as in the cache: uint8, shape (z, c, y, x)."""

Batch = NDArray[np.float32]
"""The network's input: float32, normalised, shape (n, c, y, x)."""

SliceIndices = NDArray[np.int64]
"""Indices of slices in a stack or a cache, from 0."""

WITHOUT_SKULL = "without skull"
"""The kind of a copy of a case whose scan is 0 outside the brain."""


class Sequence(StrEnum):
    """An MRI sequence."""

    T1 = "t1"
    """T1-weighted, before contrast agent."""
    T1CE = "t1ce"
    """T1-weighted, contrast-enhanced."""
    T2 = "t2"
    """T2-weighted."""
    FLAIR = "flair"
    """T2-weighted, fluid-attenuated inversion recovery."""
