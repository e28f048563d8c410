"""The layout of BraTS and its relatives: volumes with the sequence in the name, in a folder for each case.

BraTS 2012 to 2025, UCSF-PDGM, UPENN-GBM and the like differ in the names only; `naming` contains them. The cases may
lie in folders of any depth, or all in one folder. The files of BraTS 2012 to 2015 (`VSD.Brain.XX.O.MR_Flair.684.mha`)
lie in a subfolder each.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gliomaseg.data.case import Case, VolumeFile, Volumes
from gliomaseg.data.case_list import CaseList, DataOptions
from gliomaseg.data.file_listing import PREDICTED, iterate_files, list_files
from gliomaseg.data.findings import NO_VOLUME, Findings
from gliomaseg.data.patients import is_examination_only, parse_examination
from gliomaseg.errors import DataError
from gliomaseg.formats import FileKind, primary_file, stem_of, suffix_of, suffixes
from gliomaseg.naming import FileName, Role, parse_name
from gliomaseg.scan import SEQUENCE_OF_ROLE
from gliomaseg.types import Sequence as MriSequence

_VOLUMES = suffixes(FileKind.VOLUME)
_GENERIC = frozenset({"anat", "image", "images", "img", "mr", "mri", "nifti", "nii", "raw", "scans", "seg", "volumes"})
# Folders of other layouts: nnU-Net, pairs and BIDS.
_OTHER_LAYOUTS = re.compile(r"(?:images?|imgs?|labels?|masks?)(?:tr|ts|va)?|derivatives|sub-.+", re.IGNORECASE)
_OWN_STEM = re.compile(r".*_(?:overlay|probability)$")
# The first pattern that fits some masks of a case decides which of them is its mask.
_MASK_RANKS = (r"manual|correct", r"tumou?r|glistr|whole", r"^(?!.*(?:brain|parenchyma|head|wm|lesion))")

NO_ROLE = "has no sequence in its name, and is not a mask by its name"
OTHER_SEQUENCE = "is another sequence than T1, T2 and FLAIR"
COPY = "is a processed copy of another image"
OTHER_MASK = "is another mask than that of the tumour"
NO_MASK = "has no mask beside it"
NO_FLAIR = "belongs to no case with FLAIR"


@dataclass(frozen=True)
class _Volume:
    """One volume of the data set: its place among the cases, and the meaning of its name."""

    file: Path
    folder: tuple[str, ...]
    name: FileName

    @property
    def role(self) -> Role | None:
        return self.name.role


def recognise(data: Path) -> bool:
    """Return whether a folder contains a volume with FLAIR in its name, outside of the folders of other layouts."""
    return data.is_dir() and any(_is_flair(file, data) for file in iterate_files(data))


def _is_flair(file: Path, root: Path) -> bool:
    if suffix_of(file) not in _VOLUMES:
        return False
    parts = file.relative_to(root).parts
    return not any(map(_OTHER_LAYOUTS.fullmatch, parts)) and parse_name(stem_of(file)).role is Role.FLAIR


def read(data: Path, options: DataOptions) -> CaseList:
    """List the cases below a folder: those with FLAIR and a mask.

    Raises:
        DataError: it is not a folder, or contains no such case.
    """
    if not data.is_dir():
        raise DataError("is a file, expected a folder", where=data, cure="name the folder of the cases")
    found = Findings(list_files(data))
    groups = _grouped([volume for file in found.listing.files if (volume := _volume_of(file, found))])
    cases = _unique([case for volumes in groups for case in _read_case(volumes, found, options)], found)
    if count := sum(entry.what == NO_MASK for entry in found.skipped):
        found.notes.append(f"cases without a mask are skipped: {count}")
    return found.case_list(cases, "brats", expected="files of a case such as P1_flair.nii.gz and P1_seg.nii.gz")


def _volume_of(file: Path, found: Findings) -> _Volume | None:
    """Return a volume that may belong to a case, or None with the reason in the findings."""
    stem = stem_of(file)
    if suffix_of(file) not in _VOLUMES:
        found.skip(file, NO_VOLUME)
        return None
    if not found.are_files([file]):
        return None
    if primary_file(file) != file:  # the voxels of a NIfTI pair: its header stands for both
        return None
    name = parse_name(stem)
    if _OWN_STEM.match(stem):
        found.skip(file, f"{PREDICTED} by its name")
    elif name.role is None:
        found.skip(file, NO_ROLE)
    elif name.role is Role.OTHER:
        found.skip(file, OTHER_SEQUENCE)
    elif name.is_copy:
        found.skip(file, COPY)
    else:
        name = replace(name, case="") if stem.lower().startswith("vsd.") else name
        return _Volume(file, _case_folder(file, found.listing.root), name)
    return None


def _case_folder(file: Path, root: Path) -> tuple[str, ...]:
    """Return the folders of a case, without those of a single file such as `flair` and `VSD.Brain.XX.O.MR_Flair`."""
    parts = list(file.relative_to(root).parts[:-1])
    while parts:
        name = parse_name(parts[-1])
        is_of_file = name.role is not None and (not name.case or parts[-1].lower().startswith("vsd."))
        if not is_of_file and parts[-1].lower() not in _GENERIC:
            break
        parts.pop()
    return tuple(parts)


def _grouped(volumes: Iterable[_Volume]) -> list[list[_Volume]]:
    """Return the volumes of each case.

    A folder with one FLAIR is one case, whatever the names of the other files are: in BraTS 2020, the mask of case 355
    has the name of another data set. In other folders, the names contain the case.
    """
    folders: dict[tuple[str, ...], list[_Volume]] = {}
    for volume in volumes:
        folders.setdefault(volume.folder, []).append(volume)
    groups: list[list[_Volume]] = []
    for members in folders.values():
        names = {volume.name.case.casefold() for volume in members if volume.role is Role.FLAIR}
        if len(names) == 1:
            groups.append(members)
            continue
        by_name: dict[str, list[_Volume]] = {}
        for volume in members:
            by_name.setdefault(volume.name.case.casefold(), []).append(volume)
        groups += by_name.values()
    return groups


@dataclass(frozen=True)
class _NamedCase:
    """A case and its folders; `is_named_by_folder` if its files have no name of their own."""

    case: Case
    folder: tuple[str, ...]
    is_named_by_folder: bool


def _read_case(volumes: Sequence[_Volume], found: Findings, options: DataOptions) -> list[_NamedCase]:
    """Return the case of some volumes; none if it has no FLAIR or no mask."""
    by_role: dict[Role, list[_Volume]] = {}
    for volume in volumes:
        by_role.setdefault(volume.role or Role.OTHER, []).append(volume)
    masks = _tumour_masks(by_role.pop(Role.MASK, []), by_role.get(Role.FLAIR, []), found)
    if Role.FLAIR not in by_role:
        for mask in masks:
            found.report(mask.file, "is a mask without FLAIR")
        for volume in (volume for members in by_role.values() for volume in members):
            found.skip(volume.file, NO_FLAIR)
        return []
    if not masks:
        for volume in (volume for members in by_role.values() for volume in members):
            found.skip(volume.file, NO_MASK if volume.role is Role.FLAIR else "its case has no mask")
        return []
    images = {SEQUENCE_OF_ROLE[role]: VolumeFile(_first(members, found).file) for role, members in by_role.items()}
    flair = by_role[Role.FLAIR][0]
    # A file with the name of its examination only, such as `visit1_flair`, does not name the patient.
    has_name = flair.name.case and not (flair.folder and is_examination_only(flair.name.case))
    name, is_named_by_folder = (flair.name.case, False) if has_name else (_folder_name(flair, found), True)
    known = parse_examination(name)
    volumes_of_case = Volumes(images, VolumeFile(_first(masks, found).file))
    case = Case(name, known.patient, known.site, (), volumes_of_case, known.date, options.labels)
    return [_NamedCase(case, flair.folder, is_named_by_folder)]


def _folder_name(flair: _Volume, found: Findings) -> str:
    """Return the name of the case's folder, with the patient's folder in front of one such as `ses-2`."""
    parts = flair.folder or (found.listing.root.resolve().name,)
    return "_".join(parts[-2:]) if is_examination_only(parts[-1]) else parts[-1]


def _tumour_masks(masks: list[_Volume], flair: Sequence[_Volume], found: Findings) -> list[_Volume]:
    """Return the masks of the tumour: not those of the brain, and none that `predict` named after FLAIR."""
    predicted = {f"{stem_of(volume.file)}_mask" for volume in flair}
    own = [mask for mask in masks if stem_of(mask.file) in predicted]
    if 0 < len(own) < len(masks):
        for mask in own:
            found.skip(mask.file, f"{PREDICTED} by its name")
        masks = [mask for mask in masks if mask not in own]
    if len(masks) < 2:
        return masks
    for pattern in _MASK_RANKS:
        if chosen := [mask for mask in masks if re.search(pattern, _own_words(mask), re.IGNORECASE)]:
            for mask in masks:
                if mask not in chosen:
                    found.skip(mask.file, OTHER_MASK)
            return chosen
    return masks


def _own_words(mask: _Volume) -> str:
    """Return the name of a mask without the name of its case, which may contain any word."""
    return stem_of(mask.file).removeprefix(mask.name.case)


def _first(volumes: Sequence[_Volume], found: Findings) -> _Volume:
    """Return the first of the volumes with one role; the others are problems."""
    first = volumes[0]
    for other in volumes[1:]:
        found.report(other.file, f"is {first.role} of the same case as {found.name_of(first.file)}")
    return first


def _unique(named: Sequence[_NamedCase], found: Findings) -> list[Case]:
    """Return the cases with unique names.

    Folders of one name at several places are several cases, and get the names of the folders above in front. Files
    with the name of one case at two places are a copy: the second place is a problem.
    """
    counts = Counter(entry.case.name.casefold() for entry in named)
    first: dict[str, Case] = {}
    for entry in named:
        case = entry.case
        if counts[case.name.casefold()] > 1 and entry.is_named_by_folder:
            name = "_".join(entry.folder) or case.name
            known = parse_examination(case.name)
            # Sites may number their patients from 1: the folders above are then part of the patient.
            patient = name if known.patient == case.name else f"{name.removesuffix(case.name)}{known.patient}"
            case = replace(case, name=name, patient=patient)
        other = first.setdefault(case.name.casefold(), case)
        if other is not case:
            what = f"is FLAIR of case {other.name}, as is {found.name_of(_flair_of(other))}"
            found.report(_flair_of(case), what)
    return list(first.values())


def _flair_of(case: Case) -> Path:
    if case.volumes is None:
        raise ValueError(f"{case.name} has slices")
    return case.volumes.images[MriSequence.FLAIR].path
