"""The layout of images and masks in two folders: `images/<name>.png` with `masks/<name>.png`.

The files are single slices (PNG, TIFF, JPEG) or volumes. Names are equal, or that of the mask has `_mask` or `_seg` in
addition. Folders such as `train` and `val` may lie above or below the two. The names contain the patient of a slice:
the part that `DataOptions.patient_pattern` matches, or without a pattern the part before the last number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gliomaseg.data.case import Case, Slice, VolumeFile, Volumes
from gliomaseg.data.case_list import CaseList, DataOptions
from gliomaseg.data.file_listing import iterate_files, list_files
from gliomaseg.data.findings import Findings
from gliomaseg.data.patients import parse_examination, patient_finder, patient_of
from gliomaseg.data.slice_names import SliceName, is_generic, slice_parser, without_image_word
from gliomaseg.errors import DataError, counted
from gliomaseg.formats import FileKind, primary_file, stem_of, suffix_of, suffixes
from gliomaseg.naming import Role, parse_name
from gliomaseg.scan import SEQUENCE_OF_ROLE
from gliomaseg.types import Sequence as MriSequence

IMAGE_FOLDERS = frozenset({"images", "image", "imgs", "img", "scans"})
MASK_FOLDERS = frozenset({"masks", "mask", "labels", "label", "segmentations", "segmentation", "annotations", "gt"})
_NO_CASE = IMAGE_FOLDERS | MASK_FOLDERS | {"train", "training", "val", "valid", "validation", "test", "testing"}
_SLICES, _VOLUMES = suffixes(FileKind.IMAGE), suffixes(FileKind.VOLUME)
_LOSSY = (".jpg", ".jpeg")
_MASK_WORD = re.compile(r"[-_. ]?(?:masks?|seg(?:mentation)?|labels?|gt|annotation)$", re.IGNORECASE)
_NAMED_PATIENTS = 3

NO_IMAGE = "is not an image or a volume"
OUTSIDE = "is not in a folder of images or masks"


@dataclass(frozen=True)
class _File:
    """An image or a mask.

    Attributes:
        path: the file.
        place: the folders above and below the folder of all images or masks, in small letters.
        folder: the last folder that may be named after the case; empty if there is none.
        is_mask: whether it lies in a folder of masks.
        is_slice: whether its format is that of single images.
    """

    path: Path
    place: tuple[tuple[str, ...], tuple[str, ...]]
    folder: str
    is_mask: bool
    is_slice: bool

    @property
    def stem(self) -> str:
        """The name without suffix, in small letters."""
        return stem_of(self.path).casefold()

    @property
    def role(self) -> Role | None:
        """The sequence of a volume by its name."""
        return None if self.is_slice else parse_name(stem_of(self.path)).role

    @property
    def case(self) -> str:
        """The name without words such as mask and flair, in small letters."""
        if self.is_slice:
            return _MASK_WORD.sub("", self.stem) if self.is_mask else without_image_word(self.stem)
        name = parse_name(self.stem)
        return self.stem if name.role is None else name.case


def recognise(data: Path) -> bool:
    """Return whether a folder contains images in a folder such as `images`, and masks in one such as `masks`."""
    if not data.is_dir():
        return False
    places: set[tuple[bool, tuple[str, ...]]] = set()
    for file in iterate_files(data):
        if (place := _place_of(file, data)) and suffix_of(file) in _SLICES | _VOLUMES:
            is_mask, above, _ = place
            if (not is_mask, above) in places:
                return True
            places.add((is_mask, above))
    return False


def _place_of(file: Path, root: Path) -> tuple[bool, tuple[str, ...], tuple[str, ...]] | None:
    """Return whether a file is in a folder of masks, and the folders above and below that; None outside of both."""
    parts = tuple(part.lower() for part in file.relative_to(root).parts[:-1])
    for depth, part in enumerate(parts):
        if part in IMAGE_FOLDERS | MASK_FOLDERS:
            return part in MASK_FOLDERS, parts[:depth], parts[depth + 1 :]
    return None


def read(data: Path, options: DataOptions) -> CaseList:
    """List the cases in a folder: the volumes with masks, and the patients of the slices with masks.

    Raises:
        DataError: it is not a folder, or no image has a mask.
        UsageError: the pattern of patients is not a regular expression.
    """
    if not data.is_dir():
        raise DataError("is a file, expected a folder", where=data, cure="name the folder above images/ and masks/")
    parse = slice_parser(options.patient_pattern)
    found = Findings(list_files(data))
    files = [entry for file in found.listing.files if (entry := _file_of(file, found))]
    masks = [entry for entry in files if entry.is_mask]
    slices = [entry for entry in files if entry.is_slice and not entry.is_mask]
    volumes = _by_examination([entry for entry in files if not (entry.is_slice or entry.is_mask)], found)
    pairs = _paired([*slices, *volumes], masks, found)
    cases = [
        *_slice_cases([pair for pair in pairs if pair[0].is_slice], parse, options, found),
        *_volume_cases([(volumes[image], mask) for image, mask in pairs if image in volumes], options, found),
    ]
    found.notes += _notes(cases, options.patient_pattern)
    return found.case_list(_unique(cases, found), "pairs", expected="an image and its mask of one name")


def _notes(cases: Sequence[Case], pattern: str | None) -> list[str]:
    """Return the assumption about the patients of slices, unless a pattern was given."""
    patients = sorted({case.patient for case in cases if case.slices})
    if not patients or pattern is not None:
        return []
    shown = ", ".join(patients[:_NAMED_PATIENTS]) + (", ..." if len(patients) > _NAMED_PATIENTS else "")
    counts = counted(sum(len(case.slices) for case in cases), "slice"), counted(len(patients), "patient")
    how = f"{counts[0]} grouped to {counts[1]} by the name before the last number ({shown})"
    return [f"{how}: if this is wrong, give --patient-pattern"]


def _file_of(file: Path, found: Findings) -> _File | None:
    """Return an image or a mask, or None with the reason in the findings."""
    place, suffix = _place_of(file, found.listing.root), suffix_of(file)
    if suffix not in _SLICES | _VOLUMES:
        found.skip(file, NO_IMAGE)
    elif place is None:
        found.skip(file, OUTSIDE)
    elif not found.are_files([file]):
        return None
    elif place[0] and suffix in _LOSSY:
        found.report(file, "is a mask in JPEG, whose values are not exact; expected PNG or TIFF")
    elif primary_file(file) == file:  # else it contains the voxels of a NIfTI pair, whose header stands for both
        is_mask, above, below = place
        return _File(file, (above, below), _case_folder(file, found.listing.root), is_mask, suffix in _SLICES)
    return None


def _case_folder(file: Path, root: Path) -> str:
    parts = file.relative_to(root).parts[:-1]
    return next((part for part in reversed(parts) if part.lower() not in _NO_CASE), "")


def _paired(images: Sequence[_File], masks: Sequence[_File], found: Findings) -> list[tuple[_File, _File]]:
    """Return each image with its mask, by the strictest rule that fits; files without a partner are reported."""
    by_stem = _indexed(masks, lambda entry: entry.stem)
    by_case = _indexed(masks, lambda entry: entry.case)
    pairs: list[tuple[_File, _File]] = []
    used: set[Path] = set()
    for image in images:
        same_name, same_case = by_stem.get((image.place, image.stem), []), by_case.get((image.place, image.case), [])
        candidates = [mask for mask in (same_name or same_case) if mask.path not in used]
        if not candidates:
            found.report(image.path, "has no mask of its own")
            continue
        used.update(mask.path for mask in candidates)
        mask = candidates[0]
        for other in candidates[1:]:
            found.report(other.path, f"is a mask of the same image as {found.name_of(mask.path)}")
        if mask.is_slice is image.is_slice:
            pairs.append((image, mask))
        else:
            kinds = ["an image" if entry.is_slice else "a volume" for entry in (mask, image)]
            what = f"is {kinds[0]}, expected {kinds[1]} as {found.name_of(image.path)}"
            found.report(mask.path, what)
    for mask in masks:
        if mask.path not in used:
            found.report(mask.path, "is a mask without an image")
    return pairs


def _indexed(masks: Sequence[_File], name: Callable[[_File], str]) -> dict[tuple[object, str], list[_File]]:
    index: dict[tuple[object, str], list[_File]] = {}
    for mask in masks:
        index.setdefault((mask.place, name(mask)), []).append(mask)
    return index


def _by_examination(volumes: Sequence[_File], found: Findings) -> dict[_File, dict[MriSequence, _File]]:
    """Return the sequences of each examination by its FLAIR; a volume without a sequence in its name is FLAIR."""
    groups: dict[tuple[object, str], list[_File]] = {}
    for entry in volumes:
        if parse_name(stem_of(entry.path)).is_copy or entry.role in (Role.OTHER, Role.MASK):
            found.skip(entry.path, "is not T1, T2 or FLAIR by its name")
        else:
            groups.setdefault((entry.place, entry.case), []).append(entry)
    result: dict[_File, dict[MriSequence, _File]] = {}
    for members in groups.values():
        images: dict[MriSequence, _File] = {}
        for entry in members:
            sequence = SEQUENCE_OF_ROLE[entry.role or Role.FLAIR]
            first = images.setdefault(sequence, entry)
            if first is not entry:
                what = f"is {sequence} of the same case as {found.name_of(first.path)}"
                found.report(entry.path, what)
        if MriSequence.FLAIR in images:
            result[images[MriSequence.FLAIR]] = images
        else:
            for entry in members:
                found.skip(entry.path, "belongs to no case with FLAIR")
    return result


# --- slices


def _slice_cases(
    pairs: Sequence[tuple[_File, _File]],
    parse: Callable[[str, str, str], SliceName | None],
    options: DataOptions,
    found: Findings,
) -> list[Case]:
    names: dict[str, SliceName] = {}
    slices: dict[str, dict[int, Slice]] = {}
    for image, mask in pairs:
        name = parse(stem_of(image.path), image.folder, found.listing.root.resolve().name)
        if name is None:
            found.report(image.path, f"name does not match --patient-pattern {options.patient_pattern}")
            continue
        first = names.setdefault(name.case.casefold(), name)
        stack = slices.setdefault(name.case.casefold(), {})
        number = 1 if name.number is None else name.number
        if number in stack:
            other = found.name_of(stack[number].image)
            found.report(image.path, f"is slice {number} of case {first.case}, as is {other}")
        else:
            stack[number] = Slice(number, image.path, mask.path)
    return [
        Case(
            name.case,
            name.known.patient,
            name.known.site,
            tuple(slices[key][number] for number in sorted(slices[key])),
            date=name.known.date,
            labels=options.labels,
        )
        for key, name in names.items()
    ]


# --- volumes


def _volume_cases(
    pairs: Sequence[tuple[dict[MriSequence, _File], _File]], options: DataOptions, found: Findings
) -> list[Case]:
    find = patient_finder(options.patient_pattern) if options.patient_pattern is not None else None
    cases = []
    for images, mask in pairs:
        flair = images[MriSequence.FLAIR]
        name = parse_name(stem_of(flair.path))
        case = stem_of(flair.path) if name.role is None else name.case
        if not case or (flair.folder and is_generic(case)):
            case = flair.folder or found.listing.root.resolve().name
        known = parse_examination(case)
        match = find(case) if find else None
        if find and not (match and patient_of(match)):
            found.report(flair.path, f"name does not match --patient-pattern {options.patient_pattern}")
            continue
        volumes = Volumes({key: VolumeFile(entry.path) for key, entry in images.items()}, VolumeFile(mask.path))
        patient = patient_of(match) if match else known.patient
        cases.append(Case(case, patient, known.site, (), volumes, known.date, options.labels))
    return cases


def _unique(cases: Sequence[Case], found: Findings) -> list[Case]:
    """Return the cases with unique names; a second case of a name is a problem."""
    first: dict[str, Case] = {}
    for case in cases:
        other = first.setdefault(case.name.casefold(), case)
        if other is not case:
            found.report(case.files[0], f"is of case {case.name}, as is {found.name_of(other.files[0])}")
    return list(first.values())
