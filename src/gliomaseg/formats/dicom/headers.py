"""Headers of DICOM files, read within limits, and typed access to their values."""

from __future__ import annotations

import io
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, cast

from gliomaseg.errors import FormatError, GliomasegError
from gliomaseg.formats.dicom.errors import translated_errors
from gliomaseg.formats.dicom.file_kinds import BIG_ENDIAN, IMPLICIT, META_GROUP
from gliomaseg.formats.dicom.files import SourceFiles
from gliomaseg.formats.dicom.limited_file import LimitedFile, too_large
from gliomaseg.formats.dicom.sources import Skipped, Source, index_error
from gliomaseg.formats.dicom.values import uid, uid_name

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.tag import BaseTag

HEADER_BYTES = 64 << 20
# SOP classes: enhanced MR image, legacy converted enhanced MR image, and (single-frame) MR image storage.
MULTI_FRAME = ("1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.4")
MR = ("1.2.840.10008.5.1.4.1.1.4", *MULTI_FRAME)
SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")  # the second has a label map
STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
MASKS = (*SEGMENTATIONS, STRUCTURE_SET)
DIRECTORY = "1.2.840.10008.1.3.10"  # the SOP class of a DICOMDIR
_DEFLATED = "1.2.840.10008.1.2.1.99"  # a transfer syntax
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_UID_LENGTH = 64
_TEXT_LENGTH = 64
_PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
# The elements for listing, choosing and placing a series: a whole header can be a hundred times larger.
KEYWORDS = """
    SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID FrameOfReferenceUID Modality SeriesNumber
    SeriesDescription ProtocolName ImageType ScanningSequence SequenceVariant InversionTime EchoTime
    RepetitionTime ContrastBolusAgent ContrastBolusAgentSequence
    ImagePositionPatient ImageOrientationPatient PixelSpacing SliceThickness SpacingBetweenSlices NumberOfFrames
    SamplesPerPixel PhotometricInterpretation Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation
    RescaleSlope RescaleIntercept ModalityLUTSequence LossyImageCompression
    SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence
""".split()  # noqa: SIM905


@dataclass(frozen=True)
class Instance:
    """One MR file of a series: its source, its transfer syntax, and the used part of its header."""

    source: Source
    syntax: str
    header: Dataset

    @property
    def name(self) -> str:
        """The name in error messages."""
        return self.source.name

    @property
    def is_multi_frame(self) -> bool:
        """Whether it is an enhanced MR object, which has many slices in one file."""
        return self.header.SOPClassUID in MULTI_FRAME


@dataclass(frozen=True)
class OtherObject:
    """A DICOM file that is not an MR image: its source, and the UID of its SOP class."""

    source: Source
    kind: str

    @property
    def skipped(self) -> Skipped:
        """The file and the reason why it is not read."""
        return Skipped(self.source.relative, f"is {uid_name(self.kind)}, not an MR image")

    def header(self) -> Dataset | None:
        """Return the elements for listing a series; None if the file is damaged, which does not matter here."""
        try:
            return read(self.source, pixels=False, max_bytes=HEADER_BYTES, kinds=(self.kind,), is_checked=False)[1]
        except GliomasegError:
            return None


def mr_instances(found: SourceFiles, *, where: str) -> tuple[list[Instance], list[OtherObject]]:
    """Return the MR files among the found ones, in the order of their names, and the other objects.

    Raises:
        FormatError: a file is damaged, or there are only other objects, which the message lists.
    """
    instances: list[Instance] = []
    other: Counter[str] = Counter()
    objects: list[OtherObject] = []
    for source in found.sources:
        syntax, header = read(source, pixels=False, max_bytes=HEADER_BYTES)
        kind = uid(header, "SOPClassUID")
        if not kind:
            raise FormatError("SOPClassUID is missing or invalid", where=source.name, cure="export or remove it")
        if kind in MR:
            instances.append(Instance(source, syntax, header))
        else:
            other[uid_name(kind)] += 1
            objects.append(OtherObject(source, kind))
    if not instances and set(other) == {uid_name(DIRECTORY)}:
        raise index_error(where)
    if not instances:
        kinds = ", ".join(f"{count} x {kind}" for kind, count in other.most_common(3))
        raise FormatError(f"has 0 MR images, but {kinds}", where=where, cure="pass an MR series")
    return instances, objects


