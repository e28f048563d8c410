"""Features of a stack of slices: shape of the head, co-occurrence of grey levels, the skull, and bright regions."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gliomaseg.types import Mask

SIDE_PX = 128
TOP_SHARE, HEAD_FRACTION, DARKEST = 0.995, 0.1, 4
LARGE = 0.5  # slices count if their head has more than this share of the largest head's area
RIM = 0.22  # depth of skin, fat and skull, as a share of the radius of a circle with the head's area
EDGES = np.array([0.35, 0.75, 1.0, 1.3, 1.6])  # between grey levels, as multiples of the median inside the head
LEVELS = len(EDGES) + 1
PAIRS = np.triu_indices(LEVELS)
FLOOR = 1e-3  # smaller shares of a pair are not informative
DEPTHS = np.arange(8) * 0.03  # of rings inside the head, as a share of the radius: rim, scalp, skull, cortex
BRIGHT = 1.5  # times the median inside the head
SMALL_PX, SMALLEST_PX = 3600, 1000  # areas of heads: rings need magnification; too few pixels
STRIPPED = 0.6  # docs/results/plausibility.md: at most 0.50 in 92 whole heads, 0.72 or more in 108 stripped ones

Levels = NDArray[np.uint8]


@dataclass(frozen=True)
class ImageFeatures:
    """Features of one stack; the first four are medians over the slices with a large head.

    Attributes:
        area: of the head, as a share of the image, 0 to 1.
        fullness: area of the head over that of the ellipse with its moments; 1 for an ellipse.
        elongation: the ellipse's long axis over its short one, 1 or more.
        background: mean intensity outside the head over the mean inside; 1 if the head fills the image.
        slices: how many have a large head.
        pairs: log frequency of each pair of neighbouring grey levels, float64, shape (21,).
    """

    area: float
    fullness: float
    elongation: float
    background: float
    slices: int
    pairs: NDArray[np.float64]


@dataclass(frozen=True)
class _Head:
    image: Levels
    mask: Mask
    area: int


def image_features(stack: Levels) -> ImageFeatures | None:
    """Return the features of a stack; None if it is black or constant.

    Slices are resized to 128 x 128 pixels. The head is the largest component brighter than a tenth of the stack's 99.5
    percentile, with its holes filled. Six grey levels are multiples of the median inside the head. Neighbouring pairs
    of them separate FLAIR (dark fluid beside bright cortex) from T1 (dark fluid beside grey cortex).

    Args:
        stack: of one sequence, uint8, shape (z, y, x).

    Source: R. M. Haralick et al., IEEE Trans. SMC 3 (1973) 610, doi:10.1109/TSMC.1973.4309314 (pairs of levels).
    """
    heads = _large_heads(stack)
    insides = [_inside(head) for head in heads]
    levels = sum((np.bincount(h.image[i], minlength=256) for h, i in zip(heads, insides, strict=True)), np.zeros(256))
    if not levels.sum():
        return None
    median = int(np.searchsorted(np.cumsum(levels), levels.sum() / 2))
    touching = np.zeros((LEVELS, LEVELS))
    for head, inside in zip(heads, insides, strict=True):
        touching += _touching(np.searchsorted(EDGES * max(median, 1), head.image), inside)
    shares = (touching + touching.T) / max(2 * touching.sum(), 1)
    area, fullness, elongation, background = np.median([_shape(head) for head in heads], axis=0).tolist()
    return ImageFeatures(area, fullness, elongation, background, len(heads), np.log(shares[PAIRS] + FLOOR))


def is_skull_stripped(stack: Levels) -> bool | None:
    """Return whether FLAIR slices show a brain without skull and scalp; None if no slice shows a head.

    From the outline inwards, a whole head has bright scalp, dark skull and then brain; a stripped one begins with
    cortex. In each slice with a large head, the medians of rings are compared: the darkest ring at the depth of the
    skull, as a share of the inside, times the largest fall from one ring to one of the next three. The median of the
    slices decides.

    Args:
        stack: axial, of one sequence, uint8, shape (z, y, x).
    """
    scores = [score for head in _large_heads(stack) if not np.isnan(score := _skull_score(head))]
    return bool(np.median(scores) > STRIPPED) if scores else None


def black_share(stack: Levels) -> float:
    """Return the share of the pixels outside the head that are 0, the median of the slices with a large head; 0 to 1.

    It is 0 if the head fills the image.

    Args:
        stack: axial, of one sequence, uint8, shape (z, y, x).
    """
    outsides = [head.image[~head.mask] for head in _large_heads(stack)]
    return float(np.median([(outside == 0).mean() if outside.size else 0.0 for outside in outsides]))


def bright_share(stack: Levels) -> float:
    """Return the area of the largest bright region in one slice, as a share of the slice's inside, 0 to 1.

    Inside is what lies deeper in the head than skin and skull. A region is connected and brighter, in means of 3 x 3
    pixels, than 1.5 times the median inside the heads of the stack. Only slices with a large head count; 0 without any.

    Args:
        stack: axial, of one sequence, uint8, shape (z, y, x).
    """
    from scipy import ndimage

    heads = [(head, inside) for head in _large_heads(stack) if (inside := _inside(head)).any()]
    if not heads:
        return 0.0
    limit = BRIGHT * float(np.median(np.concatenate([head.image[inside] for head, inside in heads])))
    shares = []
    for head, inside in heads:
        labels, _ = ndimage.label(inside & (ndimage.uniform_filter(head.image.astype(np.float32), 3) > limit))
        shares.append(np.bincount(labels.ravel())[1:].max(initial=0) / np.count_nonzero(inside))
    return float(max(shares))


def _skull_score(head: _Head) -> float:
    """Return about 0.2 for a whole head, about 0.9 without skull; NaN for a head of fewer than 1,000 pixels."""
    from scipy import ndimage

    if head.area < SMALLEST_PX:
        return float("nan")
    if head.area < SMALL_PX:
        head = _magnified(head)
    depth = ndimage.distance_transform_cdt(np.pad(head.mask, 1))[1:-1, 1:-1] / np.sqrt(max(head.area, 1) / np.pi)
    inside = head.image[depth > RIM]
    rings = [head.image[(depth > low) & (depth <= high)] for low, high in pairwise(DEPTHS)]
    if not (inside.size and all(ring.size for ring in rings[1:])):
        return float("nan")
    levels = [float(np.median(ring)) if ring.size else 0.0 for ring in rings]
    falls = [min(levels[k + 1 : k + 4]) / max(levels[k], 1.0) for k in (1, 2, 3)]
    return min(levels[2:6]) / max(float(np.median(inside)), 1.0) * min(falls)


def _magnified(head: _Head) -> _Head:
    """Return a head with twice the pixels in each direction, so that no ring falls between two pixels."""
    image, mask = head.image.repeat(2, axis=0), head.mask.repeat(2, axis=0)
    return _Head(image.repeat(2, axis=1), mask.repeat(2, axis=1), 4 * head.area)


def _large_heads(stack: Levels) -> list[_Head]:
    """Return the head of each slice whose area is more than half of the largest."""
    images = [_shrunk(plane) for plane in stack]
    counts = np.sum([np.bincount(image.ravel(), minlength=256) for image in images], axis=0)
    counts[0] = 0
    top = int(np.searchsorted(np.cumsum(counts), TOP_SHARE * counts.sum()))
    heads = [_head(image, max(HEAD_FRACTION * top, DARKEST)) for image in images]
    largest = max(head.area for head in heads)
    return [head for head in heads if head.area > LARGE * largest]


def _shrunk(plane: Levels) -> Levels:
    if plane.shape == (SIDE_PX, SIDE_PX):
        return plane
    return np.asarray(Image.fromarray(plane).resize((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR))


def _head(image: Levels, level: float) -> _Head:
    from scipy import ndimage  # slow to import

    bright = ndimage.uniform_filter(image.astype(np.float32), 3) > level
    labels, count = ndimage.label(bright)
    if not count:
        return _Head(image, bright, 0)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    mask: Mask = ndimage.binary_fill_holes(labels == sizes.argmax())
    return _Head(image, mask, int(mask.sum()))


def _inside(head: _Head) -> Mask:
    from scipy import ndimage

    # Padded, so that a head cut off by the image edge has a rim there too.
    depth = ndimage.distance_transform_cdt(np.pad(head.mask, 1))[1:-1, 1:-1]
    inside: Mask = depth > RIM * np.sqrt(head.area / np.pi)
    return inside


def _touching(levels: NDArray[Any], inside: Mask) -> NDArray[np.float64]:
    """Return how often a level (row) is directly above or left of another (column) inside the head: shape (6, 6)."""
    counts = np.zeros(LEVELS * LEVELS)
    for first, second, both in (
        (levels[1:], levels[:-1], inside[1:] & inside[:-1]),
        (levels[:, 1:], levels[:, :-1], inside[:, 1:] & inside[:, :-1]),
    ):
        counts += np.bincount(LEVELS * first[both] + second[both], minlength=LEVELS * LEVELS)
    return counts.reshape(LEVELS, LEVELS)


def _shape(head: _Head) -> tuple[float, float, float, float]:
    """Return area, fullness, elongation and background of one slice."""
    short, long = np.linalg.eigvalsh(np.cov(np.nonzero(head.mask))) if head.area > 1 else (0.0, 0.0)
    short, long = max(float(short), 1 / 12), max(float(long), 1 / 12)  # of one pixel's width
    outside = head.image[~head.mask]
    background = float(outside.mean() / head.image[head.mask].mean()) if outside.size else 1.0
    ellipse = 4 * np.pi * np.sqrt(short * long)
    return head.area / head.mask.size, float(head.area / ellipse), float(np.sqrt(long / short)), background
