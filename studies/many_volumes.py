"""Write many different volumes of 1 mm, to measure the memory and time of large data sets: docs/results/speed.md.

    python studies/many_volumes.py many --cases 1000
    /usr/bin/time -v gliomaseg audit many --manifest many.csv

Each case is a folder in the layout `brats` with FLAIR and mask: 240 x 240 x 155 voxels, int16. It is one of eight
phantoms with other values in 40 voxels of each slice, so that no two slices of the data set are copies.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from gliomaseg.phantoms import phantom_patient

SHAPE = (155, 240, 240)
PHANTOMS = 8


def main() -> None:
    """Write the volumes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cases", type=int, default=1000)
    arguments = parser.parse_args()
    drawn = []
    for index in range(PHANTOMS):
        patient = phantom_patient(index, side_px=SHAPE[1])
        zoom = SHAPE[0] / len(patient.mask), 1, 1
        drawn.append([ndimage.zoom(array, zoom, order=0) for array in (patient.image[..., 1], patient.mask)])
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    for number in range(arguments.cases):
        flair, mask = drawn[number % PHANTOMS]
        volume = flair.astype(np.int16) * 4
        places = np.random.default_rng(number).integers(80, 160, (2, SHAPE[0], 40))
        volume[np.arange(SHAPE[0])[:, None], *places] += 3
        folder = arguments.out / f"case_{number:04d}"
        folder.mkdir(parents=True)
        for name, array in (("flair", volume), ("seg", mask.astype(np.uint8))):
            image = nib.Nifti1Image(np.ascontiguousarray(array.transpose(2, 1, 0)), affine)
            nib.save(image, folder / f"{folder.name}_{name}.nii.gz")


if __name__ == "__main__":
    main()
