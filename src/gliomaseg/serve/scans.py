"""The scans of an upload: listed with pictures, and the one that was chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from gliomaseg.errors import DataError, UsageError
from gliomaseg.formats import stem_of
from gliomaseg.formats.dicom import DicomVolume, Series, list_series, read_every_series
from gliomaseg.inputs import Input, Kind, join_sequences, list_inputs, load_input, with_series
from gliomaseg.inputs.load import loaded_series
from gliomaseg.naming import Role, parse_name
from gliomaseg.prediction.predict import MAX_BYTES
from gliomaseg.preprocessing import display_levels
from gliomaseg.scan import Scan
from gliomaseg.serve.sources import read_source
from gliomaseg.serve.uploads import SEQUENCE_FIELDS
from gliomaseg.types import Sequence as MriSequence

_FLAIR = (MriSequence.FLAIR.value,)
_PICTURE_PX = 160
_LISTED = 20  # series in a message


@dataclass(frozen=True)
class ScanChoice:
    """The scan to segment, in a form that is JSON too.

    Attributes:
        number: of the scan, from 1, as `list_scans` counts them.
        series: UID or number of the DICOM series that is FLAIR; None chooses it by its header.
        t1: the same of T1; None without.
        t1ce: the same of T1ce; None without.
        by_person: whether a person has chosen among the series of the study: no warning then names an unused T1.
    """

    number: int
    series: str | None = None
    t1: str | None = None
    t1ce: str | None = None
    by_person: bool = False


def list_scans(
    folder: Path,
    *,
    series: str | None = None,
    others: Mapping[str, str] | None = None,
    asks: bool = False,
    scan: int | None = None,
    takes: Sequence[str] = _FLAIR,
) -> list[dict[str, Any]]:
    """Return the scans of an upload, or the series of the only study; if there are several, write pictures.

    Each has `number`, `title`, `voxels`, `series`, `sequence` (by its header) and `usable_as` (sequences of the case).

    Args:
        folder: of the job.
        series: UID or number of a DICOM series, FLAIR; only the scans that have it are listed.
        others: the same of `t1` and `t1ce`.
        asks: whether the series of a study are listed too if one is FLAIR and another one looks like T1.
        scan: number of the only scan that is listed, from 1; None lists all. The pictures of a list before are removed.
        takes: the sequences that the models take.

    Raises:
        UsageError: no scan has that series.
        GliomasegError: no file can be read.
    """
    entries = dict(enumerate(_entries(folder), start=1))
    others = others or {}
    if scan is not None:
        entries = {scan: entries[scan]}
        for picture in (folder / "out").glob("choice-*.png"):
            picture.unlink()
    only = next(iter(entries.values())) if len(entries) == 1 else None
    for field, wanted in {"series": series, **{f"{name}_series": one for name, one in others.items()}}.items():
        entries = entries if wanted is None else _with_series(entries, wanted, field)
    if only is not None and only.kind is Kind.SERIES and series is None:
        usable = _usable(folder, only, [name for name in takes if name not in others])
        if _must_choose(list_series(only.path), asks=asks and MriSequence.T1 in usable):
            return _described_series(folder, only, usable)
    if len(entries) == 1:
        ((number, entry),) = entries.items()
        return [_choice(number, entry.name, series)]
    return [_described(folder, number, entry, series=series) for number, entry in entries.items()]


def _usable(folder: Path, entry: Input, takes: Sequence[str]) -> Sequence[str]:
    """Return the sequences that a series of a study can be; those with a file of their own are given already."""
    if read_source(folder) is not None:  # a work list stores FLAIR alone
        return _FLAIR
    given = {name for name, other in (("t1", entry.t1), ("t1ce", entry.t1ce)) if other is not None}
    return [name for name in takes if name not in given]


def _must_choose(found: Sequence[Series], *, asks: bool) -> bool:
    """Return whether a person must choose among the series of a study."""
    flair = [one for one in found if one.is_flair]
    if len(flair) != 1:
        return len(found) > 1
    return asks and any(one.sequence is MriSequence.T1 and one.study == flair[0].study for one in found)


def _with_series(entries: dict[int, Input], series: str, field: str) -> dict[int, Input]:
    dicom = {number: entry for number, entry in entries.items() if entry.kind is Kind.SERIES}
    if not dicom:
        raise UsageError("is given, and no file is DICOM", where=field, cure="leave it out")
    found = {number: list_series(entry.path) for number, entry in dicom.items()}
    fitting = {
        k: dicom[k] for k, listed in found.items() if any(series in (one.uid, str(one.number)) for one in listed)
    }
    if not fitting:
        known = [one.uid if one.number is None else str(one.number) for listed in found.values() for one in listed]
        what = f"is {series}, expected {' or '.join(dict.fromkeys(known[:_LISTED]))}"
        raise UsageError(what, where=field, cure="send the number or the UID of a series of the upload")
    return fitting


def _entries(folder: Path) -> list[Input]:
    if (source := read_source(folder)) is not None:
        return [source]
    upload = folder / "upload"
    named = {name: next(iter(sorted(upload.glob(f"{name}/*"))), None) for name in SEQUENCE_FIELDS}
    if named["flair"] is not None:
        return [join_sequences(named["flair"], t1=named["t1"], t1ce=named["t1ce"])]
    if any(named.values()):
        raise UsageError("T1 or T1ce is given without FLAIR", cure="add the field flair")
    return [with_sequences(entry) for entry in list_inputs([upload])]


def with_sequences(entry: Input) -> Input:
    """Return a volume with T1 and T1ce of the same case, if the upload has one of each."""
    found = {}
    for role in (Role.T1, Role.T1CE):
        files = [file.path for file in entry.skipped if parse_name(stem_of(file.path)).role is role]
        found[role] = files[0] if len(files) == 1 else None
    if entry.kind is not Kind.VOLUME or not any(found.values()):
        return entry
    return replace(join_sequences(entry.path, t1=found[Role.T1], t1ce=found[Role.T1CE]), result_name=entry.result_name)


def _choice(number: int, title: str, series: str | None) -> dict[str, Any]:
    empty = {"voxels": None, "sequence": None, "usable_as": list(_FLAIR)}
    return {"number": number, "title": title, "series": series} | empty


def _described_series(folder: Path, entry: Input, usable: Sequence[str]) -> list[dict[str, Any]]:
    """Return the series of a study as choices, and write their pictures."""
    choices = []
    for number, (series, found) in enumerate(read_every_series(entry.path, max_bytes=MAX_BYTES), start=1):
        title = f"{series.description or 'no description'}, {series.slices} slices"
        by_header = None if series.sequence is None else series.sequence.value
        choice = _choice(number, title, series.uid) | {"sequence": by_header, "usable_as": list(usable)}
        choices.append(choice | _picture(folder, number, partial(_scan_of, found)))
    return choices


def _scan_of(found: DicomVolume | Exception) -> Scan:
    if isinstance(found, Exception):
        raise found
    return loaded_series(found).scan


def _described(folder: Path, number: int, entry: Input, *, series: str | None = None) -> dict[str, Any]:
    """Return one choice, and write its picture."""

    def read() -> Scan:
        return load_input(with_series(entry, series), max_bytes=MAX_BYTES).scan

    return _choice(number, str(entry.pictures[0]), series) | _picture(folder, number, read)


def _picture(folder: Path, number: int, read: Callable[[], Scan]) -> dict[str, Any]:
    """Write the middle axial slice of a choice, and return its voxels. A scan that cannot be read has no picture."""
    try:
        scan = read()
    except Exception as fault:  # the other scans of the upload can still be chosen
        return {"error": str(fault)}
    axial = scan.axial.turn(scan.voxels[..., scan.flair_index])
    picture = Image.fromarray(display_levels(axial[len(axial) // 2]))
    picture.thumbnail((_PICTURE_PX, _PICTURE_PX))
    (folder / "out").mkdir(exist_ok=True)
    picture.save(folder / "out" / f"choice-{number}.png")
    return {"voxels": list(reversed(scan.voxels.shape[:3]))}


def chosen_scan(folder: Path, number: int) -> Input:
    """Return one scan of an upload by its number, as `list_scans` counts them.

    Raises:
        GliomasegError: there is no such scan, or no file can be read.
    """
    entries = _entries(folder)
    if not 1 <= number <= len(entries):
        # The choices of one DICOM input are its series.
        if len(entries) == 1:
            return entries[0]
        raise DataError(f"choice is {number}, expected 1 to {len(entries)}", cure="choose one of the list")
    return entries[number - 1]
