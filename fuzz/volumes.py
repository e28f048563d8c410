"""Small volumes: NIfTI-1 and -2, NRRD and MetaImage; integers and fractions, plain and compressed."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import numpy as np
from mutate import MAX_BYTES, Original
from nibabel.nifti1 import Nifti1Image
from nibabel.nifti2 import Nifti2Image

from gliomaseg.formats import Grid, read_volume, write_volume

_SHAPE = (24, 20, 12)
_GZIP = b"\x1f\x8b"


def originals(generator: np.random.Generator) -> list[Original]:
    """Return the files and their reader."""
    affine = np.diag([-0.9, 0.9, 5.5, 1.0])
    files: list[Original] = []
    for kind in (Nifti1Image, Nifti2Image):
        for dtype in (np.uint8, np.int16, np.float32, np.float64):
            image = kind(generator.integers(0, 200, _SHAPE).astype(dtype), affine)
            image.header.set_qform(affine, 1)
            plain = image.to_bytes()
            files.append(Original("a.nii", plain, read))
            files.append(Original("a.nii.gz", gzip.compress(plain, mtime=0), read, is_right))
    with tempfile.TemporaryDirectory() as folder:
        for name in ("a.nrrd", "a.mha"):
            file = Path(folder, name)
            write_volume(
                file,
                generator.integers(0, 200, _SHAPE[::-1]).astype(np.int16),
                Grid(_SHAPE[::-1], affine),
                description="",
            )
            files.append(Original(name, file.read_bytes(), read))
    return files


def read(file: Path) -> None:
    """Read a volume as `predict` does."""
    read_volume(file, max_bytes=MAX_BYTES)


def is_right(damaged: bytes, original: bytes) -> bool:
    """Return whether a gzip file that was read has the original's content; other files have no checksum."""
    return damaged[:2] != _GZIP or gzip.decompress(damaged) == gzip.decompress(original)
