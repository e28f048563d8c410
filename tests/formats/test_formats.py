"""Every format keeps the same promises: what was written comes back, and only FormatError leaves a reader."""

from __future__ import annotations

import gzip
import struct
import tempfile
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from gliomaseg.errors import FormatError
from gliomaseg.formats import (
    READERS,
    FileKind,
    ImageFormat,
    read_orientation,
    read_pages,
    read_picture,
    write_pages,
    write_picture,
    written_suffixes,
)

Writer = Callable[..., None]
GREY = np.random.default_rng(0).integers(0, 256, (9, 13), np.uint8)
RGB = np.random.default_rng(1).integers(0, 256, (9, 13, 3), np.uint8)
FORMATS = {suffix: form for suffix, form in READERS.items() if isinstance(form, ImageFormat)}
every_suffix = pytest.mark.parametrize("suffix", sorted(FORMATS))
every_written = pytest.mark.parametrize("suffix", written_suffixes(FileKind.IMAGE))
every_member = pytest.mark.parametrize(
    "suffix", sorted({member: suffix for suffix, member in FORMATS.items()}.values())
)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def valid(folder: Path, suffix: str, pixels: NDArray[np.uint8] = RGB) -> bytes:
    file = folder / f"valid{suffix}"
    if FORMATS[suffix].write is None:
        Image.fromarray(pixels).save(file, quality=95)
    else:
        write_picture(file, pixels)
    return file.read_bytes()


def refusal(file: Path, content: bytes | None = None) -> str:
    """Return the one line that a file is refused with."""
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(FormatError) as caught:
        read_picture(file)
    assert caught.value.where == str(file)
    return caught.value.line()


# --- the contract of every member


@every_written
def test_grey_comes_back(tmp_path: Path, suffix: str) -> None:
    write_picture(tmp_path / f"a{suffix}", GREY)
    pixels = read_picture(tmp_path / f"a{suffix}")
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, GREY[..., None])


@every_written
def test_colour_comes_back(tmp_path: Path, suffix: str) -> None:
    write_picture(tmp_path / f"a{suffix}", RGB)
    pixels = read_picture(tmp_path / f"a{suffix}")
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, RGB)


@every_written
@pytest.mark.parametrize("shape", [(1, 1), (3, 4), (3, 3), (1, 3), (1, 1, 3), (3, 3, 3)])
def test_tiny_picture_comes_back(tmp_path: Path, suffix: str, shape: tuple[int, ...]) -> None:
    pixels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    write_picture(tmp_path / f"a{suffix}", pixels)
    assert np.array_equal(read_picture(tmp_path / f"a{suffix}"), pixels.reshape(*shape[:2], -1))


@every_written
def test_upper_case_suffix_is_the_same_format(tmp_path: Path, suffix: str) -> None:
    write_picture(tmp_path / f"a{suffix.upper()}", GREY)
    assert np.array_equal(read_picture(tmp_path / f"a{suffix.upper()}"), GREY[..., None])


@every_suffix
def test_missing_file_is_refused(tmp_path: Path, suffix: str) -> None:
    assert "there is no such file" in refusal(tmp_path / f"a{suffix}")


