"""Volumes with a bright square, which the model `bright` finds."""

from pathlib import Path

import nibabel
import numpy as np

SIDE_PX, SLICES = 64, 4


def write_volume(file: Path, *, seed: int = 0) -> Path:
    """Write one volume; another seed has other voxels and another tumour."""
    voxels = np.random.default_rng(seed).integers(1, 60, (SIDE_PX, SIDE_PX, SLICES)).astype(np.int16)
    voxels[10:30, 10 : 20 + seed % 10, 1:3] = 200
    file.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1.0, 1.0, 3.0, 1.0])), file)
    return file
