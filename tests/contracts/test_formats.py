"""Tests of every format in the table: round trip, orientation, and a one-line error for every damaged file."""

from __future__ import annotations

import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gliomaseg.choices import MaskFormat
from gliomaseg.errors import FormatError, GliomasegError, ResourceError
from gliomaseg.formats import (
    READERS,
    FileKind,
    Grid,
    ImageFormat,
    SeriesFormat,
    VolumeFormat,
    kind_of,
    read_picture,
    read_volume,
    write_picture,
    write_volume,
    written_suffixes,
)
from gliomaseg.formats.dicom import read_dicom, write_series
from gliomaseg.geometry import Orientation
from orientation_cases import turn_affine, turn_back

GIB = 2**30
VOXELS = np.random.default_rng(0).integers(-50, 900, (5, 6, 7), np.int16)  # z, y, x
# LAS, 0.9 x 0.8 x 5 mm, rotated a little.
AFFINE = np.array([[-0.9, 0.01, 0.0, 80.0], [0.01, 0.8, 0.2, -90.0], [0.0, -0.03, 5.0, -40.0], [0, 0, 0, 1.0]])
IMAGES, VOLUMES = written_suffixes(FileKind.IMAGE), written_suffixes(FileKind.VOLUME)
every_suffix = pytest.mark.parametrize("suffix", sorted(READERS))
every_volume = pytest.mark.parametrize("suffix", VOLUMES)
every_file = pytest.mark.parametrize("suffix", IMAGES + VOLUMES)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def read(path: Path) -> NDArray[Any]:
    form = READERS["".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix]
    if isinstance(form, ImageFormat):
        return read_picture(path)
    if isinstance(form, VolumeFormat):
        return read_volume(path, max_bytes=GIB).scan.voxels
    return form.read(path, max_bytes=GIB).voxels


def write(path: Path, voxels: NDArray[Any] = VOXELS, affine: NDArray[np.float64] = AFFINE) -> Path:
    """Write voxels as a volume; the first slice as an image."""
    if path.suffix in IMAGES:
        write_picture(path, (voxels[0] % 256).astype(np.uint8))
    else:
        z, y, x = voxels.shape
        write_volume(path, voxels, Grid((z, y, x), affine), description="image")
    return path


def error_line(path: Path, content: bytes) -> str:
    """Write a file that cannot be read, and return the line of the error."""
    path.write_bytes(content)
    with pytest.raises(GliomasegError) as caught:
        read(path)
    assert caught.value.exit_code in (3, 5)
    assert str(path.name) in caught.value.where
    assert "\n" not in caught.value.line()
    return caught.value.line()


# --- the table


@every_suffix
def test_an_entry_reads_writes_and_has_default_mask_formats(suffix: str) -> None:
    form = READERS[suffix]
    assert form.kind in FileKind
    assert callable(form.read)
    assert isinstance(form, SeriesFormat) or form.write is None or callable(form.write)
    assert form.mask_formats
    assert set(form.mask_formats) <= set(MaskFormat)


@every_suffix
def test_the_suffix_gives_the_kind(suffix: str, tmp_path: Path) -> None:
    assert kind_of(tmp_path / f"a{suffix.upper()}") is READERS[suffix].kind


def test_an_unknown_file_has_no_kind(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    assert kind_of(tmp_path / "a.txt") is None


# --- round trips


@pytest.mark.parametrize("suffix", IMAGES)
def test_pixels_of_an_image_are_preserved(suffix: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 13, 3), np.uint8)
    write_picture(tmp_path / f"a{suffix}", pixels)
    assert np.array_equal(read_picture(tmp_path / f"a{suffix}"), pixels)


