"""What the DICOM tests share: small series in every form that is read."""

from __future__ import annotations

import copy
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, Sequence
from pydicom.encaps import encapsulate
from pydicom.uid import UID, EnhancedMRImageStorage

from files import shared_path
from gliomaseg.errors import GliomasegError
from gliomaseg.formats.dicom import Acquisition, DicomVolume, read_dicom, write_series
from orientation_cases import TURNS

SHAPE = (5, 40, 36)  # OpenJPEG writes no smaller ones
MOST_BYTES = 1 << 28


class Maker:
    """Writes, changes and reads small series: 5 slices of 40 rows and 36 columns, 12 bits, 0.9 x 0.8 x 5 mm."""

    affine = np.array([[0.8, 0, 0, -40.5], [0, 0.9, 0, 20.25], [0, 0, 5, -7], [0, 0, 0, 1.0]])

    def voxels(self, seed: int = 0, shape: tuple[int, ...] = SHAPE) -> NDArray[np.uint16]:
        """Return noise of 12 bits."""
        return np.random.default_rng(seed).integers(0, 4096, shape, np.uint16)

    def series(self, folder: Path, seed: int = 0, **acquisition: Any) -> Path:
        """Write a series and return its folder."""
        write_series(folder, self.voxels(seed), self.affine, acquisition=Acquisition(**acquisition))
        return folder

    def change(self, file: Path, **values: Any) -> None:
        """Set values of a file's header; None drops one."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = pydicom.dcmread(file)
            for keyword, value in values.items():
                if value is None:
                    data.pop(keyword, None)
                else:
                    setattr(data, keyword, value)
            data.save_as(file, enforce_file_format=True)

    def encode(self, folder: Path, syntax: UID, **values: Any) -> Path:
        """Store every file of a folder in another transfer syntax."""
        for file in files(folder):
            data = pydicom.dcmread(file)
            for keyword, value in values.items():
                setattr(data, keyword, value)
            self.store(data, file, syntax)
        return folder

    def store(self, data: Dataset, file: Path, syntax: UID) -> None:
        """Save a data set of native pixels in a transfer syntax."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if syntax.is_encapsulated:
                data.compress(syntax, generate_instance_uid=False)
            elif not syntax.is_little_endian:
                data.PixelData = np.frombuffer(data.PixelData, "<u2").astype(">u2").tobytes()
            data.file_meta.TransferSyntaxUID = syntax
            plain = {"implicit_vr": syntax.is_implicit_VR, "little_endian": syntax.is_little_endian}
            pydicom.dcmwrite(file, data, enforce_file_format=True, **({} if syntax.is_encapsulated else plain))

    def enhanced(self, folder: Path, file: Path, order: list[int] | None = None) -> Path:
        """Write a folder's series as one enhanced multi-frame file, its frames in the given order."""
        slices = [pydicom.dcmread(name) for name in files(folder)]
        slices = [slices[k] for k in order] if order else slices
        data = copy.deepcopy(slices[0])
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
        moved = "ImagePositionPatient ImageOrientationPatient PixelSpacing SliceThickness SpacingBetweenSlices EchoTime"
        for keyword in [*moved.split(), "InversionTime"]:
            del data[keyword]
        data.NumberOfFrames = len(slices)
        data.SharedFunctionalGroupsSequence = Sequence([_shared_groups(slices[0])])
        data.PerFrameFunctionalGroupsSequence = Sequence([_group(PlanePosition=own) for own in slices])
        data.PixelData = b"".join(own.PixelData for own in slices)
        data.save_as(file, enforce_file_format=True)
        return file

    def encode_jpeg(self, folder: Path, syntax: UID, encode: Callable[[NDArray[Any]], bytes]) -> Path:
        """Store every file of a folder as JPEG, which pydicom cannot encode."""
        for file in files(folder):
            data = pydicom.dcmread(file)
            frame = encode(data.pixel_array.view(f"u{data.pixel_array.itemsize}"))
            data.PixelData = encapsulate([frame])
            data["PixelData"].VR = "OB"
            data["PixelData"].is_undefined_length = True
            data.file_meta.TransferSyntaxUID = syntax
            pydicom.dcmwrite(file, data, enforce_file_format=True)
        return folder

    def bare(self, file: Path, *, keep_meta: bool = False) -> None:
        """Remove preamble and DICM, and the file header too unless it is kept."""
        content = file.read_bytes()[132:]
        if not keep_meta:  # (0002,0000) UL has the length of what follows it
            content = content[12 + int.from_bytes(content[8:12], "little") :]
        file.write_bytes(content)

    def zip(self, folder: Path, file: Path) -> Path:
        """Pack a folder."""
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as box:
            for name in files(folder):
                box.write(name, f"study/{name.name}")
        return file

    def read(self, path: Path, series: str | None = None) -> DicomVolume:
        """Read a series with room enough."""
        return read_dicom(path, series=series, max_bytes=MOST_BYTES)

    def refusal(self, path: Path, kind: type[GliomasegError], series: str | None = None) -> str:
        """Return the one line that a path is refused with."""
        with pytest.raises(kind) as caught:
            self.read(path, series)
        assert type(caught.value) is kind
        line = caught.value.line()
        assert "\n" not in line
        return line


def files(folder: Path) -> list[Path]:
    """Return the DICOM files of a folder, by name."""
    return sorted(folder.glob("*.dcm"))


def _group(**parts: Dataset) -> Dataset:
    keywords = {
        "PlanePosition": ["ImagePositionPatient"],
        "PlaneOrientation": ["ImageOrientationPatient"],
        "PixelMeasures": ["PixelSpacing", "SliceThickness", "SpacingBetweenSlices"],
    }
    group = Dataset()
    for name, own in parts.items():
        item = Dataset()
        for keyword in keywords[name]:
            setattr(item, keyword, own[keyword].value)
        setattr(group, f"{name}Sequence", Sequence([item]))
    return group


def _shared_groups(first: Dataset) -> Dataset:
    group = _group(PlaneOrientation=first, PixelMeasures=first)
    echo, modifier = Dataset(), Dataset()
    echo.EffectiveEchoTime = float(first.EchoTime)
    modifier.InversionRecovery = "YES"
    modifier.InversionTimes = [float(first.InversionTime)]
    group.MREchoSequence = Sequence([echo])
    group.MRModifierSequence = Sequence([modifier])
    return group


@pytest.fixture(scope="session")
def make() -> Maker:
    """Return what writes, changes and reads small series."""
    return Maker()


@pytest.fixture
def folder(make: Maker, tmp_path: Path) -> Path:
    """Write a small FLAIR series and return its folder."""
    return make.series(tmp_path / "series")


@pytest.fixture(params=[*TURNS, "enhanced", "enhanced, mixed"])
def volume(request: pytest.FixtureRequest, make: Maker, tmp_path: Path) -> DicomVolume:
    """Return a series of every kind that a segmentation may refer to."""
    if request.param in TURNS:
        affine = np.eye(4)
        affine[:3, :3] = TURNS[request.param] * (0.8, 0.9, 5)
        write_series(tmp_path / "series", make.voxels(), affine)
        return make.read(tmp_path / "series")
    order = [2, 0, 1, 4, 3] if "mixed" in request.param else None
    return make.read(make.enhanced(make.series(tmp_path / "series"), tmp_path / "enhanced.dcm", order))


@pytest.fixture(scope="session")
def real_series() -> Path:
    """Return the zip of a real T1 series, where it is at hand: see `real_data`."""
    return shared_path("scans", "dicom_t1_sagittal.zip")
