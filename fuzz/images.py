"""Small images: TIFF of one and of several pages, PNG and JPEG; grey and colour, 8 and 16 bits."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from mutate import MAX_BYTES, Original
from PIL import Image

from gliomaseg.formats import count_pages, read_pages, read_picture


def originals(generator: np.random.Generator) -> list[Original]:
    """Return the files and their readers."""
    grey, colour = generator.integers(0, 200, (24, 20)), generator.integers(0, 200, (24, 20, 3))
    stack = generator.integers(0, 200, (6, 24, 20))
    files: list[Original] = []
    for pixels, read in ((grey, picture), (colour, picture), (stack, pages)):
        for compression in (None, "zlib", "packbits", "lzw"):
            for dtype in (np.uint8, np.uint16):
                photometric = "rgb" if pixels is colour else "minisblack"
                box = io.BytesIO()
                tifffile.imwrite(box, pixels.astype(dtype), photometric=photometric, compression=compression)
                files.append(Original("a.tif", box.getvalue(), read))
    for pixels in (grey.astype(np.uint8), colour.astype(np.uint8), grey.astype(np.uint16)):
        for kind, suffix in (("PNG", "png"), ("JPEG", "jpg")):
            if kind == "PNG" or pixels.dtype == np.uint8:
                box = io.BytesIO()
                Image.fromarray(pixels).save(box, format=kind)
                files.append(Original(f"a.{suffix}", box.getvalue(), picture))
    return files


def picture(file: Path) -> Any:
    """Read an image as `predict` does."""
    return read_picture(file, max_bytes=MAX_BYTES)


def pages(file: Path) -> Any:
    """Read a stack as `predict` does."""
    return read_pages(file, max_bytes=MAX_BYTES) if count_pages(file) > 1 else picture(file)
