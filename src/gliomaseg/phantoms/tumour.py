"""The tumour of a phantom: an irregular solid in one hemisphere, with an exact mask."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gliomaseg.phantoms.anatomy import Image
from gliomaseg.phantoms.brain import Brain
from gliomaseg.phantoms.shapes import DistanceField, Ellipsoid, SliceGrid, Texture, inside

FAINT_SHARE = 0.25
ENHANCING_SHARE = 0.3
CYSTIC_SHARE = 0.25


@dataclass(frozen=True)
class Tumour:
    """A low-grade glioma.

    Attributes:
        lobes: the ellipsoids of which it consists.
        texture: noise for its surface and its signals.
        side: -1 (left in the image) or 1 (right in the image).
        signals: signals in t1, flair and t1ce; white matter is 1.
        edge_mm: softness of its edge.
        rough_mm: amplitude of the irregularities of its surface.
        enhancing: strength of the contrast enhancement, 0 to 1.
        cyst: 0 (solid) to 1 (cystic core).
        push_mm: shift of the midline.
    """

    lobes: tuple[Ellipsoid, ...]
    texture: Texture
    side: int
    signals: tuple[float, float, float]
    edge_mm: float
    rough_mm: float
    enhancing: float
    cyst: float
    push_mm: float

    def pushed(self, grid: SliceGrid, skull: DistanceField) -> SliceGrid:
        """Return the grid of a brain that the tumour displaces.

        Args:
            grid: positions of the pixels in the head.
            skull: distance to the inside of the skull in mm, shape (y, x). Tissue at the skull does not move.
        """
        (x, y, h), (_, _, tall) = self.lobes[0].centre, self.lobes[0].semi
        square = (grid.x - np.float32(x)) ** 2 + (grid.y - np.float32(y)) ** 2 + (grid.h - np.float32(h)) ** 2
        near = np.exp(-square / np.float32(2 * (1.5 * tall) ** 2)) * np.clip(-skull / 20, 0, 1)
        return replace(grid, x=grid.x + np.float32(self.side * self.push_mm) * near)

    def distance(self, brain: Brain) -> DistanceField:
        """Return the distance to the surface of the tumour in mm, negative inside, shape (y, x)."""
        grid = brain.grid
        solid = self.lobes[0].distance(grid)
        for lobe in self.lobes[1:]:
            solid = np.minimum(solid, lobe.distance(grid))
        solid = solid + np.float32(self.rough_mm) * self._noise(grid, period_mm=30, offset=3)
        solid += np.float32(0.35 * self.rough_mm) * self._noise(grid, period_mm=13, offset=7)
        # A glioma follows the white matter. Falx, tentorium, skull and ventricles limit it.
        solid += np.float32(1.5) * inside(brain.fluid - 2, 2)
        for wall in (brain.depth - 1, np.float32(self.side) * grid.x - 2, brain.ventricle - 1, brain.hindbrain - 2):
            solid = np.maximum(solid, -wall)
        result: DistanceField = solid
        return result

    def paint(self, image: Image, brain: Brain, distance: DistanceField) -> None:
        """Paint the tumour over the slice in place.

        Args:
            image: float32, shape (3, y, x).
            brain: distances of the slice.
            distance: result of `distance` for the slice.
        """
        share = inside(distance, self.edge_mm)
        broad = self._noise(brain.grid, period_mm=38, offset=17)
        mottle = np.float32(0.4) * self._noise(brain.grid, period_mm=15, offset=13) + np.float32(0.8) * broad
        core = inside(self.lobes[0].distance(brain.grid) + np.float32(0.55 * min(self.lobes[0].semi)) + mottle, 2)
        for channel, signal in enumerate(self.signals):
            strength = signal * (1 + np.float32(0.07 * np.sign(signal - 1)) * mottle)
            image[channel] += share * (strength - image[channel])
        image[1] -= np.float32(self.cyst * 0.6) * core * share * image[1]
        image[0] -= np.float32(self.cyst * 0.3) * core * share * image[0]
        image[2] -= np.float32(self.cyst * 0.3) * core * share * image[2]
        spots = np.clip(self._noise(brain.grid, period_mm=17, offset=19) + 2 * broad - np.float32(1.5), 0, 1)
        image[2] += np.float32(1.2 * self.enhancing) * inside(distance + 4, 3) * spots

    def _noise(self, grid: SliceGrid, *, period_mm: float, offset: float) -> DistanceField:
        return self.texture.at(grid.x, grid.y, grid.h, period_mm=period_mm, offset=offset)


def draw_tumour(rng: np.random.Generator, texture: Texture, *, height_mm: float) -> Tumour:
    """Return a random tumour.

    Args:
        rng: random generator.
        texture: noise for its surface and its signals.
        height_mm: height of all slices of the head; the tumour extends over about a third of it.
    """
    side = 2 * int(rng.integers(0, 2)) - 1
    tall = height_mm * rng.uniform(0.10, 0.23)
    wide, long = tall * rng.uniform(0.75, 1.15), tall * rng.uniform(0.85, 1.45)
    centre = (side * rng.uniform(24, 40), rng.uniform(-42, 44), rng.uniform(34, 56))
    lobes = [Ellipsoid(centre, (wide, long, tall))]
    for _ in range(int(rng.integers(1, 4))):
        shift = rng.uniform(-0.9, 0.9, 3) * np.array([wide, long, 0.7 * tall])
        middle = (centre[0] + float(shift[0]), centre[1] + float(shift[1]), centre[2] + float(shift[2]))
        size = rng.uniform(0.3, 0.65, 3) * np.array([wide, long, tall])
        lobes.append(Ellipsoid(middle, (float(size[0]), float(size[1]), float(size[2]))))
    faint = rng.random() < FAINT_SHARE
    flair = rng.uniform(1.35, 1.5) if faint else rng.uniform(1.55, 2.2)
    dark = rng.uniform(0.62, 0.85)
    return Tumour(
        lobes=tuple(lobes),
        texture=texture,
        side=side,
        signals=(dark, flair, dark * rng.uniform(0.95, 1.1)),
        edge_mm=rng.uniform(1.2, 3.5),
        rough_mm=rng.uniform(1.5, 3.5),
        enhancing=float(rng.uniform(0.5, 1.0)) if rng.random() < ENHANCING_SHARE else 0.0,
        cyst=float(rng.uniform(0.4, 1.0)) if rng.random() < CYSTIC_SHARE else 0.0,
        push_mm=float(rng.uniform(0.0, 0.3) * tall),
    )