@every_volume
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_voxels_and_affine_of_a_volume_are_preserved(suffix: str, dtype: type, tmp_path: Path) -> None:
    voxels = (np.abs(VOXELS) % 250).astype(dtype)
    file = read_volume(write(tmp_path / f"a{suffix}", voxels), max_bytes=GIB)
    assert np.array_equal(file.scan.voxels[..., 0], voxels)
    assert file.scan.voxels.dtype == voxels.dtype
    assert file.scan.affine is not None
    assert np.allclose(file.scan.affine, AFFINE, atol=1e-5)
    assert file.grid.shape == voxels.shape
    assert np.array_equal(file.grid.affine, file.scan.affine)
    assert not file.scan.orientation_assumed


@every_volume
def test_a_mask_is_written_on_the_grid_that_was_read(suffix: str, tmp_path: Path) -> None:
    file = read_volume(write(tmp_path / f"a{suffix}"), max_bytes=GIB)
    mask = (VOXELS > 400).astype(np.uint8)
    for other in VOLUMES:
        write_volume(tmp_path / f"mask{other}", mask, file.grid, description="mask")
        back = read_volume(tmp_path / f"mask{other}", max_bytes=GIB)
        assert np.array_equal(back.scan.voxels[..., 0], mask)
        assert np.allclose(back.grid.affine, file.grid.affine, atol=1e-5)


@every_volume
@pytest.mark.parametrize("axes", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (2, 1, 0)])
@pytest.mark.parametrize("backwards", [(False, False, False), (True, False, True)])
def test_orientation_is_preserved(
    suffix: str, axes: tuple[int, int, int], backwards: tuple[bool, bool, bool], tmp_path: Path
) -> None:
    orientation = Orientation(axes, backwards)
    affine = turn_affine(orientation, np.diag([-1.0, -2.0, 3.0, 1.0]), VOXELS.shape)
    scan = read_volume(write(tmp_path / f"a{suffix}", orientation.turn(VOXELS), affine), max_bytes=GIB).scan
    assert scan.affine is not None
    assert np.allclose(scan.affine, affine)
    assert np.array_equal(turn_back(orientation, scan.voxels[..., 0]), VOXELS)


@every_volume
def test_the_same_voxels_give_the_same_bytes(suffix: str, tmp_path: Path) -> None:
    first, second = (write(tmp_path / f"{name}{suffix}").read_bytes() for name in "ab")
    assert first == second


@every_volume
def test_voxels_of_another_shape_raise_value_error(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="for a grid of"):
        write_volume(tmp_path / f"a{suffix}", VOXELS, Grid((7, 6, 5), AFFINE), description="image")


