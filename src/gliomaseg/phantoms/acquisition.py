"""Simulated acquisition: position of the slices in the head, bias field, gain and noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gliomaseg.phantoms.anatomy import Image
from gliomaseg.phantoms.shapes import SliceGrid


@dataclass(frozen=True)
class Acquisition:
    """Position of one patient in the scanner, and the properties of the images. Sequences: t1, flair, t1ce.

    Attributes:
        view_mm: side of the image.
        turn: rotation in the slice plane, radians.
        tilts: rise of the slice plane per mm to the right and to the back.
        shift_mm: shift to the right and to the back.
        size: scale of the head.
        gains: grey level of white matter in each sequence, shape (3,).
        noise: standard deviation of the noise in each sequence, grey levels, shape (3,).
        bias: slopes and curvatures of each sequence's bias field over half the view, shape (3, 4).
        bend_phases: phases of the bends that make a head irregular, radians, shape (4,).
        starts: plane below which a sequence was not scanned: height over the first slice in mm, and its rise per mm
            to the right and to the back; shape (3, 3).
    """

    view_mm: float
    turn: float
    tilts: tuple[float, float]
    shift_mm: tuple[float, float]
    size: float
    gains: NDArray[np.float32]
    noise: NDArray[np.float32]
    bias: NDArray[np.float32]
    bend_phases: NDArray[np.float32]
    starts: NDArray[np.float32]

    def grid(self, height_mm: float, *, side_px: int) -> SliceGrid:
        """Return the positions of a slice's pixels in the head.

        Args:
            height_mm: height of the slice in the head.
            side_px: side of the image in pixels.
        """
        pixel_mm = self.view_mm / side_px / self.size
        line = (np.arange(side_px, dtype=np.float32) - np.float32((side_px - 1) / 2)) * np.float32(pixel_mm)
        cos, sin = np.float32(np.cos(self.turn)), np.float32(np.sin(self.turn))
        right, back = line[None, :] - np.float32(self.shift_mm[0]), line[:, None] - np.float32(self.shift_mm[1])
        x, y = cos * right + sin * back, cos * back - sin * right
        h: NDArray[np.float32] = np.asarray(height_mm + self.tilts[0] * x + self.tilts[1] * y, np.float32)
        phase = self.bend_phases
        bend_x = np.sin(y * np.float32(0.045) + phase[0]) * 2 + np.sin(y * np.float32(0.11) + phase[1] + h / 40) / 2
        bend_y = np.sin(x * np.float32(0.05) + phase[2]) * 2 + np.sin(x * np.float32(0.10) + phase[3] - h / 40) / 2
        # A head is narrower at the front than at the back.
        width = 1 - np.float32(0.0011) * y
        return SliceGrid((x + bend_x) * width, y + bend_y, h, pixel_mm, float(h.min()), float(h.max()))

    def scan(self, image: Image, grid: SliceGrid, rng: np.random.Generator, *, low_mm: float) -> NDArray[np.uint8]:
        """Return the slice as grey levels, uint8, shape (y, x, 3).

        Args:
            image: the signals of t1, flair and t1ce, float32, shape (3, y, x).
            grid: positions of the pixels.
            rng: random generator of the noise.
            low_mm: height of the lowest slice.
        """
        side_px = image.shape[-1]
        line = np.linspace(-1, 1, side_px, dtype=np.float32)
        levels = np.empty((side_px, side_px, 3), np.uint8)
        for channel, plane in enumerate(image):
            across, along, bowl_x, bowl_y = self.bias[channel]
            field = np.exp(across * line + bowl_x * line * line)[None, :]
            field = field * np.exp(along * line + bowl_y * line * line)[:, None]
            signal = plane * field * self.gains[channel]
            noise = rng.standard_normal((side_px, side_px), dtype=np.float32) * self.noise[channel]
            # The noise of the imaginary part affects only the background, so shifted noise is sufficient.
            magnitude = np.sqrt((signal + noise) ** 2 + np.roll(noise, side_px // 2, axis=0) ** 2)
            start, right, back = self.starts[channel]
            if grid.low_mm < low_mm + start + 12:
                magnitude *= grid.h - np.float32(low_mm) > start + right * grid.x + back * grid.y
            levels[..., channel] = np.clip(np.rint(magnitude), 0, 255)
        return levels


def draw_acquisition(rng: np.random.Generator) -> Acquisition:
    """Return a random acquisition."""
    bias = np.concatenate([rng.uniform(-0.12, 0.12, (3, 2)), rng.uniform(-0.05, 0.35, (3, 2))], axis=1)
    return Acquisition(
        view_mm=rng.uniform(196, 214),
        turn=rng.uniform(-0.10, 0.10),
        tilts=(rng.uniform(-0.05, 0.05), rng.uniform(-0.10, 0.12)),
        shift_mm=(rng.uniform(-4, 4), rng.uniform(-4, 4)),
        size=rng.uniform(0.96, 1.04),
        gains=np.array([rng.uniform(42, 68), rng.uniform(52, 82), rng.uniform(44, 95)], np.float32),
        noise=rng.uniform(1.0, 3.0, 3).astype(np.float32),
        bias=bias.astype(np.float32),
        bend_phases=rng.uniform(0, 6.28, 4).astype(np.float32),
        starts=np.stack([rng.uniform(-40, 5, 3), *rng.uniform(-0.06, 0.06, (2, 3))], axis=1).astype(np.float32),
    )
