"""Files damaged at random, and a reader tried on them: what the scripts `nifti.py` and `images.py` share."""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gliomaseg.errors import GliomasegError

LIMIT_S = 2.0
MAX_BYTES = 2**30

Original = tuple[str, bytes, Callable[[Path], Any]]
"""A file's suffix, its content, and what reads it."""


def mutate(content: bytes, generator: np.random.Generator) -> bytes:
    """Return a file with bytes changed, cut out, doubled, put in, swapped or cut off; half of it in the header."""
    changed = bytearray(content)
    for _ in range(int(generator.integers(1, 5))):
        reach = min(len(changed), 560) if generator.random() < 0.5 else len(changed)
        place = int(generator.integers(max(1, reach)))
        length = int(generator.integers(1, 40))
        kind = int(generator.integers(7))
        if kind == 0:
            changed[place : place + 1] = bytes([int(generator.integers(256))])
        elif kind == 1:
            changed[place : place + 1] = bytes([changed[place] ^ (1 << int(generator.integers(8)))] if changed else b"")
        elif kind == 2:
            del changed[place : place + length]
        elif kind == 3:
            changed[place:place] = changed[place : place + length]
        elif kind == 4:
            changed[place : place + length] = generator.bytes(length)
        elif kind == 5:
            changed[place : place + 8] = [b"\0" * 8, b"\xff" * 8, b"\x7f\xff\xff\x7f" * 2][int(generator.integers(3))]
        else:
            del changed[place:]
        if not changed:
            break
    return bytes(changed)


def same_whatever(_damaged: bytes, _original: bytes) -> bool:
    """Say of every file that was read that it is right."""
    return True


def hammer(
    files: Sequence[Original],
    generator: np.random.Generator,
    *,
    count: int,
    seed: int,
    is_right: Callable[[bytes, bytes], bool] = same_whatever,
) -> int:
    """Damage and read `count` files in turn, print what became of them, and return the exit code.

    It is 1 where an error that is not ours left the reader, where a read took over two seconds, or where a file was
    read of which `is_right` says no, given its damaged and its original content.
    """
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
                if not is_right(file.read_bytes(), content):
                    ends["read, not the original"] += 1
                    wrong += 1
            seconds = time.perf_counter() - start
            slowest = max(slowest, seconds)
            wrong += seconds > LIMIT_S
    sys.stdout.write(f"{count} files, seed {seed}: {dict(ends)}, slowest {slowest:.3f} s, {wrong} wrong\n")
    return int(wrong > 0)
