"""Damage NIfTI files at random and read them: only our own errors may leave the reader, and none may take long.

    python benchmarks/mutated_nifti.py 5000 [SEED]

Prints what became of the files. It ends with exit code 1 where another error left the reader, where a read took
over two seconds, or where voxels came back from a gzip file whose content is not the original.
"""

from __future__ import annotations

import gzip
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from nibabel.nifti1 import Nifti1Image
from nibabel.nifti2 import Nifti2Image

from gliomaseg.errors import GliomasegError
from gliomaseg.formats import read_volume

LIMIT_S = 2.0
MAX_BYTES = 2**30


def originals(generator: np.random.Generator) -> list[bytes]:
    """Return small files of several kinds: NIfTI-1 and -2, integers and fractions, plain and gzipped."""
    affine = np.diag([-0.9, 0.9, 5.5, 1.0])
    files = []
    for kind in (Nifti1Image, Nifti2Image):
        for dtype in (np.uint8, np.int16, np.float32, np.float64):
            image = kind(generator.integers(0, 200, (24, 20, 12)).astype(dtype), affine)
            image.header.set_qform(affine, 1)
            files.append(image.to_bytes())
    return [*files, *(gzip.compress(content, mtime=0) for content in files)]


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


def main(count: int, seed: int) -> int:
    """Read `count` damaged files and return the exit code."""
    generator = np.random.default_rng(seed)
    files = originals(generator)
    ends: Counter[str] = Counter()
    slowest, wrong = 0.0, 0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            content = files[number % len(files)]
            file = Path(folder, "a.nii.gz")
            file.write_bytes(mutate(content, generator))
            start = time.perf_counter()
            try:
                read_volume(file, max_bytes=MAX_BYTES)
            except GliomasegError as fault:
                ends[type(fault).__name__] += 1
            except BaseException as fault:
                ends[f"LEAKED {type(fault).__name__}"] += 1
                wrong += 1
                sys.stderr.write(f"file {number} of seed {seed}: {type(fault).__name__}: {fault}\n")
            else:
                ends["read"] += 1
                if content[:2] == b"\x1f\x8b" and file.read_bytes()[:2] == b"\x1f\x8b":
                    same = gzip.decompress(file.read_bytes()) == gzip.decompress(content)
                    ends["read, gzip, not the original"] += not same
                    wrong += not same
            seconds = time.perf_counter() - start
            slowest = max(slowest, seconds)
            wrong += seconds > LIMIT_S
    sys.stdout.write(f"{count} files, seed {seed}: {dict(ends)}, slowest {slowest:.3f} s, {wrong} wrong\n")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
