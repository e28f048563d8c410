"""Reference masks: label values in any format, on the grid of their scan, and which of the values are tumour."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.errors import FormatError, GeometryError
from gliomaseg.formats import FileKind, kind_of, read_picture, read_volume
from gliomaseg.geometry import axis_codes, farthest_corner_mm, spacing_of
from gliomaseg.scan import SAME_POSITION_MM, Scan
from gliomaseg.types import Mask

if TYPE_CHECKING:
    from gliomaseg.data.case import VolumeFile

MOST_VALUES, LARGEST_LABEL = 256, 32
MAX_BYTES = 4 * 2**30


@dataclass(frozen=True)
class MaskLabels:
    """Which values of a mask are tumour.

    Attributes:
        tumour: the values; None for all above 0.
    """

    tumour: frozenset[int] | None = None


def mask_of_labels(values: NDArray[Any], labels: MaskLabels, *, where: Path) -> Mask:
    """Return the tumour of a label map: bool, same shape.

    Args:
        values: whole numbers of any real type, such as 0.0 and 1.0.
        labels: which of them are tumour.
        where: the file, for errors.

    Raises:
        FormatError: a value is negative or not a whole number, as in an image; or the labels are not named and there
            are more than two values, one of them above 32, as in a mask that was smoothed or compressed.
    """
    found, _ = count_values(values)
    shown = ", ".join(f"{value:g}" for value in found[:4].tolist()) + (" ..." if len(found) > 4 else "")
    if len(found) > MOST_VALUES or not np.isfinite(found).all() or (found != np.rint(found)).any() or found[0] < 0:
        what = f"mask has {len(found)} values ({shown}), expected whole numbers from 0"
        raise FormatError(what, where=where, cure="export a label map, not an image or a probability")
    if labels.tumour is not None:
        return np.isin(values, sorted(labels.tumour))
    if len(found) > 2 and found[-1] > LARGEST_LABEL:
        what = f"mask has {len(found)} values ({shown}), expected 0 and one other, or labels up to {LARGEST_LABEL}"
        raise FormatError(what, where=where, cure="name the values of the tumour with --labels, or threshold the mask")
    return np.asarray(values > 0)


def count_values(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the distinct values of an array that is not empty, ascending, and how often each occurs."""
    high, count = values.max(), np.count_nonzero(values)
    # Nearly all masks have 0 and one other value: comparing is twenty times as fast as sorting.
    if count == 0 or (high > 0 and np.count_nonzero(values == high) == count):
        present = [(0, values.size - count), (high, count)]
        found, counts = zip(*((value, number) for value, number in present if number), strict=True)
        return np.array(found, values.dtype), np.array(counts, np.intp)
    return np.unique(values, return_counts=True)


def read_mask_image(path: Path) -> NDArray[Any]:
    """Return the values of one slice's mask, shape (y, x).

    In a mask with colours, each colour is a label, and edges may be smoothed: a pixel is 1 where its brightest channel
    has at least half of the highest value, else 0.

    Raises:
        FormatError: the file cannot be read.
    """
    pixels = read_picture(path)
    if (pixels != pixels[..., :1]).any():
        return np.asarray(pixels.max(axis=2) > np.iinfo(pixels.dtype).max // 2).view(np.uint8)
    return np.asarray(pixels[..., 0])


def read_mask_volume(volume: VolumeFile, scan: Scan) -> NDArray[Any]:
    """Return the values of a volume's mask on the grid of its scan, shape (z, y, x).

    Args:
        volume: a volume file, or a DICOM segmentation or structure set.
        scan: FLAIR.

    Raises:
        FormatError: the file cannot be read.
        GeometryError: the mask is on another grid than the scan.
    """
    if kind_of(volume.path) is FileKind.SERIES:
        raise NotImplementedError
    mask = read_volume(volume.path, max_bytes=MAX_BYTES, channel=volume.channel, is_mask=True).scan
    require_same_grid(mask, scan)
    return np.asarray(mask.voxels[..., 0])


def require_same_grid(mask: Scan, scan: Scan) -> None:
    """Check that a mask has the size and position of its scan; positions may differ by rounding.

    Raises:
        GeometryError: naming both grids.
    """
    same_shape = mask.voxels.shape[:3] == scan.voxels.shape[:3]
    if same_shape and mask.affine is not None and scan.affine is not None:
        if farthest_corner_mm(mask.voxels.shape, mask.affine, scan.affine) <= SAME_POSITION_MM:
            return
    elif same_shape and mask.affine is None and scan.affine is None:
        return
    what = f"grid is {_describe(mask)}, expected {_describe(scan)} as {Path(scan.source).name}"
    raise GeometryError(what, where=mask.source, cure="resample the mask to its scan, nearest neighbour")


def _describe(scan: Scan) -> str:
    """Return size, spacing, orientation and first voxel of a grid."""
    size = " x ".join(map(str, reversed(scan.voxels.shape[:3])))
    if scan.affine is None:
        return f"{size} pixels without an affine"
    spacing = " x ".join(f"{length:g}" for length in np.round(spacing_of(scan.affine)[::-1], 3))
    origin = ", ".join(f"{value:g}" for value in np.round(scan.affine[:3, 3], 2))
    return f"{size} voxels of {spacing} mm, {axis_codes(scan.affine)}, from ({origin}) mm"
