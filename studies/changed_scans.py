"""Changes of skull-stripped volumes for `other_sources.py`: scalp, rotations, crop, thick slices, gaps, saturation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from gliomaseg.data.case import LoadedCase

SKULL_MM, SCALP_MM = 5, 11  # distances from the brain: the skull ends, the scalp ends
Volume = NDArray[Any]


def with_scalp(case: LoadedCase) -> LoadedCase:
    """Return a case with a dark skull and a bright scalp around the brain; voxels are 1 mm."""
    volume = _flair(case)
    brain = ndimage.binary_fill_holes(volume != volume[0, 0, 0])
    distance = ndimage.distance_transform_edt(~brain)
    dark, bright = np.percentile(volume[brain], (5, 99))
    painted = np.where((distance > 0) & (distance <= SKULL_MM), dark, volume)
    painted = np.where((distance > SKULL_MM) & (distance <= SCALP_MM), bright, painted)
    return _changed(case, painted.astype(volume.dtype), case.reference)


def rotated(case: LoadedCase, degrees: float, axes: tuple[int, int]) -> LoadedCase:
    """Return a case rotated within its grid, in the plane of two axes: 0 is z, 1 is y, 2 is x."""
    volume = _flair(case)
    turn = {"axes": axes, "reshape": False}
    image = ndimage.rotate(volume, degrees, order=1, cval=float(volume[0, 0, 0]), **turn)
    mask = ndimage.rotate(case.reference.astype(np.uint8), degrees, order=0, **turn) > 0
    return _changed(case, image, mask)


def cropped(case: LoadedCase) -> LoadedCase:
    """Return a case without a part of the volume at each of its faces: some of the brain is cut off."""
    z, y, x = case.reference.shape
    part = slice(z // 5, z - z // 8), slice(y // 8, y - y // 8), slice(x // 8, x - x // 5)
    return _changed(case, _flair(case)[part], case.reference[part])


def thick(case: LoadedCase, count: int) -> LoadedCase:
    """Return a case whose slices are means of `count` slices."""
    whole = len(case.reference) // count * count

    def mean(volume: Volume) -> Volume:
        return volume[:whole].reshape(-1, count, *volume.shape[1:]).mean(axis=1)

    return _changed(case, mean(_flair(case)), mean(case.reference) >= 0.5, slice_step=count)


def with_gaps(case: LoadedCase, step: int) -> LoadedCase:
    """Return a case with every `step`-th slice."""
    return _changed(case, _flair(case)[::step], case.reference[::step], slice_step=step)


def saturated(case: LoadedCase, level: float) -> LoadedCase:
    """Return a case whose intensities are cut off at a level between the background (0) and the brightest voxel (1)."""
    volume = _flair(case)
    black = float(volume[0, 0, 0])
    return _changed(case, np.minimum(volume, black + level * (volume.max() - black)), case.reference)


CHANGES: dict[str, Callable[[LoadedCase], LoadedCase]] = {
    "painted scalp": with_scalp,
    "rotated by 15 degrees": lambda case: rotated(case, 15, (1, 2)),
    "rotated by 30 degrees": lambda case: rotated(case, 30, (1, 2)),
    "upside down": lambda case: rotated(case, 180, (1, 2)),
    "tilted by 15 degrees": lambda case: rotated(case, 15, (0, 1)),
    "cropped": cropped,
    "slices of 6 mm": lambda case: thick(case, 6),
    "every fourth slice": lambda case: with_gaps(case, 4),
    "cut off at 0.7 of the brightest": lambda case: saturated(case, 0.7),
    "cut off at 0.5 of the brightest": lambda case: saturated(case, 0.5),
}


def _flair(case: LoadedCase) -> Volume:
    return case.scan.voxels[..., case.scan.flair_index]


def _changed(case: LoadedCase, volume: Volume, mask: NDArray[np.bool_], *, slice_step: int = 1) -> LoadedCase:
    """Return a case with another FLAIR volume and mask; other sequences are left out."""
    affine = None if case.scan.affine is None else case.scan.affine @ np.diag([1.0, 1.0, slice_step, 1.0])
    scan = replace(case.scan, voxels=volume[..., None], affine=affine, sequences=("flair",), given=None)
    return replace(case, scan=scan, reference=mask, numbers=tuple(range(1, len(mask) + 1)))
