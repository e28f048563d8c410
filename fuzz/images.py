"""Damage TIFF and PNG files at random and read them: only our own errors may leave the reader, and none may take long.

    python fuzz/images.py 10000 [SEED]

Prints what became of the files. It ends with exit code 1 where another error left the reader, or where a read took
over two seconds.
"""

from __future__ import annotations

import io
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from mutate import MAX_BYTES, Original, hammer
from PIL import Image

from gliomaseg.formats import count_pages, read_pages, read_picture


def originals(generator: np.random.Generator) -> list[Original]:
    """Return small files of several kinds, with their suffixes and what reads them."""
    grey, colour = generator.integers(0, 200, (24, 20)), generator.integers(0, 200, (24, 20, 3))
    stack = generator.integers(0, 200, (6, 24, 20))
    files: list[Original] = []
    for pixels, read in ((grey, read_picture), (colour, read_picture), (stack, pages)):
        for compression in (None, "zlib"):
            for dtype in (np.uint8, np.uint16):
                photometric = "rgb" if pixels is colour else "minisblack"
                box = io.BytesIO()
                tifffile.imwrite(box, pixels.astype(dtype), photometric=photometric, compression=compression)
                files.append((".tif", box.getvalue(), read))
    for pixels in (grey.astype(np.uint8), colour.astype(np.uint8), grey.astype(np.uint16)):
        box = io.BytesIO()
        Image.fromarray(pixels).save(box, format="PNG")
        files.append((".png", box.getvalue(), read_picture))
    return files


def pages(file: Path) -> Any:
    """Read a stack as `predict` does."""
    return read_pages(file, max_bytes=MAX_BYTES) if count_pages(file) > 1 else read_picture(file)


def main(count: int, seed: int) -> int:
    """Read `count` damaged files and return the exit code."""
    warnings.simplefilter("error")  # a library's warning would be a second line
    generator = np.random.default_rng(seed)
    return hammer(originals(generator), generator, count=count, seed=seed)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
