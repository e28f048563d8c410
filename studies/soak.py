"""Predict thousands of scans in one process, to find memory and files that are not released.

    python studies/soak.py soak --predictions 10000

The results are in docs/results/reliability.md. The scans are phantoms of two to five slices, as NIfTI and TIFF. Each is
read and segmented with the bundled model, and the mask is written. A line for each thousand predictions gives the
resident memory and the number of open files. The first thousand do not count for the growth: libraries load in them.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import psutil

import gliomaseg
from gliomaseg.formats import write_picture
from gliomaseg.phantoms import phantom_patient

SIDE_PX = 96
SLICES = (2, 3, 4, 5)


def main() -> None:
    """Predict, and print what the process holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for the scans and the mask")
    parser.add_argument("--predictions", type=int, default=10_000)
    arguments = parser.parse_args()
    held = list(measure(write_scans(arguments.folder), arguments.predictions, arguments.folder / "mask.nii.gz"))
    first, last = held[0], held[-1]
    growth = (last[1] - first[1]) / max(1, last[0] - first[0]) * 1000
    sys.stdout.write(f"growth {growth / 1e6:+.2f} MB for 1,000 predictions, {last[2] - first[2]:+d} open files\n")


def write_scans(folder: Path) -> list[Path]:
    """Write the scans and return their paths."""
    scans = []
    for number, slices in enumerate(SLICES):
        patient = phantom_patient(number, side_px=SIDE_PX, slices=slices)
        spacing_mm = np.array([2.4, 2.4, 5.0, 1.0])
        volume = nib.Nifti1Image(np.ascontiguousarray(patient.image[..., 1].T), np.diag(spacing_mm * [-1, -1, 1, 1]))
        scan = folder / f"scan_{number}.nii.gz"
        scan.parent.mkdir(parents=True, exist_ok=True)
        nib.save(volume, scan)
        picture = folder / f"slice_{number}.tif"
        write_picture(picture, patient.image[0])
        scans += [scan, picture]
    return scans


def measure(scans: list[Path], predictions: int, mask: Path) -> Iterator[tuple[int, int, int]]:
    """Predict, and yield the count, the resident memory in bytes and the open files, ten times or more."""
    process, model = psutil.Process(os.getpid()), gliomaseg.load_model("glioma-flair")
    step = max(1, min(1000, predictions // 10))
    for count in range(1, predictions + 1):
        scan = scans[count % len(scans)]
        found = gliomaseg.segment(scan, model=model)
        if scan.suffix == ".gz":
            found.save(mask, overwrite=True)
        if count % step == 0:
            held = count, process.memory_info().rss, process.num_fds()
            sys.stdout.write(f"{held[0]:,} predictions: {held[1] / 1e6:.1f} MB, {held[2]} open files\n")
            sys.stdout.flush()
            yield held


if __name__ == "__main__":
    main()
