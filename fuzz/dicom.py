"""Small DICOM files: MR slices in several transfer syntaxes, a zip of them, and a segmentation."""

from __future__ import annotations

import io
import tempfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pydicom
from mutate import MAX_BYTES, Original
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from gliomaseg.formats import Grid, dicom

_SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless)
_SHAPE = (3, 24, 20)
_AFFINE = np.diag([0.9, 0.9, 5.0, 1.0])


def originals(generator: np.random.Generator) -> list[Original]:
    """Return the files and their readers."""
    with tempfile.TemporaryDirectory() as folder:
        series, segmentation = Path(folder, "series"), Path(folder, "seg.dcm")
        dicom.write_series(series, generator.integers(0, 4096, _SHAPE).astype(np.uint16), _AFFINE)
        volume = dicom.read_dicom(series, max_bytes=MAX_BYTES)
        mask = generator.random(_SHAPE) < 0.5
        dicom.write_segmentation(
            segmentation, mask=mask, volume=volume, model_name="m", model_version="1", deidentify=True
        )
        slices = sorted(series.iterdir())
        files = [Original("a.dcm", in_syntax(slices[0], syntax), read) for syntax in _SYNTAXES]
        box = io.BytesIO()
        with zipfile.ZipFile(box, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in slices:
                archive.write(file, file.name)
        files.append(Original("a.zip", box.getvalue(), read))
        files.append(Original("a.dcm", segmentation.read_bytes(), read_labels))
    return files


def in_syntax(file: Path, syntax: UID) -> bytes:
    """Return a file in another transfer syntax."""
    data = pydicom.dcmread(file)
    box = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if syntax.is_encapsulated:
            data.compress(syntax, generate_instance_uid=False)
        data.file_meta.TransferSyntaxUID = syntax
        plain = {} if syntax.is_encapsulated else {"implicit_vr": syntax.is_implicit_VR, "little_endian": True}
        pydicom.dcmwrite(box, data, enforce_file_format=True, **plain)
    return box.getvalue()


def read(file: Path) -> None:
    """Read a series as `predict` does."""
    dicom.read_dicom(file, max_bytes=MAX_BYTES)


def read_labels(file: Path) -> None:
    """Read a segmentation as `evaluate` does."""
    dicom.read_labels(file, Grid(_SHAPE, _AFFINE), max_bytes=MAX_BYTES)