@every_suffix
def test_folder_is_refused(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a{suffix}").mkdir()
    assert "is not a regular file" in refusal(tmp_path / f"a{suffix}")


@every_suffix
def test_empty_file_is_refused(tmp_path: Path, suffix: str) -> None:
    assert "is empty; copy or export it again" in refusal(tmp_path / f"a{suffix}", b"")


@every_member
def test_file_cut_short_at_any_place_is_refused_or_whole(tmp_path: Path, suffix: str) -> None:
    content = valid(tmp_path, suffix)
    file = tmp_path / f"cut{suffix}"
    for length in range(len(content)):
        file.write_bytes(content[:length])
        try:
            pixels = read_picture(file)
        except FormatError:
            continue
        assert np.array_equal(pixels, read_picture(tmp_path / f"valid{suffix}"))  # no pixel was cut off


@every_suffix
def test_half_a_file_is_refused(tmp_path: Path, suffix: str) -> None:
    content = valid(tmp_path, suffix)
    refusal(tmp_path / f"cut{suffix}", content[: len(content) // 2])


@every_suffix
def test_random_bytes_are_refused(tmp_path: Path, suffix: str) -> None:
    assert "is not a readable" in refusal(tmp_path / f"a{suffix}", np.random.default_rng(0).bytes(2000))


@pytest.mark.parametrize(
    ("suffix", "other"), [(a, b) for a in FORMATS for b in FORMATS if FORMATS[a] is not FORMATS[b]]
)
def test_bytes_of_another_format_are_refused(tmp_path: Path, suffix: str, other: str) -> None:
    assert f"file, but its suffix is {suffix}; rename it" in refusal(tmp_path / f"a{suffix}", valid(tmp_path, other))


@every_member
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_damaged_file_is_refused_or_a_picture(folder: Path, suffix: str, data: st.DataObject) -> None:
    content = bytearray(valid(folder, suffix))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file = folder / f"damaged{suffix}"
    file.write_bytes(content)
    try:
        pixels = read_picture(file)
    except FormatError:
        return
    assert pixels.dtype in (np.uint8, np.uint16)
    assert pixels.ndim == 3
    assert pixels.shape[2] in (1, 3)


@pytest.mark.parametrize("name", ["a.bmp", "a", "a.tif.gz", ".tif"])
def test_unknown_suffix_lists_the_known_ones(tmp_path: Path, name: str) -> None:
    assert "suffix is" in refusal(tmp_path / name)
    with pytest.raises(FormatError, match=r"expected \.jpeg \.jpg \.png \.tif \.tiff"):
        write_picture(tmp_path / name, GREY)


# --- TIFF


def patched(content: bytes, **values: tuple[int, int]) -> bytes:
    """Return a little-endian TIFF with tags of its first page set: name=(tag, value)."""
    changed = bytearray(content)
    start = struct.unpack_from("<I", content, 4)[0]
    count = struct.unpack_from("<H", content, start)[0]
    wanted = dict(values.values())
    for place in range(start + 2, start + 2 + 12 * count, 12):
        tag = struct.unpack_from("<H", content, place)[0]
        if tag in wanted:
            struct.pack_into("<HHII", changed, place, tag, 4, 1, wanted.pop(tag))
    assert not wanted
    return bytes(changed)


def test_tiff_of_several_pages_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 8, 8), np.uint8), photometric="minisblack")
    assert "has 4 pages, expected 1; save one image a file" in refusal(tmp_path / "a.tif")


def test_tiff_stack_under_one_page_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 8, 8), np.uint8), photometric="minisblack", truncate=True)
    assert "has a stack of shape (4, 8, 8), expected one image" in refusal(tmp_path / "a.tif")


def test_tiff_of_fractions_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8), np.float32), photometric="minisblack")
    assert "pixel type is float32, expected uint8 or uint16; convert it to 8 or 16 bits" in refusal(tmp_path / "a.tif")


