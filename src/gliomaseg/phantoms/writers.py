"""Write synthetic patients as TIFF slices in the layout of the data set, as NIfTI volumes, or as DICOM series."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from gliomaseg.choices import PhantomFormat
from gliomaseg.geometry import Affine

_SEQUENCES = ("t1", "flair", "t1ce")  # of the channels, in order


@dataclass(frozen=True)
class PhantomPatient:
    """One synthetic examination.

    Attributes:
        name: name in the form of a folder of the data set.
        image: t1, flair and t1ce, uint8, shape (z, y, x, 3), from the skull base upwards.
        mask: the tumour, bool, shape (z, y, x).
        missing: missing sequences, out of "t1" and "t1ce"; their channels are copies of flair.
        spacing_mm: distances between voxel centres along z, y and x.
    """

    name: str
    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    missing: tuple[str, ...]
    spacing_mm: tuple[float, float, float]


def _write_slices(folder: Path, patient: PhantomPatient) -> None:
    for number, (image, mask) in enumerate(zip(patient.image, patient.mask, strict=True), start=1):
        stem = f"{patient.name}_{number}"
        tifffile.imwrite(folder / f"{stem}.tif", image, photometric="rgb", metadata=None)
        levels = mask.astype(np.uint8) * np.uint8(255)
        tifffile.imwrite(folder / f"{stem}_mask.tif", levels, photometric="minisblack", metadata=None)


def _write_volumes(folder: Path, patient: PhantomPatient) -> None:
    from gliomaseg.formats import Grid, write_volume

    shape = patient.mask.shape
    grid = Grid((shape[0], shape[1], shape[2]), _centred_affine(patient))
    for channel, sequence in enumerate(_SEQUENCES):
        if sequence not in patient.missing:
            voxels = patient.image[..., channel].astype(np.int16)
            write_volume(folder / f"{patient.name}_{sequence}.nii.gz", voxels, grid, description="image")
    mask = patient.mask.view(np.uint8)
    write_volume(folder / f"{patient.name}_seg.nii.gz", mask, grid, description="mask")


def _centred_affine(patient: PhantomPatient) -> Affine:
    """Return the affine, RAS in mm, of an image in LPS order whose centre is the origin."""
    affine = np.diag([-patient.spacing_mm[2], -patient.spacing_mm[1], patient.spacing_mm[0], 1.0])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(patient.mask.shape[::-1]) - 1) / 2)
    return affine


def _write_series(folder: Path, patient: PhantomPatient) -> None:
    from gliomaseg.formats.dicom import Acquisition, read_dicom, write_segmentation, write_series

    acquisitions = {
        "t1": Acquisition("T1 phantom", patient.name, 2, repetition_ms=500, echo_ms=10, inversion_ms=None),
        "flair": Acquisition("FLAIR phantom", patient.name, 1),
        "t1ce": Acquisition("T1 contrast phantom", patient.name, 3, repetition_ms=500, echo_ms=10, inversion_ms=None),
    }
    affine = _centred_affine(patient)
    for channel, sequence in enumerate(_SEQUENCES):
        if sequence not in patient.missing:
            write_series(folder / sequence, patient.image[..., channel], affine, acquisition=acquisitions[sequence])
    volume = read_dicom(folder / "flair", max_bytes=2**31)
    write_segmentation(
        folder / f"{patient.name}_mask.dcm",
        mask=patient.mask,
        volume=volume,
        model_name="gliomaseg phantom: the exact mask",
        model_version="1",
        deidentify=False,
    )


WRITERS: dict[PhantomFormat, Callable[[Path, PhantomPatient], None]] = {
    PhantomFormat.tiff: _write_slices,
    PhantomFormat.nifti: _write_volumes,
    PhantomFormat.dicom: _write_series,
}
