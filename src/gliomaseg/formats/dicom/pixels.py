"""Stored values of a file's frames, whatever their transfer syntax: checked first, decoded then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import generate_frames
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from gliomaseg.errors import FormatError
from gliomaseg.formats.dicom import decoders
from gliomaseg.formats.dicom.elements import text, value_of, whole
from gliomaseg.formats.dicom.headers import Instance, uid_name

if TYPE_CHECKING:
    from pydicom import Dataset

_PLAIN = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian)
_DECODERS: dict[str, Callable[..., decoders.Decoded]] = {
    RLELossless: decoders.decode_rle,
    JPEG2000Lossless: decoders.decode_jpeg_2000,
    JPEG2000: decoders.decode_jpeg_2000,
    JPEGLSLossless: decoders.decode_jpeg_ls,
    JPEGLSNearLossless: decoders.decode_jpeg_ls,
}
_PIXEL_DATA = 0x7FE00010
_MAY_FOLLOW = {0, 0xFFFAFFFA, 0xFFFCFFFC}  # zeros that fill a block, a signature, padding
_MOST_FRAMES = 65_535


@dataclass(frozen=True)
class Layout:
    """How a file declares its pixels."""

    frames: int
    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    is_signed: bool

    @property
    def bytes(self) -> int:
        """The bytes of all frames as they are stored uncompressed."""
        return self.frames * self.rows * self.columns * self.bits_allocated // 8

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type that holds every stored value."""
        return np.dtype(f"{'i' if self.is_signed else 'u'}{self.bits_allocated // 8}")


def layout_of(instance: Instance) -> Layout:
    """Return how a file declares its pixels.

    Raises:
        FormatError: the transfer syntax is not supported, or the pixels are not plain grey values of 8 to 16 bits.
    """
    header, name = instance.header, instance.name
    if instance.syntax not in _PLAIN and instance.syntax not in _DECODERS:
        what = f"has the unsupported transfer syntax {uid_name(instance.syntax)}"
        raise FormatError(what, where=name, cure="convert it, for example with dcmdjpeg or gdcmconv --raw")
    if whole(header, "SamplesPerPixel") != 1 or text(header, "PhotometricInterpretation") != "MONOCHROME2":
        kind = {"MONOCHROME1": "inverted grey values (MONOCHROME1)"}.get(
            text(header, "PhotometricInterpretation"), "colours, or does not say what its pixels are"
        )
        raise FormatError(f"has {kind}", where=name, cure="convert it to MONOCHROME2")
    frames = 1 if value_of(header, "NumberOfFrames") is None else whole(header, "NumberOfFrames")
    rows, columns = whole(header, "Rows"), whole(header, "Columns")
    allocated, stored = whole(header, "BitsAllocated"), whole(header, "BitsStored")
    signed, high = whole(header, "PixelRepresentation"), whole(header, "HighBit")
    if not frames or not rows or not columns or min(frames, rows, columns) < 1 or frames > _MOST_FRAMES:
        raise FormatError("does not say how many rows, columns and frames it has", where=name)
    if frames > 1 and not instance.is_multi_frame:
        raise FormatError(f"is a single-frame object of {frames} frames", where=name, cure="export it again")
    if allocated not in (8, 16) or stored is None or not 1 <= stored <= allocated or signed not in (0, 1):
        raise FormatError("does not hold whole numbers of 8 to 16 bits", where=name, cure="convert it to 16 bits")
    if high is not None and high != stored - 1:
        raise FormatError(f"keeps {stored} bits below bit {high}", where=name, cure="convert it to the lowest bits")
    return Layout(frames, rows, columns, allocated, stored, signed == 1)


def stored_frames(data: Dataset, syntax: str, layout: Layout, *, name: str) -> Iterator[NDArray[Any]]:
    """Yield each frame's stored values, shape (rows, columns), of the layout's type, without rescaling.

    Args:
        data: the whole data set.
        syntax: its transfer syntax, one that `layout_of` accepts.
        layout: what `layout_of` returned for the same file.
        name: what errors call the file.

    Raises:
        FormatError: the pixel data are missing, too short, damaged or not what the header declares.
    """
    pixels = value_of(data, "PixelData")
    if not isinstance(pixels, bytes):
        raise FormatError("ends before its pixel data, or has none", where=name, cure="copy it again")
    _require_end(data, name=name)
    if syntax in _PLAIN:
        yield from _plain_frames(pixels, syntax, layout, name=name)
        return
    offsets = (value_of(data, "ExtendedOffsetTable"), value_of(data, "ExtendedOffsetTableLengths"))
    given = offsets if all(isinstance(part, bytes) for part in offsets) else None
    # One more than declared: an excess of frames is a fault too.
    frames = generate_frames(pixels, number_of_frames=layout.frames, extended_offsets=given)
    count = 0
    for frame in islice(frames, layout.frames):
        count += 1
        raw, bits = _DECODERS[syntax](frame, layout.rows, layout.columns, layout.bits_allocated, name=name)
        yield _values(raw, layout, bits)
    if count != layout.frames or next(frames, None) is not None:
        raise FormatError(f"does not hold the {layout.frames} frames it declares", where=name, cure="copy it again")


def _require_end(data: Dataset, *, name: str) -> None:
    """Refuse what follows the pixels: too many bytes among them push the last ones out."""
    places = {int(tag): _place(data, int(tag)) for tag in data.keys()}  # noqa: SIM118
    if {tag for tag, place in places.items() if place > places[_PIXEL_DATA]} - _MAY_FOLLOW:
        raise FormatError("holds something after its pixel data", where=name, cure="copy or export it again")


def _place(data: Dataset, tag: int) -> int:
    """Return where in the file an element's value begins: one that was looked at keeps it under another name."""
    element: Any = data.get_item(tag)
    place: int = element.value_tell if hasattr(element, "value_tell") else element.file_tell or 0
    return place


def _plain_frames(pixels: bytes, syntax: str, layout: Layout, *, name: str) -> Iterator[NDArray[Any]]:
    if len(pixels) < layout.bytes:
        what = f"ends after {len(pixels):,} of {layout.bytes:,} bytes of pixels"
        raise FormatError(what, where=name, cure="copy it again")
    # Some writers pad to a block; more than a row would be pixels that nobody declared.
    if len(pixels) > layout.bytes + layout.columns * layout.bits_allocated // 8:
        what = f"holds {len(pixels):,} bytes of pixels and declares {layout.bytes:,}"
        raise FormatError(what, where=name, cure="export it again")
    swapped = syntax == ExplicitVRBigEndian
    if swapped and layout.bits_allocated == 8:
        raise FormatError("has 8-bit pixels in big-endian order", where=name, cure="convert it to little-endian")
    dtype = np.dtype(f"{'>' if swapped else '<'}u{layout.bits_allocated // 8}")
    shape = (layout.frames, layout.rows, layout.columns)
    for raw in np.frombuffer(pixels, dtype, count=layout.bytes // dtype.itemsize).reshape(shape):
        yield _values(raw.astype(dtype.newbyteorder("=")), layout, layout.bits_stored)


def _values(raw: NDArray[Any], layout: Layout, bits: int) -> NDArray[Any]:
    """Cut raw values to the bits that count: overlays may lie above them; the highest one bears the sign."""
    bits = min(bits, layout.bits_stored)
    spare = 8 * raw.dtype.itemsize - bits
    if layout.is_signed:
        return ((raw << spare).view(f"i{raw.dtype.itemsize}") >> spare).astype(layout.dtype, copy=False)
    return (raw & ((1 << bits) - 1)).astype(layout.dtype, copy=False)
