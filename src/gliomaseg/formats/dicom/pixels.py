"""Stored values of a file's frames: the declared layout is checked first, then frames are decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import generate_frames
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from gliomaseg.errors import FormatError
from gliomaseg.formats.dicom import decoders
from gliomaseg.formats.dicom.headers import Instance
from gliomaseg.formats.dicom.values import shown, text, uid_name, value_of, whole

if TYPE_CHECKING:
    from pydicom import Dataset

_PLAIN = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian)
_DECODERS: dict[str, Callable[..., decoders.Decoded]] = {
    RLELossless: decoders.decode_rle,
    JPEG2000Lossless: decoders.decode_jpeg_2000,
    JPEG2000: decoders.decode_jpeg_2000,
    HTJ2KLossless: decoders.decode_jpeg_2000,
    HTJ2KLosslessRPCL: decoders.decode_jpeg_2000,
    HTJ2K: decoders.decode_jpeg_2000,
    JPEGLSLossless: decoders.decode_jpeg_ls,
    JPEGLSNearLossless: decoders.decode_jpeg_ls,
    JPEGLossless: decoders.decode_lossless_jpeg,
    JPEGLosslessSV1: decoders.decode_lossless_jpeg,
    JPEGBaseline8Bit: decoders.decode_lossy_jpeg,
    JPEGExtended12Bit: decoders.decode_lossy_jpeg,
}
_LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless)
_PIXEL_DATA = 0x7FE00010
_TRAILING_TAGS = {0, 0xFFFAFFFA, 0xFFFCFFFC}  # zeros that fill a block, a signature, padding
_MAX_COUNT = 65_535


@dataclass(frozen=True)
class Layout:
    """The pixel layout that a file declares."""

    frames: int
    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    is_signed: bool

    @property
    def bytes(self) -> int:
        """The size of all frames without compression."""
        return self.frames * self.rows * self.columns * self.bits_allocated // 8

    @property
    def dtype(self) -> np.dtype[Any]:
        """The data type of the stored values."""
        return np.dtype(f"{'i' if self.is_signed else 'u'}{self.bits_allocated // 8}")


def is_lossy(instance: Instance) -> bool:
    """Return whether pixels were compressed with loss, by the transfer syntax or the header."""
    return instance.syntax in _LOSSY or text(instance.header, "LossyImageCompression") == "01"


def layout_of(instance: Instance) -> Layout:
    """Return the pixel layout that a file declares.

    Raises:
        FormatError: the transfer syntax is not supported, or the pixels are not grey values of 8 to 16 bits.
    """
    header, name = instance.header, instance.name
    if instance.syntax not in _PLAIN and instance.syntax not in _DECODERS:
        what = f"transfer syntax is {uid_name(instance.syntax)}, expected uncompressed, RLE, JPEG, JPEG 2000 or JPEG-LS"
        raise FormatError(what, where=name, cure="convert it, for example with dcmdjpeg or gdcmconv --raw")
    _require_grey(header, name=name)
    frames = 1 if value_of(header, "NumberOfFrames") is None else _count(header, "NumberOfFrames", name=name)
    if frames > 1 and not instance.is_multi_frame:
        what = f"NumberOfFrames is {frames}, expected 1 in a single-frame object"
        raise FormatError(what, where=name, cure="export it again")
    rows, columns = _count(header, "Rows", name=name), _count(header, "Columns", name=name)
    allocated, stored, signed = (
        whole(header, keyword) for keyword in ("BitsAllocated", "BitsStored", "PixelRepresentation")
    )
    if allocated not in (8, 16) or stored is None or not 1 <= stored <= allocated or signed not in (0, 1):
        bits = f"BitsAllocated is {shown(allocated)}, BitsStored is {shown(stored)}"
        what = f"{bits}, PixelRepresentation is {shown(signed)}, expected integers of 8 or 16 bits"
        raise FormatError(what, where=name, cure="convert it to 16 bits")
    high = whole(header, "HighBit")
    if high is not None and high != stored - 1:
        raise FormatError(f"HighBit is {high}, expected {stored - 1}", where=name, cure="convert it to the lowest bits")
    return Layout(frames, rows, columns, allocated, stored, signed == 1)


def _count(header: Dataset, keyword: str, *, name: str) -> int:
    count = whole(header, keyword)
    if count is None or not 1 <= count <= _MAX_COUNT:
        what = f"{keyword} is {shown(count)}, expected 1 to {_MAX_COUNT:,}"
        raise FormatError(what, where=name, cure="export it again")
    return count


def _require_grey(header: Dataset, *, name: str) -> None:
    samples, kind = whole(header, "SamplesPerPixel"), text(header, "PhotometricInterpretation")
    if samples != 1:
        raise FormatError(
            f"SamplesPerPixel is {shown(samples)}, expected 1", where=name, cure="convert it to MONOCHROME2"
        )
    if kind != "MONOCHROME2":
        # Other texts are not repeated: they may be anything, a name too.
        known = kind if kind in ("MONOCHROME1", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422") else "invalid"
        what = f"PhotometricInterpretation is {known}, expected MONOCHROME2"
        raise FormatError(what, where=name, cure="convert it to MONOCHROME2")


def stored_frames(data: Dataset, syntax: str, layout: Layout, *, name: str) -> Iterator[NDArray[Any]]:
    """Yield each frame's stored values, shape (rows, columns), of the layout's type, without rescaling.

    Args:
        data: the whole data set.
        syntax: its transfer syntax, accepted by `layout_of`.
        layout: its layout, from `layout_of`.
        name: the file's name in error messages.

    Raises:
        FormatError: the pixel data are missing, too short, damaged or differ from the header.
    """
    pixels = value_of(data, "PixelData")
    if not isinstance(pixels, bytes):
        raise FormatError("pixel data are missing", where=name, cure="copy it again")
    _require_end(data, name=name)
    if syntax in _PLAIN:
        if data["PixelData"].is_undefined_length:
            what = f"transfer syntax is {uid_name(syntax)}, or missing, but the pixels are compressed"
            raise FormatError(what, where=name, cure="export it again with its file header")
        yield from _plain_frames(pixels, syntax, layout, name=name)
        return
    offsets = (value_of(data, "ExtendedOffsetTable"), value_of(data, "ExtendedOffsetTableLengths"))
    given = offsets if all(isinstance(part, bytes) for part in offsets) else None
    # One frame more than declared is read: surplus frames are an error too.
    frames = generate_frames(pixels, number_of_frames=layout.frames, extended_offsets=given)
    count = 0
    for frame in islice(frames, layout.frames):
        count += 1
        raw, bits = _DECODERS[syntax](frame, layout.rows, layout.columns, layout.bits_allocated, name=name)
        yield _values(raw, layout, bits)
    if count != layout.frames or next(frames, None) is not None:
        what = f"number of compressed frames differs from NumberOfFrames ({layout.frames})"
        raise FormatError(what, where=name, cure="copy it again")


def _require_end(data: Dataset, *, name: str) -> None:
    """Refuse elements after the pixels: surplus bytes within the pixels would push the last ones out."""
    places = {int(tag): _value_position(data, int(tag)) for tag in data.keys()}  # noqa: SIM118
    if {tag for tag, place in places.items() if place > places[_PIXEL_DATA]} - _TRAILING_TAGS:
        raise FormatError("has an element after PixelData", where=name, cure="copy or export it again")


def _value_position(data: Dataset, tag: int) -> int:
    """Return the position of an element's value in the file; pydicom renames the attribute once it has converted it."""
    element: Any = data.get_item(tag)
    place: int = element.value_tell if hasattr(element, "value_tell") else element.file_tell or 0
    return place


