"""Choose the inputs among the images and volumes of a folder, by their names: FLAIR, and never a mask."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gliomaseg.formats import stem_of
from gliomaseg.inputs.input import OWN, Input, Kind, SkippedFile
from gliomaseg.inputs.result_names import GENERIC_FOLDERS
from gliomaseg.naming import FileName, Role, channel_of, parse_name

BY_NAME = "is a mask by its name"
BY_FOLDER = "is in a folder of masks"
OWN_RESULT = "is a result of gliomaseg by its name"
T1_ADVICE = "pass it with --t1, and FLAIR with --flair"
COPY = "is a processed copy beside FLAIR"
_SEQUENCES = {Role.T1: "T1", Role.T1CE: "T1 after contrast", Role.T2: "T2", Role.OTHER: "another sequence"}
_IMAGES = {**_SEQUENCES, Role.FLAIR: "FLAIR", Role.MASK: "a mask"}
CaseKey = tuple[tuple[str, ...], str]
"""The folders and the name that identify a case below the searched folder."""


@dataclass(frozen=True)
class Candidate:
    """An image, a stack or a volume that may be an input.

    Attributes:
        entry: the input.
        folder: the folder of its files.
        name: the meaning of its name and of the names of its folders.
        case: identifies its case.
    """

    entry: Input
    folder: Path
    name: FileName
    case: CaseKey

    @property
    def role(self) -> Role | None:
        """The sequence; None if the names do not contain one."""
        return self.name.role


def mask_reason(file: Path, root: Path) -> str:
    """Return why a file in a searched folder is a mask or a result, by its name and its folders; else an empty text."""
    name = parse_name(stem_of(file))
    if name.role is Role.MASK:
        return BY_NAME
    if stem_of(file).endswith(OWN):
        return OWN_RESULT
    parts = file.parent.relative_to(root).parts
    ancestors = parts if name.role is None else parts[-1:]
    return BY_FOLDER if any(_is_mask_folder(part) for part in ancestors) else ""


def _is_mask_folder(part: str) -> bool:
    name = parse_name(part)
    return name.role is Role.MASK and not name.case


def candidate_of(entry: Input, folder: Path, stem: str, root: Path) -> Candidate:
    """Return a candidate from an input, the folder of its files and the name that they share."""
    name, case = name_in_folder(folder, stem, root)
    return Candidate(entry, folder, name, case)


def name_in_folder(folder: Path, stem: str, root: Path) -> tuple[FileName, CaseKey]:
    """Return the meaning of a name and the case, from the name and from the folders below the searched folder.

    Folders such as `anat` and `FLAIR` belong to a case. A name of BIDS identifies its case in the whole data set.
    """
    name = parse_name(stem)
    parts = list(folder.relative_to(root).parts)
    if name.case.lower().startswith("sub-"):
        top = next((k for k, part in enumerate(parts) if part.lower().startswith(("sub-", "derivatives"))), len(parts))
        is_copy = name.is_copy or "derivatives" in map(str.lower, parts)
        return replace(name, is_copy=is_copy), (tuple(parts[:top]), name.case.casefold())
    while parts:
        above = parse_name(parts[-1])
        if parts[-1].lower() not in GENERIC_FOLDERS and above.role is None:
            break
        parts.pop()
        if name.role is None and above.role is not None:
            case = "_".join(filter(None, (above.case, name.case)))
            name = FileName(case, above.role, above.is_copy)
    return name, (tuple(parts), name.case.casefold())


def select_inputs(candidates: Sequence[Candidate], masks: Sequence[SkippedFile], root: Path) -> list[Candidate]:
    """Return the candidates that are inputs, each with the files of its case that are not used.

    If a case has a FLAIR, its other sequences and processed copies are left out. A mask belongs to the input of its
    case, or to the only input in its folder.
    """
    candidates = _with_channels(candidates)
    cases: dict[CaseKey, list[Candidate]] = {}
    for candidate in _with_series_numbers(candidates):
        cases.setdefault(candidate.case, []).append(candidate)
    chosen = [kept for members in cases.values() for kept in _flair_of(members)]
    order = {candidate.entry.pictures: k for k, candidate in enumerate(candidates)}
    chosen.sort(key=lambda candidate: order[candidate.entry.pictures])
    return _with_masks(chosen, masks, root)


def _flair_of(members: list[Candidate]) -> list[Candidate]:
    """Return the inputs of one case: its FLAIR, or without FLAIR all images."""
    flair = [member for member in members if member.role is Role.FLAIR]
    if not flair:
        return [replace(member, entry=_with_role_warning(member.entry, member.role)) for member in members]
    originals = [member for member in flair if not member.name.is_copy] or flair
    others = [member for member in members if member not in originals]
    skipped = tuple(SkippedFile(file, _reason(member)) for member in others for file in member.entry.pictures)
    t1 = [member.entry.path for member in others if member.role is Role.T1 and not member.name.is_copy]
    kept = []
    for member in originals:
        notes = [*_flair_warnings(originals, member), *_t1_warnings(t1[:1], member.folder)]
        entry = replace(member.entry, skipped=skipped, warnings=(*member.entry.warnings, *notes))
        kept.append(replace(member, entry=entry))
    return kept


def _flair_warnings(flair: Sequence[Candidate], member: Candidate) -> list[str]:
    """Return the warning on one of several FLAIR images of a case: a name does not show which one is the best."""
    others = [other.entry.path for other in flair if other is not member]
    names = _names_from(member.folder, others)
    if not names:
        return []
    listed = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    return [f"its case has another FLAIR ({listed}): each is predicted by itself; name one file to choose it"]


def _t1_warnings(files: Sequence[Path], folder: Path) -> list[str]:
    return [f"{name} is T1 of the same case and was not used; {T1_ADVICE}" for name in _names_from(folder, files)]


def _names_from(folder: Path, files: Sequence[Path]) -> list[str]:
    """Return the paths of files from a folder, with `/`."""
    return [Path(os.path.relpath(file, folder)).as_posix() for file in files]


def without_t1_advice(warnings: Iterable[str]) -> tuple[str, ...]:
    """Return the warnings of an input for models without T1: those that ask for it do not apply."""
    return tuple(warning for warning in warnings if not warning.endswith(T1_ADVICE))


def _reason(member: Candidate) -> str:
    if member.role is Role.FLAIR:
        return COPY
    return f"is {_SEQUENCES.get(member.role or Role.OTHER, 'another sequence')} beside FLAIR"


def _with_role_warning(entry: Input, role: Role | None) -> Input:
    return replace(entry, warnings=(*entry.warnings, *role_warnings(role)))


def role_warnings(role: Role | None) -> tuple[str, ...]:
    """Return the warning on an input that is not FLAIR by its name, if any."""
    if role in (None, Role.FLAIR):
        return ()
    return (_other_image(role, Role.FLAIR),)


def _other_image(role: Role, expected: Role) -> str:
    return f"is {_IMAGES[role]} by its name, expected {_IMAGES[expected]}"


def sequence_warnings(entry: Input) -> list[str]:
    """Return the warnings on T1 and T1 after contrast of an input that are another image by their names.

    A name with `T1` and `FLAIR` may be that of a T1 registered to FLAIR, so it gets none.
    """
    warnings = []
    for given, expected in ((entry.t1, Role.T1), (entry.t1ce, Role.T1CE)):
        if given is None or given.kind is Kind.SERIES:
            continue
        role = parse_name(given.stem).role
        is_registered = role is Role.FLAIR and Role.T1.value in given.stem.lower()
        if role not in (None, expected) and not is_registered:
            warnings.append(f"{given.path.name} {_other_image(role, expected)}")
    return warnings


def _with_masks(chosen: Sequence[Candidate], masks: Sequence[SkippedFile], root: Path) -> list[Candidate]:
    """Return the inputs with the masks of their cases, and the only input of a folder with all masks in it."""
    in_folder = Counter(candidate.folder for candidate in chosen)
    by_folder: dict[Path, list[SkippedFile]] = {}
    by_case: dict[CaseKey, list[SkippedFile]] = {}
    for mask in masks:
        by_folder.setdefault(mask.path.parent, []).append(mask)
        by_case.setdefault(name_in_folder(mask.path.parent, stem_of(mask.path), root)[1], []).append(mask)
    result = []
    for candidate in chosen:
        beside = by_folder.get(candidate.folder, []) if in_folder[candidate.folder] == 1 else []
        own = dict.fromkeys([*candidate.entry.skipped, *beside, *by_case.get(candidate.case, [])])
        result.append(replace(candidate, entry=replace(candidate.entry, skipped=tuple(own))))
    return result


def _with_series_numbers(candidates: Sequence[Candidate]) -> Iterable[Candidate]:
    """Join `7_flair` and `5_t1`: in a folder with one FLAIR, numbers in front are those of the series."""
    folders: dict[tuple[str, ...], list[Candidate]] = {}
    for candidate in candidates:
        folders.setdefault(candidate.case[0], []).append(candidate)
    for members in folders.values():
        named = [member for member in members if member.role is not None]
        flair = [member for member in named if member.role is Role.FLAIR]
        numbered = all(member.name.case.isdigit() or not member.name.case for member in named)
        distinct = len({member.name.case for member in named}) == len(named)
        for member in members:
            if len(flair) == 1 and numbered and distinct and member.role is not None:
                yield replace(member, case=flair[0].case)
            else:
                yield member


def _with_channels(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Set the roles of nnU-Net's channels, such as `case_0003`, from `dataset.json`."""
    channels = [channel_of(stem_of(candidate.entry.path)) for candidate in candidates]
    counts: dict[tuple[Path, str], int] = {}
    for candidate, channel in zip(candidates, channels, strict=True):
        if channel is not None:
            counts[candidate.folder, channel[0]] = counts.get((candidate.folder, channel[0]), 0) + 1
    result = []
    for candidate, channel in zip(candidates, channels, strict=True):
        if channel is None or counts[candidate.folder, channel[0]] < 2:
            result.append(candidate)
            continue
        case, number = channel
        role = parse_name(_channel_names(candidate.folder).get(str(number), "")).role
        if role is None:
            warning = f"is channel {number} of {case}, whose sequence is unknown; pass the FLAIR channel with --flair"
            entry = replace(candidate.entry, warnings=(*candidate.entry.warnings, warning))
            result.append(replace(candidate, entry=entry))
        else:
            result.append(replace(candidate, name=FileName(case, role), case=(candidate.case[0], case.casefold())))
    return result


def _channel_names(folder: Path) -> dict[str, str]:
    """Return the channels' names of a data set of nnU-Net, by number; empty without `dataset.json`."""
    for file in (folder / "dataset.json", folder.parent / "dataset.json"):
        try:
            data = json.loads(file.read_text("utf-8"))
            names = data.get("channel_names") or data.get("modality") or {}
            return {str(number): str(name) for number, name in names.items()}
        except (OSError, ValueError, AttributeError):
            continue
    return {}