def test_tiff_of_16_bits_comes_back(tmp_path: Path) -> None:
    pixels = np.array([[0, 300], [4000, 65535]], np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack")
    assert np.array_equal(read_picture(tmp_path / "a.tif")[..., 0], pixels)


def test_big_endian_tiff_of_16_bits_comes_back(tmp_path: Path) -> None:
    pixels = np.array([[0, 300], [4000, 65535]], np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", byteorder=">")
    assert np.array_equal(read_picture(tmp_path / "a.tif")[..., 0], pixels)


def test_alpha_of_a_tiff_is_dropped(tmp_path: Path) -> None:
    rgba = np.dstack([RGB, GREY])
    tifffile.imwrite(tmp_path / "a.tif", rgba, photometric="rgb", extrasamples=["unassalpha"])
    assert np.array_equal(read_picture(tmp_path / "a.tif"), RGB)


@pytest.mark.parametrize("compression", [None, "zlib", "tiff_lzw"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiff_of_inverted_grey_is_read_as_viewers_show_it(tmp_path: Path, compression: str | None, dtype: type) -> None:
    pixels = GREY.astype(dtype)
    if compression == "tiff_lzw":
        Image.fromarray(pixels).save(tmp_path / "a.tif", compression=compression, tiffinfo={262: 0})
    else:
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="miniswhite", compression=compression)
    inverted_by_pillow = compression == "tiff_lzw" and dtype is np.uint8
    expected = pixels if inverted_by_pillow else np.iinfo(dtype).max - pixels
    assert np.array_equal(read_picture(tmp_path / "a.tif")[..., 0], expected)


@pytest.mark.parametrize("compression", [None, "packbits", "tiff_adobe_deflate", "tiff_lzw", "group3", "group4"])
@pytest.mark.parametrize("white_is_zero", [False, True])
def test_tiff_of_one_bit_is_black_and_white(tmp_path: Path, compression: str | None, white_is_zero: bool) -> None:
    mask = GREY > 100
    picture = Image.fromarray(mask)  # Pillow inverts the bits itself if 0 is white
    picture.save(tmp_path / "a.tif", compression=compression, tiffinfo={262: 0 if white_is_zero else 1})
    assert np.array_equal(read_picture(tmp_path / "a.tif")[..., 0], np.where(mask, 255, 0))


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_tiff_of_one_bit_by_tifffile_is_black_and_white(tmp_path: Path, photometric: str) -> None:
    mask = GREY > 100
    tifffile.imwrite(tmp_path / "a.tif", mask if photometric == "minisblack" else ~mask, photometric=photometric)
    pixels = read_picture(tmp_path / "a.tif")
    assert np.array_equal(pixels[..., 0], np.where(mask, 255, 0))
    assert pixels.dtype == np.uint8


# Pillow writes these with libtiff. JPEG loses information: 8 levels are allowed for noise-free pixels.
@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate", "tiff_deflate", "zstd", "lzma"])
@pytest.mark.parametrize("predictor", [1, 2])
@pytest.mark.parametrize("kind", ["grey", "16 bits", "big-endian", "colour"])
def test_tiff_of_every_listed_compression_is_read(tmp_path: Path, compression: str, predictor: int, kind: str) -> None:
    wide = GREY.astype(np.uint16) * 201
    pixels = {"grey": GREY, "16 bits": wide, "big-endian": wide.astype(">u2"), "colour": RGB}[kind]
    options = {} if compression == "packbits" else {317: predictor}
    Image.fromarray(pixels).save(tmp_path / "a.tif", compression=compression, tiffinfo=options)
    assert np.array_equal(np.squeeze(read_picture(tmp_path / "a.tif")), pixels)


@pytest.mark.parametrize("kind", ["grey", "colour"])
def test_tiff_compressed_with_jpeg_is_read(tmp_path: Path, kind: str) -> None:
    smooth = np.repeat(np.arange(0, 240, 5, dtype=np.uint8)[None], 48, axis=0)
    pixels = smooth if kind == "grey" else np.dstack([smooth, smooth.T, smooth])
    Image.fromarray(pixels).save(tmp_path / "a.tif", compression="jpeg", quality=95)
    seen = np.squeeze(read_picture(tmp_path / "a.tif")).astype(int)
    assert np.abs(seen - pixels).max() <= 8


def test_tiff_of_16_bit_colours_with_lzw_names_the_way_out(tmp_path: Path) -> None:
    file = tmp_path / "a.tif"
    tifffile.imwrite(file, RGB.astype(np.uint16), photometric="rgb")
    with tifffile.TiffFile(file, mode="r+b") as opened:
        opened.pages[0].tags["Compression"].overwrite(5)
    assert "compression of 16-bit colours is LZW, expected none or deflate" in refusal(file)


def test_pages_of_a_tiff_with_lzw_are_read_in_order(tmp_path: Path) -> None:
    pages = [Image.fromarray(GREY + np.uint8(k)) for k in range(3)]
    pages[0].save(tmp_path / "a.tif", compression="tiff_lzw", save_all=True, append_images=pages[1:])
    slices = read_pages(tmp_path / "a.tif", max_bytes=2**24)
    assert np.array_equal(slices[..., 0], [GREY, GREY + np.uint8(1), GREY + np.uint8(2)])


def test_a_damaged_tiff_with_lzw_prints_nothing_itself(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.tif", compression="tiff_lzw")
    content = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as opened:
        start = opened.pages[0].dataoffsets[0]
    content[start : start + 40] = bytes([255]) * 40
    assert "is not a readable TIFF" in refusal(tmp_path / "a.tif", bytes(content))
    assert capfd.readouterr().err == ""


# --- orientation tags

# The stored order of a picture whose upright form is GREY, for each tag of TIFF 6.0: written out by hand.
STORED = {
    1: GREY, 2: GREY[:, ::-1], 3: GREY[::-1, ::-1], 4: GREY[::-1],
    5: GREY.T, 6: np.rot90(GREY, 1), 7: GREY[::-1, ::-1].T, 8: np.rot90(GREY, -1),
}  # fmt: skip
every_tag = pytest.mark.parametrize("tag", sorted(STORED))


@every_tag
@pytest.mark.parametrize("compression", ["zlib", "lzw"])
def test_a_tiff_is_read_as_viewers_show_it(tmp_path: Path, tag: int, compression: str) -> None:
    file = tmp_path / "a.tif"
    if compression == "lzw":
        Image.fromarray(STORED[tag]).save(file, compression="tiff_lzw", tiffinfo={274: tag})
    else:
        tifffile.imwrite(file, STORED[tag], photometric="minisblack", extratags=[(274, "H", 1, tag, True)])
    assert np.array_equal(read_picture(file)[..., 0], GREY)
    with file.open("rb") as opened, Image.open(opened) as viewed:  # Pillow is such a viewer
        viewed.load()
        assert np.array_equal(np.asarray(viewed), GREY)
    assert read_orientation(file) == tag


@every_tag
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_tiff_of_one_bit_is_turned_too(tmp_path: Path, tag: int, compression: str | None) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif",
        STORED[tag] > 100,
        photometric="minisblack",
        compression=compression,
        extratags=[(274, "H", 1, tag, True)],
    )
    assert np.array_equal(read_picture(tmp_path / "a.tif")[..., 0], np.where(GREY > 100, 255, 0))


@every_tag
def test_a_tiff_is_written_in_the_stored_order_with_its_tag(tmp_path: Path, tag: int) -> None:
    write_picture(tmp_path / "a.tif", GREY, orientation=tag)
    assert np.array_equal(tifffile.imread(tmp_path / "a.tif"), STORED[tag])
    assert np.array_equal(read_picture(tmp_path / "a.tif")[..., 0], GREY)
    write_pages(tmp_path / "b.tif", np.stack([GREY, GREY]), orientation=tag)
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), [STORED[tag], STORED[tag]])
    assert np.array_equal(read_pages(tmp_path / "b.tif", max_bytes=2**24)[..., 0], [GREY, GREY])


@pytest.mark.parametrize("tag", [0, 9])
def test_an_invalid_orientation_tag_is_ignored(tmp_path: Path, tag: int) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY, photometric="minisblack", extratags=[(274, "H", 1, tag, True)])
    assert np.array_equal(read_picture(tmp_path / "a.tif")[..., 0], GREY)


