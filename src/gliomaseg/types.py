"""The arrays that travel through the package: shape, dtype and axis order, said once.

Arrays are indexed `z, y, x` (slice, row, column); a channel axis, where there is one, stands last in
files' pixels (`z, y, x, c`) and second in what a network takes (`z, c, y, x`).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""One picture as a file holds it: uint8, shape (y, x) or (y, x, 3), red green blue."""

Voxels = NDArray[Any]
"""The slices of one examination: real numbers, shape (z, y, x, c) with c = 1 or 3."""

Mask = NDArray[np.bool_]
"""Tumour or not: bool, shape (z, y, x), or (y, x) for one slice."""

Probability = NDArray[np.float32]
"""How likely each voxel is tumour: float32 in [0, 1], shape (z, y, x)."""

PreparedSlices = NDArray[np.uint8]
"""Prepared slices before normalisation, as the cache keeps them: uint8, shape (z, c, y, x)."""

Batch = NDArray[np.float32]
"""What a network takes: float32, normalised, shape (n, c, y, x)."""

SliceIndices = NDArray[np.int64]
"""Where slices stand in a stack or a cache, from 0."""
