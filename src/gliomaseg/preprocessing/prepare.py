"""The pipeline from a scan to the network's batches, and from probabilities to the scan's grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gliomaseg.config import Preprocessing
from gliomaseg.geometry import FieldOfView
from gliomaseg.preprocessing.intensity import image_levels
from gliomaseg.preprocessing.normalisation import level_counts, normalise
from gliomaseg.preprocessing.volume import (
    Placement,
    merge_slices,
    place_volume,
    prepare_volume_mask,
    resample_axial,
    restore_volume,
    restore_volume_slices,
    volume_levels,
)
from gliomaseg.scan import Scan, flair_channel
from gliomaseg.types import Batch, Mask, PreparedSlices, Probability, SliceIndices, Voxels


@dataclass(frozen=True)
class Prepared:
    """The slices of one scan in the network's size, and their way back to the scan's grid.

    Attributes:
        slices: uint8, shape (z, c, size, size): c is 1 for "grey" and "flair", 2 for "t1_flair", 3 for
            "t1_flair_t1ce".
        grid: rows and columns of the scan's (axial) slices.
        settings: how the slices were prepared.
        placement: of a volume's slices; None for images.
    """

    slices: PreparedSlices
    grid: tuple[int, int]
    settings: Preprocessing
    placement: Placement | None = None

    @property
    def merged(self) -> bool:
        """Whether each slice is the mean of several thin ones."""
        return self.placement is not None and self.placement.slice_ratio > 1

    @cached_property
    def is_black(self) -> NDArray[np.bool_]:
        """Whether a slice and all its context slices are black: bool, shape (z,)."""
        bright = np.asarray(self.slices.any(axis=(1, 2, 3)))
        black: NDArray[np.bool_] = np.logical_not(bright[self._context].any(axis=1))
        return black

    def batches(self, size: int, indices: SliceIndices | None = None) -> Iterator[Batch]:
        """Yield the network's input, normalised over the whole scan: float32, shape (n, inputs, y, x), n <= size.

        Args:
            size: slices in a batch.
            indices: which slices, in this order; all if None.
        """
        chosen = np.arange(len(self.slices)) if indices is None else indices
        for start in range(0, len(chosen), size):
            context = self._context[chosen[start : start + size]]
            yield normalise(with_context(self.slices, context), self.settings, self._counts)

    @cached_property
    def pixel_sides_px(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Height of the network's rows and width of its columns, in pixels of the scan's axial slices: shape (size,).

        Parts outside of the scan do not count.
        """
        field = self.placement.field if self.placement is not None else FieldOfView(0, 0, *map(float, self.grid))
        lines = np.arange(self.settings.size_px + 1) / self.settings.size_px
        edges = field.top + field.height * lines, field.left + field.width * lines
        rows, columns = (np.diff(np.clip(line, 0, most)) for line, most in zip(edges, self.grid, strict=True))
        return rows, columns

    @cached_property
    def _context(self) -> SliceIndices:
        count = len(self.slices)
        ends = np.array([0]), np.array([count - 1])
        return context_indices(np.arange(count), *ends, context_slices=self.settings.context_slices)

    @cached_property
    def _counts(self) -> NDArray[np.int64]:
        return level_counts(self.slices)


def prepare(scan: Scan, settings: Preprocessing) -> Prepared:
    """Return the scan's slices in the network's size and channels, as 8 bits.

    Images (scans without an affine) are axial already. 16-bit images are scaled to 8 bits so that the 99.5 percentile
    of the pixels above 0 becomes 255. Slices are resized (bilinear; the aspect ratio is not kept, as in the reference
    notebook), then reduced to the network's channels.

    Volumes are turned to axial slices. Each sequence is scaled to 8 bits with its own window. The field of view of
    `fov_mm` is cut out, black outside the volume, and resampled to the network's pixels (bilinear). Slices thinner
    than `min_slice_spacing_mm` are merged to that spacing; thicker ones are kept.
    """
    return next(_prepare_merges(scan, settings))


def prepare_merges(scan: Scan, settings: Preprocessing) -> tuple[Prepared, ...]:
    """Return the slices as `prepare` does; if they are merged, also once more, shifted by half a merged slice.

    The mean of both predictions follows the outline better from slice to slice (docs/results/other-sources.md).
    """
    return tuple(_prepare_merges(scan, settings))


def _prepare_merges(scan: Scan, settings: Preprocessing) -> Iterator[Prepared]:
    if scan.affine is None:
        levels = image_levels(scan.voxels)
        yield Prepared(_network_slices(levels, settings), (levels.shape[1], levels.shape[2]), settings)
        return
    levels = volume_levels(scan, p99_5_level=settings.p99_5_level)
    placement = place_volume(scan, levels, settings)
    _, rows, columns = placement.orientation.turn(levels).shape[:3]
    slices = _network_slices(resample_axial(levels, placement, size_px=settings.size_px), settings)
    if placement.slice_ratio == 1:
        yield Prepared(slices, (rows, columns), settings, placement)
        return
    for shifted in (False, True):
        merged = merge_slices(slices, placement.slice_ratio, shifted=shifted)
        yield Prepared(merged, (rows, columns), settings, placement)


