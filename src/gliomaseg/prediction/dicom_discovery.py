"""Which folders and zips below a folder hold the DICOM files of one examination."""

from __future__ import annotations

import os
from pathlib import Path

from gliomaseg.errors import ResourceError
from gliomaseg.formats import FORMATS, VOLUMES, stem_of, suffix_of
from gliomaseg.formats.dicom import is_dicom, study_of

MAX_FILES = 100_000
_OWN = "_mask"  # a segmentation of ours


def dicom_cases(root: Path) -> list[Path]:
    """Return the folders and zips below a folder that are one examination each, in order.

    A study is often a folder for each of its series: the folder above them all is then one case. Where the
    folders of several studies lie in one another, each folder that holds files is a case. Links to folders are
    not followed.

    Raises:
        ResourceError: more than 100,000 files lie there.
        MissingExtraError: DICOM files lie there, and the extra `dicom` is not installed.
    """
    folders, zips = _leaves(root)
    studies: dict[str, list[Path]] = {}
    for folder in folders:
        studies.setdefault(study_of(folder) or str(folder), []).append(folder)
    if len(studies) == 1 and not zips:
        return [root]
    cases = list(zips)
    for own in studies.values():
        above = Path(os.path.commonpath(own))
        others = [folder for folder in folders if folder not in own and folder.is_relative_to(above)]
        cases += own if others else [above]
    return sorted(cases)


def _leaves(root: Path) -> tuple[list[Path], list[Path]]:
    """Return the folders in which DICOM files lie, and the zips of such."""
    folders: list[Path] = []
    zips: list[Path] = []
    count = 0
    for parent, inside, names in os.walk(root, onerror=_raise):
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        count += len(names)
        if count > MAX_FILES:
            raise ResourceError(f"holds over {MAX_FILES:,} files", where=root, cure="name the cases' own folders")
        files = [Path(parent, name) for name in sorted(names) if not name.startswith(".")]
        files = [file for file in files if _may_be(file)]
        zips += [file for file in files if file.suffix.lower() == ".zip" and is_dicom(file)]
        if any(file.suffix.lower() != ".zip" and is_dicom(file) for file in files):
            folders.append(Path(parent))
    return folders, zips


def _may_be(file: Path) -> bool:
    return suffix_of(file) not in (*FORMATS, *VOLUMES) and not stem_of(file).endswith(_OWN)


def _raise(fault: OSError) -> None:
    raise fault