def test_pages_of_different_orientation_are_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for tag in (1, 3):
            file.write(GREY, photometric="minisblack", metadata=None, extratags=[(274, "H", 1, tag, True)])
    with pytest.raises(FormatError, match="Orientation is 3 in page 2, expected 1"):
        read_pages(tmp_path / "a.tif", max_bytes=2**24)


@every_tag
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_exif_orientation_is_applied(tmp_path: Path, tag: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[274] = tag
    smooth = np.repeat(np.arange(0, 240, 5, dtype=np.uint8)[None], 30, axis=0)
    stored = {6: np.rot90(smooth, 1), 8: np.rot90(smooth, -1), 3: smooth[:, ::-1]}.get(tag, smooth)
    Image.fromarray(stored).save(tmp_path / f"a{suffix}", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / f"a{suffix}")))
    assert np.array_equal(read_picture(tmp_path / f"a{suffix}")[..., 0], expected)
    assert read_orientation(tmp_path / f"a{suffix}") == 1  # their masks are written upright


def test_damaged_exif_data_do_not_matter(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff")
    assert read_picture(tmp_path / "a.jpg").shape == (9, 13, 1)


# --- JPEG


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".JPG"])
@pytest.mark.parametrize("kind", ["grey", "colour"])
def test_jpeg_is_read_within_its_loss(tmp_path: Path, suffix: str, kind: str) -> None:
    smooth = np.repeat(np.arange(0, 240, 5, dtype=np.uint8)[None], 48, axis=0)
    pixels = smooth if kind == "grey" else np.dstack([smooth, smooth.T, smooth])
    Image.fromarray(pixels).save(tmp_path / f"a{suffix}", quality=95)
    assert np.abs(np.squeeze(read_picture(tmp_path / f"a{suffix}")).astype(int) - pixels).max() <= 8


