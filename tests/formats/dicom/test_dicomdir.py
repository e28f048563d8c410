"""A disc whose DICOMDIR lists a file that is missing: it is never silent."""

from __future__ import annotations

import shutil
from collections.abc import Sequence as Many
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom import Dataset, FileDataset, Sequence
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage

from gliomaseg.errors import FormatError
from gliomaseg.formats.dicom import list_objects
from gliomaseg.inputs.find_inputs import list_inputs


def record(kind: str, **values: Any) -> Dataset:
    """Return one record of a directory."""
    entry = Dataset()
    entry.DirectoryRecordType = kind
    for keyword, value in values.items():
        setattr(entry, keyword, value)
    return entry


def write_index(disc: Path, folders: Many[Path]) -> Path:
    """Write a DICOMDIR that lists the files of series, each in one folder, by names without the suffix."""
    records = []
    for folder in folders:
        headers = {file: pydicom.dcmread(file, stop_before_pixels=True) for file in sorted(folder.iterdir())}
        records.append(record("SERIES", SeriesInstanceUID=next(iter(headers.values())).SeriesInstanceUID))
        for file, header in headers.items():
            parts = [part.upper() for part in file.relative_to(disc).with_suffix("").parts]
            uids = {"ReferencedSOPInstanceUIDInFile": header.SOPInstanceUID}
            records.append(record("IMAGE", ReferencedFileID=parts, **uids))
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(disc / "DICOMDIR"), {}, file_meta=meta, preamble=bytes(128))
    data.DirectoryRecordSequence = Sequence(records)
    pydicom.dcmwrite(disc / "DICOMDIR", data)
    return disc


@pytest.fixture
def disc(make: Any, tmp_path: Path) -> Path:
    """Return a disc with the folders A/S1 (FLAIR) and A/S2 (T1), and a DICOMDIR of both."""
    flair = make.series(tmp_path / "disc" / "A" / "S1", description="FLAIR", number=1)
    t1 = make.series(tmp_path / "disc" / "A" / "S2", seed=1, description="T1", number=2, inversion_ms=None, echo_ms=9)
    return write_index(tmp_path / "disc", [flair, t1])


def refusal(make: Any, path: Path) -> str:
    with pytest.raises(FormatError) as caught:
        make.read(path)
    return caught.value.line()


def test_a_whole_disc_has_no_missing_file(disc: Path, make: Any) -> None:
    assert not any("missing" in line for line in make.read(disc).skipped)


@pytest.mark.parametrize("folder", [".", "A", "A/S1"])
def test_a_disc_without_the_last_slice_of_the_series_is_refused(disc: Path, make: Any, folder: str) -> None:
    (disc / "A" / "S1" / "0005.dcm").unlink()
    line = refusal(make, disc / folder)
    assert "lacks 1 file of the series in its DICOMDIR: A/S1/0005; copy the whole disc again" in line


def test_a_zip_of_a_disc_without_the_last_slice_is_refused(disc: Path, make: Any, tmp_path: Path) -> None:
    (disc / "A" / "S1" / "0005.dcm").unlink()
    file = Path(shutil.make_archive(str(tmp_path / "disc"), "zip", disc))
    assert "A/S1/0005" in refusal(make, file)


def test_a_missing_file_of_another_series_is_named(disc: Path, make: Any) -> None:
    (disc / "A" / "S2" / "0002.dcm").unlink()
    assert "A/S2/0002: is listed in DICOMDIR and is missing" in make.read(disc).skipped


def test_renamed_files_are_not_missing(disc: Path, make: Any) -> None:
    for file in sorted((disc / "A" / "S1").iterdir()):
        file.rename(disc / f"slice {file.name}")
    assert not any("missing" in line for line in make.read(disc).skipped)


def test_a_damaged_index_does_not_matter(disc: Path, make: Any) -> None:
    (disc / "DICOMDIR").write_bytes((disc / "DICOMDIR").read_bytes()[:700])
    assert make.read(disc).voxels.shape[0] == 5


def test_a_patient_who_is_missing_on_a_disc_is_named(disc: Path, make: Any) -> None:
    other = make.series(disc / "B" / "S1", patient="B")
    last = make.series(disc / "C" / "S1", patient="C")
    write_index(disc, [disc / "A" / "S1", other, last])
    shutil.rmtree(disc / "C")
    assert [(file.path, file.reason) for file in list_inputs([disc]).skipped] == [
        (disc / "C" / "S1" / f"{number:04}", "is listed in DICOMDIR and is missing") for number in range(1, 6)
    ]


def test_a_missing_slice_on_a_disc_is_a_fault_of_a_data_set(disc: Path) -> None:
    (disc / "A" / "S1" / "0005.dcm").unlink()
    shutil.rmtree(disc / "A" / "S2")
    objects = list_objects(sorted(disc.rglob("*")))
    name = disc / "A" / "S1" / "0005"
    assert [entry for entry in objects.faults if entry[0] == name] == [(name, "is listed in DICOMDIR and is missing")]
    assert len([path for path, reason in objects.skipped if reason.endswith("and is missing")]) == 5
