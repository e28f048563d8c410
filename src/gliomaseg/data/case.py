"""A case's files, read: one scan and the expert's mask on the same grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.data.index import Case, Slice
from gliomaseg.errors import FormatError, GeometryError
from gliomaseg.formats import read_picture
from gliomaseg.scan import Scan
from gliomaseg.types import Mask


@dataclass(frozen=True)
class LoadedCase:
    """One case in memory: the scan (z, y, x, c) and the reference mask (z, y, x)."""

    case: Case
    scan: Scan
    reference: Mask


def read_case(case: Case) -> LoadedCase:
    """Return a case's scan and mask.

    Raises:
        FormatError: a file cannot be read.
        GeometryError: a mask is not of its picture's size, or the slices are not all of one size.
    """
    pairs = [read_slice(entry) for entry in case.slices]
    scan = stack_slices([image for image, _ in pairs], [entry.image for entry in case.slices])
    return LoadedCase(case, scan, np.stack([mask for _, mask in pairs]))


def read_slice(entry: Slice) -> tuple[NDArray[Any], Mask]:
    """Return a slice's pixels (y, x, c) and its mask (y, x), true where the file is not zero.

    Raises:
        FormatError: a file cannot be read, or the mask has more than two values or colours.
        GeometryError: the mask is not of the picture's size.
    """
    image = read_picture(entry.image)
    mask = read_picture(entry.mask)
    if mask.shape[2] != 1:
        raise FormatError("mask is an RGB image, expected a grey one", where=entry.mask)
    if mask.shape[:2] != image.shape[:2]:
        raise GeometryError(
            f"is {mask.shape[0]} x {mask.shape[1]}, its picture {image.shape[0]} x {image.shape[1]}",
            where=entry.mask,
            cure="export the mask on the picture's grid",
        )
    if not np.isin(mask, (0, mask.max())).all():
        raise FormatError("mask has more than two values", where=entry.mask)
    return image, mask[..., 0] > 0


def stack_slices(pictures: Sequence[NDArray[Any]], files: Sequence[Path]) -> Scan:
    """Return pictures (y, x, c) of one size as a scan (z, y, x, c); its source is their folder.

    Raises:
        GeometryError: a picture has another size, depth or number of channels than the first.
    """
    first = pictures[0]
    for picture, file in zip(pictures, files, strict=True):
        if picture.shape != first.shape or picture.dtype != first.dtype:
            raise GeometryError(
                f"is {picture.shape} {picture.dtype}, the first slice {first.shape} {first.dtype}",
                where=file,
                cure="give slices of one size and kind",
            )
    source = files[0] if len(files) == 1 else files[0].parent
    return Scan(np.stack(pictures), source=str(source))
