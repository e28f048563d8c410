"""Decoders of compressed frames: RLE, JPEG, JPEG 2000 and JPEG-LS.

A decoder takes a frame's bytes and the size in the DICOM header, and returns raw unsigned values, shape (rows,
columns), with the number of valid bits. It first compares the size in the compressed frame with the header: a few
bytes may declare gigabytes.
"""

from __future__ import annotations

import re
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.errors import FormatError, ResourceError

Decoded = tuple[NDArray[Any], int]

_RLE_HEADER = struct.Struct("<16L")
_SIZ = struct.Struct(">4sHHLLLLLLLLH")  # markers, length, capabilities, sizes and offsets, components
_START_OF_IMAGE = b"\xff\xd8"
_JPEG_LS_FRAME = (0xF7,)
_START_OF_SCAN = 0xDA
_END_OF_IMAGE = b"\xff\xd9"
_MARKER = re.compile(rb"\xff[\x80-\xff]")  # within data, a 0 bit follows every byte of ones
_JPEG_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # but for restart markers; a byte 0 follows 255 within data
_LOSSLESS_FRAME = (0xC3,)  # process 14
_LOSSY_FRAMES = (0xC0, 0xC1)  # processes 1, and 2 and 4
_FRAME_HEADER = struct.Struct(">BHHB")  # bits, rows, columns, components
_MAX_TILES = 4_096
_CURE = "copy or export it again"


def decode_rle(frame: bytes, rows: int, columns: int, bits_allocated: int, *, name: str) -> Decoded:
    """Decode RLE: one segment for each byte of a value, the high byte first (PS3.5 annex G).

    Raises:
        FormatError: the number of segments is wrong, or one ends too early.
    """
    count = bits_allocated // 8
    if len(frame) < _RLE_HEADER.size or (header := _RLE_HEADER.unpack_from(frame))[0] != count:
        what = f"number of RLE segments differs from the {count} bytes of a value"
        raise FormatError(what, where=name, cure=_CURE)
    bounds = (*header[1 : count + 1], len(frame))
    raw = np.zeros(rows * columns, f"u{count}")
    for k in range(count):
        segment = frame[bounds[k] : bounds[k + 1]]
        plane = _unpack_bits(segment, rows * columns)
        if plane is None:
            raise FormatError("RLE data end too early", where=name, cure=_CURE)
        raw |= np.frombuffer(plane, np.uint8, count=rows * columns).astype(raw.dtype) << (8 * (count - 1 - k))
    return raw.reshape(rows, columns), bits_allocated


def _unpack_bits(packed: bytes, size: int) -> bytes | None:
    """Return at least `size` bytes, at most one run more; None if the packed bytes give fewer."""
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
        else:  # 128: no operation, by the standard
            at += 1
    return bytes(plain)