def test_a_series_is_preserved(tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    affine = np.diag([-0.9, -0.8, 5.0, 1.0])
    write_series(tmp_path / "series", VOXELS, affine)
    volume = read_dicom(tmp_path / "series", max_bytes=GIB)
    assert np.array_equal(volume.voxels, VOXELS)
    assert np.allclose(volume.affine, affine)
    assert volume.grid.shape == VOXELS.shape


# --- damaged files


@every_suffix
def test_an_empty_file_is_refused(suffix: str, tmp_path: Path) -> None:
    error_line(tmp_path / f"a{suffix}", b"")


@every_suffix
def test_random_bytes_are_refused(suffix: str, tmp_path: Path) -> None:
    error_line(tmp_path / f"a{suffix}", np.random.default_rng(0).bytes(2000))


@every_file
@pytest.mark.parametrize("other", [".png", ".tif", ".nii", ".nrrd", ".mha"])
def test_content_of_another_format_is_refused(suffix: str, other: str, tmp_path: Path) -> None:
    if READERS[suffix] is not READERS[other]:
        error_line(tmp_path / f"a{suffix}", write(tmp_path / f"other{other}").read_bytes())


@every_file
def test_a_truncated_file_is_refused(suffix: str, tmp_path: Path) -> None:
    content = write(tmp_path / f"whole{suffix}").read_bytes()
    for length in range(1, len(content), 7):
        path = tmp_path / f"cut{suffix}"
        path.write_bytes(content[:length])
        try:
            pixels = read(path)
        except FormatError:
            continue
        assert suffix in IMAGES  # an image may lack bytes that are not pixels
        assert np.array_equal(pixels, read(tmp_path / f"whole{suffix}"))


@every_volume
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_a_finite_volume(suffix: str, folder: Path, data: st.DataObject) -> None:
    content = bytearray(write(folder / f"valid{suffix}").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (folder / f"damaged{suffix}").write_bytes(content)
    try:
        scan = read_volume(folder / f"damaged{suffix}", max_bytes=GIB).scan
    except GliomasegError:
        return
    assert np.isfinite(scan.voxels).all()
    assert scan.affine is not None


@every_volume
def test_a_file_with_bytes_after_its_last_voxel_is_refused(suffix: str, tmp_path: Path) -> None:
    error_line(tmp_path / f"a{suffix}", write(tmp_path / f"whole{suffix}").read_bytes() + b"more")


@every_file
def test_a_missing_file_and_a_folder_are_refused(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="there is no such file"):
        read(tmp_path / f"a{suffix}")
    (tmp_path / f"a{suffix}").mkdir()
    with pytest.raises(FormatError, match="is not a regular file"):
        read(tmp_path / f"a{suffix}")


def _nifti_of(content: bytes, side: int) -> bytes:
    changed = bytearray(content)
    changed[42:48] = side.to_bytes(2, "little") * 3
    return bytes(changed)


def _text_of(content: bytes, side: int) -> bytes:
    sizes = f"{side} {side} {side}".encode()
    return content.replace(b"sizes: 7 6 5", b"sizes: " + sizes).replace(b"DimSize = 7 6 5", b"DimSize = " + sizes)


ENLARGE: dict[str, Callable[[bytes, int], bytes]] = {
    ".nii": _nifti_of, ".nrrd": _text_of, ".mha": _text_of, ".mhd": _text_of,
}  # fmt: skip


@pytest.mark.parametrize("suffix", sorted(set(VOLUMES) - {".nii.gz"}))
@pytest.mark.parametrize(("side", "error"), [(32_000, ResourceError), (300, FormatError)])
def test_a_header_that_declares_too_many_voxels_is_refused_before_memory_is_allocated(
    suffix: str, side: int, error: type[GliomasegError], tmp_path: Path
) -> None:
    assert suffix in ENLARGE, f"add {suffix} to ENLARGE: a function that writes another size into a file's header"
    path = write(tmp_path / f"a{suffix}")
    path.write_bytes(ENLARGE[suffix](path.read_bytes(), side))
    tracemalloc.start()
    with pytest.raises(error):
        read_volume(path, max_bytes=GIB)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30_000_000


@every_volume
def test_a_volume_over_the_memory_limit_is_refused(suffix: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"a{suffix}")
    # int16 and a copy, and 16 bytes of prediction; up to 7 slices of 9 bytes for each of the network's 256 x 256 pixels
    needed = VOXELS.size * 20 + 7 * 9 * 256 * 256
    read_volume(path, max_bytes=needed)
    with pytest.raises(ResourceError, match="--max-memory"):
        read_volume(path, max_bytes=needed - 1)


@every_volume
def test_equal_voxels_are_refused(suffix: str, tmp_path: Path) -> None:
    content = write(tmp_path / f"a{suffix}", np.full_like(VOXELS, 3)).read_bytes()
    assert "voxels are all equal" in error_line(tmp_path / f"a{suffix}", content)


@every_volume
def test_values_that_are_not_finite_become_the_background(suffix: str, tmp_path: Path) -> None:
    voxels = VOXELS.astype(np.float32)
    voxels[0, 0, :3] = np.nan, np.inf, -np.inf
    replaced = read(write(tmp_path / f"a{suffix}", voxels))[0, 0, :3, 0]
    assert (replaced == VOXELS.min()).all()


@every_volume
def test_voxels_at_one_place_are_refused(suffix: str, tmp_path: Path) -> None:
    affine = AFFINE.copy()
    affine[:3, 1] = affine[:3, 0]  # two axes in one direction
    with pytest.raises(GliomasegError):
        read_volume(write(tmp_path / f"a{suffix}", affine=affine), max_bytes=GIB)
