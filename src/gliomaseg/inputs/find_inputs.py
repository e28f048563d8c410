"""Find the inputs of `predict` in the files and folders that a user names."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from gliomaseg.errors import DataError, FormatError
from gliomaseg.formats import (
    SHARED_SUFFIXES,
    FileKind,
    count_pages,
    kind_of,
    primary_file,
    stem_of,
    suffix_of,
    suffixes,
)
from gliomaseg.inputs.case_selection import Candidate, candidate_of, mask_reason, role_warnings, select_inputs
from gliomaseg.inputs.dicom_inputs import DicomInputs, broken_link, find_dicom
from gliomaseg.inputs.folder_listing import FolderFiles, FolderListing, list_folder
from gliomaseg.inputs.input import Input, InputList, Kind, SkippedFile
from gliomaseg.inputs.result_names import GENERIC_FOLDERS, NamedPath, unique_names
from gliomaseg.inputs.stacks import Stack, by_number, find_stacks
from gliomaseg.naming import parse_name

_IMAGES, _VOLUMES = suffixes(FileKind.IMAGE), suffixes(FileKind.VOLUME)
_BESIDE_DICOM = "is an image beside DICOM files"
_LISTED = 3
# Formats that a slice may have and that are not read, and no suffix at all.
_OTHER_IMAGES = frozenset({"", ".bmp", ".gif", ".jpe", ".webp"})
_LOST = "has the name of a slice and another format"


@dataclass(frozen=True)
class _Found:
    """The inputs of one named path; `root` of each is the searched folder if its results need a folder's name."""

    inputs: tuple[Input, ...]
    roots: tuple[Path | None, ...]
    skipped: tuple[SkippedFile, ...] = ()
    system_files: int = 0


def list_inputs(paths: Sequence[Path], *, without: Path | None = None) -> InputList:
    """Return the inputs in files and folders, each once, in order, and the files that are not inputs.

    A file is one input; so is a folder with DICOM files of one study, in it or below it, and a folder of images that
    have one name and a number each. Any other folder gives one input for each image, stack, volume, zip of DICOM files
    and DICOM study, in it and at any depth below it; the path of such a study is the deepest folder with all its files.
    Masks are not inputs unless they are named; nor are the other sequences of a case with FLAIR, by their names. A
    broken link is an input with a fault.

    Args:
        paths: files and folders.
        without: a folder that is not searched: the folder of the results.

    Raises:
        DataError: a path does not exist or cannot be read, or a folder has no file to predict.
        ResourceError: a folder has more than 100,000 files.
    """
    try:
        found = [_list_path(path, without) for path in paths]
    except OSError as fault:
        raise DataError(f"cannot be read ({fault.strerror})", where=fault.filename or "") from fault
    unique: dict[tuple[Path, ...], tuple[Input, Path | None]] = {}
    for part in found:
        for entry, root in zip(part.inputs, part.roots, strict=True):
            unique.setdefault((entry.path.absolute(), *entry.pictures[:1]), (entry, root))
    named = [
        NamedPath(entry.path, entry.result_name or entry.stem, _suffix(entry), root) for entry, root in unique.values()
    ]
    inputs = [
        replace(entry, result_name=name) for (entry, _), name in zip(unique.values(), unique_names(named), strict=True)
    ]
    skipped = dict.fromkeys(file for part in found for file in part.skipped)
    return InputList(tuple(inputs), tuple(skipped), sum(part.system_files for part in found))


def _suffix(entry: Input) -> str:
    if entry.kind is Kind.STACK or entry.path.is_dir():
        return ""
    return entry.path.name.removeprefix(entry.stem) if entry.kind is Kind.SERIES else suffix_of(entry.path)


def join_sequences(flair: Path, *, t1: Path | None, t1ce: Path | None) -> Input:
    """Return one input of an examination's sequences, each in a file or folder that is one input by itself.

    Raises:
        DataError: a path does not exist or cannot be read, or does not have exactly one input.
    """
    found = {name: _only(path) for name, path in (("flair", flair), ("t1", t1), ("t1ce", t1ce)) if path is not None}
    entry = found.pop("flair")
    used = {other.path.absolute() for other in found.values()}
    skipped = tuple(file for file in entry.skipped if file.path.absolute() not in used)
    warnings = entry.warnings if t1 is None else tuple(text for text in entry.warnings if "--t1" not in text)
    return replace(entry, t1=found.get("t1"), t1ce=found.get("t1ce"), skipped=skipped, warnings=warnings)