def prepare_mask(mask: Mask, prepared: Prepared) -> Mask:
    """Return a scan's mask on the network's grid, as its slices were prepared: bool, shape (z, size, size).

    Masks of images are resized to the nearest pixel. Masks of volumes are resampled like the images; a pixel is tumour
    if at least half of it is.

    Args:
        mask: on the scan's grid, shape (z, y, x).
        prepared: the slices of that scan.
    """
    size = prepared.settings.size_px
    if prepared.placement is not None:
        return prepare_volume_mask(mask, prepared.placement, size_px=size)
    if mask.shape[1:] == (size, size):
        return mask
    images = (Image.fromarray(plane.astype(np.uint8)).resize((size, size), Image.Resampling.NEAREST) for plane in mask)
    return np.stack([np.asarray(image) for image in images]) > 0


def restore(probability: Probability, prepared: Prepared) -> Probability:
    """Return probabilities (z, size, size) on the scan's grid: float32 in [0, 1], shape (z, y, x).

    This is not an exact inverse of `prepare`: both resample. Voxels outside the field of view have probability 0.
    """
    if prepared.placement is not None:
        return restore_volume(probability, prepared.placement)
    rows, columns = prepared.grid
    if probability.shape[1:] == (rows, columns):
        return probability
    images = (Image.fromarray(plane).resize((columns, rows), Image.Resampling.BILINEAR) for plane in probability)
    return np.stack([np.asarray(image) for image in images])


def mask_areas_px(mask: Mask, prepared: Prepared) -> NDArray[np.float64]:
    """Return the area of a mask in each slice, in pixels of the scan's axial slices: float64, shape (n,).

    Args:
        mask: of any n slices on the network's grid: bool, shape (n, size, size).
        prepared: the slices of that scan.
    """
    rows, columns = prepared.pixel_sides_px
    areas: NDArray[np.float64] = mask @ columns @ rows
    return areas


def restore_slices(values: NDArray[np.float64], prepared: Prepared) -> NDArray[np.float64]:
    """Return one value of each axial slice of the scan, in the order of `Scan.axial`: float64, shape (slices,).

    Slices of the scan get the values of the network's slices as `restore` interpolates probabilities.

    Args:
        values: one of each slice of the network.
        prepared: the slices of that scan.
    """
    return values if prepared.placement is None else restore_volume_slices(values, prepared.placement)


def context_indices(
    indices: SliceIndices, first: SliceIndices, last: SliceIndices, *, context_slices: int
) -> SliceIndices:
    """Return the indices of each slice and its context slices: int64, shape (n, 2 context_slices + 1).

    Beyond a stack's ends the last slice is repeated.

    Args:
        indices: of the slices, shape (n,).
        first: index of the first slice of each one's stack, shape (n,) or (1,).
        last: index of its last slice.
        context_slices: how many on each side, 0 or more.

    >>> context_indices(np.array([4, 5]), np.array([4]), np.array([9]), context_slices=1).tolist()
    [[4, 4, 5], [4, 5, 6]]
    """
    beside = indices[:, None] + np.arange(-context_slices, context_slices + 1)
    inside: SliceIndices = np.clip(beside, first[:, None], last[:, None])
    return inside


def with_context(slices: PreparedSlices, indices: SliceIndices) -> PreparedSlices:
    """Return slices (z, c, y, x) with their context as channels: uint8, shape (n, k c, y, x), indices (n, k)."""
    count, k = indices.shape
    return slices[indices].reshape(count, k * slices.shape[1], *slices.shape[2:])


def _network_slices(levels: Voxels, settings: Preprocessing) -> PreparedSlices:
    """Return 8-bit slices (z, y, x, 1 or 3) in the network's size and channels."""
    slices = np.empty((len(levels), settings.sequences, settings.size_px, settings.size_px), np.uint8)
    for plane, target in zip(levels, slices, strict=True):
        _fill_slice(plane, target, settings)
    return slices


def _fill_slice(plane: Voxels, target: PreparedSlices, settings: Preprocessing) -> None:
    """Fill `target` (c, size, size) from one slice (y, x, 1 or 3)."""
    image = Image.fromarray(plane if plane.shape[2] == 3 else plane[..., 0])
    size = (settings.size_px, settings.size_px)
    if image.size != size:
        image = image.resize(size, Image.Resampling.BILINEAR)
    if settings.input == "grey":
        target[0] = np.asarray(image.convert("L"))  # 0.299 R + 0.587 G + 0.114 B, rounded
    elif settings.input == "flair":
        target[0] = np.asarray(image if image.mode == "L" else image.getchannel(flair_channel(3)))
    else:
        target[:] = np.moveaxis(np.asarray(image.convert("RGB")), 2, 0)[: len(target)]  # T1 is the first channel
