"""A healthy head in three sequences, drawn slice by slice from solids.

White matter has a signal of about 1 in every sequence. Sizes are those of an adult, in mm. The grid contains the size,
rotation and tilt of the patient, so that only the softness of edges depends on the pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gliomaseg.phantoms.shapes import DistanceField, Ellipsoid, SliceGrid, Texture, inside, paint, rod

Image = NDArray[np.float32]
"""One slice: signals of t1, flair and t1ce, float32, shape (3, y, x)."""

# Signals in t1, flair and t1ce.
AIR = (0.03, 0.03, 0.03)
BONE = (0.16, 0.13, 0.18)
MARROW = (1.5, 1.1, 1.1)
SKIN = (1.2, 1.0, 1.3)
MUSCLE = (0.70, 0.55, 0.95)
MUCOSA = (0.75, 0.95, 2.0)
VITREOUS = (0.42, 0.26, 0.46)
FLUID = (0.40, 0.20, 0.44)
WHITE = (1.00, 0.95, 1.00)
GREY = (0.86, 1.10, 0.92)
NUCLEUS = (0.91, 1.03, 0.95)
PLEXUS = (0.70, 1.15, 1.9)
VESSEL = (0.45, 0.30, 2.1)

CEREBRUM = Ellipsoid((0, 4, 36), (67, 84, 56))
MUSCLES = (
    Ellipsoid((63, -36, -4), (8, 24, 30)),
    Ellipsoid((35, -32, -24), (15, 17, 15)),
    Ellipsoid((58, -46, -46), (10, 19, 22)),
    Ellipsoid((24, 86, -42), (20, 10, 20)),
    Ellipsoid((48, 66, -42), (13, 17, 20)),
)
STEEP_BELOW_MM = 40.0
FACE_TOP_MM = 22.0
SCALP = Ellipsoid((0, 4, 36), (79, 96, 67))


@dataclass(frozen=True)
class Head:
    """The properties that differ between heads.

    Attributes:
        texture: noise for irregular surfaces and tissue.
        fat: signals of fat in t1, flair and t1ce.
        fluid_gap_mm: gap between brain and skull.
        sulcus_mm: half the width of a sulcus.
        ventricle: scale of the ventricles; 1 is average.
        bone_mm: thickness of the skull.
        rim: strength of the bright rims of the ventricles in flair.
        slice_mm: thickness of the slices.
    """

    texture: Texture
    fat: tuple[float, float, float]
    fluid_gap_mm: float
    sulcus_mm: float
    ventricle: float
    bone_mm: float
    rim: float
    slice_mm: float


def cavity(grid: SliceGrid) -> DistanceField:
    """Return the distance to the inside of the skull in mm, negative inside, shape (y, x)."""
    half = grid.mirrored()
    orbit_roof = np.maximum(half.h - 17 + half.x * np.float32(0.06), half.y + 28)
    skull = np.maximum(CEREBRUM.distance(grid), -orbit_roof)
    skull = np.minimum(skull, Ellipsoid((0, 46, -8), (57, 40, 36)).distance(grid))
    skull = np.minimum(skull, Ellipsoid((39, -12, 2), (25, 37, 22)).distance(half))
    skull = np.minimum(skull, rod(grid, (0, 14, 10), (0, 24, -60), radii_mm=(14, 11)))
    sella = Ellipsoid((0, -26, -6), (17, 25, 16)).distance(half)
    petrous = rod(half, (64, 20, -10), (16, 4, -8), radii_mm=(10, 6))
    uneven = np.sin(grid.x * np.float32(0.13) + grid.h * np.float32(0.2)) * np.sin(grid.y * np.float32(0.12)) * 2
    skull = skull + uneven * inside(grid.h - 4, 8)
    result: DistanceField = np.maximum(skull, -np.minimum(sella, petrous))
    return result


def draw_outside(head: Head, grid: SliceGrid, skull: DistanceField) -> Image:
    """Return the head around the brain: scalp, skull and face. The cavity of the skull is filled with fluid.

    Args:
        head: properties of the head.
        grid: positions of the slice's pixels.
        skull: result of `cavity`: distance to the inside of the skull in mm, shape (y, x).
    """
    image = np.zeros((3, *grid.x.shape), np.float32)
    skin, softness = _skin(head, grid)
    noise = head.texture.at(grid.x, grid.y, grid.h, period_mm=21, offset=5)
    paint(image, SKIN, inside(skin, softness))
    wave = head.texture.at(grid.x, grid.y, grid.h, period_mm=60, offset=41)
    scalp_mm = 6 + wave
    paint(image, head.fat, inside(skin + np.float32(1.6), softness) * (1 - np.clip(noise * noise - 1, 0, 3) / 14))
    bone_mm = head.bone_mm + np.float32(0.7) * wave
    flesh = np.maximum(skin + scalp_mm, bone_mm - skull)
    paint(image, MUSCLE, inside(flesh))
    if grid.low_mm < FACE_TOP_MM:
        _draw_base(head, image, grid, flesh=flesh, noise=noise)
        _draw_face(head, image, grid, skin=skin)
    bone = np.maximum(skull - bone_mm, skin + 3)
    smear = np.full(skull.shape, 0.9, np.float32)
    if grid.high_mm > STEEP_BELOW_MM:
        smear += CEREBRUM.flatness(grid) ** 2 * np.float32(0.5 * head.slice_mm) * (grid.h > STEEP_BELOW_MM)
    # Near the vertex, one pixel contains bone, marrow and scalp (partial volume).
    solid = (np.float32(1.35) - np.float32(0.4) * smear).clip(0.5, 1)
    solid = solid * (1 - np.clip(noise * np.float32(0.6), 0, 0.5) * inside(grid.h - 6, 8))
    paint(image, BONE, inside(bone, smear) * solid)
    diploe = np.abs(skull - bone_mm * np.float32(0.62)) - np.float32(0.5) - np.float32(0.6) * noise
    paint(image, MARROW, np.float32(0.7) * inside(np.maximum(diploe, skin + 4), smear))
    paint(image, FLUID, inside(skull, smear))
    return image


def _skin(head: Head, grid: SliceGrid) -> tuple[DistanceField, DistanceField]:
    """Return the distance to the skin and the softness of its edge, both in mm, shape (y, x)."""
    half = grid.mirrored()
    # Below the ears the head keeps about the same width.
    waist = np.float32(SCALP.centre[2])
    height = np.where(grid.h < waist, waist + (grid.h - waist) * np.float32(0.35), grid.h)
    slow = SliceGrid(grid.x, grid.y, height, grid.pixel_mm, float(height.min()), float(height.max()))
    skin = SCALP.distance(slow)
    softness = np.full(skin.shape, 0.9, np.float32)
    if grid.high_mm > STEEP_BELOW_MM:
        softness += SCALP.flatness(slow) ** 2 * np.float32(0.6 * head.slice_mm)
    if grid.low_mm < SCALP.centre[2]:
        skin = np.minimum(skin, Ellipsoid((0, -62, -40), (60, 42, 75)).distance(grid))
        skin = np.minimum(skin, rod(grid, (0, -98, 0), (0, -112, -34), radii_mm=(6, 13)))
        skin = np.minimum(skin, rod(half, (74, 6, -26), (77, 18, 0), radii_mm=(3, 5)))
    return skin, softness


def _draw_base(head: Head, image: Image, grid: SliceGrid, *, flesh: DistanceField, noise: DistanceField) -> None:
    """Draw the skull base in place: fat between muscles, air cells and bone."""
    low = inside(grid.h - 6, 12) * inside(flesh)
    fine = head.texture.at(grid.x, grid.y, grid.h, period_mm=11, offset=17)
    half = grid.mirrored()
    bellies = MUSCLES[0].distance(half)
    for belly in MUSCLES[1:]:
        bellies = np.minimum(bellies, belly.distance(half))
    bellies = bellies + 2 * noise
    low *= inside(-bellies, 2)
    # Fat fills the gaps between muscles, where the noise changes its sign.
    seams = np.clip(np.float32(1.1) - 2 * np.abs(noise + np.float32(0.3) * fine), 0, 1) * np.clip(fine + 0.6, 0.1, 1)
    paint(image, head.fat, low * np.clip(np.float32(0.5) * seams + np.clip(-noise - np.float32(0.1), 0, 1), 0, 0.85))
    paint(image, head.fat, inside(np.abs(bellies - 1), 1) * inside(flesh) * np.float32(0.6))
    paint(image, BONE, low * np.clip(noise * 2 - np.float32(1.6), 0, 0.9) * inside(np.abs(grid.y + 10) - 45, 9))
    cells = Ellipsoid((56, 24, -16), (14, 13, 18)).distance(half)
    paint(image, AIR, inside(cells + 4 * fine, 2) * np.float32(0.8))
    paint(image, MARROW, inside(Ellipsoid((0, -5, -16), (10, 8, 16)).distance(grid)))


def _draw_face(head: Head, image: Image, grid: SliceGrid, *, skin: DistanceField) -> None:
    """Draw eyes, nose and sinuses in place."""
    half = grid.mirrored()
    cone = rod(half, (31, -71, 1), (13, -40, 2), radii_mm=(14.5, 6))
    within = inside(skin + 3)
    paint(image, BONE, inside(cone - 3) * within)
    paint(image, head.fat, inside(cone) * within)
    muscles = np.minimum(
        rod(half, (44, -68, 1), (14, -38, 2), radii_mm=(1.8, 1.2)),
        rod(half, (18, -69, 1), (11, -40, 2), radii_mm=(1.8, 1.2)),
    )
    nerve = rod(half, (31, -62, 1), (10, -34, 3), radii_mm=(2.2, 1.8))
    paint(image, MUSCLE, inside(np.minimum(muscles, nerve)))
    globe = Ellipsoid((32, -75, 1), (12, 12, 12)).distance(half)
    paint(image, MUSCLE, inside(globe - 1))
    paint(image, VITREOUS, inside(globe))
    paint(image, MUSCLE, inside(Ellipsoid((32, -84, 1), (4.5, 2, 4.5)).distance(half)))
    nose = np.maximum(np.maximum(half.x - 14 + (half.h + 20) * np.float32(0.1), np.abs(half.y + 72) - 28), half.h - 10)
    paint(image, AIR, inside(np.maximum(nose, skin + 4)))
    swirl = head.texture.at(grid.x * 2, grid.y * np.float32(0.5), grid.h, period_mm=11, offset=29)
    paint(image, MUCOSA, inside(np.maximum(nose, skin + 4)) * np.clip(swirl, 0, 1) * np.float32(0.9))
    paint(image, MUCOSA, inside(np.maximum(nose, half.x - np.float32(1.2))))
    sinuses = np.minimum(
        Ellipsoid((6, -33, -9), (8, 13, 11)).distance(half),
        np.minimum(
            Ellipsoid((30, -68, -34), (14, 17, 15)).distance(half), Ellipsoid((9, -85, 21), (13, 5, 12)).distance(half)
        ),
    )
    paint(image, AIR, inside(np.maximum(sinuses, skin + 4)))
