"""The Brain Imaging Data Structure: `sub-*/[ses-*/]anat/*_FLAIR.nii.gz`, masks in `derivatives/` or beside the images.

Each FLAIR with a mask is a case; the sessions of a subject are cases of one patient. Capital letters do not matter.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from gliomaseg.data.bids_names import NATIVE_SPACES, BidsVolume, other_mask_reason, parse_volume
from gliomaseg.data.case import UNKNOWN, Case, VolumeFile, Volumes
from gliomaseg.data.case_list import CaseList, DataOptions
from gliomaseg.data.file_listing import list_files
from gliomaseg.data.findings import Findings
from gliomaseg.naming import Role
from gliomaseg.scan import SEQUENCE_OF_ROLE
from gliomaseg.types import Sequence as MriSequence
from gliomaseg.user_files import read_text

SHAPE = "sub-*/[ses-*/]anat/*_FLAIR.nii.gz, with masks in derivatives/ or beside"
_SUBJECT, _SESSION = re.compile(r"sub-[^_]+", re.IGNORECASE), re.compile(r"ses-[^_]+", re.IGNORECASE)
_ANAT = re.compile("anat", re.IGNORECASE)
_SITE_COLUMNS = ("site", "site_id", "siteid", "center", "centre", "institution", "hospital")
Examination = tuple[str, str]
"""The subject and the session, in small letters; the session is empty for subjects without sessions."""


def recognise(data: Path) -> bool:
    """Return whether a folder has `sub-*/anat` or `sub-*/ses-*/anat`."""
    subjects = _folders(data, _SUBJECT)
    examinations = (folder for subject in subjects for folder in (subject, *_folders(subject, _SESSION)))
    return any(_folders(folder, _ANAT) for folder in examinations)


def _folders(parent: Path, pattern: re.Pattern[str]) -> list[Path]:
    inside = parent.iterdir() if parent.is_dir() else ()
    return [entry for entry in inside if pattern.fullmatch(entry.name) and entry.is_dir()]


def read(data: Path, options: DataOptions) -> CaseList:
    """List the cases of a data set: each FLAIR image with one mask.

    Raises:
        DataError: the data set has no such case.
    """
    found = Findings(list_files(data))
    images: defaultdict[Examination, list[BidsVolume]] = defaultdict(list)
    masks: defaultdict[Examination, list[BidsVolume]] = defaultdict(list)
    names: dict[Examination, tuple[str, str]] = {}
    participants: dict[str, str] = {}
    for file in found.listing.files:
        if file.parent == data and file.name.lower() == "participants.tsv":
            participants = _read_sites(file, found)
        elif (key := _examination(file, names, found)) is not None:
            _sort_volume(parse_volume(file), images[key], masks[key], found)
    _join_sessions(images, masks)
    cases, without_site = [], list[str]()
    for key in sorted(images.keys() | masks.keys()):
        used: set[Path] = set()
        for flair, mask in _flair_with_masks(images[key], masks[key], found):
            volumes = Volumes(_sequences(flair, images[key]), VolumeFile(mask.file))
            files = [*(volume.path for volume in volumes.images.values()), mask.file]
            used.update(files)
            if found.are_files(files):
                name = "_".join(filter(None, (*names[key], _distinction(flair, images[key]))))
                site = participants.get(key[0], UNKNOWN)
                without_site += [names[key][0]] * bool(participants and site == UNKNOWN)
                cases.append(Case(name, names[key][0], site, volumes=volumes, labels=options.labels))
        _skip_unused(images[key], used, found)
    if subjects := sorted(set(without_site)):
        found.notes.append(f"participants.tsv gives no site of {', '.join(subjects[:5])} ({len(subjects)} in all)")
    return found.case_list(cases, "bids", expected=SHAPE)


def _join_sessions(images: Mapping[Examination, list[BidsVolume]], masks: dict[Examination, list[BidsVolume]]) -> None:
    """Give masks without a session in their names to the only session of their subject that has images."""
    for subject, _ in [key for key in masks if not key[1] and not images.get(key)]:
        sessions = [key for key, members in images.items() if key[0] == subject and members]
        if len(sessions) == 1:
            masks[sessions[0]] = masks.get(sessions[0], []) + masks.pop((subject, ""))


def _examination(file: Path, names: dict[Examination, tuple[str, str]], found: Findings) -> Examination | None:
    """Return the examination of a volume, by its name and else its folders; None, with the reason, for other files."""
    parts = file.relative_to(found.listing.root).parts
    top = parts[0].lower()
    folders = [part.lower() for part in parts[:-1]]
    if not (top == "derivatives" or (_SUBJECT.fullmatch(top) and "anat" in folders)):
        found.skip(file, "is not in an anat folder of a subject, nor in derivatives")
        return None
    if not found.volumes([file]):
        return None
    subject, session = (_last(pattern, file.name, parts[:-1]) for pattern in (_SUBJECT, _SESSION))
    if not subject:
        found.skip(file, "belongs to no subject")
        return None
    if _SUBJECT.fullmatch(top) and subject.lower() != top:
        found.report(file, f"is of {subject}, in the folder of {parts[0]}")
        return None
    key = (subject.lower(), session.lower())
    if key not in names or top != "derivatives":
        names[key] = (subject, session)
    return key


def _last(pattern: re.Pattern[str], name: str, folders: Sequence[str]) -> str:
    """Return the entity in a file's name, else in the last folder that has it; empty if none has it."""
    words = [*folders, *name.partition(".")[0].split("_")]
    return next((word for word in reversed(words) if pattern.fullmatch(word)), "")


