"""A mask from a few strokes, by a graph cut whose prior is the network's probability.

Each voxel of a box is a node. An edge joins two neighbours; its capacity is the cost of a border between them, which is
high if they are equally bright and near. The cost of a label is the log-odds of the other one: those of the network,
changed by the strokes where a voxel is near a stroke and as bright as the strokes. The minimum cut is the mask of the
lowest total cost. Voxels of a stroke keep its label.

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
from gliomaseg.resampling import head_of
from gliomaseg.types import Mask, Probability

Brightness = NDArray[np.float32]
"""A box of the image, in standard deviations of the head's values: float32, shape (z, y, x)."""
Edges = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]
"""Pairs of neighbours as indices in the flat box, and the capacity of the edge between them: int32, shape (n,) each."""

# Chosen on half of the patients of docs/results/scribbles.md.
STROKE_LOG_ODDS = 8.0  # at a stroke, for a voxel as bright as the strokes
REACH_MM = 15.0  # the influence of a stroke falls to 37 % at this distance; without a spacing, in voxels
CONTRAST = 0.5  # influence and capacity fall to 61 % at this difference, in standard deviations of the head
EDGE_CAPACITY = 2.0  # of equally bright neighbours, in log-odds
LARGEST_LOG_ODDS = 6.0  # of the network: one that is wrong and certain can be overruled

VOXELS: Spacing = (1.0, 1.0, 1.0)
_SCALE = 1000  # capacities are whole numbers
_STROKE_COST = 2**28  # more than all other costs of a voxel together
_SAMPLE = 1_000_000


def graph_cut(
    image: NDArray[Any],
    probability: Probability,
    *,
    tumour_strokes: Mask,
    other_strokes: Mask,
    previous_mask: Mask,
    spacing_mm: Spacing | None,
) -> Mask:
    """Return the mask, computed again from strokes: bool, shape (z, y, x).

    Only a box changes: that of the strokes and the previous mask with a margin of 10 %, and at least `REACH_MM` around
    the strokes. If it has more than 2 million voxels, a box around the strokes alone changes. Without strokes, the mask
    is the previous one. Inside the box, the previous mask has no influence: pass voxels that were painted by hand as
    strokes. Equal inputs give equal masks.

    Args:
        image: FLAIR, real numbers in any unit, shape (z, y, x).
        probability: of tumour, by the network: float32 in [0, 1], same shape.
        tumour_strokes: voxels that a person marked as tumour, all strokes so far: bool, same shape.
        other_strokes: voxels marked as other tissue, likewise; a voxel of both is tumour.
        previous_mask: bool, same shape.
        spacing_mm: between voxels along z, y, x; None if it is unknown: then voxels count as cubes.

    Raises:
        GeometryError: an array is not 3D, the shapes differ, or the spacing is not three positive lengths.
        ResourceError: the box of the strokes alone has more than 2 million voxels.

    Source: Y. Boykov, M.-P. Jolly, ICCV 2001, doi:10.1109/ICCV.2001.937505.
    """
    arrays = {"image": image, "probability": probability, "previous mask": previous_mask}
    _require_one_grid(arrays | {"tumour strokes": tumour_strokes, "other strokes": other_strokes})
    spacing = VOXELS if spacing_mm is None else spacing_mm
    require_spacing(spacing)
    strokes = tumour_strokes | other_strokes
    mask = previous_mask.copy()
    if not strokes.any():
        return mask
    z, y, x = (math.ceil(REACH_MM / length) for length in spacing)
    box = stroke_box(strokes, previous_mask, (z, y, x))
    tumour, other = tumour_strokes[box], other_strokes[box] & ~tumour_strokes[box]
    brightness = _finite(image[box]) / _deviation(image)
    log_odds = _network_log_odds(probability[box])
    log_odds += STROKE_LOG_ODDS * (influence(brightness, tumour, spacing) - influence(brightness, other, spacing))
    costs = np.where(tumour, _STROKE_COST, np.where(other, -_STROKE_COST, log_odds * _SCALE)).astype(np.int32)
    mask[box] = minimum_cut(edges_of(brightness, spacing), costs)
    return mask


