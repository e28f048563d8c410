"""Read the files of a case into a scan and the expert's mask on the same grid."""

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
    """One case in memory.

    Attributes:
        case: names and files of the case.
        scan: the images, shape (z, y, x, c).
        reference: the expert's mask, bool, shape (z, y, x).
    """

    case: Case
    scan: Scan
    reference: Mask


def read_case(case: Case) -> LoadedCase:
    """Return a case's scan and mask.

    Raises:
        FormatError: a file cannot be read.
        GeometryError: a mask and its image differ in size, or the slices differ in size or data type.
    """
    images, masks = zip(*(read_slice(entry) for entry in case.slices), strict=True)
    return LoadedCase(case, stack_slices(images, [entry.image for entry in case.slices]), np.stack(masks))


def read_slice(entry: Slice) -> tuple[NDArray[Any], Mask]:
    """Return a slice's image (y, x, c), as stored, and its mask, bool (y, x): true where the mask file is not zero.

    Raises:
        FormatError: a file cannot be read, or the mask has more than two values or colours.
        GeometryError: the mask and the image differ in size.
    """
    image = read_picture(entry.image)
    mask = read_picture(entry.mask)
    if mask.shape[2] != 1:
        raise FormatError("mask is an RGB image, expected a grey one", where=entry.mask)
    if mask.shape[:2] != image.shape[:2]:
        raise GeometryError(
            f"is {mask.shape[0]} x {mask.shape[1]}, its picture {image.shape[0]} x {image.shape[1]}",
            where=entry.mask,
            cure="export the mask on the image's grid",
        )
    if not np.isin(mask, (0, mask.max())).all():
        raise FormatError("mask has more than two values", where=entry.mask)
    return image, mask[..., 0] > 0


def stack_slices(images: Sequence[NDArray[Any]], files: Sequence[Path]) -> Scan:
    """Return images (y, x, c) of one shape and data type as a scan (z, y, x, c).

    Args:
        images: at least one slice, in the order of the stack.
        files: the file of each slice. The source of the scan is their folder, or the file if there is one slice.

    Raises:
        GeometryError: an image differs from the first in size, data type or number of channels.
    """
    first = images[0]
    for image, file in zip(images, files, strict=True):
        if image.shape != first.shape or image.dtype != first.dtype:
            raise GeometryError(
                f"is {image.shape} {image.dtype}, the first slice {first.shape} {first.dtype}",
                where=file,
                cure="give slices of one size and kind",
            )
    source = files[0] if len(files) == 1 else files[0].parent
    return Scan(np.stack(images), source=str(source))
