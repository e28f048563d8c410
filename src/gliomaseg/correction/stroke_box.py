"""The box in which strokes change a mask: of limited size, so that time and memory are limited too."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gliomaseg.errors import ResourceError
from gliomaseg.prediction.mask_statistics import bounding_box
from gliomaseg.types import Mask

Box = tuple[slice, slice, slice]

MARGIN = 0.1  # at each side, as a share of the box
LEAST_MARGIN = 2
REACH_SHARES = (1.0, 0.5, 0.0)
MAX_VOXELS = 2_000_000


def stroke_box(strokes: Mask, mask: Mask, reach: tuple[int, int, int]) -> Box:
    """Return the box of the strokes and the mask with a margin; it contains the reach of the strokes.

    If it has more than 2 million voxels, it is a box around the strokes alone, the first that fits: with their reach,
    with half of it, or with the margin only.

    Args:
        strokes: bool, shape (z, y, x), not empty.
        mask: bool, same shape.
        reach: voxels on each side of the strokes along z, y, x.

    Raises:
        ResourceError: the strokes alone have a larger box.
    """
    joint = _with_margin(strokes | mask)
    near = [_with_margin(strokes, [round(share * length) for length in reach]) for share in REACH_SHARES]
    for box in (_hull(joint, near[0]), *near):
        if _voxels(box) <= MAX_VOXELS:
            return box
    what = f"the box of the strokes is {_voxels(near[-1]):,} voxels, expected at most {MAX_VOXELS:,}"
    raise ResourceError(what, cure="draw the strokes closer together")


def _voxels(box: Box) -> int:
    return math.prod(part.stop - part.start for part in box)


def _hull(one: Box, other: Box) -> Box:
    z, y, x = (slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(one, other, strict=True))
    return z, y, x


def _with_margin(marked: Mask, least: Sequence[int] = (0, 0, 0)) -> Box:
    """Return the bounding box with a tenth more on each side, but at least two voxels and `least`."""
    box = bounding_box(marked)
    if box is None:
        raise ValueError("no voxel is marked")
    more = [
        max(LEAST_MARGIN, voxels, round((part.stop - part.start) * MARGIN))
        for part, voxels in zip(box, least, strict=True)
    ]
    z, y, x = (
        slice(max(0, part.start - margin), min(length, part.stop + margin))
        for part, margin, length in zip(box, more, marked.shape, strict=True)
    )
    return z, y, x
