"""Reference masks: label values in any format, on the grid of their scan, and which of the values are tumour."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.errors import FormatError, GeometryError, UsageError
from gliomaseg.formats import FileKind, Grid, kind_of, read_picture, read_volume
from gliomaseg.formats.dicom import LabelMasks, SeriesIdentity, read_labels
from gliomaseg.geometry import SAME_POSITION_MM, describe_grid, farthest_corner_mm
from gliomaseg.scan import Scan
from gliomaseg.types import Mask

if TYPE_CHECKING:
    from gliomaseg.data.case import VolumeFile

MOST_VALUES, LARGEST_LABEL = 256, 32
MAX_BYTES = 4 * 2**30
_FLOAT32 = 1e-6  # of scl_slope in NIfTI: 255 x 0.00392156886 is 1.00000006


@dataclass(frozen=True)
class MaskLabels:
    """Which values of a mask are tumour.

    Attributes:
        tumour: the values; None for all above 0.
    """

    tumour: frozenset[int] | None = None


def parse_labels(text: str, *, where: str) -> frozenset[int]:
    """Return the values in a text such as "1, 2,4".

    Args:
        text: whole numbers above 0, with commas between them.
        where: the option or field, for errors.

    Raises:
        UsageError: a value is not a whole number above 0.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"[0-9]{1,9}", part) and int(part) for part in parts):
        raise UsageError(f"labels are {text!r}, expected whole numbers above 0", where=where, cure="write 1,2,4")
    return frozenset(int(part) for part in parts)


def mask_of_labels(values: NDArray[Any], labels: MaskLabels, *, where: Path) -> Mask:
    """Return the tumour of a label map: bool, same shape.

    Args:
        values: whole numbers of any real type, such as 0.0 and 1.0; they may be off by the rounding of float32.
        labels: which of them are tumour.
        where: the file, for errors.

    Raises:
        FormatError: a value is negative or not a whole number, as in an image; or the labels are not named and there
            are more than two values, one of them above 32, as in a mask that was smoothed or compressed.
    """
    found, _ = count_values(values)
    if not np.array_equal(found, np.rint(found)) and np.allclose(found, np.rint(found), rtol=_FLOAT32, atol=_FLOAT32):
        return mask_of_labels(np.rint(values), labels, where=where)
    shown = ", ".join(f"{value:g}" for value in found[:4].tolist()) + (" ..." if len(found) > 4 else "")
    if len(found) > MOST_VALUES or not np.isfinite(found).all() or (found != np.rint(found)).any() or found[0] < 0:
        what = f"mask has {len(found)} values ({shown}), expected whole numbers from 0"
        is_soft = np.isfinite(found).all() and found[0] >= 0 and found[-1] <= 1
        cure = "threshold it, for example at 0.5" if is_soft else "export a label map, not an image or a probability"
        raise FormatError(what, where=where, cure=cure)
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
    return labels_of_pixels(read_picture(path))


def labels_of_pixels(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the values of one slice's mask, shape (y, x), as `read_mask_image` describes them.

    Args:
        pixels: uint8 or uint16, shape (y, x, c).
    """
    if (pixels != pixels[..., :1]).any():
        return np.asarray(pixels.max(axis=2) > np.iinfo(pixels.dtype).max // 2).view(np.uint8)
    return np.asarray(pixels[..., 0])


def read_tumour(volume: VolumeFile, scan: Scan, labels: MaskLabels, *, image: SeriesIdentity | None) -> Mask:
    """Return the tumour of a volume's mask on the grid of its scan: bool, shape (z, y, x).

    The labels of a DICOM mask are its segment or region numbers, which may overlap and may be any numbers.

    Args:
        volume: a volume file, or a DICOM segmentation or structure set.
        scan: FLAIR.
        labels: which values, segments or regions are tumour.
        image: the DICOM series of the scan, to which a DICOM mask must refer; None accepts any.

    Raises:
        FormatError: the file cannot be read, or is not a mask.
        GeometryError: the mask is on another grid than the scan.
        DataError: a DICOM mask refers to another series.
        MissingExtraError: DICOM needs an extra that is not installed.
    """
    if is_dicom_volume(volume):
        return _read_labels(volume, scan, image=image, labels=labels.tumour).union(labels.tumour)
    return mask_of_labels(_read_values(volume, scan), labels, where=volume.path)


def read_tumour_and_values(
    volume: VolumeFile, scan: Scan, labels: MaskLabels, *, image: SeriesIdentity | None
) -> tuple[Mask, NDArray[Any]]:
    """Return the tumour as `read_tumour`, and the values of all labels, both of shape (z, y, x).

    If regions of a DICOM mask overlap, the smaller one is on top in the values; the tumour has them all.
    """
    if is_dicom_volume(volume):
        regions = _read_labels(volume, scan, image=image, labels=None)
        return regions.union(labels.tumour), _values(regions)
    values = _read_values(volume, scan)
    return mask_of_labels(values, labels, where=volume.path), values


def _read_values(volume: VolumeFile, scan: Scan) -> NDArray[Any]:
    mask = read_volume(volume.path, max_bytes=MAX_BYTES, channel=volume.channel, is_mask=True).scan
    require_same_grid(mask, scan)
    return np.asarray(mask.voxels[..., 0])


def is_dicom_volume(volume: VolumeFile) -> bool:
    """Return whether a volume is a folder of DICOM files or a DICOM file."""
    return volume.path.is_dir() or kind_of(volume.path) is FileKind.SERIES


def _read_labels(
    volume: VolumeFile, scan: Scan, *, image: SeriesIdentity | None, labels: frozenset[int] | None
) -> LabelMasks:
    if scan.affine is None:
        what = "is a DICOM mask, and its image has no affine"
        raise GeometryError(what, where=volume.path, cure="give an image with an affine, or a mask of the image's kind")
    z, y, x = scan.voxels.shape[:3]
    grid = Grid((z, y, x), scan.affine)
    return read_labels(volume.path, grid, series=image, labels=labels, max_bytes=MAX_BYTES)


def _values(labelled: LabelMasks) -> NDArray[np.int64]:
    """Return regions as one label map, the largest region first."""
    values = np.zeros(labelled.shape, np.int64)
    for label, mask in sorted(labelled.masks.items(), key=lambda entry: -int(np.count_nonzero(entry[1]))):
        values[mask] = label
    return values


def require_same_size(values: NDArray[Any], shape: tuple[int, ...], *, where: Path) -> None:
    """Check that the mask of a slice has the shape (y, x) of its image.

    Raises:
        GeometryError: naming both sizes.
    """
    if values.shape != shape:
        got, expected = (f"{rows} x {columns}" for rows, columns in (values.shape, shape))
        what = f"size is {got}, expected {expected} as its image"
        raise GeometryError(what, where=where, cure="export the mask on the image's grid")


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
    what = (
        f"grid is {describe_grid(mask.voxels.shape, mask.affine)}, "
        f"expected {describe_grid(scan.voxels.shape, scan.affine)} as {Path(scan.source).name}"
    )
    raise GeometryError(what, where=mask.source, cure="resample the mask to its scan, nearest neighbour")
