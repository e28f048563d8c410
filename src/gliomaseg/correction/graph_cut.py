"""A mask from a few strokes, by a graph cut whose prior is the network's probability.

Each voxel of a box is a node. Its prior is the log-odds of the network's probability, shifted by the strokes: voxels
that are near a stroke and as bright as it are likely to be of its kind. Neighbours are joined the more strongly, the
more alike they are. Voxels of a stroke are of its kind in any case. Voxels outside the box do not change.

Source: Y. Boykov, M.-P. Jolly, ICCV 2001, doi:10.1109/ICCV.2001.937505.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from gliomaseg.errors import ResourceError
from gliomaseg.types import Mask, Probability

Box = tuple[slice, slice, slice]
Array = NDArray[np.float32]

MARGIN, LEAST_MARGIN_MM = 0.1, 20.0
# Images without spacing are mostly slices of clinical scans, several times as thick as their pixels.
USUAL_MM = (5.0, 1.0, 1.0)
MAX_VOXELS = 2_000_000
LARGEST_LOG_ODDS = 6.0
_SCALE = 1000  # of capacities, which are whole numbers
_HARD = 2**30 // 4


@dataclass(frozen=True)
class Strokes:
    """What a person marked: bool, shape (z, y, x) each. A voxel in both counts as tumour.

    Attributes:
        tumour: voxels of tumour.
        other: voxels that are not tumour.
    """

    tumour: Mask
    other: Mask


@dataclass(frozen=True)
class CutSettings:
    """The weights of the graph.

    Attributes:
        prior: factor on the log-odds of the network.
        stroke: log-odds at a stroke.
        reach_mm: distance at which the influence of a stroke falls to 37 %; in pixels if the spacing is unknown.
        contrast: difference of brightness, as a share of the head's standard deviation, at which the influence and
            the bond of neighbours fall to 61 %.
        bond: cost of a border between two equally bright neighbours.
    """

    prior: float = 1.0
    stroke: float = 8.0
    reach_mm: float = 15.0
    contrast: float = 0.5
    bond: float = 2.0


def graph_cut(
    image: NDArray[np.floating],
    probability: Probability,
    strokes: Strokes,
    *,
    previous_mask: Mask,
    spacing_mm: tuple[float, float, float] | None,
    settings: CutSettings | None = None,
) -> Mask:
    """Return the mask, computed again from strokes: bool, shape (z, y, x).

    Without strokes it is the mask before.

    Args:
        image: FLAIR, shape (z, y, x).
        probability: of the network, float32 in [0, 1], same shape.
        strokes: of the same shape.
        previous_mask: bool, same shape.
        spacing_mm: along z, y, x; None if it is unknown: then a slice counts as five times as thick as its pixels.
        settings: weights; None for the default.

    Raises:
        ResourceError: the strokes span more than 2 million voxels.
    """
    marked = strokes.tumour | strokes.other
    if not marked.any():
        return previous_mask.copy()
    settings = settings or CutSettings()
    sides = spacing_mm or USUAL_MM
    box = stroke_box(marked, previous_mask, sides)
    tumour, other = strokes.tumour[box], strokes.other[box] & ~strokes.tumour[box]
    bright = _standardised(image, box)
    odds = settings.prior * _log_odds(probability[box])
    odds += settings.stroke * _influence(bright, tumour, other, sides, settings)
    inside = _cut(bright, odds, tumour, other, sides, settings)
    mask = previous_mask.copy()
    mask[box] = inside
    return mask


def stroke_box(strokes: Mask, mask: Mask, spacing_mm: tuple[float, float, float]) -> Box:
    """Return the box of the strokes and the mask, larger by a tenth, and at least by 20 mm, at each side.

    If it has more than 2 million voxels, the box of the strokes alone is taken, with as much around it as fits.

    Raises:
        ResourceError: the strokes alone span more.
    """
    for marked, least_mm in (
        (strokes | mask, LEAST_MARGIN_MM),
        (strokes, 2 * LEAST_MARGIN_MM),
        (strokes, LEAST_MARGIN_MM),
        (strokes, 0.0),
    ):
        box = _grown(marked, least_mm, spacing_mm)
        if np.prod([part.stop - part.start for part in box]) <= MAX_VOXELS:
            return box
    raise ResourceError(f"strokes span more than {MAX_VOXELS:,} voxels", cure="draw them closer together")


def _grown(marked: Mask, least_mm: float, spacing_mm: tuple[float, float, float]) -> Box:
    parts = []
    for axis, length in enumerate(marked.shape):
        places = np.flatnonzero(marked.any(axis=tuple(other for other in range(3) if other != axis)))
        first, last = int(places[0]), int(places[-1]) + 1
        more = max(1, round((last - first) * MARGIN), round(least_mm / spacing_mm[axis]))
        parts.append(slice(max(0, first - more), min(length, last + more)))
    return parts[0], parts[1], parts[2]


def _standardised(image: NDArray[np.floating], box: Box) -> Array:
    """Return the box of an image in standard deviations of the head's brightness."""
    part = image[box].astype(np.float32)
    head = image[image > image.min() + 0.1 * (np.percentile(image, 99.5) - image.min())]
    std = float(head.std()) if head.size else 0.0
    scaled: Array = part / np.float32(std or 1.0)
    return scaled


