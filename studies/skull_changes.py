"""Count whether a skull is recognised in changed scans: crops, noise, brightness, z-scores, fewer pixels, rotations.

    OMP_NUM_THREADS=1 python studies/skull_changes.py --data lgg --external external

The scans are every fourth patient of `lgg`, their copies without skull, and the stripped volumes of `external`, which
`other_sources.py` describes. The table is in docs/results/plausibility.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

import gliomaseg
from gliomaseg.data.case import read_case
from gliomaseg.data.layouts import read_cases
from gliomaseg.evaluation.copies import without_skull
from gliomaseg.prediction.image_features import is_skull_stripped
from gliomaseg.preprocessing import display_levels

EVERY = 4
DARK = 20 / 255  # darker voxels, as a share of the brightest, are outside the head
Volume = NDArray[np.float64]
"""Axial FLAIR, shape (z, y, x), 0 outside a stripped brain."""
RANDOM = np.random.default_rng(0)


def head_of(volume: Volume) -> NDArray[np.bool_]:
    """Return the voxels of the head."""
    opened: NDArray[np.bool_] = ndimage.binary_opening(volume > DARK * volume.max())
    return opened


def cropped_to_head(volume: Volume) -> Volume:
    """Return the bounding box of the head."""
    box: Volume = volume[ndimage.find_objects(head_of(volume).astype(int))[0]]
    return box


def cut(volume: Volume, share: float) -> Volume:
    """Return a volume of which a random part, up to a share, is cut off at each side of the slices."""
    _, y, x = volume.shape
    front, back, left, right = RANDOM.uniform(0, share, 4)
    return volume[:, int(front * y) : y - int(back * y), int(left * x) : x - int(right * x)]


def noisy(volume: Volume, share: float) -> Volume:
    """Return the magnitude of a volume with noise, whose standard deviation is a share of the 99th percentile."""
    level = np.percentile(volume[volume > 0], 99)
    return np.abs(volume + RANDOM.normal(0, share * level, volume.shape))


def brighter_at_one_side(volume: Volume) -> Volume:
    """Return a volume whose brightness changes from 0.6 to 1.4 along x."""
    return volume * np.linspace(0.6, 1.4, volume.shape[2])


def z_scored(volume: Volume) -> Volume:
    """Return z-scores inside the head; the background is 0, brighter than half of the brain."""
    inside = volume > 0
    return np.where(inside, (volume - volume[inside].mean()) / volume[inside].std(), 0)


def with_pixels(volume: Volume, share: float) -> Volume:
    """Return a volume with a share of the rows and columns."""
    shrunk: Volume = ndimage.zoom(volume, (1, share, share), order=1)
    return shrunk


def rotated(volume: Volume, degrees: float) -> Volume:
    """Return a volume rotated in the axial plane."""
    turned: Volume = ndimage.rotate(volume, degrees, axes=(1, 2), reshape=False, order=1)
    return turned


CHANGES: dict[str, Callable[[Volume], Volume]] = {
    "none": lambda volume: volume,
    "cropped to the head": cropped_to_head,
    "up to 10 % cut off at each side": lambda volume: cut(volume, 0.1),
    "up to 25 % cut off at each side": lambda volume: cut(volume, 0.25),
    "noise of 3 %": lambda volume: noisy(volume, 0.03),
    "noise of 8 %": lambda volume: noisy(volume, 0.08),
    "gamma 0.6": lambda volume: (volume / volume.max()) ** 0.6,
    "gamma 1.6": lambda volume: (volume / volume.max()) ** 1.6,
    "brightness from 0.6 to 1.4 across the head": brighter_at_one_side,
    "background 300, brightest voxel 1,300": lambda volume: 300 + 1000 * volume / volume.max(),
    "z-scores, background 0": z_scored,
    "half of the rows and columns": lambda volume: with_pixels(volume, 0.5),
    "a third of the rows and columns": lambda volume: with_pixels(volume, 1 / 3),
    "rotated by 37 degrees": lambda volume: rotated(volume, 37),
    "rotated by 90 degrees": lambda volume: rotated(volume, 90),
    "cut off at half of the brightest voxel": lambda volume: np.minimum(volume, volume.max() / 2),
    "middle third of the slices": lambda volume: volume[len(volume) // 3 : -(len(volume) // 3)],
    "upper third of the slices": lambda volume: volume[-(len(volume) // 3) :],
}


def axial(voxels: NDArray[Any], background: float) -> Volume:
    """Return a volume whose background is 0."""
    return voxels.astype(np.float64) - background


def main() -> None:
    """Print how many scans of each group are recognised."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--external", type=Path, required=True)
    arguments = parser.parse_args()
    heads = [read_case(case) for case in read_cases(arguments.data).cases[::EVERY]]
    stripped = [gliomaseg.read_scan(file.with_name("flair.nii.gz")) for file in arguments.external.glob("*/seg.nii.gz")]
    groups = {
        "whole heads": [axial(one.scan.voxels[..., 1], 0) for one in heads],
        "copies without skull": [axial(without_skull(one).scan.voxels[..., 1], 0) for one in heads],
        "external": [axial(scan.axial.turn(scan.voxels[..., 0]), scan.voxels.min()) for scan in stripped],
    }
    for name, change in CHANGES.items():
        counts = []
        for group, volumes in groups.items():
            found = [is_skull_stripped(display_levels(change(volume).astype(np.float32))) for volume in volumes]
            counts.append(f"{group} {found.count(group != 'whole heads')} of {len(found)}")
        sys.stdout.write(f"{name}: {', '.join(counts)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
