"""Names of a patient: in no error, list, log or result, and in no segmentation that was asked to leave them out."""

from __future__ import annotations

import logging
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.datadict import DicomDictionary, keyword_for_tag
from pydicom.uid import JPEG2000Lossless

from gliomaseg.errors import GliomasegError
from gliomaseg.formats.dicom import list_series, write_segmentation

NAMES = """
    Abernathy Bellweather Cranshaw Dunworthy Eglantine Fotheringay Grimsditch Hollingbury Iverson Juniper
    Kettlewell Lovelace Mandeville Nightingale Ottershaw Pemberton Quillfeather Ravenscroft Silverthorne Underhay
""".split()  # noqa: SIM905
# What the reader decides by stays as it is; the description is tested by itself.
KEPT = {
    "SeriesDescription",
    "ProtocolName",
    "SpecificCharacterSet",
    "ImageType",
    "Modality",
    "PhotometricInterpretation",
    "ScanningSequence",
    "SequenceVariant",
}
TEXTS = ("PN", "LO", "SH", "ST", "LT", "UT", "CS", "UC", "AE")


def keywords() -> Iterator[tuple[str, str]]:
    """Yield the attributes of text in patient, study, series, equipment and acquisition: groups 8, 10, 18 and 20."""
    for tag, (vr, *_rest) in DicomDictionary.items():
        keyword = keyword_for_tag(tag)
        if tag >> 16 in (0x0008, 0x0010, 0x0018, 0x0020, 0x0032, 0x0040) and vr in TEXTS and keyword not in KEPT:
            yield keyword, vr


def plant(folder: Path) -> None:
    """Put the names wherever a text may stand, in sequences and private elements too."""
    attributes = list(keywords())
    for file in folder.iterdir():
        data = pydicom.dcmread(file)
        for k, (keyword, vr) in enumerate(attributes):
            name = NAMES[k % len(NAMES)]
            setattr(data, keyword, name.upper()[:16] if vr in ("CS", "AE") else name)
        for k, keyword in enumerate(("PatientName", "PatientID", "PatientComments", "OtherPatientNames")):
            setattr(data, keyword, NAMES[k])
        data.PatientBirthDate = "19610203"
        item = Dataset()
        item.PatientName, item.PatientID = NAMES[4], NAMES[5]
        data.ReferencedPatientPhotoSequence = data.OtherPatientIDsSequence = data.RequestAttributesSequence = [item]
        data.private_block(0x0029, "SOMEONE", create=True).add_new(1, "LO", NAMES[6])
        data.save_as(file)


def check(text: str) -> None:
    found = [name for name in [*NAMES, "19610203"] if name.upper() in text.upper()]
    assert not found, text


@pytest.fixture
def planted(make: Any, folder: Path) -> Path:
    """Return a series with 20 names in it."""
    plant(folder)
    return folder


def test_names_are_planted(planted: Path) -> None:
    text = (planted / "0001.dcm").read_bytes().decode("latin-1")
    assert all(name in text for name in NAMES)


def test_logged_values_do_not_contain_a_name(
    make: Any, planted: Path, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    caplog.set_level(logging.DEBUG)
    volume = make.read(planted)
    assert volume.voxels.shape[0] == 5
    check(repr(volume) + repr(list_series(planted)) + list_series(planted)[0].line())
    check(caplog.text)
    assert not recwarn.list


def test_description_is_in_the_list_and_not_in_a_repr(make: Any, folder: Path) -> None:
    for file in folder.iterdir():
        make.change(file, SeriesDescription="FLAIR of Underhay")
    assert "Underhay" in list_series(folder)[0].line()
    volume = make.read(folder)
    check(repr(volume) + repr(list_series(folder)))
    assert volume.series.description == "FLAIR of Underhay"


FAULTS: dict[str, dict[str, Any]] = {
    "no position": {"ImagePositionPatient": None},
    "a name for a position": {"ImagePositionPatient": NAMES},
    "a name for a spacing": {"PixelSpacing": [NAMES[0], NAMES[1]]},
    "a name for a photometric interpretation": {"PhotometricInterpretation": NAMES[0].upper()},
    "a name for a modality": {"Modality": NAMES[0].upper()},
    "a name for a UID": {"SeriesInstanceUID": NAMES[0]},
    "a name for a class": {"SOPClassUID": NAMES[0]},
    "a name for a number": {"SeriesNumber": NAMES[0]},
    "a name for an orientation": {"ImageOrientationPatient": NAMES[:6]},
    "a name for rows": {"Rows": 60_000},
    "a name for a slope": {"RescaleSlope": NAMES[0], "RescaleIntercept": NAMES[1]},
    "a name for a number of frames": {"NumberOfFrames": NAMES[0]},
    "a name for a character set": {"SpecificCharacterSet": NAMES[0]},
    "a localiser": {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]},
    "a duplicate": {"ImagePositionPatient": [40.5, -20.25, -7]},
    "a colour": {"SamplesPerPixel": 3},
}


