"""A series of our own: read back to the same voxels and the same place, whatever its orientation."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gliomaseg.errors import GeometryError, OutputExistsError
from gliomaseg.formats.dicom import Acquisition, write_series

SPACING_MM = (0.9, 1.1, 5.5)
ORIGIN_MM = (-83.125, 97.4, -41.3)
VOXELS = np.random.default_rng(0).integers(0, 4096, (3, 4, 5), np.uint16)


def affine_of(directions: NDArray[np.float64]) -> NDArray[np.float64]:
    affine = np.eye(4)
    affine[:3, :3] = directions * SPACING_MM
    affine[:3, 3] = ORIGIN_MM
    return affine


def orientations() -> list[NDArray[np.float64]]:
    """Return the 48 ways in which three axes can lie along three others."""
    found = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            matrix = np.zeros((3, 3))
            matrix[list(order), [0, 1, 2]] = signs
            found.append(matrix)
    return found


def rotation(angles: tuple[float, float, float]) -> NDArray[np.float64]:
    a, b, c = angles
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    product: NDArray[np.float64] = about_x @ about_y @ about_z
    return product


@pytest.mark.parametrize("directions", orientations(), ids=lambda m: "".join(str(int(v)) for v in m.ravel()))
def test_every_orientation_comes_back(make: Any, tmp_path: Path, directions: NDArray[np.float64]) -> None:
    affine = affine_of(directions)
    write_series(tmp_path / "a", VOXELS, affine)
    volume = make.read(tmp_path / "a")
    if np.linalg.det(directions) > 0:
        assert np.array_equal(volume.voxels, VOXELS)
        assert np.allclose(volume.affine, affine, atol=1e-9)
    else:  # a left-handed grid: the slices come in reverse, at the same places
        assert np.array_equal(volume.voxels, VOXELS[::-1])
        last = affine @ [0, 0, len(VOXELS) - 1, 1]
        assert np.allclose(volume.affine[:, 3], last, atol=1e-9)
        assert np.allclose(volume.affine[:, :3], affine[:, :3] * (1, 1, -1), atol=1e-9)


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(angles=st.tuples(*[st.floats(-3.1, 3.1)] * 3))
def test_oblique_series_comes_back(make: Any, tmp_path: Path, angles: tuple[float, float, float]) -> None:
    shutil.rmtree(tmp_path / "a", ignore_errors=True)
    affine = affine_of(rotation(angles))
    write_series(tmp_path / "a", VOXELS, affine)
    volume = make.read(tmp_path / "a")
    assert np.array_equal(volume.voxels, VOXELS)
    assert np.allclose(volume.affine, affine, atol=1e-6)


def test_one_slice_comes_back(make: Any, tmp_path: Path) -> None:
    write_series(tmp_path / "a", VOXELS[:1], affine_of(np.eye(3)))
    assert np.allclose(make.read(tmp_path / "a").affine, affine_of(np.eye(3)), atol=1e-9)


def test_same_volume_is_the_same_files(make: Any, tmp_path: Path) -> None:
    for name in ("a", "b"):
        make.series(tmp_path / name)
    files = sorted((tmp_path / "a").iterdir())
    assert [file.name for file in files] == [f"000{k}.dcm" for k in range(1, 6)]
    assert all(file.read_bytes() == (tmp_path / "b" / file.name).read_bytes() for file in files)


def test_acquisition_is_written_to_the_header(make: Any, tmp_path: Path) -> None:
    t1 = Acquisition("T1", patient="P7", number=4, repetition_ms=500, echo_ms=9, inversion_ms=None)
    write_series(tmp_path / "a", VOXELS, affine_of(np.eye(3)), acquisition=t1)
    volume = make.read(tmp_path / "a")
    header = volume.headers[0]
    assert (volume.series.number, volume.series.description, volume.series.is_flair) == (4, "T1", False)
    assert (header.PatientID, header.EchoTime, header.RepetitionTime) == ("P7", 9, 500)
    assert "InversionTime" not in header


def test_series_of_one_patient_share_study_and_frame_of_reference(make: Any, tmp_path: Path) -> None:
    volumes = []
    for number in (1, 2):
        acquisition = Acquisition(number=number)
        write_series(tmp_path / str(number), VOXELS, affine_of(np.eye(3)), acquisition=acquisition)
        volumes.append(make.read(tmp_path / str(number)))
    first, second = (volume.headers[0] for volume in volumes)
    assert first.StudyInstanceUID == second.StudyInstanceUID
    assert first.FrameOfReferenceUID == second.FrameOfReferenceUID
    assert first.SeriesInstanceUID != second.SeriesInstanceUID
    assert first.SOPInstanceUID != second.SOPInstanceUID


@pytest.mark.parametrize(("row", "column"), [(0, 1), (1, 2), (0, 2)])
def test_sheared_grid_is_refused(tmp_path: Path, row: int, column: int) -> None:
    affine = affine_of(np.eye(3))
    affine[row, column] = 0.1
    with pytest.raises(GeometryError, match="right angles"):
        write_series(tmp_path / "a", VOXELS, affine)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_affine_without_a_size_is_refused(tmp_path: Path, value: float) -> None:
    affine = affine_of(np.eye(3))
    affine[1, 1] = value
    with pytest.raises(GeometryError, match="the affine"):
        write_series(tmp_path / "a", VOXELS, affine)


def test_other_arrays_are_a_fault_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="float64"):
        write_series(tmp_path / "a", VOXELS.astype(float), np.eye(4))
    with pytest.raises(ValueError, match="found"):
        write_series(tmp_path / "a", VOXELS[0], np.eye(4))


def test_folder_that_holds_something_is_left_alone(make: Any, folder: Path) -> None:
    with pytest.raises(OutputExistsError):
        make.series(folder)


@pytest.mark.parametrize("inversion_ms", [2500.0, None])
def test_files_stand_the_check_of_dciodvfy(make: Any, tmp_path: Path, inversion_ms: float | None) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("there is no dciodvfy (Debian: dicom3tools)")
    file = make.series(tmp_path / "a", inversion_ms=inversion_ms) / "0001.dcm"
    done = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "Error" not in done.stderr, done.stderr
