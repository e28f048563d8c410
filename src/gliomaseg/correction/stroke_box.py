"""The box in which strokes change a mask: of limited size, so that its graph is too."""

from __future__ import annotations

import math

import numpy as np

from gliomaseg.errors import ResourceError
from gliomaseg.prediction.mask_statistics import bounding_box
from gliomaseg.types import Mask

Box = tuple[slice, slice, slice]

MARGIN = 0.1
LEAST_MARGIN = 2
MAX_VOXELS = 2_000_000


def stroke_box(strokes: Mask, mask: Mask) -> Box:
    for marked, margin in ((strokes | mask, MARGIN), (strokes, 1.0), (strokes, 0.5), (strokes, MARGIN)):
        box = _grown(marked, margin)
        if math.prod(part.stop - part.start for part in box) <= MAX_VOXELS:
            return box
    raise ResourceError(f"strokes span more than {MAX_VOXELS:,} voxels", cure="draw them closer together")


def _grown(marked: Mask, margin: float) -> Box:
    box = bounding_box(marked)
    assert box is not None
    parts = []
    for part, length in zip(box, marked.shape, strict=True):
        more = max(LEAST_MARGIN, round((part.stop - part.start) * margin))
        parts.append(slice(max(0, part.start - more), min(length, part.stop + more)))
    return parts[0], parts[1], parts[2]
