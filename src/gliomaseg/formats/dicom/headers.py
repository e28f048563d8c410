"""Headers of files: read with bounds on what they may take, the pixel data only where it is asked for."""

from __future__ import annotations

import io
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, cast

from pydicom import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    LegacyConvertedEnhancedMRImageStorage,
    MRImageStorage,
)

from gliomaseg.errors import FormatError
from gliomaseg.formats.dicom.elements import is_uid, uid
from gliomaseg.formats.dicom.errors import translated_errors
from gliomaseg.formats.dicom.files import HEAD_BYTES, Found, Guarded, Source, too_large

HEADER_BYTES = 64 << 20
MULTI_FRAME = (EnhancedMRImageStorage, LegacyConvertedEnhancedMRImageStorage)
MR = (MRImageStorage, *MULTI_FRAME)
_META_GROUP = 2
_PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
# What finding, choosing and placing a series takes: the rest of a header can be a hundred times larger.
_KEYWORDS = """
    SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID FrameOfReferenceUID Modality SeriesNumber
    SeriesDescription ProtocolName ImageType ScanningSequence SequenceVariant InversionTime EchoTime
    ImagePositionPatient ImageOrientationPatient PixelSpacing SliceThickness SpacingBetweenSlices NumberOfFrames
    SamplesPerPixel PhotometricInterpretation Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation
    RescaleSlope RescaleIntercept ModalityLUTSequence SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence
""".split()  # noqa: SIM905
_LIGHT: list[BaseTag | int] = [Tag(keyword) for keyword in _KEYWORDS]


@dataclass(frozen=True)
class Instance:
    """One MR file of a series: where it is, how its pixels are stored, and the part of its header that is used."""

    source: Source
    syntax: str
    header: Dataset

    @property
    def name(self) -> str:
        """What errors call it."""
        return self.source.name

    @property
    def is_multi_frame(self) -> bool:
        """Whether it is an enhanced MR object, which holds a whole stack."""
        return self.header.SOPClassUID in MULTI_FRAME


def mr_instances(found: Found, *, where: str) -> list[Instance]:
    """Return the MR files among the found ones, in the order of their names.

    Raises:
        FormatError: a file is damaged, or none holds an MR image: then it says what was found instead.
    """
    instances: list[Instance] = []
    other: Counter[str] = Counter()
    for source in found.sources:
        syntax, header = read(source, pixels=False, most_bytes=HEADER_BYTES)
        kind = uid(header, "SOPClassUID")
        if not kind:
            raise FormatError("does not say what it holds", where=source.name, cure="export it again, or remove it")
        if kind in MR:
            instances.append(Instance(source, syntax, header))
        else:
            other[uid_name(kind)] += 1
    if not instances:
        kinds = ", ".join(f"{count} x {kind}" for kind, count in other.most_common(3))
        raise FormatError(f"holds no MR image, but {kinds}", where=where)
    return instances


def read(source: Source, *, pixels: bool, most_bytes: int) -> tuple[str, Dataset]:
    """Return a file's transfer syntax and its data set.

    Args:
        source: the file.
        pixels: whether everything is read; otherwise only what finding a series takes, without pixel data.
        most_bytes: what the data set may take in memory, at most; the rest of a deflated one is not looked at
            unless `pixels` is asked for.

    Raises:
        FormatError: the file is damaged or names no transfer syntax.
        ResourceError: it would take more than `most_bytes`.
    """
    if pixels and source.size_bytes > most_bytes:
        raise too_large(source.name)
    with translated_errors(source.name), source.open() as file:
        guarded = cast("BinaryIO", Guarded(file, source, most_bytes=most_bytes))
        syntax, kind = _announced(guarded, name=source.name)
        if kind and kind not in MR and not pixels:  # what is not used may be as damaged as it likes
            header = Dataset()
            header.SOPClassUID = kind
            return syntax, header
        if syntax == DeflatedExplicitVRLittleEndian:
            guarded = _inflated(guarded, source, pixels=pixels, most_bytes=most_bytes)
        header = read_dataset(
            guarded,
            is_implicit_VR=syntax == ImplicitVRLittleEndian,
            is_little_endian=syntax != ExplicitVRBigEndian,
            stop_when=None if pixels else _at_pixels,
            specific_tags=None if pixels else _LIGHT,
        )
        if kind and kind != uid(header, "SOPClassUID"):
            raise FormatError("says two things of what it holds", where=source.name, cure="copy or export it again")
        if not pixels and not guarded.read(1):  # what stopped the reading must still be there
            raise FormatError("ends before its pixel data, or has none", where=source.name, cure="copy it again")
    return syntax, header


def _announced(file: BinaryIO, *, name: str) -> tuple[str, str]:
    """Return the transfer syntax and the SOP class that a file announces, and stop where its data set begins."""
    file.seek(HEAD_BYTES)
    meta = read_dataset(file, is_implicit_VR=False, is_little_endian=True, stop_when=_past_meta)
    syntax = uid(meta, "TransferSyntaxUID")
    if not syntax:
        raise FormatError("names no transfer syntax", where=name, cure="export it again as a DICOM file")
    return syntax, uid(meta, "MediaStorageSOPClassUID")


def uid_name(value: str) -> str:
    """Return a UID's name in the standard, or the UID itself; the empty text for what is no UID."""
    return UID(value).name if value and is_uid(value) else ""


def texts_of(names: Sequence[str], *, most: int = 3) -> str:
    """Return a few names and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _past_meta(tag: BaseTag, vr: str | None, length: int) -> bool:
    del vr, length
    return tag >> 16 != _META_GROUP


def _at_pixels(tag: BaseTag, vr: str | None, length: int) -> bool:
    del vr, length
    return tag in _PIXELS


def _inflated(file: BinaryIO, source: Source, *, pixels: bool, most_bytes: int) -> BinaryIO:
    """Inflate a deflated data set up to a limit: half a megabyte can hold gigabytes, and pydicom has none."""
    packed = file.read(most_bytes)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    plain = inflater.decompress(packed, most_bytes)
    if pixels and not inflater.eof:
        if inflater.unconsumed_tail or inflater.decompress(b"", 1):
            raise too_large(source.name)
        raise FormatError("ends before its deflated data does", where=source.name, cure="copy it again")
    unpacked = Source(source.name, len(plain), source.open)
    return cast("BinaryIO", Guarded(io.BytesIO(plain), unpacked, most_bytes=most_bytes))
