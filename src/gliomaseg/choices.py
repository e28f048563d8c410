"""Values that a command line option and a function share."""

from __future__ import annotations

from enum import StrEnum


class MaskFormat(StrEnum):
    """Formats in which predicted masks are written."""

    nifti = "nifti"
    dicom_seg = "dicom-seg"
    tiff = "tiff"
    png = "png"


class PhantomFormat(StrEnum):
    """Formats and layouts in which phantom patients are written."""

    tiff = "tiff"
    nifti = "nifti"
    dicom = "dicom"
    brats = "brats"
    nnunet = "nnunet"
    bids = "bids"
