"""A DICOM segmentation as masks on the grid of its series: by this package, by highdicom, and damaged ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from dicom_masks import write_segments, write_structures
from gliomaseg.errors import DataError, FormatError, GeometryError, GliomasegError, ResourceError
from gliomaseg.formats.dicom import DicomVolume, LabelMasks, SeriesIdentity, read_labels, write_segmentation
from gliomaseg.formats.scan_file import Grid
from gliomaseg.geometry import from_lps

MAX_BYTES = 1 << 28


@pytest.fixture
def plain(make: Any, folder: Path) -> DicomVolume:
    """Return the small axial series: 5 slices of 40 rows and 36 columns."""
    return make.read(folder)


def noise(seed: int = 0, shape: tuple[int, ...] = (5, 40, 36)) -> NDArray[np.bool_]:
    """Return a mask whose slices differ, and are neither empty nor alike in any direction."""
    return np.random.default_rng(seed).random(shape) < 0.1


def read(path: Path, volume: DicomVolume, **options: Any) -> LabelMasks:
    return read_labels(path, volume.grid, **{"max_bytes": MAX_BYTES, **options})


def refusal(path: Path, volume: DicomVolume, kind: type[GliomasegError], **options: Any) -> str:
    with pytest.raises(kind) as caught:
        read(path, volume, **options)
    assert type(caught.value) is kind
    assert "\n" not in caught.value.line()
    return caught.value.line()


def identity(volume: DicomVolume) -> SeriesIdentity:
    return SeriesIdentity(volume.series_uid, volume.headers[0].FrameOfReferenceUID)


def test_own_segmentation_comes_back_voxel_by_voxel(volume: DicomVolume, tmp_path: Path) -> None:
    file = tmp_path / "seg.dcm"
    write_segmentation(file, mask=noise(), volume=volume, model_name="m", model_version="1", deidentify=True)
    labelled = read(file, volume, series=identity(volume))
    assert list(labelled.masks) == [1]
    assert labelled.names == {1: "Tumour"}
    assert np.array_equal(labelled.masks[1], noise())


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
def test_every_kind_gives_the_same_masks(kind: str, plain: DicomVolume, tmp_path: Path) -> None:
    masks = {1: noise(1), 2: noise(2) & ~noise(1)}
    stored = {key: mask.astype(np.float32) if kind == "FRACTIONAL" else mask for key, mask in masks.items()}
    labelled = read(write_segments(tmp_path / "seg.dcm", plain, stored, kind=kind), plain)
    assert {key: mask.tolist() for key, mask in labelled.masks.items()} == {k: m.tolist() for k, m in masks.items()}


def test_half_of_the_largest_fraction_is_inside(plain: DicomVolume, tmp_path: Path) -> None:
    shares = np.zeros((5, 40, 36), np.float32)
    shares[2, 3, :4] = 0.4, 0.49, 0.51, 1.0
    labelled = read(write_segments(tmp_path / "seg.dcm", plain, {1: shares}, kind="FRACTIONAL"), plain)
    assert np.argwhere(labelled.masks[1]).tolist() == [[2, 3, 2], [2, 3, 3]]


def test_overlapping_segments_are_whole_masks(plain: DicomVolume, tmp_path: Path) -> None:
    masks = {1: noise(1), 2: noise(1) | noise(2)}
    labelled = read(write_segments(tmp_path / "seg.dcm", plain, masks), plain)
    assert np.array_equal(labelled.masks[1], masks[1])
    assert np.array_equal(labelled.masks[2], masks[2])
    assert np.array_equal(labelled.union(), masks[2])
    assert np.array_equal(labelled.union({1}), masks[1])
    assert not labelled.union({3}).any()


def test_only_named_labels_are_read(plain: DicomVolume, tmp_path: Path) -> None:
    file = write_segments(tmp_path / "seg.dcm", plain, {1: noise(1), 2: noise(2)})
    labelled = read(file, plain, labels={2})
    assert list(labelled.masks) == [2]
    assert set(labelled.names) == {1, 2}


def test_slices_without_a_frame_are_empty(plain: DicomVolume, tmp_path: Path) -> None:
    mask = noise()
    mask[[0, 2, 4]] = False
    file = write_segments(tmp_path / "seg.dcm", plain, {1: mask})
    assert pydicom.dcmread(file).NumberOfFrames == 2
    assert np.array_equal(read(file, plain).masks[1], mask)


def test_one_frame_is_enough(plain: DicomVolume, tmp_path: Path) -> None:
    mask = noise()
    mask[[0, 1, 2, 4]] = False
    assert np.array_equal(read(write_segments(tmp_path / "seg.dcm", plain, {1: mask}), plain).masks[1], mask)


def test_frames_may_have_any_order(plain: DicomVolume, tmp_path: Path) -> None:
    file = write_segments(tmp_path / "seg.dcm", plain, {1: noise()}, kind="FRACTIONAL", omit_empty=False)
    data = pydicom.dcmread(file)
    order = [3, 0, 4, 1, 2]
    frames = data.pixel_array[order]
    groups = data.PerFrameFunctionalGroupsSequence
    data.PerFrameFunctionalGroupsSequence = pydicom.Sequence([groups[k] for k in order])
    data.PixelData = frames.tobytes()
    data.save_as(file)
    assert np.array_equal(read(file, plain).masks[1], noise())


def lps_volume(volume: DicomVolume, axes: list[int], flips: list[int]) -> highdicom.Volume:
    """Return the grid of a series with its axes (slice, row, column) exchanged and reversed."""
    lps = from_lps(volume.affine)[:, [2, 1, 0, 3]]
    grid = highdicom.Volume(
        np.zeros(volume.voxels.shape, np.uint8), lps, "PATIENT", volume.headers[0].FrameOfReferenceUID
    )
    return grid.permute_spatial_axes(axes).flip_spatial(flips) if flips else grid.permute_spatial_axes(axes)


@pytest.mark.parametrize("axes", [[0, 1, 2], [1, 0, 2], [2, 1, 0], [0, 2, 1], [1, 2, 0]])
@pytest.mark.parametrize("flips", [[], [0], [1], [0, 2], [0, 1, 2]])
def test_segmentation_of_another_orientation_is_turned(
    axes: list[int], flips: list[int], plain: DicomVolume, tmp_path: Path
) -> None:
    turned = np.flip(noise().transpose(axes), flips) if flips else noise().transpose(axes)
    geometry = lps_volume(plain, axes, flips)
    file = write_segments(tmp_path / "seg.dcm", plain, {1: turned}, geometry=geometry)
    assert np.array_equal(read(file, plain).masks[1], noise())


def test_part_of_the_grid_is_enough(plain: DicomVolume, tmp_path: Path) -> None:
    part = lps_volume(plain, [0, 1, 2], [])[1:4, 5:25, 8:30]
    file = write_segments(tmp_path / "seg.dcm", plain, {1: noise()[1:4, 5:25, 8:30]}, geometry=part)
    expected = np.zeros_like(noise())
    expected[1:4, 5:25, 8:30] = noise()[1:4, 5:25, 8:30]
    assert np.array_equal(read(file, plain).masks[1], expected)


@pytest.mark.parametrize(
    ("shift", "scale"),
    [((0.4, 0, 0), 1), ((0, 0, 2.5), 1), ((0, 0.9 * 39, 0), 1), ((0, 0, 0), 1.1)],
    ids=["half a pixel", "half a slice", "outside", "another spacing"],
)
def test_segmentation_on_another_grid_is_refused(
    shift: tuple[float, ...], scale: float, plain: DicomVolume, tmp_path: Path
) -> None:
    file = write_segments(tmp_path / "seg.dcm", plain, {1: noise()})
    affine = plain.affine.copy()
    affine[:3, 3] += shift
    affine[:3, 0] *= scale
    with pytest.raises(GeometryError) as caught:
        read_labels(file, Grid((5, 40, 36), affine), max_bytes=MAX_BYTES)
    line = caught.value.line()
    assert line.count("36 x 40 x 5 voxels of") == 2  # both grids
    assert "0.8 x 0.9 x 5 mm" in line
    assert "nearest" not in line


def test_thicker_slices_are_refused(plain: DicomVolume, tmp_path: Path) -> None:
    file = write_segments(tmp_path / "seg.dcm", plain, {1: noise()})
    affine = plain.affine.copy()
    affine[:3, 2] /= 2  # every second slice would be empty
    with pytest.raises(GeometryError, match=r"slice spacing is 5 mm, expected 2\.5 mm"):
        read_labels(file, Grid((9, 40, 36), affine), max_bytes=MAX_BYTES)


def test_rounded_positions_are_accepted(make: Any, plain: DicomVolume, tmp_path: Path) -> None:
    file = write_segments(tmp_path / "seg.dcm", plain, {1: noise()})
    affine = plain.affine + 0.0
    affine[:3, 3] += 0.01
    assert np.array_equal(read_labels(file, Grid((5, 40, 36), affine), max_bytes=MAX_BYTES).masks[1], noise())


def test_mask_of_another_series_is_refused_by_its_uids(make: Any, plain: DicomVolume, tmp_path: Path) -> None:
    other = make.read(make.series(tmp_path / "other", description="another"))
    for file in (
        write_segments(tmp_path / "seg.dcm", other, {1: noise()}),
        write_structures(tmp_path / "rt.dcm", other, {}),
    ):
        line = refusal(file, plain, DataError, series=identity(plain))
        assert f"refers to series {other.series_uid}, expected series {plain.series_uid}" in line


def test_mask_without_a_series_is_accepted_by_its_frame_of_reference(
    make: Any, plain: DicomVolume, tmp_path: Path
) -> None:
    file = write_segments(tmp_path / "seg.dcm", plain, {1: noise()})
    make.change(file, ReferencedSeriesSequence=None)
    assert np.array_equal(read(file, plain, series=identity(plain)).masks[1], noise())
    make.change(file, FrameOfReferenceUID="1.2.3")
    line = refusal(file, plain, DataError, series=identity(plain))
    assert "refers to frame of reference 1.2.3, expected " + plain.headers[0].FrameOfReferenceUID in line


def test_series_is_identified(plain: DicomVolume) -> None:
    assert plain.identity == identity(plain)


def test_folder_with_one_mask_among_images_is_read(folder: Path, plain: DicomVolume) -> None:
    write_segments(folder / "seg.dcm", plain, {1: noise()})
    assert np.array_equal(read(folder, plain).masks[1], noise())
    write_segments(folder / "two.dcm", plain, {1: noise()})
    assert "has 2 segmentations or structure sets (seg.dcm, two.dcm), expected 1" in refusal(folder, plain, DataError)


def test_image_is_not_a_mask(folder: Path, plain: DicomVolume) -> None:
    line = refusal(folder / "0001.dcm", plain, FormatError)
    assert "is MR Image Storage, expected a DICOM segmentation or structure set" in line


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"SegmentSequence": None}, "SegmentNumber of a segment is missing"),
        ({"SegmentationType": "OTHER"}, "SegmentationType is not BINARY"),
        ({"NumberOfFrames": 3}, "NumberOfFrames is 3, expected 5"),
        ({"Rows": None}, "size is 36 x 0 pixels"),
        ({"PixelData": None}, "is damaged"),
        ({"PerFrameFunctionalGroupsSequence": None}, "expected 0 as in PerFrame"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_damaged_segmentation_is_one_line(
    change: dict[str, Any], what: str, make: Any, plain: DicomVolume, tmp_path: Path
) -> None:
    file = write_segments(tmp_path / "seg.dcm", plain, {1: noise()})
    make.change(file, **change)
    assert what in refusal(file, plain, FormatError)


def test_truncated_segmentation_is_one_line(plain: DicomVolume, tmp_path: Path) -> None:
    file = write_segments(tmp_path / "seg.dcm", plain, {1: noise()})
    content = file.read_bytes()
    for size in (0, 100, 1_000, len(content) // 2, len(content) - 100):
        file.write_bytes(content[:size])
        refusal(file, plain, FormatError)


def test_masks_above_the_limit_are_refused(plain: DicomVolume, tmp_path: Path) -> None:
    file = write_segments(tmp_path / "seg.dcm", plain, {1: noise()})
    with pytest.raises(ResourceError, match=r"declares .* MB of masks, over the limit"):
        read_labels(file, Grid((10_000, 400, 400), plain.affine), max_bytes=1 << 20)


def test_descriptions_of_segments_may_be_incomplete(make: Any, plain: DicomVolume, tmp_path: Path) -> None:
    file = write_segments(tmp_path / "seg.dcm", plain, {1: noise()})
    data = pydicom.dcmread(file)
    for keyword in ("SegmentedPropertyCategoryCodeSequence", "SegmentAlgorithmType", "SegmentLabel"):
        del data.SegmentSequence[0][keyword]
    data.save_as(file)
    assert np.array_equal(read(file, plain).masks[1], noise())


def test_deflated_and_compressed_segmentations_are_read(plain: DicomVolume, tmp_path: Path) -> None:
    masks = {1: noise().astype(np.float32)}
    for syntax in ("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2"):
        file = write_segments(tmp_path / f"{syntax}.dcm", plain, masks, kind="FRACTIONAL")
        data = pydicom.dcmread(file)
        if syntax.endswith(".5"):
            data.compress(syntax)
        data.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
        implicit = {"implicit_vr": True, "little_endian": True} if syntax == "1.2.840.10008.1.2" else {}
        pydicom.dcmwrite(file, data, enforce_file_format=True, **implicit)
        assert np.array_equal(read(file, plain).masks[1], noise())


def test_real_series_gets_its_mask_back_point_by_point(real_series: Path, make: Any, tmp_path: Path) -> None:
    volume = make.read(real_series)
    mask = noise(shape=volume.voxels.shape)
    file = tmp_path / "seg.dcm"
    write_segmentation(file, mask=mask, volume=volume, model_name="m", model_version="1", deidentify=True)
    assert np.array_equal(read(file, volume, series=volume.identity).union(), mask)