def decode_jpeg_2000(frame: bytes, rows: int, columns: int, bits_allocated: int, *, name: str) -> Decoded:
    """Decode JPEG 2000 through OpenJPEG.

    Raises:
        FormatError: it is not a bare codestream of one component of the declared size, or is damaged.
        ResourceError: it has thousands of tiles.
    """
    if not frame.startswith(b"\xff\x4f\xff\x51") or len(frame) < _SIZ.size + 3:
        raise FormatError("a frame is not a JPEG 2000 codestream", where=name, cure=_CURE)
    _, _, _, right, bottom, left, top, tile_x, tile_y, _, _, components = _SIZ.unpack_from(frame)
    precision, step_x, step_y = frame[_SIZ.size : _SIZ.size + 3]
    bits = (precision & 0x7F) + 1
    _require_size(name, (bottom - top, right - left, components), (rows, columns, 1), bits, bits_allocated)
    if (step_x, step_y) != (1, 1):
        raise FormatError("a JPEG 2000 frame is subsampled", where=name, cure=_CURE)
    if not tile_x or not tile_y or -(-columns // tile_x) * -(-rows // tile_y) > _MAX_TILES:
        raise ResourceError(f"a JPEG 2000 frame has over {_MAX_TILES:,} tiles", where=name, cure=_CURE)
    from openjpeg.utils import decode

    decoded = decode(frame)
    raw = np.ascontiguousarray(decoded).view(f"u{decoded.dtype.itemsize}")
    # Negative values of a signed codestream are sign-extended to the whole data type.
    return raw.reshape(rows, columns), 8 * raw.dtype.itemsize if precision & 0x80 else bits


def decode_jpeg_ls(frame: bytes, rows: int, columns: int, bits_allocated: int, *, name: str) -> Decoded:
    """Decode JPEG-LS through CharLS.

    Raises:
        FormatError: it is not a codestream of one component of the declared size, or is damaged.
    """
    bits = _jpeg_bits(frame, rows, columns, bits_allocated, starts=_JPEG_LS_FRAME, name=name)
    import jpeg_ls

    buffer, _ = jpeg_ls.decode_pixel_data(frame)
    raw = np.frombuffer(buffer, "u1" if bits <= 8 else "<u2")
    return raw.reshape(rows, columns), bits


def decode_lossless_jpeg(frame: bytes, rows: int, columns: int, bits_allocated: int, *, name: str) -> Decoded:
    """Decode lossless JPEG (process 14, every selection value) through libjpeg-turbo.

    Raises:
        FormatError: it is not a codestream of one component of the declared size, or is damaged.
    """
    bits = _jpeg_bits(frame, rows, columns, bits_allocated, starts=_LOSSLESS_FRAME, name=name)
    return _libjpeg(frame, rows, columns), bits


def decode_lossy_jpeg(frame: bytes, rows: int, columns: int, bits_allocated: int, *, name: str) -> Decoded:
    """Decode baseline JPEG of 8 bits, or extended JPEG of 12 bits, through libjpeg-turbo.

    Raises:
        FormatError: it is not a codestream of one component of the declared size, or is damaged.
    """
    bits = _jpeg_bits(frame, rows, columns, bits_allocated, starts=_LOSSY_FRAMES, name=name)
    return _libjpeg(frame, rows, columns), bits


def _libjpeg(frame: bytes, rows: int, columns: int) -> NDArray[Any]:
    from imagecodecs import jpeg8_decode

    raw: NDArray[Any] = jpeg8_decode(frame)
    return raw.reshape(rows, columns)


def _jpeg_bits(
    frame: bytes, rows: int, columns: int, bits_allocated: int, *, starts: tuple[int, ...], name: str
) -> int:
    """Return the bits of a value, after a check of the markers and of the size.

    CharLS loops for ever if a marker occurs before the end of the data, and libjpeg replaces missing data.

    Args:
        frame: the compressed frame.
        rows: rows by the DICOM header.
        columns: columns by the DICOM header.
        bits_allocated: BitsAllocated of the DICOM header.
        starts: the markers with which a frame of this process may start.
        name: the file's name in error messages.
    """
    at, found = len(_START_OF_IMAGE), None
    if frame.startswith(_START_OF_IMAGE):
        while at + 4 + _FRAME_HEADER.size <= len(frame) and frame[at] == 0xFF:
            marker = frame[at + 1]
            if marker in starts and found is None:
                found = _FRAME_HEADER.unpack_from(frame, at + 4)
            at += 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
            if marker == _START_OF_SCAN:
                break
    end = (_MARKER if starts == _JPEG_LS_FRAME else _JPEG_MARKER).search(frame, at)
    if found is None or end is None or end[0] != _END_OF_IMAGE:
        kind = "JPEG-LS" if starts == _JPEG_LS_FRAME else "lossless JPEG" if starts == _LOSSLESS_FRAME else "JPEG"
        raise FormatError(f"a frame is not a {kind} codestream, or is damaged", where=name, cure=_CURE)
    bits, own_rows, own_columns, components = found
    _require_size(name, (own_rows, own_columns, components), (rows, columns, 1), bits, bits_allocated)
    return int(bits)


def _require_size(
    name: str, own: tuple[int, int, int], declared: tuple[int, int, int], bits: int, bits_allocated: int
) -> None:
    if own != declared:
        header, frame = (f"{columns} x {rows} x {components}" for rows, columns, components in (declared, own))
        what = f"size of a compressed frame is {frame}, expected {header} as in the header"
        raise FormatError(what, where=name, cure=_CURE)
    if bits > bits_allocated:
        what = f"bits of a compressed frame are {bits}, expected at most {bits_allocated} (BitsAllocated)"
        raise FormatError(what, where=name, cure=_CURE)