def _log_odds(probability: Probability) -> Array:
    edge = 1 / (1 + np.exp(LARGEST_LOG_ODDS))
    clipped = np.clip(probability, edge, 1 - edge)
    odds: Array = np.log(clipped / (1 - clipped)).astype(np.float32)
    return odds


def _influence(
    bright: Array, tumour: Mask, other: Mask, sides: tuple[float, float, float], settings: CutSettings
) -> Array:
    """Return the influence of the strokes: from -1 (not tumour) to 1 (tumour)."""
    total = np.zeros(bright.shape, np.float32)
    for strokes, sign in ((tumour, 1), (other, -1)):
        if strokes.any():
            distance, nearest = ndimage.distance_transform_edt(~strokes, sampling=sides, return_indices=True)
            unlike = (bright - bright[tuple(nearest)]) / settings.contrast
            total += sign * np.exp(-distance / settings.reach_mm - unlike**2 / 2).astype(np.float32)
    return total


def _cut(
    bright: Array, odds: Array, tumour: Mask, other: Mask, sides: tuple[float, float, float], settings: CutSettings
) -> Mask:
    """Return the side of the tumour of the smallest cut: bool, the shape of the box."""
    count = bright.size
    nodes = np.arange(count, dtype=np.int32).reshape(bright.shape)
    source, sink = count, count + 1
    to_source = np.where(tumour, _HARD, np.clip(odds, 0, None) * _SCALE * ~other).ravel().astype(np.int32)
    to_sink = np.where(other, _HARD, np.clip(-odds, 0, None) * _SCALE * ~tumour).ravel().astype(np.int32)
    heads, tails, weights = [], [], []
    for axis in range(3):
        one = nodes.take(range(bright.shape[axis] - 1), axis).ravel()
        next_one = nodes.take(range(1, bright.shape[axis]), axis).ravel()
        unlike = np.diff(bright, axis=axis).ravel() / settings.contrast
        weight = settings.bond * np.exp(-(unlike**2) / 2) * min(sides) / sides[axis]
        heads += [one, next_one]
        tails += [next_one, one]
        weights += [np.maximum(1, weight * _SCALE).astype(np.int32)] * 2
    every = nodes.ravel()
    heads += [np.full(count, source, np.int32), every]
    tails += [every, np.full(count, sink, np.int32)]
    weights += [to_source, to_sink]
    edges = (np.concatenate(weights), (np.concatenate(heads), np.concatenate(tails)))
    graph = sparse.coo_array(edges, shape=(count + 2, count + 2)).tocsr()
    graph.indices, graph.indptr = graph.indices.astype(np.int32), graph.indptr.astype(np.int32)
    graph = sparse.csr_matrix(graph)
    residual = graph - maximum_flow(graph, source, sink).flow
    residual.data = np.maximum(residual.data, 0)
    residual.eliminate_zeros()
    reached = breadth_first_order(residual, source, return_predecessors=False)
    inside = np.zeros(count + 2, bool)
    inside[reached] = True
    found: Mask = inside[:count].reshape(bright.shape)
    return found
