"""A mask from a few strokes, by a graph cut whose prior is the network's probability.

Each voxel of a box is a node. It costs to separate neighbours, the more the more alike they are and the nearer. It costs
to give a voxel another side than the network and the mask before; strokes change this prior of the voxels that are near
and as bright as they are. Voxels of a stroke have its side in any case. Voxels outside the box do not change.

Source: Y. Boykov, M.-P. Jolly, ICCV 2001, doi:10.1109/ICCV.2001.937505.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.correction.stroke_box import stroke_box
from gliomaseg.errors import GeometryError
from gliomaseg.geometry import Spacing
from gliomaseg.metrics.mask_checks import require_spacing
from gliomaseg.types import Mask, Probability

Brightness = NDArray[np.float32]
Odds = NDArray[np.float32]

# Chosen on half of the patients of docs/results/scribbles.md.
PRIOR = 1.0
KEEP = 0.0
STROKE = 8.0
REACH = 15.0
CONTRAST = 0.5
BOND = 2.0
UNLIKE = 0.0
SMOOTH = 0.0
NEAREST = True
UNKNOWN_SPACING: Spacing = (1.0, 1.0, 1.0)
LARGEST_LOG_ODDS = 6.0
_SCALE = 1000  # capacities are whole numbers
_HARD = 2**28  # more than all bonds of a voxel and its prior


def graph_cut(
    image: NDArray[Any],
    probability: Probability,
    *,
    tumour_strokes: Mask,
    other_strokes: Mask,
    previous_mask: Mask,
    spacing_mm: Spacing | None,
) -> Mask:
    arrays = {"image": image, "probability": probability, "tumour strokes": tumour_strokes}
    arrays |= {"other strokes": other_strokes, "previous mask": previous_mask}
    _require_grid(arrays)
    spacing = UNKNOWN_SPACING if spacing_mm is None else spacing_mm
    require_spacing(spacing)
    strokes = tumour_strokes | other_strokes
    mask = previous_mask.copy()
    if not strokes.any():
        return mask
    box = stroke_box(strokes, previous_mask)
    tumour, other = tumour_strokes[box], other_strokes[box] & ~tumour_strokes[box]
    bright = _brightness(image, box)
    odds = PRIOR * _log_odds(probability[box])
    odds += KEEP * np.where(previous_mask[box], np.float32(1), np.float32(-1))
    odds += STROKE * _influence(bright, tumour, spacing) - STROKE * _influence(bright, other, spacing)
    mask[box] = _cut(_edges(bright, spacing), odds, tumour, other)
    return mask


def _require_grid(arrays: dict[str, NDArray[Any]]) -> None:
    shape = arrays["image"].shape
    for name, array in arrays.items():
        if array.ndim != 3 or array.shape != shape:
            raise GeometryError(f"{name} has shape {array.shape}, expected {shape} (z, y, x) as the image")


def _brightness(image, box):
    part = image[box].astype(np.float32)
    if SMOOTH:
        from scipy import ndimage
        part = ndimage.gaussian_filter(part, (0, SMOOTH, SMOOTH))
    low, high = float(image.min()), float(np.percentile(image, 99.5))
    head = image[image > low + 0.1 * (high - low)]
    std = float(head.std()) if head.size else 0.0
    return part / np.float32(std or 1.0)


def _log_odds(probability):
    edge = 1 / (1 + math.exp(LARGEST_LOG_ODDS))
    clipped = np.clip(probability, edge, 1 - edge)
    return np.log(clipped / (1 - clipped)).astype(np.float32)


def _influence(bright, strokes, spacing):
    from scipy import ndimage

    if not strokes.any():
        return np.zeros(bright.shape, np.float32)
    distance, nearest = ndimage.distance_transform_edt(~strokes, sampling=spacing, return_indices=True)
    own = bright[tuple(nearest)] if NEAREST else np.float32(np.median(bright[strokes]))
    unlike = (bright - own) / np.float32(CONTRAST)
    like = np.exp(-(unlike**2) / 2)
    return (np.exp(-distance / REACH) * (like * (1 + UNLIKE) - UNLIKE)).astype(np.float32)


def _edges(bright, spacing):
    nodes = np.arange(bright.size, dtype=np.int32).reshape(bright.shape)
    heads, tails, weights = [], [], []
    for axis in range(3):
        heads.append(nodes.take(range(bright.shape[axis] - 1), axis).ravel())
        tails.append(nodes.take(range(1, bright.shape[axis]), axis).ravel())
        unlike = np.diff(bright, axis=axis).ravel() / np.float32(CONTRAST)
        weight = BOND * np.exp(-(unlike**2) / 2) * min(spacing) / spacing[axis]
        weights.append(np.maximum(1, weight * _SCALE).astype(np.int32))
    return np.concatenate(heads), np.concatenate(tails), np.concatenate(weights)


def _cut(edges, odds, tumour, other):
    from scipy import sparse
    from scipy.sparse.csgraph import breadth_first_order, maximum_flow

    count = odds.size
    source, sink = count, count + 1
    capacity = np.where(tumour, _HARD, np.where(other, -_HARD, odds * _SCALE)).ravel().astype(np.int32)
    to_tumour, to_other = np.flatnonzero(capacity > 0).astype(np.int32), np.flatnonzero(capacity < 0).astype(np.int32)
    one, next_one, bonds = edges
    heads = np.concatenate([one, next_one, np.full(len(to_tumour), source, np.int32), to_other])
    tails = np.concatenate([next_one, one, to_tumour, np.full(len(to_other), sink, np.int32)])
    weights = np.concatenate([bonds, bonds, capacity[to_tumour], -capacity[to_other]])
    graph = sparse.csr_matrix((weights, (heads, tails)), shape=(count + 2, count + 2))
    residual = graph - maximum_flow(graph, source, sink).flow
    residual.data = np.maximum(residual.data, 0)
    residual.eliminate_zeros()
    inside = np.zeros(count + 2, bool)
    inside[breadth_first_order(residual, source, return_predecessors=False)] = True
    return inside[:count].reshape(odds.shape)
