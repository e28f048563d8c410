"""Write synthetic patients in several layouts of data sets: as TIFF slices, NIfTI volumes or DICOM series."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from gliomaseg.choices import PhantomFormat
from gliomaseg.geometry import Affine

_DERIVATIVE = "derivatives/masks"
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
    for channel, sequence in enumerate(_SEQUENCES):
        if sequence not in patient.missing:
            _write_image(folder / f"{patient.name}_{sequence}.nii.gz", patient, channel)
    _write_mask(folder / f"{patient.name}_seg.nii.gz", patient)


def _write_brats(folder: Path, patient: PhantomPatient) -> None:
    for channel, name in enumerate(("t1n", "t2f", "t1c")):
        if _SEQUENCES[channel] not in patient.missing:
            _write_image(folder / f"{patient.name}-{name}.nii.gz", patient, channel)
    _write_mask(folder / f"{patient.name}-seg.nii.gz", patient)


def _write_nnunet(folder: Path, patient: PhantomPatient) -> None:
    for channel in range(len(_SEQUENCES)):  # every channel is mandatory: a missing sequence is a copy of FLAIR
        _write_image(folder / "imagesTr" / f"{patient.name}_{channel:04d}.nii.gz", patient, channel)
    _write_mask(folder / "labelsTr" / f"{patient.name}.nii.gz", patient)


def _describe_nnunet(folder: Path) -> None:
    description = {
        "channel_names": {str(channel): name for channel, name in enumerate(("T1", "FLAIR", "T1ce"))},
        "labels": {"background": 0, "tumour": 1},
        "numTraining": len(list((folder / "labelsTr").iterdir())),
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(description, indent=1) + "\n", "utf-8")


def _write_bids(folder: Path, patient: PhantomPatient) -> None:
    name, date = patient.name.rsplit("_", 1)
    subject, session = f"sub-{re.sub('[^A-Za-z0-9]', '', name)}", f"ses-{date}"
    stem = f"{subject}_{session}"
    anat = folder / subject / session / "anat"
    for channel, ending in enumerate(("T1w", "FLAIR", "ce-gadolinium_T1w")):
        if _SEQUENCES[channel] not in patient.missing:
            _write_image(anat / f"{stem}_{ending}.nii.gz", patient, channel)
    masks = folder / _DERIVATIVE / subject / session / "anat"
    _write_mask(masks / f"{stem}_label-tumour_mask.nii.gz", patient)


def _describe_bids(folder: Path) -> None:
    raw = {"Name": "gliomaseg phantoms", "BIDSVersion": "1.10.0", "DatasetType": "raw"}
    derivative = {**raw, "DatasetType": "derivative", "GeneratedBy": [{"Name": "gliomaseg phantom"}]}
    for place, description in ((folder, raw), (folder / _DERIVATIVE, derivative)):
        (place / "dataset_description.json").write_text(json.dumps(description, indent=1) + "\n", "utf-8")
    subjects = sorted(entry.name for entry in folder.glob("sub-*"))
    rows = [f"{name}\t{name.removeprefix('sub-PHANTOM').rstrip('0123456789')}\n" for name in subjects]
    (folder / "participants.tsv").write_text("participant_id\tsite\n" + "".join(rows), "utf-8")


def _write_image(path: Path, patient: PhantomPatient, channel: int) -> None:
    _write_volume(path, patient.image[..., channel].astype(np.int16), patient, description="image")


def _write_mask(path: Path, patient: PhantomPatient) -> None:
    _write_volume(path, patient.mask.view(np.uint8), patient, description="mask")


def _write_volume(path: Path, voxels: NDArray[Any], patient: PhantomPatient, *, description: str) -> None:
    from gliomaseg.formats import Grid, write_volume

    path.parent.mkdir(parents=True, exist_ok=True)
    shape = patient.mask.shape
    grid = Grid((shape[0], shape[1], shape[2]), _centred_affine(patient))
    write_volume(path, voxels, grid, description=description)


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


WritePatient = Callable[[Path, PhantomPatient], None]
"""Writes one patient into a folder."""

WRITERS: dict[PhantomFormat, WritePatient] = {
    PhantomFormat.tiff: _write_slices,
    PhantomFormat.nifti: _write_volumes,
    PhantomFormat.dicom: _write_series,
    PhantomFormat.brats: _write_brats,
    PhantomFormat.nnunet: _write_nnunet,
    PhantomFormat.bids: _write_bids,
}
"""The folder is the patient's own, or that of the data set if the layout has a description."""

DESCRIPTIONS: dict[PhantomFormat, Callable[[Path], None]] = {
    PhantomFormat.nnunet: _describe_nnunet,
    PhantomFormat.bids: _describe_bids,
}
"""Write the description of a data set, after its patients, for layouts whose patients share folders."""
