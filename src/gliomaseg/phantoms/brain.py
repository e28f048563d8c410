"""The brain of a phantom: distances to its surfaces, and the painting of tissue, fluid and vessels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from gliomaseg.phantoms.anatomy import FLUID, GREY, NUCLEUS, PLEXUS, VESSEL, WHITE, Head, Image
from gliomaseg.phantoms.shapes import DistanceField, Ellipsoid, SliceGrid, inside, paint, rod

# Points (x, y, h) and radii in mm on the centre line of the right lateral ventricle: frontal horn, body, atrium,
# occipital horn.
HORNS = (((13.0, -36.0, 36.0), 3.2), ((6.0, -14.0, 44.0), 4.8), ((10.0, 12.0, 52.0), 4.8), ((22.0, 33.0, 42.0), 6.5))
FRONTAL = (((13.0, -34.0, 32.0), 3.0), ((4.5, -13.0, 35.0), 3.5))
SEPTUM_MM = 36.0
OCCIPITAL = (((22.0, 34.0, 38.0), 6.5), ((25.0, 58.0, 33.0), 2.5))
TEMPORAL = (((25.0, 33.0, 34.0), 5.0), ((32.0, 8.0, 14.0), 3.0), ((29.0, -10.0, 6.0), 2.2))


@dataclass(frozen=True)
class Brain:
    """Distances in mm from the pixels of one slice to the surfaces of the brain, each of shape (y, x).

    Attributes:
        grid: positions of the pixels.
        depth: depth below the surface of the brain, positive inside.
        fluid: distance to the nearest fluid outside the ventricles, negative in the fluid.
        ventricle: distance to the ventricles, negative inside.
        hindbrain: distance to the cerebellum and brain stem, negative inside.
        tentorium: distance to the roof of the cerebellum, negative below.
        stem: distance to the brain stem, negative inside.
        midline: distance from the falx.
    """

    grid: SliceGrid
    depth: DistanceField
    fluid: DistanceField
    ventricle: DistanceField
    hindbrain: DistanceField
    tentorium: DistanceField
    stem: DistanceField
    midline: DistanceField


def shape_brain(head: Head, grid: SliceGrid, skull: DistanceField) -> Brain:
    """Return the distances of a slice; `skull` is the distance to the inside of the skull in mm, shape (y, x)."""
    depth = -skull - np.float32(head.fluid_gap_mm)
    bend = np.float32(1.2) * np.sin(grid.y * np.float32(0.06) + grid.h * np.float32(0.05))
    centred = replace(grid, x=grid.x - bend)
    half = centred.mirrored()
    stem = np.minimum(
        rod(half, (0, 5, 14), (0, 12, -6), radii_mm=(12, 16)), rod(half, (0, 13, -8), (0, 24, -60), radii_mm=(14, 8))
    )
    tentorium = 22 - np.float32(0.0052) * half.x * half.x - np.float32(0.1) * (half.y - 40)
    roof, front = (half.h - tentorium) * np.float32(0.9), 30 - np.float32(0.3) * half.x - half.y
    wobble = 2 * head.texture.at(grid.x, grid.y, grid.h, period_mm=22, offset=43)
    below = (roof + front + np.sqrt((roof - front) ** 2 + 30)) / 2 + np.float32(0.6) * wobble
    fluid = np.minimum(depth, _sulci(head, centred, depth, wobble))
    fluid = np.minimum(fluid, _fissures(head, half, wobble))
    hindbrain = np.minimum(below, stem)
    other_fluid = np.minimum(fluid, np.where(half.y > 0, hindbrain, 9))
    fluid = np.where(hindbrain < 0, np.minimum(depth, -hindbrain), other_fluid)
    fluid = np.minimum(fluid, Ellipsoid((0, -15, 13), (14, 10, 8)).distance(half))
    fluid = np.minimum(fluid, Ellipsoid((0, 84, -20), (9, 9, 14)).distance(half))
    return Brain(centred, depth, fluid, _ventricles(head, half), hindbrain, below, stem, half.x)


def _sulci(head: Head, grid: SliceGrid, depth: DistanceField, wobble: DistanceField) -> DistanceField:
    """Return the distance to the sulci of the outer and the medial surface, mm, (y, x)."""
    up = grid.h - 28
    radius = np.sqrt(grid.x * grid.x + grid.y * grid.y + up * up) + 1
    # Sample the noise along rays from the centre of the brain, so that sulci run straight inwards.
    pull = np.minimum((72 - np.float32(0.2) * depth) / radius, np.float32(1.5))
    fold = head.texture.at(grid.x * pull + wobble, grid.y * pull - wobble, up * pull, period_mm=22)
    reach = 13 + 6 * head.texture.at(grid.x, grid.y, grid.h, period_mm=45, offset=11)
    line = _zero_line(fold, grid.pixel_mm, steepness=0.10)
    # Some sulci are open at the surface, some are closed.
    gape = 1 + np.float32(0.6) * head.texture.at(grid.x, grid.y, grid.h, period_mm=30, offset=47)
    taper = np.float32(head.sulcus_mm) * gape * np.clip(np.float32(1.5) - 2 * depth / np.maximum(reach, 6), -0.5, 1.5)
    outer = np.hypot(line, np.maximum(depth - reach, 0)) - taper
    side = np.where(grid.x < 0, np.float32(40), np.float32(0)) + np.float32(0.5) * grid.x
    medial = head.texture.at(side, grid.y + wobble, grid.h, period_mm=32, offset=23)
    line = _zero_line(medial, grid.pixel_mm, steepness=0.10)
    inner = np.hypot(line, np.maximum(np.abs(grid.x) - reach * np.float32(0.5), 0)) - np.float32(0.7 * head.sulcus_mm)
    inner = np.maximum(inner, -Ellipsoid((0, 2, 36), (200, 48, 27)).distance(grid))
    result: DistanceField = np.minimum(outer, inner)
    return result


def _zero_line(noise: DistanceField, pixel_mm: float, *, steepness: float) -> DistanceField:
    """Return the approximate distance in mm to the nearest sign change of the noise, shape (y, x)."""
    across, along = np.gradient(noise, np.float32(pixel_mm))
    distance: DistanceField = np.abs(noise) / np.sqrt(across * across + along * along + np.float32(steepness**2))
    return distance


def _fissures(head: Head, half: SliceGrid, wobble: DistanceField) -> DistanceField:
    """Return the distance to the fissures between the lobes and the two halves, mm, (y, x)."""
    bridge = -Ellipsoid((0, 2, 34), (200, 42, 25)).distance(half)
    falx = np.hypot(half.x, np.maximum(bridge, 0)) - np.float32(0.6 + 0.5 * head.sulcus_mm)
    level = np.maximum(np.abs(half.h - 28) - 16, 0) * np.float32(1.3)
    flat = replace(half, x=half.x + wobble, y=half.y - wobble, h=level, low_mm=0, high_mm=0)
    entry = rod(flat, (72, 4, 0), (43, -6, 0), radii_mm=(0.6, 0.9))
    insula = rod(flat, (41, -20, 0), (40, 14, 0), radii_mm=(0.9, 0.5))
    sylvian = np.minimum(entry, insula) - np.float32(0.6 * head.sulcus_mm)
    result: DistanceField = np.minimum(falx, sylvian)
    return result


def _ventricles(head: Head, half: SliceGrid) -> DistanceField:
    """Return the distance to the ventricles, mm, negative inside, (y, x)."""
    scale = head.ventricle
    distance = np.maximum(half.x - np.float32(1.2 * scale), np.abs(half.y - 2) - 12)
    distance = np.maximum(distance, np.abs(half.h - 29) - 9)
    for line in (HORNS, FRONTAL, OCCIPITAL, TEMPORAL):
        for (start, wide), (end, narrow) in pairwise(line):
            distance = np.minimum(distance, rod(half, start, end, radii_mm=(wide * scale, narrow * scale)))
    fourth = Ellipsoid((0, 30, -5), (7 * scale, 5 * scale, 11)).distance(half)
    # The septum separates the frontal horns.
    distance = np.maximum(distance, np.where(half.h > SEPTUM_MM, np.float32(0.8) - half.x, np.float32(-99)))
    result: DistanceField = np.minimum(distance, fourth)
    return result


def paint_tissue(head: Head, image: Image, brain: Brain) -> None:
    """Paint white matter, grey matter and nuclei over the slice in place; image is float32, shape (3, y, x)."""
    grid, half = brain.grid, brain.grid.mirrored()
    whole = inside(-brain.depth)
    grain = head.texture.at(grid.x, grid.y, grid.h, period_mm=13, offset=31)
    tracts = head.texture.at(grid.x, grid.y, grid.h, period_mm=48, offset=53)
    paint(image, WHITE, whole)
    cortex = inside(brain.fluid - np.float32(4.0), 1.6) * (brain.hindbrain > 0)
    paint(image, GREY, whole * cortex)
    nuclei = np.minimum(
        Ellipsoid((12, 6, 36), (9, 15, 11)).distance(half),
        np.minimum(
            Ellipsoid((25, -8, 32), (8, 17, 12)).distance(half), Ellipsoid((14, -24, 38), (5, 9, 12)).distance(half)
        ),
    )
    paint(image, NUCLEUS, inside(nuclei, 1.5) * whole)
    ring = np.hypot(half.x * np.float32(0.8), half.y - 24) + np.float32(1.5) * grain + np.float32(0.3) * half.h
    leaves = np.float32(0.5) + np.float32(0.3) * np.sin(ring * np.float32(1.4))
    lesser = whole * inside(brain.hindbrain) * inside(4 - brain.stem, 4)
    paint(image, GREY, lesser * leaves)
    paint(image, FLUID, lesser * np.clip(np.float32(0.40) - leaves, 0, 1) * np.float32(0.6))
    image *= 1 + (np.float32(0.015) * grain + np.float32(0.02) * tracts) * whole


def paint_rims(head: Head, image: Image, brain: Brain) -> None:
    """Brighten flair along the ventricles in place, most at the tips of the horns."""
    half = brain.grid.mirrored()
    tips = np.minimum(
        Ellipsoid((13, -38, 35), (6, 6, 8)).distance(half), Ellipsoid((27, 44, 38), (6, 9, 9)).distance(half)
    )
    rim = np.exp(-np.maximum(brain.ventricle, 0) / np.float32(2.2)) * inside(10 - half.h, 10)
    image[1] *= 1 + np.float32(head.rim) * (np.float32(0.4) * rim + np.float32(0.6) * inside(tips, 5))


def paint_fluid(head: Head, image: Image, brain: Brain, *, effaced: DistanceField) -> None:
    """Paint sulci, fissures and ventricles with plexus and vessels in place.

    Args:
        head: properties of the head.
        image: the slice, float32, shape (3, y, x).
        brain: distances of the slice.
        effaced: share of the sulci that the tumour closes, 0 to 1, float32, shape (y, x).
    """
    grid, half = brain.grid, brain.grid.mirrored()
    whole = inside(-brain.depth)
    paint(image, FLUID, whole * inside(brain.fluid, 0.8) * (1 - effaced) * np.float32(0.9))
    paint(image, FLUID, whole * inside(brain.ventricle, 1.0))
    plexus = np.maximum(Ellipsoid((21, 33, 41), (4.5, 6, 5)).distance(half), brain.ventricle + 1)
    paint(image, PLEXUS, inside(plexus, 1.5))
    speck = head.texture.at(grid.x, grid.y, grid.h, period_mm=7, offset=37)
    vessels = inside(brain.fluid + 0.2, 0.8) * np.clip(speck - np.float32(1.1), 0, 1) * (1 - effaced) * whole
    image[2] += vessels * np.float32(1.3)
    sinus = rod(grid, (0, 60, 84), (0, 89, 42), radii_mm=(2, 2.6))
    sinus = np.minimum(sinus, rod(grid, (0, 89, 42), (0, 90, 18), radii_mm=(3, 3)))
    # The transverse sinus runs where the tentorium meets the skull.
    sinus = np.minimum(sinus, np.maximum(np.maximum(np.abs(brain.depth) - 3, np.abs(brain.tentorium) - 3), 30 - half.y))
    paint(image, VESSEL, inside(sinus) * np.float32(0.9))
    image[2] += inside(brain.midline - np.float32(0.8)) * inside(brain.fluid) * np.float32(0.35)
