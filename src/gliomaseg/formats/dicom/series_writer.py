"""Write a volume, such as a phantom, as a scanner writes a series: one MR file a slice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.atomic import new_folder
from gliomaseg.errors import GeometryError
from gliomaseg.formats.dicom.errors import encode, translated_errors
from gliomaseg.geometry import from_lps

if TYPE_CHECKING:
    from pydicom import Dataset, FileDataset
    from pydicom.valuerep import DSfloat

_RIGHT_ANGLE = 1e-4
_DATE, _TIME = "20000101", "120000"  # constant, so that the same phantom gives the same files
_DTYPES = ("uint8", "uint16", "int16")


@dataclass(frozen=True)
class Acquisition:
    """The values of a series' header other than its geometry; the default is a FLAIR of a phantom.

    Attributes:
        description: SeriesDescription and ProtocolName.
        patient: PatientName and PatientID; the UIDs are derived from it, the number and the description.
        number: SeriesNumber.
        repetition_ms: RepetitionTime.
        echo_ms: EchoTime.
        inversion_ms: InversionTime; None for a sequence without an inversion.
    """

    description: str = "FLAIR phantom"
    patient: str = "PHANTOM"
    number: int = 1
    repetition_ms: float = 9_000.0
    echo_ms: float = 120.0
    inversion_ms: float | None = 2_500.0


def write_series(folder: Path, voxels: NDArray[Any], affine: NDArray[np.float64], acquisition: Acquisition) -> None:
    """Implement `gliomaseg.formats.dicom.write_series`."""
    if voxels.ndim != 3 or 0 in voxels.shape or voxels.dtype.name not in _DTYPES:
        raise ValueError(f"expected (z, y, x) of {' or '.join(_DTYPES)}, found {voxels.shape} of {voxels.dtype}")
    if not np.isfinite(affine).all():
        raise GeometryError("the affine has NaN or infinite values", where=folder, cure="correct the affine")
    lps = from_lps(np.asarray(affine, np.float64))
    sizes_mm = np.linalg.norm(lps[:3, :3], axis=0)
    if (sizes_mm <= 0).any():
        raise GeometryError("the affine has an axis of length 0", where=folder, cure="correct the affine")
    directions = lps[:3, :3] / sizes_mm
    if not np.allclose(directions.T @ directions, np.eye(3), atol=_RIGHT_ANGLE):
        raise GeometryError(
            "the affine does not have right angles, which DICOM needs", where=folder, cure="resample it first"
        )
    shared = _shared(voxels, acquisition)
    shared.ImageOrientationPatient = _decimals(directions.T[:2].ravel())
    shared.PixelSpacing = _decimals(sizes_mm[[1, 0]])
    shared.SliceThickness = shared.SpacingBetweenSlices = _decimals(sizes_mm[2:])[0]
    with new_folder(folder) as temporary:
        for z, values in enumerate(voxels):
            with translated_errors(folder):
                instance = _slice(shared, values, lps[:3, 3] + z * lps[:3, 2], z)
            (temporary / f"{z + 1:04d}.dcm").write_bytes(encode(instance, where=folder))


def _decimals(values: NDArray[np.float64]) -> list[DSfloat]:
    """Return decimal strings of at most 16 letters: 12 digits or more."""
    from pydicom.valuerep import DSfloat

    return [DSfloat(float(value) + 0.0, auto_format=True) for value in values]


def _uid(acquisition: Acquisition, *parts: object) -> str:
    from pydicom.uid import generate_uid

    sources = [acquisition.patient, *(str(part) for part in parts)]
    return str(generate_uid(entropy_srcs=sources))


def _shared(voxels: NDArray[Any], acquisition: Acquisition) -> Dataset:
    """Return the elements that all slices share."""
    from pydicom import Dataset
    from pydicom.uid import MRImageStorage

    head = Dataset()
    head.SpecificCharacterSet = "ISO_IR 192"
    head.SOPClassUID = MRImageStorage
    head.StudyDate = head.SeriesDate = head.ContentDate = _DATE
    head.StudyTime = head.SeriesTime = head.ContentTime = _TIME
    head.Modality = "MR"
    head.Manufacturer = "gliomaseg"
    head.SeriesDescription = head.ProtocolName = acquisition.description
    head.PatientName, head.PatientID = f"{acquisition.patient}^", acquisition.patient
    head.AccessionNumber = head.ReferringPhysicianName = head.PatientBirthDate = head.PatientSex = head.StudyID = ""
    head.StudyInstanceUID = _uid(acquisition, "study")
    head.SeriesInstanceUID = _uid(acquisition, "series", acquisition.number, acquisition.description)
    head.FrameOfReferenceUID = _uid(acquisition, "frame of reference")
    head.PositionReferenceIndicator = head.PatientPosition = ""
    head.SeriesNumber = head.AcquisitionNumber = acquisition.number
    _add_sequence(head, acquisition)
    head.SamplesPerPixel = 1
    head.PhotometricInterpretation = "MONOCHROME2"
    head.Rows, head.Columns = voxels.shape[1:]
    head.BitsAllocated = head.BitsStored = 8 * voxels.dtype.itemsize
    head.HighBit = head.BitsStored - 1
    head.PixelRepresentation = int(voxels.dtype.kind == "i")
    low, high = float(voxels.min()), float(voxels.max())
    head.WindowCenter, head.WindowWidth = _decimals(np.array([(low + high + 1) / 2, max(high - low, 1)]))
    return head


def _add_sequence(head: Dataset, acquisition: Acquisition) -> None:
    inverted = acquisition.inversion_ms is not None
    head.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    head.BodyPartExamined = "HEAD"
    head.ScanningSequence = ["SE", "IR"] if inverted else "SE"
    head.SequenceVariant = "SK" if inverted else "NONE"
    head.ScanOptions = ""
    head.MRAcquisitionType = "2D"
    head.RepetitionTime = acquisition.repetition_ms
    head.EchoTime = acquisition.echo_ms
    head.EchoTrainLength = 1
    if acquisition.inversion_ms is not None:
        head.InversionTime = acquisition.inversion_ms


def _slice(shared: Dataset, values: NDArray[Any], position: NDArray[np.float64], z: int) -> FileDataset:
    from pydicom import FileDataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header = FileDataset("", dict(shared), file_meta=meta, preamble=b"\0" * 128)
    # The series' UID is derived from patient, number and description.
    header.SOPInstanceUID = str(generate_uid(entropy_srcs=[str(shared.SeriesInstanceUID), "slice", str(z)]))
    header.InstanceNumber = z + 1
    header.ImagePositionPatient = _decimals(position)
    little = values.astype(values.dtype.newbyteorder("<"), order="C").tobytes()
    header.add_new("PixelData", "OW", little + b"\0" * (len(little) % 2))
    return header