def with_series(entry: Input, series: str | None = None, *, t1: str | None = None, t1ce: str | None = None) -> Input:
    """Return a DICOM input with its series chosen, each by UID or number; an input of another format as it is.

    Args:
        entry: a file, folder or zip.
        series: FLAIR; None for the series that the input names, or the only one that looks like FLAIR.
        t1: another series of the same files, T1 before contrast; None without.
        t1ce: another series of the same files, T1 after contrast; None without.
    """
    if entry.kind is not Kind.SERIES:
        return entry
    others = [None if one is None else Input(entry.path, Kind.SERIES, series=one) for one in (t1, t1ce)]
    return replace(entry, series=series or entry.series, t1=others[0] or entry.t1, t1ce=others[1] or entry.t1ce)


def _only(path: Path) -> Input:
    inputs = list_inputs([path])
    if len(inputs) != 1:
        raise DataError(f"has {len(inputs)} scans, expected 1", where=path, cure="pass the file of the sequence")
    return inputs[0]


def _list_path(path: Path, without: Path | None) -> _Found:
    if not path.exists() and not path.is_symlink():
        raise DataError("there is no such file or folder", where=path, cure="check the path")
    if path.is_dir():
        return _list_folder(path, without)
    entry = _file(path)
    warnings = role_warnings(parse_name(stem_of(path)).role) if entry.kind is not Kind.SERIES else ()
    return _Found((replace(entry, warnings=warnings),), (None,))


def _list_folder(root: Path, without: Path | None) -> _Found:
    listing = list_folder(root, without=without)
    dicom = find_dicom(root, listing)
    chosen, masks = _choose(listing, root, dicom)
    if chosen and any(entry.path == root for entry in dicom.inputs):  # the only study is not the whole folder
        dicom = find_dicom(root, listing, is_alone=False)
        chosen, masks = _choose(listing, root, dicom)
    inputs = [*(candidate.entry for candidate in chosen), *dicom.inputs]
    skipped = [*dicom.skipped, *masks, *(file for candidate in chosen for file in candidate.entry.skipped)]
    if not inputs:
        raise _nothing(root, skipped)
    roots = [_root_for_name(entry, root) for entry in inputs]
    return _Found(tuple(inputs), tuple(roots), tuple(dict.fromkeys(skipped)), listing.system_files)


def _choose(listing: FolderListing, root: Path, dicom: DicomInputs) -> tuple[list[Candidate], list[SkippedFile]]:
    """Return the inputs that are not DICOM, and the files that are masks by their names."""
    candidates: list[Candidate] = []
    masks: list[SkippedFile] = []
    for folder in listing.folders:
        found, left_out = _candidates_in(folder, root, dicom)
        candidates += found
        masks += left_out
    return select_inputs(_without_parts(candidates), masks, root), masks


