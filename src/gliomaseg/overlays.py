"""Pictures for people: a slice with outlines on it, and slices side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from gliomaseg.scan import flair_channel
from gliomaseg.types import Mask, Pixels

# A pair that the colour-blind tell apart (Okabe and Ito, 2008), bright on grey.
REFERENCE_COLOUR = (86, 180, 233)
PREDICTED_COLOUR = (230, 159, 0)
_INK = (24, 28, 36)
_QUIET = (96, 104, 118)
_GAP = 10


def grey(image: NDArray[Any]) -> Pixels:
    """Return a slice as 8-bit grey, shape (y, x): FLAIR where there are three sequences."""
    plane = image[..., flair_channel(image.shape[2])]
    if plane.dtype == np.uint8:
        return np.ascontiguousarray(plane)
    return np.asarray(plane / max(1, int(plane.max())) * 255).astype(np.uint8)


def overlay(
    image: NDArray[Any], *, reference: Mask | None = None, predicted: Mask | None = None, scale: int = 1
) -> Pixels:
    """Return a slice as RGB with the outlines of the masks, one pixel wide: uint8, shape (scale y, scale x, 3)."""
    plane = grey(image)
    if scale > 1:
        size = (scale * plane.shape[1], scale * plane.shape[0])
        plane = np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC))
    pixels = np.repeat(plane[..., None], 3, axis=2)
    for mask, colour in ((reference, REFERENCE_COLOUR), (predicted, PREDICTED_COLOUR)):
        if mask is not None:
            pixels[outline(mask.repeat(scale, axis=0).repeat(scale, axis=1))] = colour
    return pixels


def with_square_pixels(plane: Pixels, mask: Mask, pixel_mm: Sequence[float], *, side_px: int) -> tuple[Pixels, Mask]:
    """Return a grey slice and its mask resampled to square pixels, shape (y, x); the longer side has `side_px`.

    Args:
        plane: uint8, shape (y, x).
        mask: shape (y, x).
        pixel_mm: the height and width of a pixel in mm.
        side_px: pixels of the longer side.
    """
    height, width = plane.shape[0] * pixel_mm[0], plane.shape[1] * pixel_mm[1]
    scale = side_px / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC)
    return np.asarray(image), np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))


def outline(mask: Mask) -> Mask:
    """Return a mask's pixels that have a neighbour (left, right, above, below) outside it: shape (y, x)."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


def white(mask: Mask) -> Pixels:
    """Return a mask as white on black: uint8, shape (y, x, 3)."""
    return np.repeat(mask[..., None], 3, axis=2).astype(np.uint8) * 255


def panel(
    rows: Sequence[Sequence[Pixels]], *, columns: Sequence[str], notes: Sequence[str], title: str, side_px: int = 256
) -> Image.Image:
    """Return rows of pictures with a heading over each column and a note under each row.

    Args:
        rows: pictures uint8 (y, x, 3), as many in each row as there are `columns`.
        columns: a heading each.
        notes: a line under each row.
        title: over it all.
        side_px: the side of each picture in the panel.
    """
    large, small = ImageFont.load_default(17), ImageFont.load_default(13)
    top, note = 66, 26
    width = len(columns) * (side_px + _GAP) + _GAP
    sheet = Image.new("RGB", (width, top + len(rows) * (side_px + note + _GAP)), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, 10), title, fill=_INK, font=large)
    for k, heading in enumerate(columns):
        draw.text((_GAP + k * (side_px + _GAP) + side_px // 2, top - 14), heading, fill=_INK, font=small, anchor="mm")
    for r, (pictures, line) in enumerate(zip(rows, notes, strict=True)):
        y = top + r * (side_px + note + _GAP)
        for k, pixels in enumerate(pictures):
            picture = Image.fromarray(pixels).resize((side_px, side_px), Image.Resampling.BICUBIC)
            sheet.paste(picture, (_GAP + k * (side_px + _GAP), y))
        draw.text((_GAP, y + side_px + 5), line, fill=_QUIET, font=small)
    return sheet


def _shortened(text: str, font: Any, width_px: int) -> str:
    """Return a text that is at most `width_px` wide; its end is kept, since a title ends with the volume."""
    if font.getlength(text) <= width_px:
        return text
    first = next(k for k in range(len(text)) if font.getlength("..." + text[k:]) <= width_px)
    return "..." + text[first:]


def contact_sheet(
    tiles: Sequence[Pixels],
    *,
    notes: Sequence[str],
    heading: Sequence[str],
    sides: tuple[str, str] = ("", ""),
    columns: int = 4,
    side_px: int = 240,
) -> Image.Image:
    """Return pictures in rows, each with a note under it.

    Args:
        tiles: uint8 (y, x, 3), at most `side_px` high and wide.
        notes: one each.
        heading: over it all: the title, which loses its beginning if it is too long, and smaller lines under it, which
            are wrapped.
        sides: what stands in the left and right corner of each picture.
        columns: pictures in a row.
        side_px: the side of the square that each picture is centred in.
    """
    large, small = ImageFont.load_default(17), ImageFont.load_default(13)
    rows = -(-len(tiles) // columns)
    wide = min(columns, len(tiles))
    # Two columns at least: the title needs the width.
    width = max(2, wide) * (side_px + _GAP) + _GAP
    wrapped = [part for line in heading[1:] for part in textwrap.wrap(line, max(20, width // 7))]
    line_height, note = 18, 24
    top = 46 + line_height * len(wrapped)
    sheet = Image.new("RGB", (width, top + rows * (side_px + note + _GAP)), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, 12), _shortened(heading[0], large, width - 2 * _GAP), fill=_INK, font=large)
    for k, line in enumerate(wrapped):
        draw.text((_GAP, 38 + line_height * k), line, fill=_QUIET, font=small)
    for k, (pixels, line) in enumerate(zip(tiles, notes, strict=True)):
        x, y = _GAP + (k % columns) * (side_px + _GAP), top + (k // columns) * (side_px + note + _GAP)
        draw.rectangle((x, y, x + side_px - 1, y + side_px - 1), fill="black")
        sheet.paste(
            Image.fromarray(pixels), (x + (side_px - pixels.shape[1]) // 2, y + (side_px - pixels.shape[0]) // 2)
        )
        draw.text((x + 5, y + 4), sides[0], fill="white", font=small)
        draw.text((x + side_px - 5, y + 4), sides[1], fill="white", font=small, anchor="ra")
        draw.text((x, y + side_px + 4), line, fill=_QUIET, font=small)
    return sheet
