"""Headers of files: read with bounds on what they may take, the pixel data only where it is asked for."""

from __future__ import annotations

import io
import math
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from gliomaseg.errors import FormatError
from gliomaseg.formats.dicom.errors import translated_errors
from gliomaseg.formats.dicom.files import HEAD_BYTES, Found, Guarded, Source, too_large

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.tag import BaseTag

HEADER_BYTES = 64 << 20
# SOP classes: enhanced MR image, legacy converted enhanced MR image, and (single-frame) MR image storage.
MULTI_FRAME = ("1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.4")
MR = ("1.2.840.10008.5.1.4.1.1.4", *MULTI_FRAME)
_IMPLICIT, _BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"  # transfer syntaxes
_DEFLATED = "1.2.840.10008.1.2.1.99"
_META_GROUP = 2
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_UID_LENGTH = 64
_TEXT_LENGTH = 64
_PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
# What finding, choosing and placing a series takes: the rest of a header can be a hundred times larger.
_KEYWORDS = """
    SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID FrameOfReferenceUID Modality SeriesNumber
    SeriesDescription ProtocolName ImageType ScanningSequence SequenceVariant InversionTime EchoTime
    ImagePositionPatient ImageOrientationPatient PixelSpacing SliceThickness SpacingBetweenSlices NumberOfFrames
    SamplesPerPixel PhotometricInterpretation Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation
    RescaleSlope RescaleIntercept ModalityLUTSequence SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence
""".split()  # noqa: SIM905


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
    from pydicom import Dataset
    from pydicom.filereader import read_dataset
    from pydicom.tag import Tag

    if pixels and source.size_bytes > most_bytes:
        raise too_large(source.name)
    with translated_errors(source.name), source.open() as file:
        guarded = cast("BinaryIO", Guarded(file, source, most_bytes=most_bytes))
        syntax, kind = _announced(guarded, name=source.name)
        if kind and kind not in MR and not pixels:  # what is not used may be as damaged as it likes
            header = Dataset()
            header.SOPClassUID = kind
            return syntax, header
        if syntax == _DEFLATED:
            guarded = _inflated(guarded, source, pixels=pixels, most_bytes=most_bytes)
        header = read_dataset(
            guarded,
            is_implicit_VR=syntax == _IMPLICIT,
            is_little_endian=syntax != _BIG_ENDIAN,
            stop_when=None if pixels else _at_pixels,
            specific_tags=None if pixels else [Tag(keyword) for keyword in _KEYWORDS],
        )
        if kind and kind != uid(header, "SOPClassUID"):
            raise FormatError("says two things of what it holds", where=source.name, cure="copy or export it again")
        if not pixels and not guarded.read(1):  # what stopped the reading must still be there
            raise FormatError("ends before its pixel data, or has none", where=source.name, cure="copy it again")
    return syntax, header


def _announced(file: BinaryIO, *, name: str) -> tuple[str, str]:
    """Return the transfer syntax and the SOP class that a file announces, and stop where its data set begins."""
    from pydicom.filereader import read_dataset

    file.seek(HEAD_BYTES)
    meta = read_dataset(file, is_implicit_VR=False, is_little_endian=True, stop_when=_past_meta)
    syntax = uid(meta, "TransferSyntaxUID")
    if not syntax:
        raise FormatError("names no transfer syntax", where=name, cure="export it again as a DICOM file")
    return syntax, uid(meta, "MediaStorageSOPClassUID")


def uid_name(value: str) -> str:
    """Return a UID's name in the standard, or the UID itself; the empty text for what is no UID."""
    from pydicom.uid import UID

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


def value_of(data: Dataset, keyword: str) -> Any:
    """Return a value as pydicom gives it; None where it is missing, empty or not what its type demands."""
    try:
        value = data.get(keyword)
    except MemoryError:
        raise
    except Exception:  # pydicom converts late, and raises what the conversion does
        return None
    return None if value is None or value == "" else value


def text(data: Dataset, keyword: str) -> str:
    """Return a text of at most 64 printable letters; the empty text where there is none."""
    value = value_of(data, keyword)
    if value is None or isinstance(value, bytes):
        return ""
    try:
        letters = str(value)
    except Exception:
        return ""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in letters).split())[:_TEXT_LENGTH]


def uid(data: Dataset, keyword: str) -> str:
    """Return a UID, or the empty text where the value is none."""
    value = value_of(data, keyword)
    return value if isinstance(value, str) and is_uid(value) else ""


def is_uid(value: str) -> bool:
    """Return whether a text is made as UIDs are: such a text names no patient and may be shown."""
    return len(value) <= _UID_LENGTH and _UID.fullmatch(value) is not None


def words(data: Dataset, keyword: str) -> tuple[str, ...]:
    """Return the values of a text of several values, in capitals."""
    value = value_of(data, keyword)
    parts = [value] if isinstance(value, str) else value if isinstance(value, Sequence) else []
    return tuple(str(part).upper() for part in parts)


def number(data: Dataset, keyword: str) -> float | None:
    """Return one finite number."""
    found = numbers(data, keyword, 1)
    return None if found is None else float(found[0])


def numbers(data: Dataset, keyword: str, count: int) -> NDArray[np.float64] | None:
    """Return exactly `count` finite numbers as float64."""
    value = value_of(data, keyword)
    if value is None or isinstance(value, bytes):
        return None
    parts = [value] if isinstance(value, int | float | str) else value
    try:
        found = [float(part) for part in parts]
    except (TypeError, ValueError, OverflowError):
        return None
    if len(found) != count or not all(math.isfinite(part) for part in found):
        return None
    return np.array(found)


def whole(data: Dataset, keyword: str) -> int | None:
    """Return one whole number."""
    found = number(data, keyword)
    return int(found) if found is not None and found == int(found) else None


def items(data: Dataset, keyword: str) -> list[Dataset]:
    """Return the items of a sequence; none where it is missing."""
    from pydicom import Dataset
    from pydicom import Sequence as Items

    value = value_of(data, keyword)
    return [item for item in value if isinstance(item, Dataset)] if isinstance(value, Items) else []


def item(data: Dataset | None, keyword: str) -> Dataset | None:
    """Return a sequence's first item."""
    found = items(data, keyword) if data is not None else []
    return found[0] if found else None
