"""pydicom is loaded by those who read DICOM, and its lack is said in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gliomaseg.errors import MissingExtraError
from gliomaseg.formats import dicom

HEAVY = ("pydicom", "highdicom", "openjpeg", "jpeg_ls", "pylibjpeg")


@pytest.mark.parametrize("module", ["gliomaseg.cli", "gliomaseg.formats", "gliomaseg.formats.dicom"])
def test_import_loads_no_dicom_library(module: str) -> None:
    code = f"import sys, {module}; print(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("module", ["pydicom", "openjpeg.utils", "jpeg_ls", "highdicom"])
def test_missing_library_names_the_extra(module: str, make: Any, folder: Path) -> None:
    calls = {
        "pydicom": "dicom.list_series(Path(sys.argv[1]))",
        "highdicom": "dicom.write_segmentation(Path('x'), mask=0, volume=0, model_name='', model_version='', "
        "deidentify=True)",
        "openjpeg.utils": "dicom.read_dicom(Path(sys.argv[1]), max_bytes=1 << 30)",
        "jpeg_ls": "dicom.read_dicom(Path(sys.argv[1]), max_bytes=1 << 30)",
    }
    from pydicom.uid import JPEG2000Lossless, JPEGLSLossless

    if module in ("openjpeg.utils", "jpeg_ls"):
        make.encode(folder, JPEGLSLossless if module == "jpeg_ls" else JPEG2000Lossless)
    code = f"""
import sys
from pathlib import Path
sys.modules[{module!r}] = None
from gliomaseg.errors import MissingExtraError
from gliomaseg.formats import dicom
try:
    {calls[module]}
except MissingExtraError as fault:
    print(fault.line())
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout.strip().endswith('pip install "gliomaseg[dicom]"'), done.stderr


def test_public_names_are_these() -> None:
    assert dicom.__all__ == [
        "IS_MISSING",
        "SUFFIXES",
        "Acquisition",
        "DicomObjects",
        "DicomVolume",
        "LabelMasks",
        "MaskObject",
        "Series",
        "SeriesChoiceError",
        "SeriesIdentity",
        "SeriesObject",
        "choose_series",
        "is_dicom",
        "is_index",
        "list_objects",
        "list_series",
        "missing_on_disc",
        "read_dicom",
        "read_every_series",
        "read_labels",
        "study_of",
        "write_segmentation",
        "write_series",
    ]
    assert issubclass(MissingExtraError, Exception)
