"""A real T1 series of a scanner: read, and a segmentation of it written."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest

from gliomaseg.errors import GeometryError
from gliomaseg.formats.dicom import list_series, write_segmentation

pytestmark = pytest.mark.real_data


def test_series_is_read_from_its_zip(make: Any, real_series: Path) -> None:
    volume = make.read(real_series)
    assert volume.voxels.shape == (35, 256, 256)
    assert volume.voxels.dtype == np.uint16
    assert volume.voxels.max() > 900
    assert np.allclose(volume.spacing_mm, (4.8, 1.015625, 1.015625), atol=1e-6)
    # Sagittal, from the patient's left to the right; rows run to the feet, columns to posterior.
    expected = [[0, 0, 4.8, -81.6], [-1.015625, 0, 0, 130], [0, -1.015625, 0, 130], [0, 0, 0, 1]]
    assert np.allclose(volume.affine, expected, atol=1e-6)
    assert not volume.series.is_flair


def test_pixels_equal_those_of_pydicom(make: Any, real_series: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(real_series) as box:
        box.extractall(tmp_path)
    volume = make.read(tmp_path)
    files = {pydicom.dcmread(file).SOPInstanceUID: pydicom.dcmread(file).pixel_array for file in tmp_path.iterdir()}
    for values, header in zip(volume.voxels, volume.headers, strict=True):
        assert np.array_equal(values, files[header.SOPInstanceUID])


def test_series_is_listed(real_series: Path) -> None:
    (series,) = list_series(real_series)
    assert (series.number, series.slices, series.rows, series.columns, series.is_flair) == (3, 35, 256, 256, False)
    assert series.description == "t1_fl2d_sag"


@pytest.mark.parametrize("number", ["0002.dcm", "0018.dcm", "0034.dcm"])
def test_series_without_one_slice_is_refused(make: Any, real_series: Path, tmp_path: Path, number: str) -> None:
    with zipfile.ZipFile(real_series) as box:
        box.extractall(tmp_path)
    (tmp_path / number).unlink()
    assert "is missing 1 slice" in make.refusal(tmp_path, GeometryError)


@pytest.mark.parametrize("deidentify", [False, True])
def test_segmentation_of_it_is_valid_and_comes_back(
    make: Any, real_series: Path, tmp_path: Path, deidentify: bool
) -> None:
    volume = make.read(real_series)
    mask = volume.voxels > 400
    file = tmp_path / "seg.dcm"
    write_segmentation(file, mask=mask, volume=volume, model_name="unet", model_version="1", deidentify=deidentify)
    read = highdicom.seg.segread(file)
    pixels = read.get_pixels_by_source_instance([header.SOPInstanceUID for header in volume.headers])
    assert np.array_equal(pixels[..., 0].astype(bool), mask)
    assert (b"crlab" in file.read_bytes()) is not deidentify  # the patient's id
    if shutil.which("dciodvfy"):
        done = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True, check=False)
        assert "Error" not in done.stderr, done.stderr
