"""The examinations among DICOM objects: a FLAIR series, the one mask that refers to it, T1 and T2 of the same study."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gliomaseg.data.findings import Findings
from gliomaseg.errors import counted
from gliomaseg.formats.dicom import DicomObjects, MaskObject, SeriesObject
from gliomaseg.geometry import SAME_POSITION_MM, farthest_corner_mm
from gliomaseg.types import Sequence as MriSequence

_OPTIONAL = (MriSequence.T1, MriSequence.T1CE, MriSequence.T2)
Parts = tuple[str, ...]


@dataclass(frozen=True)
class Examination:
    """FLAIR, its mask, the other sequences that are used, and the folder that contains them."""

    flair: SeriesObject
    mask: MaskObject
    images: dict[MriSequence, SeriesObject]
    folder: Parts


def find_examinations(objects: DicomObjects, found: Findings) -> list[Examination]:
    """Return the FLAIR series with one mask each, and report or skip all other objects."""
    flair = [series for series in objects.series if series.sequence is MriSequence.FLAIR]
    masks = _masks_by_flair(objects.masks, flair, found)
    chosen = {uid: own[0] for uid, own in masks.items() if len(own) == 1}
    by_study: dict[str, list[SeriesObject]] = defaultdict(list)
    for series in objects.series:
        by_study[series.study].append(series)
    examinations = [
        _examination(series, chosen[series.identity.uid], by_study[series.study], found)
        for series in flair
        if series.identity.uid in chosen and series.grid is not None
    ]
    used = {image.identity.uid for entry in examinations for image in entry.images.values()}
    for series in flair:
        own = masks.get(series.identity.uid, [])
        place = folder_of(series)
        if len(own) > 1:
            names = ", ".join(found.listing.name_of(mask.path) for mask in own)
            found.report(place, f"has {len(own)} masks that refer to FLAIR ({names}), expected 1")
        elif own and series.grid is None:
            found.report(place, f"FLAIR is not one volume: {series.fault}")
        elif not own:
            found.skip(place, f"{_shown(series)} has no SEG or RTSTRUCT that refers to it")
    studies = {entry.flair.study for entry in examinations}
    for series in objects.series:
        if series.sequence is not MriSequence.FLAIR and series.identity.uid not in used:
            found.skip(folder_of(series), f"{_shown(series)} {_unused_reason(series, examinations)}")
    _report_masks_without_flair(objects, masks, studies, found)
    return examinations


def _masks_by_flair(
    masks: Iterable[MaskObject], flair: Sequence[SeriesObject], found: Findings
) -> dict[str, list[MaskObject]]:
    """Return the masks that refer to each FLAIR series, by its UID."""
    by_flair: dict[str, list[MaskObject]] = defaultdict(list)
    for mask in masks:
        fitting = [series for series in flair if mask.references.include(series.identity)]
        if len(fitting) > 1:
            shown = ", ".join(series.identity.uid for series in fitting)
            found.report(mask.path, f"{mask.kind} refers to {len(fitting)} FLAIR series ({shown}), expected 1")
        elif fitting:
            by_flair[fitting[0].identity.uid].append(mask)
    return by_flair


def _report_masks_without_flair(
    objects: DicomObjects, masks: dict[str, list[MaskObject]], studies: set[str], found: Findings
) -> None:
    """Report the masks that refer to no FLAIR series; one of a study that has a case is skipped."""
    known = {series.identity.uid: series for series in objects.series}
    reported = {mask.path for own in masks.values() for mask in own}
    reported |= {found.listing.root / problem.where for problem in found.problems}
    for mask in objects.masks:
        if mask.path in reported:
            continue
        named = [known[uid] for uid in mask.references.series if uid in known]
        if named:
            target = f"{_shown(named[0])}, which is not recognised as FLAIR"
        elif mask.references.series:
            target = f"series {mask.references.series[0]}, which is not in the data set"
        else:
            target = f"frame of reference {mask.references.frames[0]}, which no FLAIR series has"
        what = f"{mask.kind} refers to {target}"
        (found.skip if mask.study in studies else found.report)(mask.path, what)


def _examination(flair: SeriesObject, mask: MaskObject, study: Sequence[SeriesObject], found: Findings) -> Examination:
    images = {MriSequence.FLAIR: flair}
    for sequence in _OPTIONAL:
        own = [series for series in study if series.sequence is sequence]
        fitting = _fitting(own, flair)
        if len(fitting) == 1:
            images[sequence] = fitting[0]
    root = found.listing.root
    folder = Path(os.path.commonpath([folder_of(flair), mask.path.parent])).relative_to(root).parts
    return Examination(flair, mask, images, folder)


def _fitting(own: Iterable[SeriesObject], flair: SeriesObject) -> list[SeriesObject]:
    """Return the series on the grid of FLAIR; without any, those that can be resampled to it."""
    usable = [series for series in own if not _unusable_reason(series, flair)]
    return [series for series in usable if _is_on_grid(series, flair)] or usable


def _is_on_grid(series: SeriesObject, flair: SeriesObject) -> bool:
    one, other = series.grid, flair.grid
    if one is None or other is None or one.shape != other.shape:
        return False
    return farthest_corner_mm(one.shape, one.affine, other.affine) <= SAME_POSITION_MM


def _unusable_reason(series: SeriesObject, flair: SeriesObject) -> str:
    """Return why a series cannot be resampled to FLAIR; an empty text if it can."""
    if series.grid is None or flair.grid is None:
        return f"is not one volume: {series.fault or flair.fault}"
    same_frame = series.identity.frame_of_reference == flair.identity.frame_of_reference
    if not (same_frame or _is_on_grid(series, flair)):
        return "has another FrameOfReferenceUID and another grid than FLAIR, so their positions are not comparable"
    return ""


def _unused_reason(series: SeriesObject, examinations: Sequence[Examination]) -> str:
    own = [entry for entry in examinations if entry.flair.study == series.study]
    if not own:
        return "belongs to no study with FLAIR and a mask"
    if series.sequence is None:
        return "is not recognised as FLAIR, T1 or T2"
    return _unusable_reason(series, own[0].flair) or f"is one of several {series.sequence} series of its study"


def _shown(series: SeriesObject) -> str:
    """Return a series in words, without its description, which may contain a name."""
    number = f"series {series.identity.uid}" if series.number is None else f"series number {series.number}"
    return f"{number} ({counted(len(series.files), 'file')}{f', {series.sequence}' if series.sequence else ''})"


def folder_of(series: SeriesObject) -> Path:
    """Return the only file of a series, or the folder that contains its files."""
    if len(series.files) == 1:
        return series.files[0]
    return Path(os.path.commonpath([file.parent for file in series.files]))
