"""NIfTI: scans are read as stored, invalid files are refused in one line, and masks get the grid of the input."""

from __future__ import annotations

import gzip
import struct
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.analyze import AnalyzeImage
from nibabel.nifti1 import Nifti1Header, Nifti1Image, Nifti1Pair
from nibabel.nifti2 import Nifti2Image, Nifti2Pair
from numpy.typing import NDArray

from gliomaseg.errors import FormatError, GeometryError, ResourceError
from gliomaseg.formats import Grid, nifti, read_volume
from read_error import read_error

# (x, y, z), as nibabel has it; LAS, 0.9 x 0.8 x 5 mm, a little oblique.
DATA = np.random.default_rng(0).integers(-50, 900, (7, 6, 5), np.int16)
AFFINE = np.array([[-0.9, 0.01, 0, 80], [0.01, 0.8, 0.2, -90], [0, -0.03, 5, -40], [0, 0, 0, 1]])
GIB = 2**30
VALID_FILE = Nifti1Image(DATA, AFFINE).to_bytes()


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def save(path: Path, data: NDArray[Any] = DATA, affine: Any = AFFINE, kind: type = Nifti1Image, **fields: Any) -> Path:
    """Write a file with nibabel, header fields set as named."""
    image = kind(data, affine)
    for name, value in fields.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


def patched(content: bytes, offset: int, form: str, *values: Any) -> bytes:
    changed = bytearray(content)
    struct.pack_into(form, changed, offset, *values)
    return bytes(changed)


def voxels(path: Path) -> NDArray[Any]:
    return read_volume(path, max_bytes=GIB).scan.voxels[..., 0]


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    return save(tmp_path / "valid.nii").read_bytes()


# --- reading


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "A.NII.GZ"])
@pytest.mark.parametrize("kind", [Nifti1Image, Nifti2Image])
@pytest.mark.parametrize("dtype", ["u1", "i1", "<i2", ">i2", "u2", "i4", "u4", "i8", "u8", "f4", ">f4", "f8"])
def test_every_integer_and_float_type_is_read(tmp_path: Path, name: str, kind: type, dtype: str) -> None:
    data = DATA.clip(0, 200).astype(dtype)
    image = kind(data, AFFINE, dtype=data.dtype)
    content = image.to_bytes()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.lower().endswith("gz") else content)
    scan = read_volume(tmp_path / name, max_bytes=GIB).scan
    assert np.array_equal(scan.voxels[..., 0], data.T)
    assert scan.voxels.dtype.isnative
    assert np.allclose(scan.affine, nibabel.load(tmp_path / name).affine)
    assert scan.orientation == "LAS"


def test_gzip_is_detected_by_its_first_bytes(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.nii").write_bytes(gzip.compress(content))
    (tmp_path / "b.nii.gz").write_bytes(content)
    assert np.array_equal(voxels(tmp_path / "a.nii"), voxels(tmp_path / "b.nii.gz"))


def test_gzip_in_several_members_is_one_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(content[:400]) + gzip.compress(content[400:]))
    assert np.array_equal(voxels(tmp_path / "a.nii.gz"), DATA.T)


