"""Solids as signed distances in mm, and smooth noise, from which a phantom is drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

DistanceField = NDArray[np.float32]
"""One number for each pixel of a slice, float32, shape (y, x)."""

Point = tuple[float, float, float]
"""Position in mm to the right, to the back and upwards from the centre of the head."""

TEXTURE_CELLS = 48
REACH_MM = 14.0
COARSE_MM = 28.0
FAR_MM = np.float32(99)


@dataclass(frozen=True)
class SliceGrid:
    """The position of one slice's pixels in the patient's head, mm, each of shape (y, x).

    Attributes:
        x: position towards the right of the image.
        y: position towards the back of the head.
        h: position towards the vertex.
        pixel_mm: side of a pixel.
        low_mm: lowest value of h.
        high_mm: highest value of h.
    """

    x: DistanceField
    y: DistanceField
    h: DistanceField
    pixel_mm: float
    low_mm: float
    high_mm: float

    def cut(self, box: tuple[slice, slice]) -> SliceGrid:
        """Return the part of the grid inside box (rows, columns)."""
        return replace(self, x=self.x[box], y=self.y[box], h=self.h[box])

    def mirrored(self) -> SliceGrid:
        """Return the grid with both halves of the head folded onto the right one."""
        return replace(self, x=np.abs(self.x))

    def misses(self, low_mm: float, high_mm: float) -> bool:
        """Return whether the slice is far below or above these heights."""
        return self.high_mm < low_mm - REACH_MM or self.low_mm > high_mm + REACH_MM

    def far(self) -> DistanceField:
        """Return the distance to a solid that the slice misses: `FAR_MM` in every pixel."""
        return np.full(self.x.shape, FAR_MM, np.float32)


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid whose axes are those of the head: centre and semi-axes in mm."""

    centre: Point
    semi: Point

    def distance(self, grid: SliceGrid) -> DistanceField:
        """Return the approximate distance to the surface in mm, negative inside, shape (y, x)."""
        if grid.misses(self.centre[2] - self.semi[2], self.centre[2] + self.semi[2]):
            return grid.far()
        u, v, w = self._scaled(grid)
        u, v, w = u * u, v * v, w * w
        radius = np.sqrt(u + v + w) + np.float32(1e-3)
        a, b, c = (np.float32(1 / semi**2) for semi in self.semi)
        steepness = np.sqrt(u * a + v * b + w * c) + np.float32(1e-5)
        distance: DistanceField = radius * (radius - 1) / steepness
        return distance

    def flatness(self, grid: SliceGrid) -> DistanceField:
        """Return the slope of the surface, 0 (vertical) to 1 (horizontal), shape (y, x)."""
        u, v, w = self._scaled(grid)
        u /= np.float32(self.semi[0])
        v /= np.float32(self.semi[1])
        w /= np.float32(self.semi[2])
        level: DistanceField = np.abs(w) / (np.sqrt(u * u + v * v + w * w) + np.float32(1e-5))
        return level

    def _scaled(self, grid: SliceGrid) -> tuple[DistanceField, DistanceField, DistanceField]:
        (x, y, h), (a, b, c) = self.centre, self.semi
        return (
            (grid.x - np.float32(x)) / np.float32(a),
            (grid.y - np.float32(y)) / np.float32(b),
            (grid.h - np.float32(h)) / np.float32(c),
        )


def rod(grid: SliceGrid, start: Point, end: Point, *, radii_mm: tuple[float, float]) -> DistanceField:
    """Return the distance in mm to a rod with round ends and a linearly changing radius, shape (y, x)."""
    thick = max(radii_mm)
    if grid.misses(min(start[2], end[2]) - thick, max(start[2], end[2]) + thick):
        return grid.far()
    axis = [b - a for a, b in zip(start, end, strict=True)]
    length2 = sum(part * part for part in axis)
    dx, dy, dh = (grid.x - np.float32(start[0]), grid.y - np.float32(start[1]), grid.h - np.float32(start[2]))
    along = (dx * np.float32(axis[0]) + dy * np.float32(axis[1]) + dh * np.float32(axis[2])) / np.float32(length2)
    np.clip(along, 0, 1, out=along)
    dx -= along * np.float32(axis[0])
    dy -= along * np.float32(axis[1])
    dh -= along * np.float32(axis[2])
    radius = np.float32(radii_mm[0]) + along * np.float32(radii_mm[1] - radii_mm[0])
    distance: DistanceField = np.sqrt(dx * dx + dy * dy + dh * dh) - radius
    return distance


