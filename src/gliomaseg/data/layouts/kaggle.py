"""The layout of the LGG data set on Kaggle: `<patient>/<patient>_<n>.tif`, with `<patient>_<n>_mask.tif` beside it."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from gliomaseg.data.case import UNKNOWN, Case, Slice
from gliomaseg.data.case_list import CaseList, DataOptions, Problem
from gliomaseg.data.patients import LGG_NAME
from gliomaseg.errors import DataError, counted
from gliomaseg.formats import FileKind, suffix_of, suffixes
from gliomaseg.ownership import MANIFEST
from gliomaseg.system_files import is_system_file

_SLICE = re.compile(r"(?P<case>.+)_(?P<number>\d+)(?P<mask>_mask)?\.tiff?$", re.IGNORECASE)
_OTHER_FORMAT = re.compile(
    r"(?P<case>.+)_(?P<number>\d+)(_mask)?\.(png|jpe?g|bmp|gif|npy|dcm|nii|nii\.gz)$", re.IGNORECASE
)
NO_SLICE = "is not a slice of this case"
COPIES = ("kaggle_3m", "lgg-mri-segmentation/kaggle_3m")


@dataclass
class _Findings:
    problems: list[Problem] = field(default_factory=list)
    skipped: list[Problem] = field(default_factory=list)


def recognise(data: Path) -> bool:
    """Return whether a folder, its `kaggle_3m` or its `lgg-mri-segmentation/kaggle_3m` has a patient's folder.

    A folder that has the name of a patient and contains volumes belongs to another layout.
    """
    folders = (inside for folder in _candidates(data) if folder.is_dir() for inside in _patient_folders(folder))
    return any(not _has_volumes(folder) for folder in folders)


def read(data: Path, options: DataOptions) -> CaseList:
    """List the cases of the archive's root, of its `kaggle_3m`, or of a folder that `phantom` wrote.

    The Kaggle archive contains every file twice. Only one copy is ever read: the folder named, or its
    `kaggle_3m`, or its `lgg-mri-segmentation/kaggle_3m`, the first one with patients.

    Raises:
        DataError: the folder contains no patient, or no slice with a mask.
    """
    holders = [folder for folder in _candidates(data) if folder.is_dir() and _patient_folders(folder)]
    if not holders:
        raise _no_patient(data)
    root = holders[0]
    found = _Findings()
    folders = _patient_folders(root)
    cases = tuple(case for folder in folders if (case := _read_case(folder, found, options)).slices)
    known = {folder.name for folder in folders} | {Path(copy).parts[0] for copy in COPIES} | {MANIFEST}
    for entry in sorted(root.iterdir()):
        if entry.name not in known:
            found.skipped.append(Problem(entry.name, NO_SLICE))
            found.problems.extend(_unread_slices(entry))
    if not cases:
        raise _no_patient(root, "contains no slice with both an image and a mask")
    skipped = tuple(sorted(found.skipped, key=lambda entry: entry.where))
    return CaseList(root, cases, tuple(found.problems), skipped, tuple(holders[1:]), "kaggle")


def _candidates(data: Path) -> list[Path]:
    return [data, *(data / copy for copy in COPIES)]


def _no_patient(data: Path, what: str = "contains no patient folder") -> DataError:
    layout = "<patient>/<patient>_<n>.tif with <patient>_<n>_mask.tif beside it"
    volumes = suffixes(FileKind.VOLUME)
    volume = next((file for file in data.rglob("*") if suffix_of(file) in volumes and not is_system_file(file)), None)
    if volume is None:
        return DataError(what, where=data, cure=f"expected kaggle_3m/{layout}")
    what = f"has volumes ({volume.name}) and no slices: this command reads TIFF slices with masks only"
    return DataError(what, where=data, cure=f"convert the volumes to {layout}")


def _unread_slices(entry: Path) -> list[Problem]:
    """Return a problem for a folder or file that no patient's folder contains, and that looks like a patient's data."""
    if entry.is_symlink() and not entry.exists():
        return [Problem(entry.name, "is a broken link: it may be a patient's folder")]
    if entry.is_file():
        return [Problem(entry.name, "is a slice outside of a patient's folder")] if _is_slice(entry) else []
    if entry.name.startswith(".") or not entry.is_dir():
        return []
    slices = [file.name for file in sorted(entry.rglob("*")) if _is_slice(file)]
    if not slices:
        return []
    what = f"has {counted(len(slices), 'file')} of slices, not read: the first is {slices[0]}, not <folder>_<n>.tif"
    return [Problem(entry.name, what)]


def _stray_problems(entry: Path, numbers: Collection[int]) -> list[Problem]:
    """Return the problems of an entry of a patient's folder that belongs to none of its slices, by its name."""
    where = f"{entry.parent.name}/{entry.name}"
    if entry.is_dir():
        return [Problem(f"{entry.parent.name}/{problem.where}", problem.what) for problem in _unread_slices(entry)]
    if _is_slice(entry):
        return [Problem(where, "is a slice of another case")]
    other = _OTHER_FORMAT.match(entry.name)
    if other and other["case"] == entry.parent.name and int(other["number"]) not in numbers:
        return [Problem(where, "is a slice that is not a TIFF")]
    return []


