"""Inputs that cost far more than their size are refused before the cost is paid, in a process with 256 MiB."""

from __future__ import annotations

import gzip
import io
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image
from PIL import Image

from gliomaseg.errors import ConfigError, FormatError, ResourceError
from gliomaseg.formats import read_pages, read_picture

MIB = 2**20
# For each file, prints a line: its name, the growth of the peak memory in MiB, and the error. The limit of memory makes
# an escape a MemoryError.
CHILD = """
import resource, sys
from pathlib import Path
from gliomaseg.errors import GliomasegError
from gliomaseg.inputs import list_inputs
from gliomaseg.inputs.load import load_input
import gliomaseg.formats.dicom, nibabel.nifti1, pydicom.filereader
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20),) * 2)
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
for file, limit_mib in zip(sys.argv[1::2], sys.argv[2::2]):
    try:
        load_input(list_inputs([Path(file)])[0], max_bytes=int(limit_mib) << 20)
    except GliomasegError as fault:
        print(file, type(fault).__name__, fault, sep="|", flush=True)
"""


def tiff(strip: bytes, compression: int, *, pages: int = 1, side: int = 64) -> bytes:
    """Return a grey TIFF whose pages share one strip."""
    content = bytearray(b"II*\0\0\0\0\0" + strip + bytes(len(strip) % 2))
    tags = [
        (256, side), (257, side), (258, 8), (259, compression), (262, 1), (273, 8), (277, 1), (278, side),
        (279, len(strip)),
    ]  # fmt: skip
    link = 4
    for _ in range(pages):
        struct.pack_into("<I", content, link, len(content))
        content += struct.pack("<H", len(tags)) + b"".join(
            struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags
        )
        link = len(content)
        content += bytes(4)
    return bytes(content)


def picture(kind: str, side: int = 8000) -> bytes:
    box = io.BytesIO()
    Image.new("L", (side, side), 9).save(box, format=kind)
    return box.getvalue()


def nifti(voxels: bytes, shape: tuple[int, int, int]) -> bytes:
    header = Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4)).header
    header.set_data_shape(shape)
    header["vox_offset"] = 352
    return gzip.compress(header.binaryblock + bytes(4) + voxels, 1)


def empty_members(count: int) -> bytes:
    box = io.BytesIO()
    with zipfile.ZipFile(box, "w") as archive:
        for number in range(count):
            archive.writestr(f"{number}.dcm", b"")
    return box.getvalue()