def test_jpeg_of_printing_colours_is_refused(tmp_path: Path) -> None:
    Image.fromarray(RGB).convert("CMYK").save(tmp_path / "a.jpg")
    assert "colour space is CMYK, expected grey or RGB" in refusal(tmp_path / "a.jpg")


def test_jpeg_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"suffix is \.jpg, expected \.png \.tif \.tiff"):
        write_picture(tmp_path / "a.jpg", GREY)


# --- the true reason


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (bytes(128) + b"DICM" + bytes(40), "is a DICOM file, but its suffix is .png; rename it to end in .dcm"),
        (b"%PDF-1.7", "is a PDF file, but"),
        (b"\0\x05\x16\x07" + bytes(90), "is an AppleDouble file, which macOS writes beside the real one, but"),
        (b"<!DOCTYPE html>", "is an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1", "is a Git LFS pointer"),
        (b"PK\x03\x04", "is a zip file"),
        (bytes(344) + b"n+1\0", "is a NIfTI file, but its suffix is .png; rename it to end in .nii"),
        (b"ObjectType = Image", "is a MetaImage file"),
        (
            gzip.compress(bytes(344) + b"n+1\0", mtime=0),
            "is a gzipped NIfTI file, but its suffix is .png; rename it to end in .nii.gz",
        ),
    ],
)
def test_a_file_under_a_wrong_suffix_gets_the_true_reason(tmp_path: Path, content: bytes, words: str) -> None:
    assert words in refusal(tmp_path / "a.png", content)


def test_a_file_of_known_content_under_an_unknown_suffix_gets_its_suffix(tmp_path: Path) -> None:
    (tmp_path / "a.data").write_bytes(valid(tmp_path, ".png"))
    assert "is a PNG file, but its suffix is .data; rename it to end in .png" in refusal(tmp_path / "a.data")


def test_tiff_of_a_palette_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY, photometric="palette", colormap=np.zeros((3, 256), np.uint16))
    assert "pixel layout is PALETTE" in refusal(tmp_path / "a.tif")