def test_slope_and_intercept_are_applied(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.nii").write_bytes(patched(content, 112, "<2f", -2, 100))
    assert np.array_equal(voxels(tmp_path / "a.nii"), DATA.T * -2.0 + 100)
    assert voxels(tmp_path / "a.nii").dtype == np.float32


@pytest.mark.parametrize("slope", [0.0, float("nan")])
@pytest.mark.parametrize("intercept", [0.0, 100.0, float("nan")])
def test_a_slope_of_zero_or_nan_is_ignored(tmp_path: Path, content: bytes, slope: float, intercept: float) -> None:
    (tmp_path / "a.nii").write_bytes(patched(content, 112, "<2f", slope, intercept))
    assert np.array_equal(voxels(tmp_path / "a.nii"), DATA.T)


@pytest.mark.parametrize(("slope", "intercept"), [(float("inf"), 0), (1, float("nan")), (2, float("inf"))])
def test_an_infinite_scale_is_refused(tmp_path: Path, content: bytes, slope: float, intercept: float) -> None:
    line = read_error(tmp_path / "a.nii", content=patched(content, 112, "<2f", slope, intercept))
    assert "scl_slope and scl_inter are" in line


def test_values_that_are_not_finite_become_the_background(tmp_path: Path) -> None:
    data = DATA.astype(np.float32)
    data[0, 0, 0], data[1, 1, 1], data[2, 2, 2] = np.nan, np.inf, -np.inf
    seen = voxels(save(tmp_path / "a.nii", data)).T
    assert seen[0, 0, 0] == seen[1, 1, 1] == seen[2, 2, 2] == DATA.min()
    assert voxels(save(tmp_path / "b.nii", np.abs(data)))[0, 0, 0] == 0


def test_a_fourth_axis_of_length_one_is_dropped(tmp_path: Path) -> None:
    assert voxels(save(tmp_path / "a.nii", DATA[..., None])).shape == (5, 6, 7)


def test_one_slice_is_a_volume(tmp_path: Path) -> None:
    assert voxels(save(tmp_path / "a.nii", DATA[..., :1])).shape == (1, 6, 7)


def test_extensions_are_skipped(tmp_path: Path) -> None:
    image = Nifti1Image(DATA, AFFINE)
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"MUSTERMANN"))
    nibabel.save(image, tmp_path / "a.nii")
    assert np.array_equal(voxels(tmp_path / "a.nii"), DATA.T)


@pytest.mark.parametrize(("unit", "factor"), [(0, 1), (1, 0.001), (2, 1), (3, 1000)])
def test_metres_and_micrometres_become_millimetres(tmp_path: Path, unit: int, factor: float) -> None:
    affine = AFFINE.copy()
    affine[:3] *= factor
    scan = read_volume(save(tmp_path / "a.nii", affine=affine, xyzt_units=unit), max_bytes=GIB).scan
    assert np.allclose(scan.affine, AFFINE, rtol=1e-4)


def test_the_sform_comes_before_the_qform(tmp_path: Path) -> None:
    image = Nifti1Image(DATA, AFFINE)
    image.header.set_qform(np.diag([2.0, 2, 2, 1]), 1)
    image.header.set_sform(AFFINE, 2)
    nibabel.save(image, tmp_path / "a.nii")
    assert np.allclose(read_volume(tmp_path / "a.nii", max_bytes=GIB).scan.affine, AFFINE)


def test_without_an_sform_the_qform_counts(tmp_path: Path) -> None:
    image = Nifti1Image(DATA, np.diag([-1.0, 1, 3, 1]))
    image.header.set_qform(np.diag([-1.0, 1, 3, 1]), 1)
    image.header.set_sform(None, 0)
    nibabel.save(image, tmp_path / "a.nii")
    scan = read_volume(tmp_path / "a.nii", max_bytes=GIB).scan
    assert scan.orientation == "LAS"
    assert not scan.orientation_assumed


def test_without_qform_and_sform_the_orientation_is_assumed_and_not_reported(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.nii").write_bytes(patched(content, 252, "<2h", 0, 0))
    scan = read_volume(tmp_path / "a.nii", max_bytes=GIB).scan
    assert scan.orientation_assumed
    assert scan.orientation is None
    assert scan.spacing_mm == pytest.approx(np.linalg.norm(AFFINE[:3, :3], axis=0)[::-1], rel=1e-4)


# --- what is refused


def test_a_missing_file_and_a_folder_have_their_own_messages(tmp_path: Path) -> None:
    assert "there is no such file" in read_error(tmp_path / "a.nii.gz")
    (tmp_path / "b.nii").mkdir()
    assert "is not a regular file" in read_error(tmp_path / "b.nii")


def test_bytes_of_another_format_are_refused(tmp_path: Path) -> None:
    for number, other in enumerate([b"", b"\x1f\x8b", b"no volume", bytes(1000), b"\x89PNG\r\n\x1a\n" * 100]):
        read_error(tmp_path / f"{number}.nii", content=other)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path, content: bytes, compressed: bool) -> None:
    valid_file = gzip.compress(content) if compressed else content
    for length in range(0, len(valid_file), 3 if compressed else 7):
        read_error(tmp_path / "a.nii", content=valid_file[:length])


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("more", [b"\0", b"more", b"\x1f\x8b"])
def test_bytes_after_the_last_voxel_are_refused(tmp_path: Path, content: bytes, compressed: bool, more: bytes) -> None:
    assert "; copy or export it again" in read_error(
        tmp_path / "a.nii", content=gzip.compress(content + more) if compressed else content + more
    )
    if compressed and more != b"\0":  # the gzip format allows zeros at the end
        assert "damaged" in read_error(tmp_path / "b.nii", content=gzip.compress(content) + b"??")


