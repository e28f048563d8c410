"""JPEG with and without loss and high-throughput JPEG 2000, encoded by other encoders."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from imagecodecs import htj2k_encode, jpeg8_encode, ljpeg_encode
from pydicom.encaps import generate_frames
from pydicom.uid import HTJ2KLossless, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1

from gliomaseg.errors import FormatError
from gliomaseg.formats.dicom import write_series
from gliomaseg.formats.dicom.decoders import decode_lossless_jpeg, decode_lossy_jpeg

ROWS, COLUMNS = 40, 36
LOSSLESS = {
    "selection value 1": (JPEGLosslessSV1, partial(jpeg8_encode, lossless=True, predictor=1)),
    "selection value 7": (JPEGLossless, partial(jpeg8_encode, lossless=True, predictor=7)),
    "selection value 6 of another encoder": (JPEGLossless, ljpeg_encode),
}
every_process = pytest.mark.parametrize(("syntax", "encode"), LOSSLESS.values(), ids=LOSSLESS)


def frame_of(file: Path) -> bytes:
    return next(generate_frames(pydicom.dcmread(file).PixelData, number_of_frames=1))


@every_process
@pytest.mark.parametrize("bits", [12, 16])
def test_lossless_series_comes_back(make: Any, folder: Path, syntax: Any, encode: Any, bits: int) -> None:
    volume = make.read(make.encode_jpeg(folder, syntax, partial(encode, bitspersample=bits)))
    assert volume.voxels.dtype == np.uint16
    assert np.array_equal(volume.voxels, make.voxels())
    assert volume.warnings == ()


def test_high_throughput_jpeg_2000_comes_back(make: Any, folder: Path) -> None:
    volume = make.read(make.encode_jpeg(folder, HTJ2KLossless, partial(htj2k_encode, reversible=True)))
    assert np.array_equal(volume.voxels, make.voxels())


@every_process
@pytest.mark.parametrize("dtype", ["uint8", "int16"])
def test_lossless_values_of_8_and_of_signed_16_bits_come_back(
    make: Any, tmp_path: Path, syntax: Any, encode: Any, dtype: str
) -> None:
    limits = np.iinfo(dtype)
    voxels = np.random.default_rng(0).integers(limits.min, limits.max, (3, ROWS, COLUMNS), dtype, endpoint=True)
    write_series(tmp_path / "a", voxels, make.affine)
    encode = partial(encode, bitspersample=8 * voxels.itemsize)
    volume = make.read(make.encode_jpeg(tmp_path / "a", syntax, encode))
    assert volume.voxels.dtype == dtype
    assert np.array_equal(volume.voxels, voxels)


@pytest.mark.parametrize(("syntax", "bits"), [(JPEGBaseline8Bit, 8), (JPEGExtended12Bit, 12)])
def test_lossy_series_is_read_with_a_warning(make: Any, tmp_path: Path, syntax: Any, bits: int) -> None:
    ramp = np.linspace(0, 2**bits - 1, ROWS * COLUMNS).reshape(ROWS, COLUMNS).astype("u1" if bits == 8 else "u2")
    write_series(tmp_path / "a", np.stack([ramp] * 3), make.affine)
    make.encode_jpeg(tmp_path / "a", syntax, partial(jpeg8_encode, level=95, bitspersample=bits))
    volume = make.read(tmp_path / "a")
    assert abs(volume.voxels.astype(int) - ramp).max() < 2**bits / 50
    assert volume.warnings == (f"3 of 3 files are compressed with loss ({syntax.name})",)


def test_loss_before_the_last_encoding_is_reported(make: Any, folder: Path) -> None:
    make.change(folder / "0002.dcm", LossyImageCompression="01")
    assert make.read(folder).warnings[0].startswith("1 of 5 files are compressed with loss")


def test_lossless_frame_that_is_cut_is_refused(make: Any, folder: Path) -> None:
    syntax, encode = LOSSLESS["selection value 1"]
    file = make.encode_jpeg(folder, syntax, partial(encode, bitspersample=12)) / "0003.dcm"
    content = file.read_bytes()
    for length in [*range(0, len(content) - 16, 331), len(content) - 16]:
        file.write_bytes(content[:length])
        assert "0003.dcm" in make.refusal(folder, FormatError)


@every_process
@pytest.mark.parametrize(("rows", "columns"), [(41, 36), (40, 35), (400, 360)])
def test_frame_of_another_size_is_refused(make: Any, syntax: Any, encode: Any, rows: int, columns: int) -> None:
    frame = encode(make.voxels()[0], bitspersample=12)
    assert np.array_equal(decode_lossless_jpeg(frame, ROWS, COLUMNS, 16, name="x")[0], make.voxels()[0])
    with pytest.raises(FormatError, match=f"frame is 36 x 40 x 1, expected {columns} x {rows} x 1"):
        decode_lossless_jpeg(frame, rows, columns, 16, name="x")


@pytest.mark.parametrize("decode", [decode_lossless_jpeg, decode_lossy_jpeg])
@pytest.mark.parametrize("frame", [b"", b"\xff\xd8", b"\xff\xd8\xff\xc3\x00", b"\xff\xd8\xff\xd9", bytes(100)])
def test_frame_without_a_codestream_is_refused(decode: Any, frame: bytes) -> None:
    with pytest.raises(FormatError, match="damaged"):
        decode(frame, ROWS, COLUMNS, 16, name="x")


def test_process_must_be_that_of_the_transfer_syntax(make: Any) -> None:
    lossless = jpeg8_encode(make.voxels()[0], lossless=True, predictor=1, bitspersample=12)
    lossy = jpeg8_encode(make.voxels()[0], level=90, bitspersample=12)
    for decode, frame in ((decode_lossy_jpeg, lossless), (decode_lossless_jpeg, lossy)):
        with pytest.raises(FormatError, match="is not a"):
            decode(frame, ROWS, COLUMNS, 16, name="x")
