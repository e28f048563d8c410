"""Damage NIfTI files at random and read them: only our own errors may leave the reader, and none may take long.

    python fuzz/nifti.py 5000 [SEED]

Prints what became of the files. It ends with exit code 1 where another error left the reader, where a read took
over two seconds, or where voxels came back from a gzip file whose content is not the original.
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np
from mutate import MAX_BYTES, hammer
from nibabel.nifti1 import Nifti1Image
from nibabel.nifti2 import Nifti2Image

from gliomaseg.formats import read_volume


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


def read(file: Path) -> None:
    """Read a volume as `predict` does."""
    read_volume(file, max_bytes=MAX_BYTES)


def is_right(damaged: bytes, original: bytes) -> bool:
    """Return whether a gzip file that was read holds the original; of plain files nobody can tell."""
    if original[:2] != b"\x1f\x8b" or damaged[:2] != b"\x1f\x8b":
        return True
    return gzip.decompress(damaged) == gzip.decompress(original)


def main(count: int, seed: int) -> int:
    """Read `count` damaged files and return the exit code."""
    generator = np.random.default_rng(seed)
    files = [(".nii.gz", content, read) for content in originals(generator)]
    return hammer(files, generator, count=count, seed=seed, is_right=is_right)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