def test_every_flipped_bit_of_the_compressed_voxels_is_detected(tmp_path: Path, content: bytes) -> None:
    valid_file = gzip.compress(content, 0)  # stored as they are: only the checksum can tell
    generator = np.random.default_rng(0)
    start = valid_file.index(DATA.T.tobytes()[:50])
    for place in generator.integers(start, len(valid_file), 200):
        changed = bytearray(valid_file)
        changed[place] ^= 1 << int(generator.integers(8))
        read_error(tmp_path / "a.nii.gz", content=bytes(changed))


def test_four_dimensions_are_refused(tmp_path: Path) -> None:
    two_volumes = np.stack([DATA, DATA], axis=3)
    assert "has 2 volumes, expected 1; save each volume as its own file" in read_error(
        save(tmp_path / "a.nii", two_volumes)
    )


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128, [("R", "u1"), ("G", "u1"), ("B", "u1")]])
def test_colours_and_complex_numbers_are_refused(tmp_path: Path, dtype: Any) -> None:
    assert "datatype is" in read_error(save(tmp_path / "a.nii", np.zeros((3, 4, 5), dtype)))


@pytest.mark.parametrize("named", [".hdr", ".img"])
@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("kind", [Nifti1Pair, Nifti2Pair])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_pair_is_read_by_either_name(tmp_path: Path, named: str, packed: str, kind: type, order: str) -> None:
    image = kind(DATA, AFFINE)
    image.header.set_slope_inter(2, 10)
    nibabel.save(kind(DATA, AFFINE, image.header.as_byteswapped(order)), tmp_path / f"a.hdr{packed}")
    seen = read_volume(tmp_path / f"a{named}{packed}", max_bytes=GIB)
    expected = nibabel.load(tmp_path / f"a.hdr{packed}")
    assert np.array_equal(seen.scan.voxels[..., 0], np.asarray(expected.dataobj).T)
    assert np.array_equal(seen.grid.affine, expected.affine)
    assert seen.scan.source == str(tmp_path / f"a.hdr{packed}")


def test_a_pair_in_capitals_is_read(tmp_path: Path) -> None:
    nibabel.save(Nifti1Pair(DATA, AFFINE), tmp_path / "a.hdr")
    (tmp_path / "a.hdr").rename(tmp_path / "B.HDR")
    (tmp_path / "a.img").rename(tmp_path / "B.IMG")
    assert np.array_equal(voxels(tmp_path / "B.IMG"), DATA.T)


def test_the_mask_of_a_pair_is_one_file_on_its_grid(tmp_path: Path) -> None:
    nibabel.save(Nifti1Pair(DATA, AFFINE), tmp_path / "a.hdr")
    grid = read_volume(tmp_path / "a.img", max_bytes=GIB).grid
    nifti.write(tmp_path / "m.nii.gz", np.ones((5, 6, 7), np.uint8), grid, description="mask")
    mask = nibabel.load(tmp_path / "m.nii.gz")
    assert isinstance(mask, Nifti1Image)
    assert np.array_equal(mask.affine, nibabel.load(tmp_path / "a.hdr").affine)


