"""Masks and probabilities of other tools on the grid of their scan: checked, or resampled by the affines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.data.masks import MAX_BYTES, MaskLabels, mask_of_labels, require_same_grid
from gliomaseg.errors import FormatError, GeometryError
from gliomaseg.formats import read_picture, read_volume
from gliomaseg.geometry import Affine, describe_grid
from gliomaseg.resampling import VolumeGrid, positions
from gliomaseg.scan import Scan, require_same_space
from gliomaseg.types import Probability

CURE = "resample it to its scan, or add --resample"
ROUNDING = 1e-4  # of a voxel, so that rounding of the affine does not decide between neighbours; and of a probability


@dataclass(frozen=True)
class OnGrid:
    """Voxels on the grid of a scan.

    Attributes:
        voxels: shape (z, y, x) of the scan.
        resampled_from: the grid that they were on, in words; None if it was the scan's.
    """

    voxels: NDArray[Any]
    resampled_from: str | None = None


def read_mask(file: Path, scan: Scan, labels: MaskLabels, *, resample: bool) -> OnGrid:
    """Return the tumour of a mask on the grid of its scan: bool, shape (z, y, x).

    Args:
        file: a volume; a DICOM mask has the grid of its series.
        scan: FLAIR.
        labels: which values are tumour.
        resample: whether a mask on another grid is resampled; else it is refused.

    Raises:
        FormatError: the file cannot be read, or is not a mask.
        GeometryError: the mask is on another grid, and is not resampled, is in another space or does not overlap the
            scan.
    """
    volume = read_volume(file, max_bytes=MAX_BYTES, is_mask=True).scan
    return _on_grid(volume, mask_of_labels(volume.voxels[..., 0], labels, where=file), scan, resample=resample)


def read_probability(file: Path, scan: Scan, *, resample: bool) -> Probability:
    """Return the probabilities of a volume on the grid of its scan: float32 in [0, 1], shape (z, y, x).

    Args:
        file: a volume with values from 0 to 1; NaN counts as 0.
        scan: FLAIR.
        resample: as of `read_mask`; voxels outside the file's grid are 0.

    Raises:
        FormatError: the file cannot be read, or a value is not from 0 to 1.
        GeometryError: as of `read_mask`.
    """
    volume = read_volume(file, max_bytes=MAX_BYTES, is_mask=True).scan
    values = volume.voxels[..., 0]
    low, high = float(values.min()) + 0.0, float(values.max()) + 0.0  # not -0
    if not (low >= -ROUNDING and high <= 1 + ROUNDING):
        what = f"probability is {low:g} to {high:g}, expected 0 to 1"
        raise FormatError(what, where=file, cure="export probabilities of tumour, not logits or percent")
    return _on_grid(volume, np.clip(values, 0, 1).astype(np.float32, copy=False), scan, resample=resample).voxels


def read_probability_image(file: Path) -> NDArray[np.float32]:
    """Return the probabilities of one slice, shape (y, x); in an image they are levels from 0 to 255 (or 65535).

    Raises:
        FormatError: the file cannot be read.
    """
    pixels = read_picture(file)[..., 0]
    return (pixels / np.float32(np.iinfo(pixels.dtype).max)).astype(np.float32)


def _on_grid(volume: Scan, voxels: NDArray[Any], scan: Scan, *, resample: bool) -> OnGrid:
    """Return the voxels of a volume on the grid of a scan."""
    try:
        require_same_grid(volume, scan)
    except GeometryError as fault:
        require_same_space(volume, scan)
        if not resample or volume.affine is None or scan.affine is None:
            raise GeometryError(fault.what, where=fault.where, cure=CURE) from fault
    else:
        return OnGrid(voxels)
    z, y, x = scan.voxels.shape[:3]
    nearest = resample_nearest(voxels, volume.affine, shape=(z, y, x), affine=scan.affine)
    grid = describe_grid(voxels.shape, volume.affine)
    if nearest is None:
        expected = describe_grid(scan.voxels.shape, scan.affine)
        what = f"grid is {grid}, which does not overlap {expected} of {Path(scan.source).name}"
        raise GeometryError(what, where=volume.source, cure="give a mask in the world space of its scan")
    return OnGrid(nearest, grid)


def resample_nearest(
    voxels: NDArray[Any], source: Affine, *, shape: tuple[int, int, int], affine: Affine
) -> NDArray[Any] | None:
    """Return the nearest voxel for each voxel of another grid, and 0 outside: same dtype, shape `shape`.

    Args:
        voxels: shape (z, y, x).
        source: their affine.
        shape: of the other grid, (z, y, x).
        affine: of the other grid.

    Returns:
        The voxels; None if no centre of the other grid lies inside the first one.

    >>> halves = np.array([[[1, 2]]])  # two voxels of 2 mm; four of 1 mm begin 0.5 mm before the first centre
    >>> start = np.array([[1.0, 0, 0, -0.5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    >>> resample_nearest(halves, np.diag([2.0, 2, 2, 1]), shape=(1, 1, 4), affine=start).tolist()
    [[[1, 1, 2, 2]]]
    """
    own = VolumeGrid((voxels.shape[0], voxels.shape[1], voxels.shape[2]), source)
    ends = np.reshape(own.shape, (3, 1, 1))
    result = np.zeros(shape, voxels.dtype)
    hit = False
    for target, places in zip(result, positions(VolumeGrid(shape, affine), own), strict=True):
        nearest = np.floor(places + 0.5 + ROUNDING).astype(np.int64)
        inside = ((nearest >= 0) & (nearest < ends)).all(axis=0)
        target[inside] = voxels[tuple(nearest[:, inside])]
        hit = hit or bool(inside.any())
    return result if hit else None
