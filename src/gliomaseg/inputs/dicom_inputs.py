"""The DICOM examinations in a folder: their folders and zips, each one input."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from gliomaseg.errors import FormatError, MissingExtraError
from gliomaseg.formats import SHARED_SUFFIXES, FileKind, stem_of, suffix_of, suffixes
from gliomaseg.formats.dicom import IS_MISSING, is_dicom, is_index, missing_on_disc, study_of
from gliomaseg.inputs.folder_listing import FolderFiles, FolderListing
from gliomaseg.inputs.input import Input, Kind, SkippedFile

_OTHER = suffixes(FileKind.IMAGE, FileKind.VOLUME) - SHARED_SUFFIXES
_DICOM = suffixes(FileKind.SERIES)


@dataclass(frozen=True)
class DicomInputs:
    """The DICOM inputs in a folder.

    Attributes:
        inputs: one for each examination.
        folders: the folders that directly have DICOM files.
        discs: the folders with the index of a disc, which has images of its viewer beside those of the patient.
        skipped: files that are neither DICOM nor in a format of images or volumes, outside the examinations.
    """

    inputs: tuple[Input, ...]
    folders: tuple[Path, ...]
    discs: tuple[Path, ...]
    skipped: tuple[SkippedFile, ...]

    @cached_property
    def _above(self) -> set[Path]:
        return _ancestors(self.folders)

    @cached_property
    def _cases(self) -> set[Path]:
        return {entry.path for entry in self.inputs}

    def contain(self, folder: Path) -> bool:
        """Return whether a folder lies in a folder of DICOM files or on a disc of them."""
        return not _ancestors([folder]).isdisjoint((*self.folders, *self.discs))

    def include(self, file: Path, folder: FolderFiles) -> bool:
        """Return whether a file is DICOM in spite of its suffix, such as .jpg, and read as part of an examination."""
        is_inside = not folder.is_linked and not self._cases.isdisjoint(file.parents)
        return is_inside and is_dicom(file)

    def lie_below(self, folder: Path) -> bool:
        """Return whether a folder has DICOM files at any depth."""
        return folder in self._above


def find_dicom(root: Path, listing: FolderListing, *, is_alone: bool = True) -> DicomInputs:
    """Return the DICOM examinations in a folder and below it, in order.

    A study often has a folder for each of its series: the folder above them all is then one input. If the folders of
    several studies are nested, each folder with files is an input. Links to folders are not followed. Without the
    extra `dicom`, each folder with files is an input with a fault. With `is_alone`, no other scans are in the folder:
    an only study then has the whole folder as its path.
    """
    folders: list[Path] = []
    zips: list[Path] = []
    others: list[SkippedFile] = []
    broken: list[Path] = []
    for folder in listing.folders:
        files = [file for file in folder.files if suffix_of(file) not in _OTHER and not is_index(file)]
        dicom = {file for file in files if not stem_of(file).endswith("_mask") and is_dicom(file)}
        others += [
            SkippedFile(file, _reason(file))
            for file in files
            if file not in dicom and suffix_of(file) not in SHARED_SUFFIXES
        ]
        links, unlike = _broken_links(folder, has_dicom=any(file.suffix.lower() != ".zip" for file in dicom))
        broken += links
        others += [SkippedFile(link, "is a broken link") for link in unlike]
        if folder.is_linked:
            others += [SkippedFile(file, "is DICOM behind a link to a folder") for file in sorted(dicom)]
            continue
        zips += sorted(file for file in dicom if file.suffix.lower() == ".zip")
        if len(dicom) > sum(file.suffix.lower() == ".zip" for file in dicom) or links:
            folders.append(folder.path)
    indexes = [file for folder in listing.folders for file in folder.files if is_index(file)]
    present = [file for folder in listing.folders for file in folder.files]
    others += [SkippedFile(file, IS_MISSING) for index in indexes for file, _ in missing_on_disc(index, present)]
    faults = {folder: link for link in reversed(broken) for folder in link.parents}
    found = _inputs(root if is_alone else None, folders, zips)
    inputs = tuple(_with_fault(entry, faults.get(entry.path)) for entry in found)
    cases = {entry.path for entry in inputs}
    outside = [file for file in others if _ancestors([file.path]).isdisjoint(cases)]
    return DicomInputs(inputs, tuple(folders), tuple(index.parent for index in indexes), tuple(outside))


def _reason(file: Path) -> str:
    if file.suffix.lower() == ".zip":
        return "is a zip without DICOM files"
    return "is a mask by its name" if stem_of(file).endswith("_mask") else "is not an image, a volume or DICOM"


def _broken_links(folder: FolderFiles, *, has_dicom: bool) -> tuple[list[Path], list[Path]]:
    """Return the broken links that may have been DICOM files, and the other ones."""
    links = [link for link in folder.broken_links if suffix_of(link) not in _OTHER]
    may_be = [link for link in links if link.suffix.lower() in _DICOM or (has_dicom and not link.suffix[1:].isalpha())]
    return may_be, [link for link in links if link not in may_be]


def _with_fault(entry: Input, link: Path | None) -> Input:
    return entry if link is None or entry.fault is not None else replace(entry, fault=broken_link(link))


def _ancestors(paths: Iterable[Path]) -> set[Path]:
    """Return paths and all folders above them."""
    return {folder for path in paths for folder in (path, *path.parents)}


def broken_link(path: Path) -> FormatError:
    """Return the error of a broken link."""
    target = path.readlink()
    cure = "fetch its content" if "annex" in target.parts else "repair the link, or remove it"
    return FormatError(f"link target is {target}, which does not exist", where=path, cure=cure)


def _inputs(root: Path | None, folders: Sequence[Path], zips: Sequence[Path]) -> list[Input]:
    try:
        cases = _cases(root, folders, zips)
    except MissingExtraError as fault:
        missing = [Input(folder, Kind.SERIES, fault=fault) for folder in folders]
        return sorted([*missing, *(Input(file, Kind.SERIES) for file in zips)], key=lambda entry: entry.path)
    return [Input(case, Kind.SERIES) for case in cases]


def _cases(root: Path | None, folders: Sequence[Path], zips: Sequence[Path]) -> list[Path]:
    """Return the folders and zips that are one examination each; an only study is the root, unless that is None."""
    studies: dict[str, list[Path]] = {}
    for folder in folders:
        studies.setdefault(study_of(folder) or str(folder), []).append(folder)
    if root is not None and len(studies) == 1 and not zips:
        return [root]
    cases = list(zips)
    for own in studies.values():
        parent = Path(os.path.commonpath(own))
        others = [folder for folder in folders if folder not in own and folder.is_relative_to(parent)]
        cases += own if others else [parent]
    return sorted(cases)
