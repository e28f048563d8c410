"""The typed result of segmenting one scan from Python."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.atomic import new_file, require_free
from gliomaseg.errors import GeometryError, UsageError
from gliomaseg.formats import FileKind, Grid, suffix_of, write_pages, write_volume, written_suffixes
from gliomaseg.inputs.scan_arrays import Axes
from gliomaseg.scan import Scan
from gliomaseg.types import Mask, Probability

PAGE_SUFFIXES = (".tif", ".tiff")


@dataclass(frozen=True, eq=False)  # equality of arrays has no single truth value
class Segmentation:
    """The mask of one scan, its volume, predicted Dice and warnings: the result of `segment`.

    Attributes:
        mask: tumour or not: bool, in the shape and axis order of the input; (z, y, x) for paths and scans.
        probability: of tumour: float32 in [0, 1], same shape.
        volume_ml: volume of the mask, in ml; 0 if it is empty, None if the voxel spacing is unknown.
        predicted_dice: the Dice that the model expects of this mask, 0 to 1; None if the mask is empty or the model
            has no Dice estimator.
        warnings: sentences about an input that does not look like the training data; empty if there are none.
        models: names of the models whose probabilities were averaged, the one with the largest weight first.
        scan: the scan that was segmented.
        left_out: a sentence on each model that did not run, with the reason; empty if all ran.
    """

    mask: Mask = field(repr=False)
    probability: Probability = field(repr=False)
    volume_ml: float | None
    predicted_dice: float | None
    warnings: tuple[str, ...]
    models: tuple[str, ...]
    scan: Scan = field(repr=False)
    left_out: tuple[str, ...] = ()
    _axes: Axes = field(default="zyx", repr=False)

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the mask on the grid of the scan, and return the path.

        Args:
            path: a new file; missing folders are created. `.nii.gz`, `.nii`, `.nrrd`, `.mha` and `.mhd` write a
                volume with the values 0 and 1; the scan needs an affine. `.tif` and `.tiff` write one page for each
                axial slice, from the lowest upwards, with the values 0 and 255.
            overwrite: replace an existing file.

        Raises:
            UsageError: the path has another suffix, or none.
            GeometryError: the suffix is a volume format and the scan has no affine.
            OutputExistsError: the file exists and `overwrite` is False.
        """
        target, affine = Path(path), self.scan.affine
        volume_suffixes = written_suffixes(FileKind.VOLUME)
        suffix = suffix_of(target)
        if suffix not in (*volume_suffixes, *PAGE_SUFFIXES):
            known = ", ".join([*volume_suffixes, *PAGE_SUFFIXES])
            raise UsageError(f"suffix is {suffix or 'missing'}, expected {known}", where=str(path) or "path")
        if suffix in volume_suffixes and affine is None:
            raise GeometryError("the scan has no affine", where=target, cure="save it as .tif, or give spacing_mm")
        require_free(target, overwrite=overwrite)
        mask = self._zyx(self.mask).astype(np.uint8)
        with new_file(target) as temporary:
            if affine is None or suffix in PAGE_SUFFIXES:
                write_pages(temporary, self.scan.axial.turn(mask) * np.uint8(255))
            else:
                z, y, x = mask.shape
                write_volume(temporary, mask, Grid((z, y, x), affine), description="tumour mask")
        return target

    def to_nibabel(self) -> Any:
        """Return the mask as a nibabel image, uint8, voxel axes x, y, z.

        Raises:
            GeometryError: the scan has no affine.
        """
        import nibabel

        if self.scan.affine is None:
            raise GeometryError("the scan has no affine", where=self.scan.source, cure="give spacing_mm or affine")
        return nibabel.Nifti1Image(self._zyx(self.mask).T.astype(np.uint8), self.scan.affine)

    def _zyx(self, array: NDArray[Any]) -> NDArray[Any]:
        return array.T if self._axes == "xyz" else array
