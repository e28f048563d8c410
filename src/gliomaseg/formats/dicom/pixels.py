"""Stored values of a file's frames, whatever their transfer syntax: checked first, decoded then."""

from __future__ import annotations

import re
import struct
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

from gliomaseg.errors import FormatError, ResourceError
from gliomaseg.formats.dicom.headers import Instance, text, uid_name, value_of, whole

if TYPE_CHECKING:
    from pydicom import Dataset

Decoded = tuple[NDArray[Any], int]

_RLE_HEADER = struct.Struct("<16L")
_SIZ = struct.Struct(">4sHHLLLLLLLLH")  # markers, length, capabilities, sizes and offsets, components
_START_OF_IMAGE = b"\xff\xd8"
_START_OF_FRAME, _START_OF_SCAN = 0xF7, 0xDA
_END_OF_IMAGE = b"\xff\xd9"
_MARKER = re.compile(rb"\xff[\x80-\xff]")  # within data, a bit of 0 follows eight of 1
_JPEG_LS_FRAME = struct.Struct(">BHHB")  # bits, rows, columns, components
_MOST_TILES = 4_096
_CURE = "copy or export it again"
_PLAIN = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian)
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


def decode_rle(frame: bytes, rows: int, columns: int, bits_allocated: int, *, name: str) -> Decoded:
    """Decode RLE: one segment a byte of a value, the high byte first (PS3.5 annex G).

    Raises:
        FormatError: the segments are not as many as declared, or end too early.
    """
    count = bits_allocated // 8
    if len(frame) < _RLE_HEADER.size or (header := _RLE_HEADER.unpack_from(frame))[0] != count:
        raise FormatError("has RLE segments that do not fit its header", where=name, cure=_CURE)
    bounds = (*header[1 : count + 1], len(frame))
    raw = np.zeros(rows * columns, f"u{count}")
    for k in range(count):
        segment = frame[bounds[k] : bounds[k + 1]]
        plane = _unpack_bits(segment, rows * columns)
        if plane is None:
            raise FormatError("has RLE data that end too early", where=name, cure=_CURE)
        raw |= np.frombuffer(plane, np.uint8, count=rows * columns).astype(raw.dtype) << (8 * (count - 1 - k))
    return raw.reshape(rows, columns), bits_allocated


def _unpack_bits(packed: bytes, size: int) -> bytes | None:
    """Return at least `size` bytes, at most a run more, or None where the packed ones give fewer."""
    plain = bytearray()
    at = 0
    while len(plain) < size:
        if at >= len(packed):
            return None
        head = packed[at]
        if head < 128:
            plain += packed[at + 1 : at + 2 + head]
            at += 2 + head
        elif head > 128:
            plain += packed[at + 1 : at + 2] * (257 - head)
            at += 2
        else:  # by the standard it says nothing
            at += 1
    return bytes(plain)


def decode_jpeg_2000(frame: bytes, rows: int, columns: int, bits_allocated: int, *, name: str) -> Decoded:
    """Decode JPEG 2000 through OpenJPEG.

    Raises:
        FormatError: it is no bare codestream of one component of the declared size, or is damaged.
        ResourceError: it is cut into thousands of tiles.
    """
    if not frame.startswith(b"\xff\x4f\xff\x51") or len(frame) < _SIZ.size + 3:
        raise FormatError("has a frame that is no JPEG 2000 codestream", where=name, cure=_CURE)
    _, _, _, right, bottom, left, top, tile_x, tile_y, _, _, components = _SIZ.unpack_from(frame)
    precision, step_x, step_y = frame[_SIZ.size : _SIZ.size + 3]
    bits = (precision & 0x7F) + 1
    _require_size(name, (bottom - top, right - left, components), (rows, columns, 1), bits, bits_allocated)
    if (step_x, step_y) != (1, 1):
        raise FormatError("has a subsampled JPEG 2000 frame", where=name, cure=_CURE)
    if not tile_x or not tile_y or -(-columns // tile_x) * -(-rows // tile_y) > _MOST_TILES:
        raise ResourceError(f"cuts a frame into over {_MOST_TILES:,} tiles", where=name, cure=_CURE)
    from openjpeg.utils import decode

    decoded = decode(frame)
    raw = np.ascontiguousarray(decoded).view(f"u{decoded.dtype.itemsize}")
    # Negative values of a signed codestream come extended to the whole container.
    return raw.reshape(rows, columns), 8 * raw.dtype.itemsize if precision & 0x80 else bits


def decode_jpeg_ls(frame: bytes, rows: int, columns: int, bits_allocated: int, *, name: str) -> Decoded:
    """Decode JPEG-LS through CharLS.

    Raises:
        FormatError: it is no codestream of one component of the declared size, or is damaged.
    """
    bits, own_rows, own_columns, components = _jpeg_ls_frame(frame, name=name)
    _require_size(name, (own_rows, own_columns, components), (rows, columns, 1), bits, bits_allocated)
    import jpeg_ls

    buffer, _ = jpeg_ls.decode_pixel_data(frame)
    raw = np.frombuffer(buffer, "u1" if bits <= 8 else "<u2")
    return raw.reshape(rows, columns), bits


def _jpeg_ls_frame(frame: bytes, *, name: str) -> tuple[int, int, int, int]:
    """Return bits, rows, columns and components, once the markers stand where they should.

    CharLS never returns from data in which a marker stands before the end.
    """
    at, found = len(_START_OF_IMAGE), None
    if frame.startswith(_START_OF_IMAGE):
        while at + 4 + _JPEG_LS_FRAME.size <= len(frame) and frame[at] == 0xFF:
            marker = frame[at + 1]
            if marker == _START_OF_FRAME and found is None:
                found = _JPEG_LS_FRAME.unpack_from(frame, at + 4)
            at += 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
            if marker == _START_OF_SCAN:
                break
    end = _MARKER.search(frame, at)
    if found is None or end is None or end[0] != _END_OF_IMAGE:
        raise FormatError("has a frame that is no JPEG-LS codestream, or is damaged", where=name, cure=_CURE)
    bits, rows, columns, components = found
    return bits, rows, columns, components


def _require_size(
    name: str, own: tuple[int, int, int], declared: tuple[int, int, int], bits: int, bits_allocated: int
) -> None:
    if own != declared:
        header, frame = (f"{columns} x {rows} x {components}" for rows, columns, components in (declared, own))
        what = f"declares {header} values, and its frame {frame}"
        raise FormatError(what, where=name, cure=_CURE)
    if bits > bits_allocated:
        raise FormatError(f"declares {bits_allocated} bits, and its frame {bits}", where=name, cure=_CURE)


_DECODERS: dict[str, Callable[..., Decoded]] = {
    RLELossless: decode_rle,
    JPEG2000Lossless: decode_jpeg_2000,
    JPEG2000: decode_jpeg_2000,
    JPEGLSLossless: decode_jpeg_ls,
    JPEGLSNearLossless: decode_jpeg_ls,
}