def _sort_volume(volume: BidsVolume, images: list[BidsVolume], masks: list[BidsVolume], found: Findings) -> None:
    """Add a volume to the images or the masks of its examination, or skip it."""
    folders = volume.file.relative_to(found.listing.root).parts[:-1]
    is_derived = folders[0].lower() == "derivatives"
    if volume.is_probability:
        found.skip(volume.file, "is a map of probabilities")
    elif volume.is_mask:
        if reason := other_mask_reason(volume, folders[1:2] if is_derived else ()):
            found.skip(volume.file, reason)
        else:
            masks.append(volume)
    elif is_derived:
        found.skip(volume.file, "is not a mask, and images are not read from derivatives")
    elif volume.role in SEQUENCE_OF_ROLE:
        images.append(volume)
    else:
        found.skip(volume.file, "is another sequence than T1, T2 and FLAIR")


def _flair_with_masks(
    images: Sequence[BidsVolume], masks: Sequence[BidsVolume], found: Findings
) -> list[tuple[BidsVolume, BidsVolume]]:
    """Return each FLAIR image of an examination that has one mask, with it."""
    flair = _originals([image for image in images if image.role is Role.FLAIR])
    fitting: dict[Path, list[BidsVolume]] = {image.file: [] for image in flair}
    for mask in masks:
        own = [image for image in flair if mask.is_of(image)]
        own = [image for image in own if mask.has_entities_of(image)] or own
        if len(own) == 1:
            fitting[own[0].file].append(mask)
        elif own:
            found.report(mask.file, f"fits several FLAIR images: {', '.join(image.file.name for image in own)}")
        elif mask.space not in NATIVE_SPACES:
            found.skip(mask.file, f"is a mask in the space {mask.space}")
        elif mask.is_tumour:
            found.report(mask.file, "is a mask without a FLAIR image")
        else:
            found.skip(mask.file, "belongs to no FLAIR image")
    pairs = []
    for image in flair:
        chosen = _best_masks(fitting[image.file], found)
        if len(chosen) > 1:
            found.report(image.file, f"has several masks: {', '.join(found.name_of(mask.file) for mask in chosen)}")
        elif chosen:
            pairs.append((image, chosen[0]))
    return pairs


def _originals(images: Sequence[BidsVolume]) -> list[BidsVolume]:
    """Return the originals without their processed copies; all images if all are copies."""
    return [image for image in images if not image.is_copy] or list(images)


def _best_masks(masks: Sequence[BidsVolume], found: Findings) -> list[BidsVolume]:
    """Return the masks with a tumour in their names, else all; of these the ones drawn on FLAIR, else all."""
    named = [mask for mask in masks if mask.is_tumour] or list(masks)
    chosen = [mask for mask in named if mask.is_on_flair] or named
    for mask in masks:
        if mask not in chosen:
            found.skip(mask.file, f"is another mask beside {chosen[0].file.name}")
    return chosen


def _sequences(flair: BidsVolume, images: Sequence[BidsVolume]) -> dict[MriSequence, VolumeFile]:
    """Return the images of a case: FLAIR, and of each other sequence the image of the same run, else the first."""
    chosen = {MriSequence.FLAIR: VolumeFile(flair.file)}
    for role in (Role.T1, Role.T1CE, Role.T2):
        named = [image for image in images if image.role is role]
        members = [image for image in named if image.space == "flair"] or _originals(named)
        run = flair.entities.get("run")
        if members:
            first = min(members, key=lambda image: (image.entities.get("run") != run, image.file))
            chosen[SEQUENCE_OF_ROLE[role]] = VolumeFile(first.file)
    return chosen


def _skip_unused(images: Sequence[BidsVolume], used: set[Path], found: Findings) -> None:
    """Skip the images of an examination that no case has, each with the reason."""
    reported = {problem.where for problem in found.problems}
    for image in images:
        if image.file in used or found.name_of(image.file) in reported:
            continue
        if used and image.is_copy:
            reason = "is a processed copy of another image"
        elif image.role is Role.FLAIR:
            reason = "has no mask"
        else:
            reason = f"is a further {image.role} image" if used else "is of an examination without a mask"
        found.skip(image.file, reason)


def _distinction(flair: BidsVolume, images: Iterable[BidsVolume]) -> str:
    """Return the entities that distinguish a FLAIR image in its examination; empty for the only FLAIR image."""
    count = sum(image.role is Role.FLAIR and not image.is_copy for image in images)
    return flair.distinction if count > 1 else ""


def _read_sites(file: Path, found: Findings) -> dict[str, str]:
    """Return the site of each subject in `participants.tsv`; a table that cannot be read is a problem."""
    try:
        rows = list(csv.DictReader(read_text(file).splitlines(), delimiter="\t"))
    except (OSError, ValueError, csv.Error) as fault:
        found.report(file, f"cannot be read ({fault})")
        return {}
    sites = {}
    if rows and "participant_id" not in {str(key).strip().lower() for key in rows[0]}:
        found.notes.append(f"{file.name} has no column participant_id: it gives no site")
    for row in rows:
        lowered = {str(key).strip().lower(): str(value).strip() for key, value in row.items()}
        subject = lowered.get("participant_id", "").lower()
        site = next((lowered[name] for name in _SITE_COLUMNS if name in lowered), "")
        if subject and site.lower() not in ("", "n/a", "none"):
            sites[subject if subject.startswith("sub-") else f"sub-{subject}"] = site
    return sites