@pytest.mark.parametrize(("kept", "missing"), [(".hdr", ".img"), (".img", ".hdr")])
def test_half_of_a_pair_names_the_other_half(tmp_path: Path, kept: str, missing: str) -> None:
    nibabel.save(Nifti1Pair(DATA, AFFINE), tmp_path / "a.hdr")
    (tmp_path / f"a{missing}").unlink()
    assert f"and its {missing} file is missing; copy the {missing} file beside it" in read_error(tmp_path / f"a{kept}")


def test_a_pair_whose_voxels_are_cut_short_names_the_voxel_file(tmp_path: Path) -> None:
    nibabel.save(Nifti1Pair(DATA, AFFINE), tmp_path / "a.hdr")
    content = (tmp_path / "a.img").read_bytes()
    (tmp_path / "a.img").write_bytes(content[:-1])
    with pytest.raises(FormatError, match=r"a\.img: is cut short"):
        read_volume(tmp_path / "a.hdr", max_bytes=GIB)


def test_an_analyze_header_is_refused_with_its_reason(tmp_path: Path) -> None:
    nibabel.save(AnalyzeImage(DATA, None), tmp_path / "a.hdr")
    assert "is an Analyze 7.5 header, which does not define left and right" in read_error(tmp_path / "a.hdr")


@pytest.mark.parametrize("value", [-1.0, 0.0, float("nan")])
@pytest.mark.parametrize("axis", [1, 2, 3])
def test_an_sform_needs_no_voxel_size(tmp_path: Path, content: bytes, value: float, axis: int) -> None:
    (tmp_path / "a.nii").write_bytes(patched(content, 76 + 4 * axis, "<f", value))
    grid = read_volume(tmp_path / "a.nii", max_bytes=GIB).grid
    assert np.allclose(grid.affine, AFFINE, atol=1e-6)


@pytest.mark.parametrize("value", [-1.0, 0.0, float("nan")])
@pytest.mark.parametrize("codes", [(1, 0), (0, 0)])  # the qform only; none
def test_a_voxel_size_is_needed_without_an_sform(
    tmp_path: Path, content: bytes, value: float, codes: tuple[int, int]
) -> None:
    changed = patched(patched(content, 80, "<f", value), 252, "<2h", *codes)
    line = read_error(tmp_path / "a.nii", GeometryError, content=changed)
    assert f"voxel size (pixdim[1] to pixdim[3]) is {value:g} x" in line
    assert "correct pixdim, or set an sform and sform_code" in line