def replace(file: Path, values: dict[str, Any]) -> None:
    """Set values, texts in the place of numbers included, which pydicom does not do: as bytes."""
    data = pydicom.dcmread(file)
    raw = {}
    for keyword, value in values.items():
        texts = value if isinstance(value, list) else [value]
        if any(isinstance(text, str) for text in texts):
            raw[keyword] = "\\".join(texts).encode()
            data.pop(keyword, None)
        elif value is None:
            del data[keyword]
        else:
            setattr(data, keyword, value)
    data.save_as(file)
    content = file.read_bytes()
    for keyword, value in raw.items():
        tag = pydicom.tag.Tag(keyword)
        vr = pydicom.datadict.dictionary_VR(tag).encode()
        even = value + b" " * (len(value) % 2)
        element = struct.pack("<HH2sH", tag.group, tag.element, vr, len(even)) + even
        at = content.index(struct.pack("<HH", 0x7FE0, 0x0010) + b"OW")
        content = content[:at] + element + content[at:]
    file.write_bytes(content)


@pytest.mark.parametrize("fault", FAULTS)
def test_error_messages_do_not_contain_a_name(
    make: Any, planted: Path, fault: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    replace(planted / "0002.dcm", FAULTS[fault])
    try:
        text = repr(make.read(planted))
    except GliomasegError as error:
        text = error.line() + repr(error) + str(error.args)
    printed = capfd.readouterr()
    check(text + printed.out + printed.err + caplog.text)


@pytest.mark.parametrize("length", range(200, 20_000, 1_777))
def test_error_messages_of_a_truncated_file_do_not_contain_a_name(make: Any, planted: Path, length: int) -> None:
    content = (planted / "0002.dcm").read_bytes()
    (planted / "0002.dcm").write_bytes(content[:length])
    try:
        make.read(planted)
    except GliomasegError as error:
        check(error.line())


def written(make: Any, planted: Path, file: Path, *, deidentify: bool) -> bytes:
    volume = make.read(planted)
    mask = np.zeros(volume.voxels.shape, bool)
    mask[2, 4:9, 5:11] = True
    write_segmentation(file, mask=mask, volume=volume, model_name="unet", model_version="1", deidentify=deidentify)
    return file.read_bytes()


def test_segmentation_has_the_patient_unless_deidentified(
    make: Any, planted: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    written(make, planted, tmp_path / "seg.dcm", deidentify=False)
    data = pydicom.dcmread(tmp_path / "seg.dcm")
    assert (str(data.PatientName), data.PatientID, data.PatientBirthDate) == (NAMES[0], NAMES[1], "19610203")
    assert "PatientIdentityRemoved" not in data or data.PatientIdentityRemoved != "YES"
    printed = capfd.readouterr()
    check(printed.out + printed.err + caplog.text)  # the file may name the patient, the log may not


@pytest.mark.parametrize("form", ["single", "enhanced", "compressed"])
def test_deidentified_segmentation_does_not_contain_a_name(make: Any, planted: Path, tmp_path: Path, form: str) -> None:
    path = planted
    if form == "enhanced":
        path = make.enhanced(planted, tmp_path / "enhanced.dcm")
        shutil.rmtree(planted)
    elif form == "compressed":
        path = make.encode(planted, JPEG2000Lossless)
    content = written(make, path, tmp_path / "seg.dcm", deidentify=True)
    check(content.decode("latin-1"))
    data = pydicom.dcmread(tmp_path / "seg.dcm")
    assert data.PatientIdentityRemoved == "YES"
    empty = "PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime StudyID AccessionNumber"
    assert not any(data[keyword].value for keyword in empty.split())