def inside(distance: DistanceField, softness_mm: float | DistanceField = 0.9) -> DistanceField:
    """Return the share of each pixel inside a solid, shape (y, x): 1 inside, 0 outside, linear at the surface."""
    share: DistanceField = np.clip(0.5 - distance / np.float32(2) / np.asarray(softness_mm, np.float32), 0, 1)
    return share


def paint(image: NDArray[np.float32], tissue: tuple[float, float, float], share: DistanceField) -> None:
    """Paint a tissue over an image in place.

    Args:
        image: signals of t1, flair and t1ce, float32, shape (3, y, x).
        tissue: the three signals of the tissue; white matter is about 1.
        share: share of each pixel that the tissue fills, 0 to 1, float32, shape (y, x).
    """
    if not share.any():
        return
    for channel, signal in enumerate(tissue):
        image[channel] += share * (np.float32(signal) - image[channel])


class Texture:
    """Smooth periodic random noise in space with mean 0 and standard deviation 1."""

    def __init__(self, rng: np.random.Generator) -> None:
        """Draw the lattice that all later calls interpolate."""
        white = rng.standard_normal((TEXTURE_CELLS,) * 3, dtype=np.float32)
        # The difference of two blurs keeps one scale, so that all folds have about the same width.
        fine = ndimage.gaussian_filter(white, 1.5, mode="wrap", truncate=3)
        coarse = ndimage.gaussian_filter(white, 2.6, mode="wrap", truncate=3)
        band = fine - coarse
        self._lattice: NDArray[np.float32] = (band / band.std()).astype(np.float32)

    def at(
        self, x: DistanceField, y: DistanceField, h: DistanceField, *, period_mm: float, offset: float = 0.0
    ) -> DistanceField:
        """Return the noise at some points.

        Args:
            x: positions to the right in mm, float32, two axes.
            y: positions to the back in mm, same shape.
            h: positions upwards in mm, same shape.
            period_mm: approximate distance between two maxima.
            offset: shift in the lattice; another value gives other noise.
        """
        scale, shape = np.float32(10.0 / period_mm), x.shape
        # Sample every second or fourth pixel and interpolate: every second pixel takes a quarter of the time.
        coarse = period_mm >= COARSE_MM
        step = 4 if coarse else 2
        x, y, h = (field[::step, ::step] * scale for field in (x, y, h))
        points = np.stack([x + np.float32(offset), y, h + np.float32(2 * offset)])
        noise: DistanceField = ndimage.map_coordinates(
            self._lattice, points, order=1, mode="grid-wrap", output=np.float32
        )
        if coarse:
            noise = _interpolated(noise, ((shape[0] + 1) // 2, (shape[1] + 1) // 2))
        return _interpolated(noise, shape)


def _interpolated(coarse: DistanceField, shape: tuple[int, ...]) -> DistanceField:
    """Return a field of every second pixel, interpolated linearly to all pixels of `shape`."""
    rows = _interpolated_rows(coarse, shape[0])
    return _interpolated_rows(rows.T, shape[1]).T


def _interpolated_rows(coarse: DistanceField, length: int) -> DistanceField:
    """Return the field with its first axis interpolated to `length`, about twice the present length."""
    full = np.empty((length, coarse.shape[1]), np.float32)
    full[::2] = coarse
    full[1:-1:2] = (coarse[: (length - 1) // 2] + coarse[1 : (length + 1) // 2]) * np.float32(0.5)
    full[-1] = coarse[-1]
    return full