def _plain_frames(pixels: bytes, syntax: str, layout: Layout, *, name: str) -> Iterator[NDArray[Any]]:
    if len(pixels) < layout.bytes:
        what = f"pixel data are {len(pixels):,} bytes, expected {layout.bytes:,}"
        raise FormatError(what, where=name, cure="copy it again")
    # Some writers pad to a block; more than a row would be undeclared pixels.
    if len(pixels) > layout.bytes + layout.columns * layout.bits_allocated // 8:
        what = f"pixel data are {len(pixels):,} bytes, expected {layout.bytes:,}"
        raise FormatError(what, where=name, cure="export it again")
    swapped = syntax == ExplicitVRBigEndian
    if swapped and layout.bits_allocated == 8:
        what = "8-bit pixels are in big-endian order, expected little-endian"
        raise FormatError(what, where=name, cure="convert it to little-endian")
    dtype = np.dtype(f"{'>' if swapped else '<'}u{layout.bits_allocated // 8}")
    shape = (layout.frames, layout.rows, layout.columns)
    for raw in np.frombuffer(pixels, dtype, count=layout.bytes // dtype.itemsize).reshape(shape):
        yield _values(raw.astype(dtype.newbyteorder("=")), layout, layout.bits_stored)


def _values(raw: NDArray[Any], layout: Layout, bits: int) -> NDArray[Any]:
    """Keep the valid bits of raw values: overlays may use the bits above. The highest valid bit is the sign."""
    bits = min(bits, layout.bits_stored)
    spare = 8 * raw.dtype.itemsize - bits
    if layout.is_signed:
        return ((raw << spare).view(f"i{raw.dtype.itemsize}") >> spare).astype(layout.dtype, copy=False)
    return (raw & ((1 << bits) - 1)).astype(layout.dtype, copy=False)
