"""Write an archive of phantoms for the studies of `gliomaseg bulk`.

    python studies/bulk_archive.py archive --cases 800 --slices 25

Each case is one FLAIR volume, int16, 256 x 256 pixels a slice. There are 20 phantoms; each case is one of them with
other values in 40 voxels of each slice, so that no two cases have the same digest.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import nibabel as nib
import numpy as np

from gliomaseg.phantoms import phantom_patient

SIDE_PX = 256
PHANTOMS = 20


def main() -> None:
    """Write the archive that the command line describes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cases", type=int, default=800)
    parser.add_argument("--slices", type=int, default=25)
    arguments = parser.parse_args()
    write_archive(arguments.out, cases=arguments.cases, slices=arguments.slices)


def write_archive(folder: Path, *, cases: int, slices: int, side_px: int = SIDE_PX) -> None:
    """Write `cases` files case_0000_flair.nii.gz, ... into a new folder."""
    folder.mkdir(parents=True)
    drawn = [
        phantom_patient(index, side_px=side_px, slices=slices).image[..., 1] for index in range(min(cases, PHANTOMS))
    ]
    affine = np.diag([-0.9, -0.9, 5.0, 1.0])
    for number in range(cases):
        volume = drawn[number % PHANTOMS].astype(np.int16) * 4
        places = np.random.default_rng(number).integers(side_px // 3, side_px // 2, (2, slices, 40))
        volume[np.arange(slices)[:, None], *places] += 3
        image = nib.Nifti1Image(np.ascontiguousarray(volume.transpose(2, 1, 0)), affine)
        nib.save(image, folder / f"case_{number:04d}_flair.nii.gz")


if __name__ == "__main__":
    main()
