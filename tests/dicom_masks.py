"""Writers of DICOM masks for tests: segmentations with any segments, and structure sets from contours or masks."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentDescription
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom import Sequence as Items
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from gliomaseg.formats.dicom import DicomVolume
from gliomaseg.geometry import from_lps

Contour = NDArray[np.float64]


def write_segments(
    path: Path,
    volume: DicomVolume,
    masks: Mapping[int, NDArray[Any]],
    *,
    kind: str = "BINARY",
    omit_empty: bool = True,
    geometry: highdicom.Volume | None = None,
) -> Path:
    """Write a segmentation of several segments, numbered from 1, with highdicom.

    Args:
        path: the new file.
        volume: the series to which it refers.
        masks: of each segment, (z, y, x): bool, or probabilities for the kind FRACTIONAL.
        kind: BINARY, FRACTIONAL or LABELMAP.
        omit_empty: whether slices without a segment have no frame.
        geometry: another grid for the masks than that of the series; only its affine is used.
    """
    pixels: Any = np.stack([masks[number] for number in sorted(masks)], axis=-1)
    if kind != "FRACTIONAL":
        pixels = pixels.astype(np.uint8)
    if geometry is not None:
        pixels = geometry.with_array(pixels, channels={"SegmentNumber": sorted(masks)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Segmentation(
            source_images=list(volume.headers),
            pixel_array=pixels,
            segmentation_type=kind,
            segment_descriptions=[_segment(number) for number in sorted(masks)],
            series_instance_uid=generate_uid(),
            series_number=900,
            sop_instance_uid=generate_uid(),
            instance_number=1,
            manufacturer="another",
            manufacturer_model_name="another",
            software_versions="1",
            device_serial_number="1",
            omit_empty_frames=omit_empty,
        ).save_as(path)
    return path


def _segment(number: int) -> SegmentDescription:
    concept = CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure")
    return SegmentDescription(
        segment_number=number,
        segment_label=f"part {number}",
        segmented_property_category=concept,
        segmented_property_type=concept,
        algorithm_type=SegmentAlgorithmTypeValues.MANUAL,
    )


def write_structures(
    path: Path,
    volume: DicomVolume,
    regions: Mapping[int, Sequence[Contour]],
    *,
    kind: str = "CLOSED_PLANAR",
    names_series: bool = True,
) -> Path:
    """Write a structure set.

    Args:
        path: the new file.
        volume: the series to which it refers.
        regions: the contours of each ROI number, each (n, 3): points as voxel indices (z, y, x) of the volume.
        kind: ContourGeometricType.
        names_series: whether it names the series, and not only the frame of reference.
    """
    source = volume.headers[0]
    data = FileDataset("", {}, file_meta=FileMetaDataset(), preamble=b"\0" * 128)
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = RTStructureSetStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.Modality, data.StudyInstanceUID = "RTSTRUCT", source.StudyInstanceUID
    data.SeriesInstanceUID, data.PatientID, data.PatientName = generate_uid(), source.PatientID, source.PatientName
    data.StructureSetLabel = "tumour"
    data.ReferencedFrameOfReferenceSequence = Items([_frame(volume, names_series=names_series)])
    data.StructureSetROISequence = Items([_roi(number, source.FrameOfReferenceUID) for number in regions])
    data.ROIContourSequence = Items([_contours(number, contours, volume, kind) for number, contours in regions.items()])
    data.save_as(path, enforce_file_format=True)
    return path


def _frame(volume: DicomVolume, *, names_series: bool) -> Dataset:
    frame, study, series = Dataset(), Dataset(), Dataset()
    frame.FrameOfReferenceUID = volume.headers[0].FrameOfReferenceUID
    if names_series:
        series.SeriesInstanceUID = volume.series_uid
        study.RTReferencedSeriesSequence = Items([series])
        frame.RTReferencedStudySequence = Items([study])
    return frame


def _roi(number: int, frame: str) -> Dataset:
    roi = Dataset()
    roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = number, f"region {number}", frame
    return roi


def _contours(number: int, contours: Sequence[Contour], volume: DicomVolume, kind: str) -> Dataset:
    region = Dataset()
    region.ReferencedROINumber = number
    region.ContourSequence = Items([_contour(points, volume, kind) for points in contours])
    return region


def _contour(points: Contour, volume: DicomVolume, kind: str) -> Dataset:
    lps = from_lps(volume.affine)
    places = np.asarray(points, float)[:, ::-1] @ lps[:3, :3].T + lps[:3, 3]
    contour = Dataset()
    contour.ContourGeometricType, contour.NumberOfContourPoints = kind, len(points)
    contour.ContourData = [f"{value:.6g}" for value in places.ravel()]
    return contour


def outlines(mask: NDArray[np.bool_], axis: int = 0) -> list[Contour]:
    """Return contours of a mask in the planes across an axis: each run of true pixels of a line is a rectangle.

    The rectangles have their sides on the edges of pixels and do not overlap.
    """
    contours = []
    for z, plane in enumerate(np.moveaxis(mask, axis, 0)):
        for row, line in enumerate(plane):
            limits = np.flatnonzero(np.diff(np.pad(line.astype(np.int8), 1)))
            contours += [
                rectangle(z, (row - 0.5, row + 0.5), (start - 0.5, end - 0.5), axis=axis)
                for start, end in zip(limits[::2], limits[1::2], strict=True)
            ]
    return contours


def rectangle(z: float, rows: tuple[float, float], columns: tuple[float, float], axis: int = 0) -> Contour:
    """Return a rectangle in a plane across an axis, as voxel indices (z, y, x)."""
    corners = [(rows[0], columns[0]), (rows[0], columns[1]), (rows[1], columns[1]), (rows[1], columns[0])]
    return in_plane(z, np.array(corners), axis=axis)


def in_plane(z: float, points: NDArray[np.float64], axis: int = 0) -> Contour:
    """Return points (row, column) of a plane across an axis, as voxel indices (z, y, x)."""
    return np.insert(np.asarray(points, float), axis, z, axis=1)