@pytest.mark.parametrize("width", [3, 13])  # 3: the last axis looks like channels
def test_tiff_of_planes_one_by_one_is_refused(tmp_path: Path, width: int) -> None:
    planes = np.zeros((3, 9, width), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate")
    assert "pixel layout is RGB SYX" in refusal(tmp_path / "a.tif")


def test_tiff_of_two_samples_is_refused(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 2), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", planarconfig="contig")
    assert "shape (8, 8, 2), expected one grey or RGB image" in refusal(tmp_path / "a.tif")


def test_tiff_written_by_pillow_with_deflate_is_read(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.tif", compression="tiff_adobe_deflate")
    assert np.array_equal(read_picture(tmp_path / "a.tif"), RGB)


@pytest.mark.parametrize(("width", "height"), [(2**31, 2**31), (100_000, 100_000), (8001, 8000)])
def test_tiff_that_declares_a_huge_picture_is_refused_before_memory_is_taken(
    tmp_path: Path, width: int, height: int
) -> None:
    content = patched(valid(tmp_path, ".tif", GREY), width=(256, width), height=(257, height), rows=(278, height))
    tracemalloc.start()
    said = refusal(tmp_path / "huge.tif", content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert f"declares {width} x {height} pixels, over 64,000,000" in said
    assert peak < 10_000_000


def test_tiff_that_declares_a_huge_tile_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((64, 64), np.uint8), tile=(64, 64), compression="zlib")
    content = patched((tmp_path / "a.tif").read_bytes(), width=(322, 40_000), height=(323, 40_000))
    assert "declares 1,600,000,000 values" in refusal(tmp_path / "huge.tif", content)


def test_tiff_that_unpacks_to_more_than_it_declares_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    bomb = zlib.compress(bytes(100_000_000), 1)
    content = valid(tmp_path, ".tif", GREY)
    content = patched(content, offset=(273, len(content)), length=(279, len(bomb))) + bomb
    tracemalloc.start()
    said = refusal(tmp_path / "bomb.tif", content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "decompresses to more bytes than it declares" in said
    assert peak < 10_000_000


def test_tiff_whose_pages_run_in_a_circle_ends(tmp_path: Path) -> None:
    content = bytearray(valid(tmp_path, ".tif", GREY))
    start = struct.unpack_from("<I", content, 4)[0]
    struct.pack_into("<I", content, start + 2 + 12 * struct.unpack_from("<H", content, start)[0], start)
    (tmp_path / "circle.tif").write_bytes(content)
    assert np.array_equal(read_picture(tmp_path / "circle.tif")[..., 0], GREY)


# Two page tables, the second inside the first and its own successor: hypothesis drew it, and tifffile never ended.
OVERLAPPING_PAGES = bytes.fromhex(
    "49492a00080000000e0000010400010000000c0000004fb2986048ea986048ea040001000000100000000201030001000000"
    "080000000301030001000000080000000601030001000000010000000e01020017000000b600000011010400010000000001"
    "00001501030001000000010000001601040001000000100000001701040001000000cb0000001a01050001000000dc000000"
    "1b01050001000000e4000000280103000100000001000000310102000c000000"
)


def test_tiff_whose_page_tables_overlap_ends(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(OVERLAPPING_PAGES + bytes(400))
    with pytest.raises(FormatError, match="declares"):
        read_pages(tmp_path / "a.tif", max_bytes=2**24)


# --- PNG


def png(width: int, height: int, bits: int, colour: int, rows: bytes) -> bytes:
    """Return a PNG of unfiltered rows, each with a leading zero byte."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, data) for name, data in parts)


def read_back(folder: Path, picture: Image.Image, **options: Any) -> NDArray[Any]:
    picture.save(folder / "a.png", **options)
    return read_picture(folder / "a.png")


def test_alpha_of_a_png_is_dropped(tmp_path: Path) -> None:
    assert np.array_equal(read_back(tmp_path, Image.fromarray(np.dstack([RGB, GREY]))), RGB)


def test_alpha_of_a_grey_png_is_dropped(tmp_path: Path) -> None:
    picture = Image.merge("LA", [Image.fromarray(GREY), Image.new("L", (13, 9))])
    assert np.array_equal(read_back(tmp_path, picture), GREY[..., None])


def test_png_of_16_bits_comes_back(tmp_path: Path) -> None:
    pixels = np.array([[0, 300], [4000, 65535]], np.uint16)
    back = read_back(tmp_path, Image.fromarray(pixels))
    assert back.dtype == np.uint16
    assert np.array_equal(back[..., 0], pixels)


@pytest.mark.parametrize(("colour", "samples"), [(2, 3), (4, 2), (6, 4)])
def test_png_of_16_bit_colours_is_refused_and_not_cut_to_8(tmp_path: Path, colour: int, samples: int) -> None:
    rows = 2 * (b"\0" + bytes(2 * samples * 2))
    line = refusal(tmp_path / "a.png", png(2, 2, 16, colour, rows))
    assert "has 16-bit colours, expected 8-bit colours or 16-bit grey; convert it to 8 bits" in line


def test_png_of_one_bit_is_black_and_white(tmp_path: Path) -> None:
    assert np.array_equal(read_back(tmp_path, Image.fromarray(GREY > 128))[..., 0], (GREY > 128) * 255)


def test_png_of_two_bits_spans_black_to_white(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(4, 1, 2, 0, b"\0\x1b"))  # 0 1 2 3
    assert read_picture(tmp_path / "a.png").ravel().tolist() == [0, 85, 170, 255]


@pytest.mark.parametrize("transparency", [None, 1, bytes([0, 10, 255])])
def test_palette_of_a_png_gives_its_colours(tmp_path: Path, transparency: int | bytes | None) -> None:
    picture = Image.new("P", (3, 1))
    picture.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    picture.putdata([2, 0, 1])
    options = {} if transparency is None else {"transparency": transparency}
    assert read_back(tmp_path, picture, **options).tolist() == [[[70, 80, 90], [10, 20, 30], [40, 50, 60]]]


@pytest.mark.parametrize(("width", "height"), [(2**31 - 1, 2**31 - 1), (10_000, 10_000), (8001, 8000)])
def test_png_that_declares_a_huge_picture_is_refused_before_memory_is_taken(
    tmp_path: Path, width: int, height: int
) -> None:
    tracemalloc.start()
    said = refusal(tmp_path / "a.png", png(width, height, 8, 0, b"\0"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert f"declares {width} x {height} pixels" in said
    assert peak < 10_000_000
