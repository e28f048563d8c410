"""A small data set of volumes with different sizes, orientations, slice spacings and sequences, as BraTS folders."""

from pathlib import Path

import nibabel
import numpy as np
from nibabel.nifti1 import Nifti1Image

from gliomaseg.geometry import Orientation
from gliomaseg.phantoms import phantom_patient
from gliomaseg.types import Sequence
from orientation_cases import turn_affine

FILES = {Sequence.FLAIR: "flair.nii.gz", Sequence.T1: "t1.nii.gz"}
MASK = "mask.nii.gz"
AXIAL, CORONAL = Orientation(), Orientation((1, 0, 2), (False, True, False))
SAGITTAL = Orientation((2, 1, 0), (True, False, False))
# Orientation, slices that each slice is repeated to, side in pixels, and whether there is T1.
KINDS = (
    (AXIAL, 1, 64, True),
    (CORONAL, 1, 64, True),
    (SAGITTAL, 1, 80, False),
    (AXIAL, 4, 64, True),
    (Orientation((0, 1, 2), (True, False, True)), 1, 96, False),
    (AXIAL, 1, 72, True),
)


def write_volume_cases(root: Path, *, count: int = len(KINDS), slices: int = 16, tumour: int = 1) -> Path:
    """Write `root/case-<n>/` with NIfTI volumes of phantoms; `tumour` is the value of the masks."""
    for index in range(count):
        orientation, repeats, side, has_t1 = KINDS[index % len(KINDS)]
        patient = phantom_patient(index, side_px=side, slices=slices)
        z, y, x = patient.spacing_mm
        affine = np.diag([-x, -y, z / repeats, 1.0])
        shape = (slices * repeats, side, side)
        affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape[::-1]) - 1) / 2)
        folder = root / f"case-{index}"
        folder.mkdir(parents=True)
        arrays = {FILES[Sequence.FLAIR]: patient.image[..., 1], MASK: patient.mask * np.uint8(tumour)}
        if has_t1:
            arrays[FILES[Sequence.T1]] = patient.image[..., 0]
        for name, array in arrays.items():
            turned = orientation.turn(np.repeat(array, repeats, axis=0))
            image = Nifti1Image(np.ascontiguousarray(turned.T), turn_affine(orientation, affine, shape))
            nibabel.save(image, folder / name)
    return root