def read(
    source: Source,
    *,
    pixels: bool,
    max_bytes: int,
    kinds: Sequence[str] = MR,
    keywords: Sequence[str] = tuple(KEYWORDS),
    is_checked: bool = True,
) -> tuple[str, Dataset]:
    """Return a file's transfer syntax and its data set.

    Args:
        source: the file.
        pixels: whether everything is read; otherwise only some elements, without pixel data.
        max_bytes: limit of the data set in memory. The rest of a deflated data set is read with `pixels` only.
        kinds: SOP classes whose headers are needed. Without `pixels`, only the SOP class is returned for other ones.
        keywords: the elements that are read without `pixels`; the default is those for listing a series.
        is_checked: whether the SOP class must be that of the file header, and the pixel data must follow.

    Raises:
        FormatError: the file is damaged or lacks a transfer syntax.
        ResourceError: it needs more than `max_bytes`.
    """
    from pydicom import Dataset
    from pydicom.filereader import read_dataset
    from pydicom.tag import Tag

    if pixels and source.size_bytes > max_bytes:
        raise too_large(source.name)
    with translated_errors(source.name), source.open() as file:
        limited = LimitedFile(file, source, max_bytes=max_bytes)
        syntax, kind = _file_meta(limited, source)
        if kind and kind not in kinds and not pixels:  # damage in an unused object is ignored
            header = Dataset()
            header.SOPClassUID = kind
            return syntax, header
        if syntax == _DEFLATED:
            limited = _inflated(limited, source, pixels=pixels, max_bytes=max_bytes)
        header = read_dataset(
            cast("BinaryIO", limited),
            is_implicit_VR=syntax == IMPLICIT,
            is_little_endian=syntax != BIG_ENDIAN,
            stop_when=None if pixels else _at_pixels,
            specific_tags=None if pixels else [Tag(keyword) for keyword in keywords],
        )
        if not is_checked:
            return syntax, header
        _require_sop_class(kind, header, name=source.name)
        has_pixels = uid(header, "SOPClassUID") != STRUCTURE_SET
        is_short = not pixels and not limited.read(1) if has_pixels else limited.is_cut_short
        if is_short:  # the pixel data must follow
            raise FormatError("is cut short, or its pixel data are missing", where=source.name, cure="copy it again")
    return syntax, header


def _require_sop_class(kind: str, header: Dataset, *, name: str) -> None:
    """Refuse a data set of another SOP class than its file header, if that has one."""
    if kind and kind != uid(header, "SOPClassUID"):
        found = uid_name(uid(header, "SOPClassUID")) or "missing"
        what = f"SOP class in the file header ({uid_name(kind)}) and in the data set ({found}) disagree"
        raise FormatError(what, where=name, cure="export the file again")


def _file_meta(file: LimitedFile, source: Source) -> tuple[str, str]:
    """Return the transfer syntax and the SOP class in the file header; the file is then at its data set.

    A data set without a file header has the syntax in which it is written, and no SOP class here.
    """
    from pydicom.filereader import read_dataset

    file.seek(source.start)
    if source.syntax:
        return source.syntax, ""
    name = source.name
    meta = read_dataset(cast("BinaryIO", file), is_implicit_VR=False, is_little_endian=True, stop_when=_past_meta)
    syntax = uid(meta, "TransferSyntaxUID")
    if not syntax:
        raise FormatError("TransferSyntaxUID is missing or invalid", where=name, cure="export it again as a DICOM file")
    return syntax, uid(meta, "MediaStorageSOPClassUID")


def _past_meta(tag: BaseTag, vr: str | None, length: int) -> bool:
    del vr, length
    return tag >> 16 != META_GROUP


def _at_pixels(tag: BaseTag, vr: str | None, length: int) -> bool:
    del vr, length
    return tag in _PIXELS


def _inflated(file: LimitedFile, source: Source, *, pixels: bool, max_bytes: int) -> LimitedFile:
    """Decompress a deflated data set up to a limit: 0.5 MB can decompress to gigabytes, and pydicom sets no limit."""
    packed = file.read(max_bytes)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    plain = inflater.decompress(packed, max_bytes)
    if pixels and not inflater.eof:
        if inflater.unconsumed_tail or inflater.decompress(b"", 1):
            raise too_large(source.name)
        raise FormatError("is cut short: its deflated data are incomplete", where=source.name, cure="copy it again")
    unpacked = Source(source.name, len(plain), source.open)
    return LimitedFile(io.BytesIO(plain), unpacked, max_bytes=max_bytes)
