"""The brain in a stack of axial FLAIR slices, by classical means: good enough to train on heads without skull.

The thickness of scalp and skull is read from the intensity over the distance to the outline of the head: the scalp is
bright, the skull dark, and the brain in between. The result is not meant for measurements of the brain.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gliomaseg.types import Mask

SECTORS = 24  # of a slice, around the centre of the head
HEAD_SHARE = 0.1  # of the 99.5 percentile: the head is brighter than that
TISSUE = (0.4, 1.8)  # the brain's intensity, relative to its median
CEILING = 0.75  # a ring that is brighter than this share of the brain is not a skull


def brain_mask(flair: NDArray[np.uint8], *, keep: Mask) -> Mask:
    """Return the brain.

    Args:
        flair: axial slices, shape (z, y, x), background near 0; the head fills a good part of the slice.
        keep: pixels that belong to the brain whatever they look like, such as the tumour: shape of `flair`.

    Returns:
        The brain and `keep`, bool, shape of `flair`. If the head shows no skull, this is the head: the scan may be
        stripped already. Without any head, it is `keep`.
    """
    smooth = ndimage.gaussian_filter(flair.astype(np.float32), (0, 0.5, 0.5))
    head = _head(smooth)
    areas = head.sum(axis=(1, 2))
    radius = float(np.sqrt(np.percentile(areas, 90) / np.pi))
    if radius < 8:
        return keep.copy()
    depth = np.stack([ndimage.distance_transform_edt(one) for one in head])
    core = smooth[(depth > 0.45 * radius) & head]
    if not core.size:
        return keep.copy()
    relative = smooth / float(np.median(core))
    thickness = _thickness(relative, head, depth, radius)
    if thickness is None:
        return head | keep
    inner = depth > _per_pixel(thickness, head) - 0.5
    candidates = inner & (relative > TISSUE[0]) & (relative < TISSUE[1]) | keep
    brain = _largest(np.stack([ndimage.binary_opening(one, _disk(0.06 * radius)) for one in candidates]) | keep)
    brain = _taper(brain, areas, radius) | keep
    return np.stack([_smooth_outline(one, radius) for one in brain]) & head | keep


def _head(smooth: NDArray[np.float32]) -> Mask:
    """Return the head in each slice, without holes: bool, shape (z, y, x)."""
    level = HEAD_SHARE * float(np.percentile(smooth[smooth > 8], 99.5)) if (smooth > 8).any() else np.inf
    heads = []
    for one in smooth > level:
        opened = ndimage.binary_opening(one, _disk(1))
        heads.append(_largest(ndimage.binary_fill_holes(_closed(opened, 5))))
    return np.stack(heads)


def _thickness(
    relative: NDArray[np.float32], head: Mask, depth: NDArray[np.float64], radius: float
) -> NDArray[np.float64] | None:
    """Return the thickness of scalp and skull in each sector, in pixels, shape (z, SECTORS); None without a skull.

    It ends where the intensity has risen from the darkest ring of the skull most of the way to that of the brain.
    Sectors without such a ring get the median of the others; then the values are smoothed.
    """
    deepest = round(0.36 * radius)
    first, last = max(1, round(0.03 * radius)), round(0.22 * radius)
    found = np.full((len(relative), SECTORS), np.nan)
    for k in np.flatnonzero(head.sum(axis=(1, 2)) > 0.25 * np.pi * radius**2):
        near = head[k] & (depth[k] <= deepest)
        sector, ring, value = _sectors(head[k])[near].astype(int), depth[k][near].astype(int), relative[k][near]
        for s in range(SECTORS):
            # Neighbouring sectors overlap: one alone has few pixels.
            chosen = (sector - s + 1) % SECTORS < 3
            profile = _median_of_rings(ring[chosen], value[chosen], deepest)
            darkest = first + int(np.argmin(profile[first:last]))
            if profile[darkest] < CEILING:
                risen = profile[darkest:] >= min(0.7, profile[darkest] + 0.6 * (1 - profile[darkest]))
                found[k, s] = darkest + (int(np.argmax(risen)) if risen.any() else len(risen)) + 1
    measured = np.isfinite(found)
    # In heads with a skull, nearly all sectors of the large slices show it.
    if measured.sum() < 0.5 * SECTORS * (head.sum(axis=(1, 2)) > 0.5 * np.pi * radius**2).sum():
        return None
    filled = np.where(measured, found, np.nanmedian(found))
    around = np.concatenate([filled[:, -3:], filled, filled[:, :3]], axis=1)
    smoothed: NDArray[np.float64] = ndimage.median_filter(around, (5, 5), mode="nearest")[:, 3:-3]
    return smoothed


def _median_of_rings(ring: NDArray[np.int64], value: NDArray[np.float32], deepest: int) -> NDArray[np.float64]:
    """Return the median intensity at each whole distance from the outline, from 1; 1 where no pixel is."""
    return np.array([np.median(value[ring == r]) if (ring == r).any() else 1.0 for r in range(1, deepest)])


def _sectors(head: Mask) -> NDArray[np.float64]:
    """Return the position of each pixel around the centre of the head, in sectors from 0, shape (y, x)."""
    centre = ndimage.center_of_mass(head) if head.any() else (head.shape[0] / 2, head.shape[1] / 2)
    rows, columns = np.indices(head.shape)
    angle = np.arctan2(rows - centre[0], columns - centre[1])
    sectors: NDArray[np.float64] = (angle / (2 * np.pi) + 0.5) * SECTORS % SECTORS
    return sectors


def _per_pixel(thickness: NDArray[np.float64], head: Mask) -> NDArray[np.float64]:
    """Return the thickness for each pixel, between those of the two nearest sectors: shape (z, y, x)."""
    slices = []
    for row, one in zip(thickness, head, strict=True):
        position = _sectors(one) - 0.5
        low = np.floor(position).astype(int)
        share = position - low
        slices.append((1 - share) * row[low % SECTORS] + share * row[(low + 1) % SECTORS])
    return np.stack(slices)


def _taper(brain: Mask, areas: NDArray[np.int64], radius: float) -> Mask:
    """Return the brain without face and neck: away from its largest slice, a slice hardly exceeds the one before."""
    largest = int(np.argmax(brain.sum(axis=(1, 2))))
    brain = brain.copy()
    for step, numbers in ((1, range(largest + 1, len(brain))), (-1, range(largest - 1, -1, -1))):
        for k in numbers:
            inside = brain[k] & ndimage.binary_dilation(brain[k - step])
            # At the base, thin parts are face; at the vertex, the brain itself is small.
            thin = 0.1 * radius if areas[k] > 0.6 * areas.max() else 0.03 * radius
            parts, count = ndimage.label(ndimage.binary_opening(inside, _disk(thin)))
            sizes = ndimage.sum_labels(parts > 0, parts, range(1, count + 1))
            brain[k] = np.isin(parts, 1 + np.flatnonzero(sizes > 0.15 * sizes.max())) if count else False
    return brain


def _smooth_outline(brain: Mask, radius: float) -> Mask:
    """Return the brain of a slice without gaps between the gyri."""
    filled: Mask = ndimage.binary_fill_holes(_closed(ndimage.binary_dilation(brain), 0.12 * radius))
    return filled if brain.any() else brain


def _closed(mask: Mask, radius: float) -> Mask:
    """Return the closing of a slice, as if it continued beyond its edges."""
    pad = int(radius) + 2
    closed: Mask = ndimage.binary_closing(np.pad(mask, pad), _disk(radius))[pad:-pad, pad:-pad]
    return closed


def _largest(mask: Mask) -> Mask:
    """Return the largest connected component; an empty mask stays empty."""
    parts, count = ndimage.label(mask)
    if count < 2:
        return mask
    largest: Mask = parts == 1 + int(np.argmax(ndimage.sum_labels(mask, parts, range(1, count + 1))))
    return largest


def _disk(radius: float) -> NDArray[np.bool_]:
    """Return a disk as a structuring element; its radius is at least 1."""
    reach = max(1, round(radius))
    y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    disk: NDArray[np.bool_] = x * x + y * y <= reach * reach + 0.5 * reach
    return disk