# The file's suffix, its content, the memory limit in MiB, and the error.
INPUTS: dict[str, tuple[str, Callable[[], bytes], int, str]] = {
    "packbits": (".tif", lambda: tiff(b"\x81\x55" * 2_500_000, 32773), 4096, "decompresses to more bytes"),
    "deflate": (".tif", lambda: tiff(zlib.compress(bytes(320 * MIB)), 8), 4096, "decompresses to more bytes"),
    "jpeg-in-tiff": (".tif", lambda: tiff(picture("JPEG"), 7), 4096, "is not a readable TIFF"),
    "pages": (".tif", lambda: tiff(bytes(range(256)) * 16, 1, pages=20_000), 4096, "in each of 20,000 slices"),
    "png": (".png", lambda: picture("PNG"), 500, "8000 x 8000 pixels, which take 1.1 GiB to predict"),
    "jpeg": (".jpg", lambda: picture("JPEG"), 500, "8000 x 8000 pixels, which take 1.1 GiB to predict"),
    "page": (".tif", lambda: tiff(zlib.compress(bytes(64_000_000)), 8, side=8000), 500, "8000 x 8000 pixels"),
    "gzip": (".nii.gz", lambda: nifti(bytes(320 * MIB), (64, 64, 10)), 4096, "has bytes after its last voxel"),
    "thin-volume": (".nii.gz", lambda: nifti(bytes(4 * 32767), (2, 2, 32767)), 4096, "131,068 voxels, which take 18.0"),
    "zip": (".zip", lambda: empty_members(30_000), 4096, "declares 30,000 files"),
}


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The error of each input, all read in one process."""
    folder = tmp_path_factory.mktemp("costly")
    arguments = []
    for name, (suffix, make, limit_mib, _) in INPUTS.items():
        file = folder / f"{name}{suffix}"
        file.write_bytes(make())
        arguments += [str(file), str(limit_mib)]
    command = [sys.executable, "-c", CHILD, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    return {Path(line.partition("|")[0]).name.split(".")[0]: line for line in done.stdout.splitlines()}


@pytest.mark.parametrize("name", INPUTS)
def test_an_input_that_costs_too_much_is_refused_within_256_mib(name: str, refusals: dict[str, str]) -> None:
    assert INPUTS[name][-1] in refusals[name]


def test_packbits_that_unpack_to_their_declared_size_are_read(tmp_path: Path) -> None:
    # 31 runs of 128 bytes, a byte without effect, and 128 bytes as they are: 64 x 64
    (tmp_path / "a.tif").write_bytes(tiff(b"\x81\x55" * 31 + b"\x80" + b"\x7f" + bytes(range(128)), 32773))
    assert read_picture(tmp_path / "a.tif")[..., 0].reshape(-1)[-129:].tolist() == [0x55, *range(128)]
    (tmp_path / "b.tif").write_bytes(tiff(b"\x81\x55" * 32 + b"\x00\x01", 32773))  # one byte more
    with pytest.raises(FormatError, match="more bytes than it declares"):
        read_picture(tmp_path / "b.tif")


def test_the_memory_limit_is_that_of_a_whole_stack(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture("PNG", 10))
    # 100 pixels of 8 bits and a copy, 16 bytes of prediction; 9 bytes for each of the network's 256 x 256 pixels
    needed = 3 * (100 * 18 + 9 * 256 * 256)
    read_picture(tmp_path / "a.png", max_bytes=needed, slices=3)
    with pytest.raises(ResourceError, match="10 x 10 pixels in each of 3 slices"):
        read_picture(tmp_path / "a.png", max_bytes=needed - 1, slices=3)
    (tmp_path / "a.tif").write_bytes(tiff(bytes(100), 1, pages=3, side=10))
    assert read_pages(tmp_path / "a.tif", max_bytes=needed).shape == (3, 10, 10, 1)
    with pytest.raises(ResourceError, match="in each of 3 slices"):
        read_pages(tmp_path / "a.tif", max_bytes=needed - 1)


@pytest.mark.parametrize(
    "text",
    [".".join(["a"] * 20_000) + " = 1", ".".join(["a"] * 2_000) + " = 1", "format = " + "9" * 6_000],
    ids=["long", "deep", "digits"],
)  # fmt: skip
def test_a_recipe_that_costs_too_much_is_refused(text: str, tmp_path: Path) -> None:
    from gliomaseg.config import read_recipe

    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(ConfigError):
        read_recipe(str(tmp_path / "a.toml"))


def test_a_number_of_thousands_of_digits_is_refused_in_a_setting_and_in_a_manifest(tmp_path: Path) -> None:
    from gliomaseg.config import read_recipe
    from gliomaseg.data.tables import read_rows
    from gliomaseg.errors import DataError

    with pytest.raises(ConfigError):
        read_recipe("unet_small").with_settings(["training.epochs=" + "9" * 6_000])
    (tmp_path / "a.json").write_text('[{"date": ' + "9" * 6_000 + "}]")
    with pytest.raises(DataError, match="is not JSON"):
        read_rows(tmp_path / "a.json")


def test_a_text_over_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    from gliomaseg.data.tables import read_rows

    with (tmp_path / "a.csv").open("wb") as file:
        file.truncate(16 * MIB + 1)
    with pytest.raises(FormatError, match="size is 16,777,217 bytes, expected at most 16,777,216"):
        read_rows(tmp_path / "a.csv")


def test_control_characters_of_a_name_are_escaped_in_errors_and_rows() -> None:
    from gliomaseg.inputs.input import Input, Kind
    from gliomaseg.prediction.predict import failed_row
    from gliomaseg.report.terminal import row_text

    path = Path("a\nok: forged\x1b[2J\u202e.png")
    escaped = r"a\nok: forged\x1b[2J\u202e.png"
    fault = FormatError("is cut short", where=path)
    assert str(fault) == f"{escaped}: is cut short"
    assert row_text(failed_row(Input(path, Kind.PICTURE), fault)) == f"{escaped}: is cut short"


def test_a_png_chunk_that_declares_more_bytes_than_the_file_has_is_refused(tmp_path: Path) -> None:
    content = bytearray(picture("PNG", 10))
    at = content.index(b"IDAT") - 4
    content[at : at + 4] = (2**31 - 1).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(FormatError, match="is cut short"):
        read_picture(tmp_path / "a.png")