def test_sizes_of_zero_beyond_the_third_axis_count_as_one(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.nii").write_bytes(patched(content, 40, "<5h", 4, 7, 6, 5, 0))
    volume = read_volume(tmp_path / "a.nii", max_bytes=GIB)
    assert np.array_equal(volume.scan.voxels[..., 0], DATA.T)
    nifti.write(tmp_path / "m.nii", np.ones((5, 6, 7), np.uint8), volume.grid, description="mask")
    assert nibabel.load(tmp_path / "m.nii").shape == (7, 6, 5, 1)


def test_a_dicom_file_named_nii_gets_the_true_reason(tmp_path: Path) -> None:
    line = read_error(tmp_path / "a.nii", content=bytes(128) + b"DICM" + bytes(400))
    assert "is a DICOM file, but its suffix is .nii; rename it to end in .dcm" in line


@pytest.mark.parametrize("value", [np.nan, np.inf, 7.0])
def test_a_volume_without_contrast_is_refused(tmp_path: Path, value: float) -> None:
    assert "voxels are all" in read_error(save(tmp_path / "a.nii", np.full((3, 4, 5), value, np.float32)))


@pytest.mark.parametrize("value", [1e31, 1e300])
def test_finite_values_over_1e30_are_refused(tmp_path: Path, value: float) -> None:
    data = DATA.astype(np.float64)
    data[0, 0, 0] = value
    path = save(tmp_path / "a.nii", data)
    if value > 1e38:  # infinite in float32: read as background
        voxels(path)
    else:
        read_error(path)


@pytest.mark.parametrize(
    ("offset", "form", "value", "words"),
    [
        (280, "<f", float("inf"), "affine is not a 4 x 4 matrix"),
        (280, "<f", float("nan"), "affine is not a 4 x 4 matrix"),
        (280, "<f", 5000.0, "expected 0.01 to 100 mm"),
        (280, "<4f", (0, 0, 0, 0), "; correct the affine"),
    ],
)
def test_an_invalid_grid_is_refused(
    tmp_path: Path, content: bytes, offset: int, form: str, value: Any, words: str
) -> None:
    values = value if isinstance(value, tuple) else (value,)
    message = read_error(tmp_path / "a.nii", GeometryError, content=patched(content, offset, form, *values))
    assert words in message


def test_a_qform_that_is_not_a_rotation_is_refused(tmp_path: Path) -> None:
    image = Nifti1Image(DATA, AFFINE)
    image.header.set_qform(AFFINE, 1)
    image.header.set_sform(None, 0)
    content = patched(patched(image.to_bytes(), 256, "<3f", 2, 2, 2), 252, "<2h", 1, 0)
    assert "qform is not a rotation" in read_error(tmp_path / "a.nii", GeometryError, content=content)


@pytest.mark.parametrize("offset", [0.0, 348.0, 351.0, 352.5, -1e9, float("nan"), float("inf"), 1e9])
def test_an_invalid_voxel_offset_is_refused(tmp_path: Path, content: bytes, offset: float) -> None:
    assert "vox_offset is" in read_error(tmp_path / "a.nii", content=patched(content, 108, "<f", offset))


@pytest.mark.parametrize("compressed", [False, True])
def test_a_volume_over_the_limit_is_refused_before_memory_is_allocated(
    tmp_path: Path, content: bytes, compressed: bool
) -> None:
    bomb = patched(content, 40, "<4h", 3, 2000, 2000, 2000) + bytes(20_000_000)
    file = tmp_path / "a.nii.gz"
    file.write_bytes(gzip.compress(bomb, 1) if compressed else bomb)
    tracemalloc.start()
    message = read_error(file, ResourceError)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "declares 8,000,000,000 voxels" in message
    assert "--max-memory" in message
    assert peak < 10_000_000


@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_shorter_than_declared_is_refused_before_memory_is_allocated(
    tmp_path: Path, content: bytes, compressed: bool
) -> None:
    short = patched(content, 40, "<4h", 3, 300, 300, 300)
    file = tmp_path / "a.nii.gz"
    file.write_bytes(gzip.compress(short) if compressed else short)
    tracemalloc.start()
    assert "is cut short" in read_error(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


def test_compressed_bytes_after_the_last_voxel_are_not_decompressed(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.nii.gz"
    file.write_bytes(gzip.compress(content + bytes(50_000_000), 1))
    tracemalloc.start()
    assert "has bytes after its last voxel" in read_error(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


# --- only our own errors leave the reader


def read_or_refuse(file: Path) -> None:
    start = time.perf_counter()
    try:
        scan = read_volume(file, max_bytes=GIB).scan
    except (FormatError, GeometryError, ResourceError):
        pass
    else:
        assert np.isfinite(scan.voxels).all()
    assert time.perf_counter() - start < 2


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(
    dim=st.lists(st.integers(-(2**15), 2**15 - 1) | st.integers(0, 8), min_size=8, max_size=8),
    datatype=st.sampled_from([2, 4, 8, 16, 64, 256, 512, 768, 1024, 1280]) | st.integers(-(2**15), 2**15 - 1),
    numbers=st.lists(st.floats(width=32), min_size=8, max_size=8),
    places=st.lists(st.sampled_from([76, 80, 84, 88, 108, 112, 116, 256, 260, 280, 284, 300]), min_size=8, max_size=8),
    codes=st.tuples(st.integers(-3, 5), st.integers(-3, 5)),
)
def test_any_header_is_refused_or_a_volume(
    folder: Path, dim: list[int], datatype: int, numbers: list[float], places: list[int], codes: tuple[int, int]
) -> None:
    content = VALID_FILE
    if dim[0] % 3:  # else the voxels that are there fit the header, and all of the reader is reached
        content = patched(content, 40, "<8h", *dim)
        content = patched(content, 70, "<h", datatype)
    content = patched(content, 252, "<2h", *codes)
    for place, number in zip(places[: dim[0] % 8], numbers, strict=False):
        content = patched(content, place, "<f", number)
    (folder / "a.nii").write_bytes(content)
    read_or_refuse(folder / "a.nii")


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(data=st.data(), compressed=st.booleans())
def test_a_damaged_file_is_refused_or_a_volume(folder: Path, data: st.DataObject, compressed: bool) -> None:
    content = bytearray(gzip.compress(VALID_FILE, mtime=0) if compressed else VALID_FILE)
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (folder / "damaged.nii").write_bytes(content)
    read_or_refuse(folder / "damaged.nii")


# --- what goes out


@pytest.mark.parametrize("kind", [Nifti1Image, Nifti2Image])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("shape", [(7, 6, 5), (7, 6, 5, 1), (7, 6, 1)])
@pytest.mark.parametrize("name", ["a_mask.nii.gz", "a_mask.nii"])
def test_a_mask_has_exactly_the_inputs_grid(tmp_path: Path, kind: type, order: str, shape: Any, name: str) -> None:
    image = kind(np.random.default_rng(0).integers(0, 9, shape, np.int16), AFFINE)
    image.header.set_sform(AFFINE, 2)
    image.header.set_qform(np.array([[0, 0, 2.0, 1], [0.7, 0.0, 0, 2], [0, 3.0, 0, 3], [0, 0, 0, 1]]), 3)
    image.header.set_xyzt_units("mm", "sec")
    content = kind.header_class(image.header.binaryblock).as_byteswapped(order).binaryblock
    voxel_bytes = np.asarray(image.dataobj).astype(order + "i2").tobytes(order="F")
    start = int(image.header_class().single_vox_offset)
    (tmp_path / "a.nii").write_bytes(
        patched_offset(content, kind, order, start) + bytes(start - len(content)) + voxel_bytes
    )
    volume = read_volume(tmp_path / "a.nii", max_bytes=GIB)
    mask = volume.scan.voxels[..., 0] > 4
    nifti.write(tmp_path / name, mask.astype(np.uint8), volume.grid, description="mask")
    before, after = nibabel.load(tmp_path / "a.nii"), nibabel.load(tmp_path / name)
    assert after.shape == before.shape == shape
    assert np.array_equal(after.affine, before.affine)
    for field in ("qform_code", "sform_code", "pixdim", "xyzt_units", "quatern_b", "qoffset_x", "srow_y", "dim"):
        assert np.array_equal(after.header[field], before.header[field], equal_nan=True), field
    assert np.array_equal(after.get_qform(), before.get_qform())
    assert np.array_equal(np.asarray(after.dataobj), (np.asarray(image.dataobj) > 4))
    assert after.get_data_dtype() == np.uint8
    assert b"gliomaseg" in bytes(after.header["descrip"])
    assert b"research only" in bytes(after.header["descrip"])


def patched_offset(content: bytes, kind: type, order: str, start: int) -> bytes:
    if kind is Nifti1Image:
        return patched(patched(content, 108, order + "f", start), 344, "4s", b"n+1\0")
    return patched(patched(content, 168, order + "q", start), 4, "4s", b"n+2\0")


def test_a_probability_comes_back(tmp_path: Path) -> None:
    volume = read_volume(save(tmp_path / "a.nii"), max_bytes=GIB)
    probability = np.random.default_rng(0).random((5, 6, 7), np.float32)
    nifti.write(tmp_path / "p.nii.gz", probability, volume.grid, description="probability")
    assert np.array_equal(voxels(tmp_path / "p.nii.gz"), probability)


def test_no_name_from_the_header_is_written(tmp_path: Path) -> None:
    names = {
        "descrip": b"MUSTERMANN^ERIKA",
        "aux_file": b"MUSTERMANN",
        "db_name": b"MUSTERMANN",
        "intent_name": b"MUSTER",
    }
    volume = read_volume(save(tmp_path / "a.nii", **names), max_bytes=GIB)
    nifti.write(tmp_path / "m.nii", np.zeros((5, 6, 7), np.uint8), volume.grid, description="mask")
    assert b"MUSTER" not in (tmp_path / "m.nii").read_bytes()


def test_the_same_mask_gives_the_same_bytes_under_any_name(tmp_path: Path) -> None:
    volume = read_volume(save(tmp_path / "a.nii"), max_bytes=GIB)
    for name in ("m.nii.gz", "other.nii.gz"):
        nifti.write(tmp_path / name, np.ones((5, 6, 7), np.uint8), volume.grid, description="mask")
    assert (tmp_path / "m.nii.gz").read_bytes() == (tmp_path / "other.nii.gz").read_bytes()


def test_voxels_of_another_shape_raise_value_error(tmp_path: Path) -> None:
    volume = read_volume(save(tmp_path / "a.nii"), max_bytes=GIB)
    with pytest.raises(ValueError, match="for a grid of"):
        nifti.write(tmp_path / "m.nii", np.ones((7, 6, 5), np.uint8), volume.grid, description="mask")


def test_a_new_header_has_the_given_grid(tmp_path: Path) -> None:
    nifti.write(tmp_path / "m.nii", np.ones((5, 6, 7), np.uint8), Grid((5, 6, 7), AFFINE), description="mask")
    image = nibabel.load(tmp_path / "m.nii")
    assert image.shape == (7, 6, 5)
    assert np.allclose(image.affine, AFFINE)
    assert isinstance(image.header, Nifti1Header)
    assert image.header.get_xyzt_units()[0] == "mm"
    assert (int(image.header["qform_code"]), int(image.header["sform_code"])) == (1, 1)


def test_a_new_header_of_a_sheared_grid_has_no_qform(tmp_path: Path) -> None:
    sheared = np.array([[1.0, 0, 2, 0], [0, 2, 0, 0], [0, 0, 5, 0], [0, 0, 0, 1]])
    nifti.write(tmp_path / "m.nii", np.ones((5, 6, 7), np.uint8), Grid((5, 6, 7), sheared), description="mask")
    image = nibabel.load(tmp_path / "m.nii")
    assert np.allclose(image.affine, sheared)
    assert (int(image.header["qform_code"]), int(image.header["sform_code"])) == (0, 1)


@pytest.mark.real_data
def test_the_real_volume_is_read(real_scans: Path) -> None:
    scan = read_volume(real_scans / "nifti" / "BraTS-GLI-00001-000-t2f.nii.gz", max_bytes=GIB).scan
    assert (scan.voxels.shape, scan.orientation, scan.spacing_mm) == ((155, 240, 240, 1), "LPS", (1, 1, 1))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_each_channel_of_a_4d_file_is_read_alone(tmp_path: Path, suffix: str) -> None:
    voxels = np.arange(2 * 3 * 4 * 3, dtype=np.int16).reshape(2, 3, 4, 3)
    file = tmp_path / f"a{suffix}"
    nibabel.Nifti1Image(voxels, np.eye(4)).to_filename(file)
    for channel in range(3):
        scan = read_volume(file, max_bytes=2**30, channel=channel).scan
        assert np.array_equal(scan.voxels[..., 0], voxels[..., channel].T)
    with pytest.raises(FormatError, match="has 3 channels, expected more than 3"):
        read_volume(file, max_bytes=2**30, channel=3)


@pytest.mark.parametrize(("change", "message"), [(-2, "is cut short"), (2, "has bytes after its last voxel")])
def test_a_4d_file_is_read_to_its_end(tmp_path: Path, change: int, message: str) -> None:
    voxels = np.arange(2 * 3 * 4 * 3, dtype=np.int16).reshape(2, 3, 4, 3)
    file = tmp_path / "a.nii"
    nibabel.Nifti1Image(voxels, np.eye(4)).to_filename(file)
    content = file.read_bytes()
    file.write_bytes(content[:change] if change < 0 else content + bytes(change))
    with pytest.raises(FormatError, match=message):
        read_volume(file, max_bytes=2**30, channel=0)