def _without_parts(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates; a stack that goes on in a folder below its own has a fault."""
    by_folder: dict[Path, list[Input]] = defaultdict(list)
    for candidate in candidates:
        if candidate.entry.kind is Kind.STACK:
            by_folder[candidate.entry.pictures[0].parent].append(candidate.entry)
    faults: dict[Path, FormatError] = {}
    for below, others in by_folder.items():
        for folder in below.parents:
            for entry, other in product(by_folder.get(folder, []), others):
                if _goes_on(entry, other):
                    what = f"goes on in {below.relative_to(folder)}: slices {other.numbers[0]} to {other.numbers[-1]}"
                    fault = FormatError(what, where=entry.path, cure="move all slices into one folder")
                    faults |= {entry.pictures[0]: fault, other.pictures[0]: fault}
    return [
        replace(candidate, entry=replace(candidate.entry, fault=candidate.entry.fault or faults.get(first)))
        if (first := next(iter(candidate.entry.pictures), None)) in faults
        else candidate
        for candidate in candidates
    ]


def _goes_on(entry: Input, other: Input) -> bool:
    """Return whether the files of one stack and those of another have one name, and numbers that follow each other."""
    return any(
        after.numbers[0] == before.numbers[-1] + 1 and _without_number(before, -1) == _without_number(after, 0)
        for before, after in ((entry, other), (other, entry))
    )


def _without_number(stack: Input, k: int) -> str:
    file = stack.pictures[k]
    return re.sub(rf"(?<!\d)0*{abs(stack.numbers[k])}(?!\d)", "#", file.stem) + file.suffix.lower()


def _nothing(root: Path, skipped: Sequence[SkippedFile]) -> DataError:
    known = " ".join(sorted(_IMAGES | _VOLUMES))
    cure = f"pass DICOM or {known} files, or a folder of them"
    if not skipped:
        return DataError("has no image, volume or DICOM file", where=root, cure=cure)
    names = ", ".join(f"{file.path.relative_to(root)} {file.reason}" for file in skipped[:_LISTED])
    more = f" and {len(skipped) - _LISTED} more" if len(skipped) > _LISTED else ""
    masks = any(suffix_of(file.path) in _IMAGES | _VOLUMES for file in skipped)
    what = f"has no image, volume or DICOM file to predict: {names}{more}"
    return DataError(what, where=root, cure="name a file to predict it anyway" if masks else cure)


def _candidates_in(folder: FolderFiles, root: Path, dicom: DicomInputs) -> tuple[list[Candidate], list[SkippedFile]]:
    """Return the images, stacks and volumes directly in a folder, and the files that are masks by their names."""
    in_dicom = dicom.contain(folder.path)
    skipped: list[SkippedFile] = []
    images: list[Path] = []
    volumes: list[Path] = []
    for file in (*folder.files, *folder.broken_links):
        suffix = suffix_of(file)
        if suffix not in _IMAGES | _VOLUMES or _is_second_name(file):
            continue
        if dicom.include(file, folder):
            continue
        reason = mask_reason(file, root) or (_BESIDE_DICOM if in_dicom and suffix in _IMAGES else "")
        if reason:
            skipped.append(SkippedFile(file, reason))
        else:
            (images if suffix in _IMAGES else volumes).append(file)
    stacks, single = find_stacks(folder.path, sorted(images, key=by_number))
    if dicom.lie_below(folder.path):  # such as the logo of a disc
        skipped += [SkippedFile(file, _BESIDE_DICOM) for file in single]
        single = []
    files = [*single, *sorted(volumes, key=by_number)]
    maybe_slices = [file for file in folder.files if suffix_of(file) in _IMAGES | _OTHER_IMAGES]
    lost = {file: stack for stack in stacks for file in stack.lost_slices(maybe_slices)}
    skipped += [SkippedFile(file, _LOST) for file in lost]
    files = [file for file in files if file not in lost]
    candidates = [_stack_candidate(stack, folder.path, root, lost) for stack in stacks]
    candidates += [candidate_of(_file(file), folder.path, stem_of(file), root) for file in files]
    return candidates, skipped


def _is_second_name(file: Path) -> bool:
    """Return whether a file is the voxel file of a pair, or DICOM in spite of its suffix."""
    return primary_file(file) != file or (suffix_of(file) in SHARED_SUFFIXES and kind_of(file) is FileKind.SERIES)


def _stack_candidate(stack: Stack, folder: Path, root: Path, lost: Mapping[Path, Stack]) -> Candidate:
    path = folder if stack.is_whole_folder else folder / f"{stack.name}_*{stack.files[0].suffix}"
    fault = next((broken_link(file) for file in stack.files if not file.exists()), None)
    if fault is None:
        fault = next((_lost_slice(file, stack) for file, other in lost.items() if other is stack), None)
    name = folder.name if stack.is_whole_folder else stack.name
    entry = Input(path, Kind.STACK, stack.files, numbers=stack.numbers, fault=fault)
    if not stack.is_whole_folder:
        entry = replace(entry, result_name=stack.name)
    return candidate_of(entry, folder, stack.shared_name if parse_name(stack.shared_name).role else name, root)


def _lost_slice(file: Path, stack: Stack) -> FormatError:
    expected = stack.files[0].suffix
    what = f"suffix is {file.suffix or 'missing'}, expected {expected} as the other slices of the stack"
    return FormatError(what, where=file, cure=f"convert it to {expected}, or remove it")


def _file(path: Path) -> Input:
    """Return a file's input by its suffix, else by its first bytes; an unknown format fails when it is read."""
    fault = None if path.exists() else broken_link(path)
    kind = kind_of(path)
    if kind is FileKind.VOLUME:
        return Input(primary_file(path), Kind.VOLUME, fault=fault)
    if kind is FileKind.SERIES:
        return Input(path, Kind.SERIES, fault=fault)
    return Input(path, Kind.PAGES if kind is FileKind.IMAGE and count_pages(path) > 1 else Kind.PICTURE, fault=fault)


def _root_for_name(entry: Input, root: Path) -> Path | None:
    """Return the searched folder if the name of an input below it does not begin with the name of a folder."""
    if entry.kind not in (Kind.VOLUME, Kind.SERIES):
        return None
    parts = [part.lower() for part in entry.path.relative_to(root).parts[:-1]]
    stem = entry.stem.lower()
    # "T2" in front of "T2_FLAIR" is not the name of a case.
    names = {part: parse_name(part) for part in parts if part not in GENERIC_FOLDERS}
    cases = [part for part, name in names.items() if name.role is None or name.case]
    if not cases or any(re.match(re.escape(case) + r"(?:[-_. ]|$)", stem) for case in cases):
        return None
    if entry.kind is Kind.SERIES and parse_name(entry.stem).case:
        return None
    return root