def _is_slice(file: Path) -> bool:
    return _SLICE.match(file.name) is not None and not is_system_file(file)


def identify(name: str) -> tuple[str, str]:
    """Return (patient, site) of a folder's name; another form of name is its own patient, of site "unknown"."""
    match = LGG_NAME.match(name)
    return (match["patient"], match["site"]) if match else (name, UNKNOWN)


def _patient_folders(folder: Path) -> list[Path]:
    inside = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    return [entry for entry in inside if _is_patient(entry)]


def _has_volumes(folder: Path) -> bool:
    """Return whether a folder contains volumes or folders, and no slice: then it has no slices of this layout."""
    entries = [entry for entry in folder.iterdir() if not is_system_file(entry)]
    if any(_is_slice(entry) for entry in entries):
        return False
    other = suffixes(FileKind.VOLUME, FileKind.SERIES)
    return any(entry.is_dir() or suffix_of(entry) in other for entry in entries)


def _is_patient(folder: Path) -> bool:
    if LGG_NAME.match(folder.name):
        return True
    return any((m := _SLICE.match(entry.name)) and m["case"] == folder.name for entry in folder.iterdir())


def _read_case(folder: Path, found: _Findings, options: DataOptions) -> Case:
    images: dict[int, Path] = {}
    masks: dict[int, Path] = {}
    strays: list[Path] = []
    for entry in sorted(folder.iterdir()):
        match = _SLICE.match(entry.name)
        if not match or match["case"] != folder.name:
            strays.append(entry)
            continue
        if not entry.is_file():
            found.problems.append(Problem(f"{folder.name}/{entry.name}", "is not a file, or is a broken link"))
            continue
        side = masks if match["mask"] else images
        number = int(match["number"])  # not zero-padded: _10 sorts before _2 as text
        if number in side:
            found.problems.append(
                Problem(f"{folder.name}/{entry.name}", f"has the slice number of {side[number].name}")
            )
            continue
        side[number] = entry
    found.skipped.extend(Problem(f"{folder.name}/{entry.name}", NO_SLICE) for entry in strays)
    found.problems.extend(problem for entry in strays for problem in _stray_problems(entry, images.keys()))
    found.problems.extend(
        Problem(f"{folder.name}/{images[n].name}", "has no mask") for n in sorted(images.keys() - masks.keys())
    )
    found.problems.extend(
        Problem(f"{folder.name}/{masks[n].name}", "is a mask without an image")
        for n in sorted(masks.keys() - images.keys())
    )
    if not images and not masks:
        found.problems.append(Problem(folder.name, "contains no slice"))
    patient, site = identify(folder.name)
    both = sorted(images.keys() & masks.keys())
    slices = tuple(Slice(n, images[n], masks[n]) for n in both)
    date = match["date"] if (match := LGG_NAME.match(folder.name)) else None
    return Case(folder.name, patient, site, slices, date=date, labels=options.labels)
