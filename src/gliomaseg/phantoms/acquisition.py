"""The phantom's scanner: where a slice lies in the head, and what becomes of its signals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gliomaseg.phantoms.anatomy import Image
from gliomaseg.phantoms.shapes import SliceGrid


@dataclass(frozen=True)
class Acquisition:
    """How one patient lies in the scanner and what it makes of the signals.

    view_mm: the side of the image; turn: radians in the plane; tilts: rise of the slice plane
    per mm to the right and to the back; shift_mm: right and back; size: scale of the head;
    gains: grey levels of white matter; noise: grey levels; bias: for every sequence the slopes
    and curvatures over half the view; wander: phases of the bends that make a head uneven;
    starts: for every sequence the height over the first slice where its stack begins, mm, and
    how far that plane is tilted: slices below it were never scanned.
    """

    view_mm: float
    turn: float
    tilts: tuple[float, float]
    shift_mm: tuple[float, float]
    size: float
    gains: NDArray[np.float32]
    noise: NDArray[np.float32]
    bias: NDArray[np.float32]
    wander: NDArray[np.float32]
    starts: NDArray[np.float32]

    def grid(self, height_mm: float, *, side_px: int) -> SliceGrid:
        """Return where a slice's pixels lie in the patient's head."""
        pixel_mm = self.view_mm / side_px / self.size
        line = (np.arange(side_px, dtype=np.float32) - np.float32((side_px - 1) / 2)) * np.float32(pixel_mm)
        cos, sin = np.float32(np.cos(self.turn)), np.float32(np.sin(self.turn))
        right, back = line[None, :] - np.float32(self.shift_mm[0]), line[:, None] - np.float32(self.shift_mm[1])
        x, y = cos * right + sin * back, cos * back - sin * right
        h: NDArray[np.float32] = np.asarray(height_mm + self.tilts[0] * x + self.tilts[1] * y, np.float32)
        swing = self.wander
        bend_x = np.sin(y * np.float32(0.045) + swing[0]) * 2 + np.sin(y * np.float32(0.11) + swing[1] + h / 40) / 2
        bend_y = np.sin(x * np.float32(0.05) + swing[2]) * 2 + np.sin(x * np.float32(0.10) + swing[3] - h / 40) / 2
        # A head is narrower in front than behind.
        wide = 1 - np.float32(0.0011) * y
        return SliceGrid((x + bend_x) * wide, y + bend_y, h, pixel_mm, float(h.min()), float(h.max()))

    def scan(self, image: Image, grid: SliceGrid, rng: np.random.Generator, *, low_mm: float) -> NDArray[np.uint8]:
        """Return the slice as grey levels, uint8, shape (y, x, 3).

        Args:
            image: the signals, float32, shape (3, y, x).
            grid: where its pixels lie.
            rng: what the noise is drawn from.
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
            # The imaginary part only lifts the background: another row's noise will do.
            seen = np.sqrt((signal + noise) ** 2 + np.roll(noise, side_px // 2, axis=0) ** 2)
            start, right, back = self.starts[channel]
            if grid.low_mm < low_mm + start + 12:
                seen *= grid.h - np.float32(low_mm) > start + right * grid.x + back * grid.y
            levels[..., channel] = np.clip(np.rint(seen), 0, 255)
        return levels


def draw_acquisition(rng: np.random.Generator) -> Acquisition:
    """Return a scanner and how the patient lies in it."""
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
        wander=rng.uniform(0, 6.28, 4).astype(np.float32),
        starts=np.stack([rng.uniform(-40, 5, 3), *rng.uniform(-0.06, 0.06, (2, 3))], axis=1).astype(np.float32),
    )
