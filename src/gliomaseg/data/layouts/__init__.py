"""Layouts of data sets on disk: one module each, all with the same result, a list of cases.

A layout has two functions: `recognise(data)` looks at file names only and is quick; `read(data, options)` lists the
cases. A new layout is one module and one entry in `LAYOUTS`; tests/contracts/test_layouts.py checks the whole table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gliomaseg.data.case_list import CaseList, DataOptions
from gliomaseg.data.layouts import bids, brats, dicom, kaggle, manifest, nnunet, pairs
from gliomaseg.data.patients import with_patients
from gliomaseg.errors import DataError, UsageError

__all__ = ["LAYOUTS", "Layout", "read_cases"]


@dataclass(frozen=True)
class Layout:
    """A form in which data sets lie on disk.

    Attributes:
        shape: the files that it expects, in a line for people.
        recognise: whether a file or folder has this layout, by names only.
        read: returns the cases.
        finds_patients: whether `read` applies the pattern of patients by itself, to the names of files. In other
            layouts it is applied to the names of cases.
    """

    shape: str
    recognise: Callable[[Path], bool]
    read: Callable[[Path, DataOptions], CaseList]
    finds_patients: bool = False


LAYOUTS: dict[str, Layout] = {
    "manifest": Layout(
        "a CSV, TSV or JSON file with case, patient, flair and mask in each row", manifest.recognise, manifest.read
    ),
    "kaggle": Layout(
        "<patient>/<patient>_<n>.tif with <patient>_<n>_mask.tif beside it", kaggle.recognise, kaggle.read
    ),
    "brats": Layout("<case>/*flair*.nii.gz with *seg*.nii.gz beside it", brats.recognise, brats.read),
    "bids": Layout(bids.SHAPE, bids.recognise, bids.read),
    "dicom": Layout(dicom.SHAPE, dicom.recognise, dicom.read),
    "nnunet": Layout(nnunet.SHAPE, nnunet.recognise, nnunet.read),
    "pairs": Layout("images/<name>.png with masks/<name>.png", pairs.recognise, pairs.read, finds_patients=True),
}


def read_cases(data: Path, options: DataOptions | None = None) -> CaseList:
    """List the cases of a data set.

    Args:
        data: a folder, or a manifest file.
        options: layout, labels and patients; all are recognised if None.

    Raises:
        DataError: there is no such data set, it has no layout known here or no case, or it cannot be read.
        UsageError: two layouts fit, the layout has an unknown name, or the pattern of patients is invalid.
    """
    options = options or DataOptions()
    if not data.exists():
        cure = "name the folder that `gliomaseg download` or `phantom` wrote, or a data set of your own"
        raise DataError("folder does not exist", where=data, cure=cure)
    if options.layout is not None and options.layout not in LAYOUTS:
        what = f"layout is {options.layout!r}, expected one of {', '.join(LAYOUTS)}"
        raise UsageError(what, where="--layout", cure="omit it, to recognise the layout")
    try:
        layout = LAYOUTS[options.layout or _recognise(data)]
        cases = layout.read(data, options)
    except OSError as fault:
        raise DataError(f"cannot be read ({fault.strerror})", where=fault.filename or data) from fault
    if options.patient_pattern is None or layout.finds_patients:
        return cases
    return with_patients(cases, options.patient_pattern)


def _recognise(data: Path) -> str:
    """Return the name of the only layout that fits."""
    fitting = [name for name, layout in LAYOUTS.items() if layout.recognise(data)]
    if len(fitting) > 1:
        what = f"fits the layouts {' and '.join(fitting)}"
        raise UsageError(what, where=data, cure=f"choose one: --layout {fitting[0]}")
    if not fitting:
        shapes = "; ".join(f"{name}: {layout.shape}" for name, layout in LAYOUTS.items())
        raise DataError("has no layout that is known here", where=data, cure=f"expected one of: {shapes}")
    return fitting[0]
