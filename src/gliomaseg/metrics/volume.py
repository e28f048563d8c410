"""Tumour volume, and the error of the predicted volume."""

from __future__ import annotations

import math

from gliomaseg.geometry import Affine, Spacing, voxel_volume_mm3
from gliomaseg.metrics.mask_checks import require_spacing

MM3_PER_ML = 1000


def volume_ml(voxels: int, *, spacing_mm: Spacing | None = None, affine: Affine | None = None) -> float:
    """Return the volume of a number of voxels in ml: 0 for none.

    Args:
        voxels: their number, 0 or more.
        spacing_mm: between voxels' centres along z, y, x, gaps between slices included; axes at right angles.
        affine: of the grid, instead of `spacing_mm`; its axes may be at any angle.

    Raises:
        ValueError: the number is negative, or both or neither of spacing and affine are given.
        GeometryError: the spacing is not three positive lengths.

    Source: a voxel takes up the determinant of the affine, which is the product of the spacings if the axes are at
    right angles; 1 ml is 1000 mm3.

    >>> volume_ml(200, spacing_mm=(5.0, 1.0, 1.0))
    1.0
    """
    if voxels < 0:
        raise ValueError(f"voxels is {voxels}, expected 0 or more")
    if affine is not None and spacing_mm is None:
        return voxels * voxel_volume_mm3(affine) / MM3_PER_ML
    if spacing_mm is None or affine is not None:
        raise ValueError("expected either spacing_mm or affine")
    require_spacing(spacing_mm)
    return voxels * math.prod(spacing_mm) / MM3_PER_ML


def volume_error(*, reference: float, predicted: float) -> float:
    """Return (predicted - reference) / reference: no unit, -1 (empty prediction) upwards, 0 for the same volume.

    Positive if the predicted volume is too large. Equal volumes can lie in different places.

    Args:
        reference: the expert's volume, 0 or more, in voxels, mm3 or ml.
        predicted: the model's volume in the same unit.

    Returns:
        The signed error, or NaN if the reference is empty.

    Raises:
        ValueError: a volume is negative.

    Source: T. Heimann et al., IEEE TMI 28 (2009) 1251, doi:10.1109/TMI.2009.2013851.

    >>> volume_error(reference=40, predicted=30)
    -0.25
    """
    if reference < 0 or predicted < 0:
        raise ValueError(f"volumes are {reference} and {predicted}, expected 0 or more")
    return float((predicted - reference) / reference) if reference else float("nan")
