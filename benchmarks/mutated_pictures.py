"""Damage TIFF and PNG files at random and read them: only our own errors may leave the reader, and none may take long.

    python benchmarks/mutated_pictures.py 10000 [SEED]

Prints what became of the files. It ends with exit code 1 where another error left the reader, or where a read took
over two seconds.
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from mutated_nifti import LIMIT_S, mutate
from PIL import Image

from gliomaseg.errors import GliomasegError
from gliomaseg.formats import count_pages, read_pages, read_picture

MAX_BYTES = 2**30


def originals(generator: np.random.Generator) -> list[tuple[str, bytes, Callable[[Path], Any]]]:
    """Return small files of several kinds, with their suffixes and what reads them."""
    grey, colour = generator.integers(0, 200, (24, 20)), generator.integers(0, 200, (24, 20, 3))
    stack = generator.integers(0, 200, (6, 24, 20))
    files: list[tuple[str, bytes, Callable[[Path], Any]]] = []
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
    files = originals(generator)
    ends: Counter[str] = Counter()
    slowest, wrong = 0.0, 0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            suffix, content, read = files[number % len(files)]
            file = Path(folder, f"a{suffix}")
            file.write_bytes(mutate(content, generator))
            start = time.perf_counter()
            try:
                read(file)
            except GliomasegError as fault:
                ends[type(fault).__name__] += 1
            except BaseException as fault:
                ends[f"LEAKED {type(fault).__name__}"] += 1
                wrong += 1
                sys.stderr.write(f"file {number} of seed {seed}: {type(fault).__name__}: {fault}\n")
            else:
                ends["read"] += 1
            seconds = time.perf_counter() - start
            slowest = max(slowest, seconds)
            wrong += seconds > LIMIT_S
    sys.stdout.write(f"{count} files, seed {seed}: {dict(ends)}, slowest {slowest:.3f} s, {wrong} wrong\n")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
