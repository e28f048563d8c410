"""highdicom, an independent reader, gives the same voxels and the same affine for every accepted series."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from highdicom import get_volume_from_series
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from gliomaseg.formats.dicom import DicomVolume, write_series
from gliomaseg.geometry import from_lps


def require_same(volume: DicomVolume, files: list[Path]) -> None:
    """Compare a volume with highdicom's, whose axes are (slice, row, column) and whose affine is LPS."""
    other = get_volume_from_series([pydicom.dcmread(file) for file in files])
    voxels = np.asarray(other.array)
    # highdicom's first axis may run against ours: its volumes are right-handed, with slices first.
    affine = from_lps(other.affine)[:, [2, 1, 0, 3]]
    if affine[:3, 2] @ volume.affine[:3, 2] < 0:
        affine[:3, 3] += affine[:3, 2] * (len(voxels) - 1)
        affine[:3, 2] *= -1
        voxels = voxels[::-1]
    assert np.array_equal(volume.voxels, voxels)
    assert np.allclose(volume.affine, affine, atol=1e-6)


def rotation(degrees: tuple[float, float, float]) -> Any:
    from scipy.spatial.transform import Rotation

    return Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()


@pytest.mark.parametrize("degrees", [(0, 0, 0), (10, -5, 30), (90, 0, 0), (0, 90, 0), (180, 0, 0), (20, 60, 110)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
def test_a_series_of_any_orientation(
    make: Any, degrees: tuple[float, float, float], dtype: type, tmp_path: Path
) -> None:
    affine = make.affine.copy()
    affine[:3, :3] = rotation(degrees) @ affine[:3, :3]
    voxels = (make.voxels() % 200).astype(dtype)
    write_series(tmp_path / "series", voxels, affine)
    volume = make.read(tmp_path / "series")
    assert np.array_equal(volume.voxels, voxels)
    require_same(volume, sorted((tmp_path / "series").iterdir()))


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_a_compressed_series(make: Any, folder: Path, syntax: str) -> None:
    make.encode(folder, syntax)
    require_same(make.read(folder), sorted(folder.iterdir()))


def test_a_series_with_a_slope_for_each_slice(make: Any, folder: Path) -> None:
    for k, file in enumerate(sorted(folder.iterdir())):
        make.change(file, RescaleSlope=k + 1, RescaleIntercept=-10)
    require_same(make.read(folder), sorted(folder.iterdir()))


def test_a_series_in_the_order_of_other_names(make: Any, folder: Path) -> None:
    for k, file in enumerate(sorted(folder.iterdir())):
        file.rename(folder / f"{(k * 2) % 5}-{k}.dcm")
    require_same(make.read(folder), sorted(folder.iterdir()))


@pytest.mark.real_data
def test_a_real_series(make: Any, real_series: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(real_series) as archive:
        archive.extractall(tmp_path)
    require_same(make.read(real_series), sorted(file for file in tmp_path.rglob("*") if file.is_file()))
