"""Write a tumour mask as a DICOM segmentation of its series, through highdicom."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from highdicom.color import CIELabColor
from highdicom.content import AlgorithmIdentificationSequence
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from highdicom.sr import CodedConcept
from pydicom import Dataset
from pydicom.datadict import keyword_for_tag, tag_for_keyword
from pydicom.uid import generate_uid
from pydicom.valuerep import DA, TM, DSfloat

from gliomaseg import __version__
from gliomaseg.atomic import new_file
from gliomaseg.errors import FormatError, GeometryError, GliomasegError
from gliomaseg.formats.dicom.errors import encode, translated_errors
from gliomaseg.formats.dicom.values import number, uid, value_of, whole
from gliomaseg.types import Mask

if TYPE_CHECKING:
    from pydicom.tag import BaseTag

    from gliomaseg.formats.dicom.series import DicomVolume

RESEARCH_ONLY = "Research only, not for diagnosis"
_RED = (230, 60, 50)
_SERIES_NUMBERS_FROM = 9_000
_MAX_SERIES_NUMBER = 1_000_000
_MAX_TEXT_LENGTH = 64
# The standard requires these elements of patient and study; they may be empty.
_PATIENT_AND_STUDY = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)
_REQUIRED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
_CURE = "export the series again, or pass --to nifti"
_KEYWORD = re.compile(r"\b[A-Z][A-Za-z]+\b")
# The elements about the source's grid: they are kept when the others are removed.
_GRID = (
    *_REQUIRED,
    "FrameOfReferenceUID",
    "Modality",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)


def write_segmentation(
    path: Path, *, mask: Mask, volume: DicomVolume, model_name: str, model_version: str, deidentify: bool
) -> tuple[str, ...]:
    """Implement `gliomaseg.formats.dicom.write_segmentation`."""
    if mask.dtype != np.bool_:
        raise TypeError(f"expected a mask of bool, found {mask.dtype}")
    if mask.shape != volume.voxels.shape:
        what = f"shape of the mask is {mask.shape}, expected {volume.voxels.shape} as in its series"
        raise GeometryError(what, where=path, cure="write the mask on the series' grid")
    where = volume.path or str(path)
    with translated_errors(where), _missing_values(where):
        sources = [_source(header, volume, where=where, deidentify=deidentify) for header in volume.headers]
        if volume.frames:  # the frames of a multi-frame file may have another order than the slices
            in_file = np.zeros_like(mask)
            in_file[list(volume.frames)] = mask
            mask = in_file
        segmentation = _segmentation(mask, sources, _segment(model_name, model_version))
        segmentation.SegmentSequence[0].SegmentDescription = RESEARCH_ONLY
        if deidentify:
            segmentation.PatientIdentityRemoved = "YES"
            segmentation.DeidentificationMethod = "Patient and study emptied, UIDs kept"
            segmentation.LongitudinalTemporalInformationModified = "REMOVED"
    content = encode(segmentation, where=path)
    with new_file(path) as temporary:
        temporary.write_bytes(content)
    if uid(volume.headers[0], "FrameOfReferenceUID"):
        return ()
    what = "FrameOfReferenceUID of the series is missing or invalid: the DICOM segmentation has a new one"
    return (f"{what}, and viewers may not show it on top of the scan",)


@contextmanager
def _missing_values(where: str) -> Iterator[None]:
    """Translate the exceptions of highdicom, and name the element of the series that it lacks.

    Only keywords of the standard are repeated from the text: the rest may be the patient's name.
    """
    try:
        yield
    except (GliomasegError, ImportError, MemoryError):
        raise
    except Exception as fault:
        keywords = [word for word in _KEYWORD.findall(str(fault)) if tag_for_keyword(word) is not None]
        named = (
            f"{keywords[0]} of the series is missing or invalid" if keywords else "the header of the series is invalid"
        )
        what = f"{named}, and a DICOM segmentation needs it ({type(fault).__name__})"
        raise FormatError(what, where=where, cure=_CURE) from fault


def _source(header: Dataset, volume: DicomVolume, *, where: str, deidentify: bool) -> Dataset:
    """Return a source's header with all required elements, and without the patient's data if `deidentify` is set."""
    for keyword in _REQUIRED:
        if not uid(header, keyword):
            what = f"{keyword} of the series is missing or invalid, and a DICOM segmentation needs it"
            raise FormatError(what, where=where, cure=_CURE)
    source = Dataset()
    for tag in header.keys():  # noqa: SIM118 - a data set iterates over elements
        if not deidentify or keyword_for_tag(tag) in _GRID:
            _copy(header, source, tag)
    for keyword in _PATIENT_AND_STUDY:
        if not _is_sound(source, keyword):
            setattr(source, keyword, "")
    if not uid(source, "FrameOfReferenceUID"):
        entropy = [volume.series_uid, "frame of reference"]
        source.FrameOfReferenceUID = generate_uid(entropy_srcs=entropy)
    if not volume.frames:
        _set_thickness(source, volume.spacing_mm[0])
    return source


def _copy(header: Dataset, source: Dataset, tag: BaseTag) -> None:
    """Copy an element, unless its value is invalid: pydicom converts values on access."""
    try:
        source.add(copy(header[tag]))  # the header keeps its value if the source gets another one
    except (ValueError, TypeError, OverflowError, NotImplementedError):
        return


def _set_thickness(source: Dataset, gap_mm: float) -> None:
    """Take the thickness of a slice from the positions if the header has none, and drop an invalid spacing."""
    if not (number(source, "SliceThickness") or 0) > 0:
        source.SliceThickness = DSfloat(gap_mm, auto_format=True)
    if "SpacingBetweenSlices" in source and not (number(source, "SpacingBetweenSlices") or 0) > 0:
        del source.SpacingBetweenSlices


def _is_sound(source: Dataset, keyword: str) -> bool:
    """Return whether a value may be copied: highdicom refuses a whole series for one invalid date."""
    value = value_of(source, keyword)
    if value is None:
        return False
    try:
        if keyword.endswith("Date"):
            return bool(DA(value))
        if keyword.endswith("Time"):
            return bool(TM(value))
    except (TypeError, ValueError):
        return False
    return keyword != "PatientSex" or value in ("M", "F", "O")


def _segment(model_name: str, model_version: str) -> SegmentDescription:
    name, version = (text.strip()[:_MAX_TEXT_LENGTH] for text in (model_name, model_version))
    return SegmentDescription(
        segment_number=1,
        segment_label="Tumour",
        segmented_property_category=CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure"),
        segmented_property_type=CodedConcept("108369006", "SCT", "Neoplasm"),
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=AlgorithmIdentificationSequence(
            name=name, version=version, family=CodedConcept("123110", "DCM", "Artificial Intelligence")
        ),
        anatomic_regions=[CodedConcept("12738006", "SCT", "Brain")],
        display_color=CIELabColor.from_rgb(*_RED),
    )


def _segmentation(mask: Mask, sources: list[Dataset], segment: SegmentDescription) -> Segmentation:
    number = whole(sources[0], "SeriesNumber") or 0
    return Segmentation(
        source_images=sources,
        pixel_array=mask,
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[segment],
        series_instance_uid=generate_uid(prefix=None),
        series_number=_SERIES_NUMBERS_FROM + max(0, min(number, _MAX_SERIES_NUMBER)),
        sop_instance_uid=generate_uid(prefix=None),
        instance_number=1,
        manufacturer="gliomaseg",
        manufacturer_model_name="gliomaseg",
        software_versions=__version__,
        device_serial_number="none",
        # Every slice is written: an empty frame means that the model found no tumour in the slice.
        omit_empty_frames=False,
        content_label="TUMOUR",
        content_description=RESEARCH_ONLY,
        series_description=f"Tumour by gliomaseg. {RESEARCH_ONLY}",
        specific_character_set="ISO_IR 192",
    )