def _require_one_grid(arrays: dict[str, NDArray[Any]]) -> None:
    shape = arrays["image"].shape
    for name, array in arrays.items():
        if array.ndim != 3 or array.shape != shape:
            raise GeometryError(f"{name} has shape {array.shape}, expected the image's {shape} (z, y, x)")


def _finite(values: NDArray[Any]) -> NDArray[np.float32]:
    finite: NDArray[np.float32] = np.nan_to_num(values.astype(np.float32), nan=0, posinf=0, neginf=0)
    return finite


def _deviation(image: NDArray[Any]) -> np.float32:
    """Return the standard deviation of about a million voxels of the head; 1 if all are equal."""
    step = math.ceil((image.size / _SAMPLE) ** (1 / 3))
    sample = _finite(image[::step, ::step, ::step])
    head = sample[head_of(sample)]
    return np.float32((head.std() if head.size else 0) or 1)


def _network_log_odds(probability: Probability) -> NDArray[np.float32]:
    least = 1 / (1 + math.exp(LARGEST_LOG_ODDS))
    known = np.clip(np.nan_to_num(probability, nan=0.5), least, 1 - least)
    odds: NDArray[np.float32] = np.log(known / (1 - known)).astype(np.float32)
    return odds


def influence(brightness: Brightness, strokes: Mask, spacing: Spacing) -> NDArray[np.float32]:
    """Return the influence of strokes on each voxel: float32 from 0 to 1, shape (z, y, x); 0 without strokes.

    It falls with the distance from the strokes, and with the difference from their median brightness.
    """
    from scipy import ndimage  # slow to import

    if not strokes.any():
        return np.zeros(brightness.shape, np.float32)
    distance: Any = ndimage.distance_transform_edt(~strokes, sampling=spacing)
    difference = (brightness - np.median(brightness[strokes])) / np.float32(CONTRAST)
    falling: NDArray[np.float32] = np.exp(-distance / REACH_MM - difference**2 / 2).astype(np.float32)
    return falling


def edges_of(brightness: Brightness, spacing: Spacing) -> Edges:
    """Return the edges of a box: those along z first, then y, then x; a capacity falls with the voxels' distance."""
    nodes = np.arange(brightness.size, dtype=np.int32).reshape(brightness.shape)
    heads, tails, capacities = [], [], []
    for axis in range(3):
        heads.append(nodes.take(range(brightness.shape[axis] - 1), axis).ravel())
        tails.append(nodes.take(range(1, brightness.shape[axis]), axis).ravel())
        difference = np.diff(brightness, axis=axis).ravel() / np.float32(CONTRAST)
        capacity = EDGE_CAPACITY * np.exp(-(difference**2) / 2) * min(spacing) / spacing[axis]
        capacities.append((capacity * _SCALE).astype(np.int32))
    return np.concatenate(heads), np.concatenate(tails), np.concatenate(capacities)


def minimum_cut(edges: Edges, costs: NDArray[np.int32]) -> Mask:
    """Return the mask of the lowest total cost: bool, shape (z, y, x); of several, the smallest.

    Args:
        edges: of `edges_of`.
        costs: of the other label for each voxel, positive if it is rather tumour: int32, shape (z, y, x).
    """
    from scipy import sparse  # slow to import
    from scipy.sparse import csgraph

    flat, (first, second, capacity) = costs.ravel(), edges
    source, sink = flat.size, flat.size + 1
    tumour, other = (np.flatnonzero(chosen).astype(np.int32) for chosen in (flat > 0, flat < 0))
    heads = np.concatenate([first, second, np.full(tumour.size, source, np.int32), other])
    tails = np.concatenate([second, first, tumour, np.full(other.size, sink, np.int32)])
    capacities = np.concatenate([capacity, capacity, flat[tumour], -flat[other]])
    graph = sparse.csr_matrix((capacities, (heads, tails)), shape=(flat.size + 2, flat.size + 2))
    left = graph - csgraph.maximum_flow(graph, source, sink).flow
    left.data = np.maximum(left.data, 0)
    left.eliminate_zeros()
    mask = np.zeros(flat.size + 2, bool)
    mask[csgraph.breadth_first_order(left, source, return_predecessors=False)] = True
    found: Mask = mask[: flat.size].reshape(costs.shape)
    return found
