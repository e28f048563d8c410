"""Compressed frames: decoded to what they say, refused where they say another size than the header."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from gliomaseg.errors import FormatError, GliomasegError, ResourceError
from gliomaseg.formats.dicom.decoders import decode_jpeg_2000, decode_jpeg_ls, decode_rle

ROWS, COLUMNS = 40, 36


def frame_of(file: Path) -> bytes:
    return next(generate_frames(pydicom.dcmread(file).PixelData, number_of_frames=1))


def rle(*segments: bytes) -> bytes:
    starts = 64 + np.cumsum([0, *map(len, segments)])[:-1]
    return struct.pack("<16L", len(segments), *starts, *[0] * (15 - len(segments))) + b"".join(segments)


def test_rle_of_8_bits_is_unpacked_by_hand() -> None:
    # 2 literals (1, 2), then 3 times 7, a byte that says nothing, then 1 literal (9).
    raw, bits = decode_rle(rle(b"\x01\x01\x02\xfe\x07\x80\x00\x09"), 2, 3, 8, name="x")
    assert raw.tolist() == [[1, 2, 7], [7, 7, 9]]
    assert bits == 8


def test_rle_of_16_bits_has_its_high_bytes_first() -> None:
    raw, _ = decode_rle(rle(b"\xff\x01", b"\x01\x02\x03"), 1, 2, 16, name="x")
    assert raw.tolist() == [[0x0102, 0x0103]]


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        rle(b"\xff\x01"),
        rle(b"\xff\x01", b"\x00\x01"),
        rle(b"\xff\x01", b"\x01\x02"),
        struct.pack("<16L", 2, 9_999_999, 64, *[0] * 13),
        struct.pack("<16L", 15, *[64] * 15),
    ],
)
def test_rle_that_does_not_fit_is_refused(frame: bytes) -> None:
    with pytest.raises(FormatError):
        decode_rle(frame, 1, 2, 16, name="x")


def test_rle_output_is_limited_to_the_declared_size() -> None:
    packed = b"\x81\xff" * 1_000_000  # 127 million bytes, were they all unpacked
    raw, _ = decode_rle(rle(packed), 2, 3, 8, name="x")
    assert raw.tolist() == [[255] * 3] * 2


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless], ids=lambda uid: uid.keyword)
@pytest.mark.parametrize(("rows", "columns"), [(41, 36), (40, 35), (400, 360)])
def test_frame_of_another_size_is_refused(make: Any, folder: Path, syntax: Any, rows: int, columns: int) -> None:
    frame = frame_of(make.encode(folder, syntax) / "0001.dcm")
    decode = {RLELossless: decode_rle, JPEG2000Lossless: decode_jpeg_2000, JPEGLSLossless: decode_jpeg_ls}[syntax]
    decode(frame, ROWS, COLUMNS, 16, name="x")
    if syntax == RLELossless and columns == 35:
        return  # RLE does not say its size: what is left over may be padding
    with pytest.raises(FormatError):
        decode(frame, rows, columns, 16, name="x")


def test_jpeg_2000_frame_of_gigabytes_is_refused_unread(make: Any, folder: Path) -> None:
    frame = bytearray(frame_of(make.encode(folder, JPEG2000Lossless) / "0001.dcm"))
    frame[8:16] = struct.pack(">LL", 60_000, 60_000)
    with pytest.raises(FormatError, match="frame is 60000 x 60000"):
        decode_jpeg_2000(bytes(frame), ROWS, COLUMNS, 16, name="x")


def test_jpeg_2000_of_a_tile_a_pixel_is_refused(make: Any, folder: Path) -> None:
    frame = bytearray(frame_of(make.encode(folder, JPEG2000Lossless) / "0001.dcm"))
    frame[8:16] = struct.pack(">LL", 300, 300)
    frame[24:32] = struct.pack(">LL", 1, 1)
    with pytest.raises(ResourceError, match="tiles"):
        decode_jpeg_2000(bytes(frame), 300, 300, 16, name="x")


def test_jpeg_ls_frame_of_gigabytes_is_refused_unread(make: Any, folder: Path) -> None:
    frame = bytearray(frame_of(make.encode(folder, JPEGLSLossless) / "0001.dcm"))
    at = frame.index(b"\xff\xf7")
    frame[at + 5 : at + 9] = struct.pack(">HH", 65_535, 65_535)
    with pytest.raises(FormatError, match="frame is 65535 x 65535"):
        decode_jpeg_ls(bytes(frame), ROWS, COLUMNS, 16, name="x")


@pytest.mark.parametrize("at", [100, 433, -60])
def test_jpeg_ls_with_a_marker_among_its_data_is_refused(make: Any, folder: Path, at: int) -> None:
    frame = bytearray(frame_of(make.encode(folder, JPEGLSLossless) / "0001.dcm"))
    frame[at : at + 2] = b"\xff\xa0"  # CharLS may search for more bits for ever
    with pytest.raises(FormatError, match="damaged"):
        decode_jpeg_ls(bytes(frame), ROWS, COLUMNS, 16, name="x")


@pytest.mark.parametrize("decode", [decode_jpeg_2000, decode_jpeg_ls])
@pytest.mark.parametrize("frame", [b"", b"\xff\xd8", b"\xff\x4f\xff\x51", b"\xff\xd8\xff\xf7\x00", bytes(100)])
def test_frame_without_a_codestream_is_refused(decode: Any, frame: bytes) -> None:
    with pytest.raises(FormatError):
        decode(frame, ROWS, COLUMNS, 16, name="x")


@pytest.mark.parametrize("frames", [0, 2])
def test_more_or_fewer_frames_than_declared_are_refused(make: Any, folder: Path, frames: int) -> None:
    file = make.encode(folder, RLELossless) / "0002.dcm"
    frame = frame_of(file)
    data = pydicom.dcmread(file)
    data.PixelData = encapsulate([frame] * frames) if frames else encapsulate([b"\0\0"])
    data.save_as(file)
    with pytest.raises(GliomasegError, match=r"0002\.dcm"):
        make.read(folder)
