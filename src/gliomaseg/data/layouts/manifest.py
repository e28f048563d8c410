"""A manifest: a table with a row for each case, or for each slice, as CSV, TSV or JSON.

The columns are:

- `case`, `patient`: names; a case is one examination of a patient
- `flair`, `t1`, `t1ce`, `t2`, `mask`: files of volumes, or folders of DICOM series
- `slice`, `image`, `mask`: number and files of one slice; such a case has a row for each slice
- `site`, `date`: may be empty or missing
- `labels`: the mask's values that are tumour, such as `1 2 4`; if empty, all above 0
- `flair_channel`, `mask_series` ...: only if needed, the fields of `VolumeFile` beside its path
- `reader`, `corrected_at`, `seconds`, `changed_voxels`, `model`, `scan`: of a correction, written by `serve`; not read

Paths are relative to the manifest's folder. A JSON file is a list of such rows, as objects.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from gliomaseg.data.case import UNKNOWN, Case, Slice, VolumeFile, Volumes
from gliomaseg.data.case_list import CaseList, DataOptions, Problem
from gliomaseg.data.masks import MaskLabels
from gliomaseg.data.tables import SUFFIXES, NumberedRow, Row, read_rows, write_rows
from gliomaseg.errors import DataError
from gliomaseg.types import Sequence as MriSequence

MOST_DIGITS = 9
_SEQUENCES = (MriSequence.FLAIR, MriSequence.T1, MriSequence.T1CE, MriSequence.T2)
_ROLES = (*(sequence.value for sequence in _SEQUENCES), "mask")
_FIELDS = tuple(entry for entry in fields(VolumeFile) if entry.name != "path")
_VOLUME_COLUMNS = tuple(f"{role}_{entry.name}" for role in _ROLES for entry in _FIELDS)
_COLUMNS = ("case", "patient", "site", "date", "slice", "image", *_ROLES, "labels", *_VOLUME_COLUMNS)
CORRECTION_COLUMNS = ("reader", "corrected_at", "seconds", "storings", "changed_voxels", "model", "scan")
_ALWAYS = ("case", "patient", "site", "date", "mask")
_OF_EXAMINATION = ("case", "patient", "site", "date", "labels")


def write_manifest(cases: CaseList, path: Path) -> None:
    """Write the cases of any layout as a CSV, TSV or JSON file; `read` of it gives equal cases.

    Args:
        cases: of a data set.
        path: the new file. Paths in it are relative to its folder.

    Raises:
        DataError: the suffix is another one.
        OSError: the file cannot be written.
    """
    rows = [row for case in cases.cases for row in rows_of(case, path.parent)]
    write_rows(rows, path, columns=columns_of(rows))


def columns_of(rows: Sequence[Row]) -> list[str]:
    """Return the columns that a manifest with these rows needs, in order; columns of other programs come last."""
    known = (*_COLUMNS, *CORRECTION_COLUMNS)
    foreign = dict.fromkeys(name for row in rows for name in row if name not in known)
    return [*(name for name in known if name in _ALWAYS or any(row.get(name) for row in rows)), *foreign]


def rows_of(case: Case, folder: Path) -> Iterator[Row]:
    """Yield the rows of a case; paths in them are relative to the folder of the manifest."""
    values = {
        "case": case.name,
        "patient": case.patient,
        "site": "" if case.site == UNKNOWN else case.site,
        "date": case.date or "",
        "labels": " ".join(map(str, sorted(case.labels.tumour))) if case.labels.tumour is not None else "",
    }
    if case.volumes is None:
        for entry in case.slices:
            files = {"image": relative_path(entry.image, folder), "mask": relative_path(entry.mask, folder)}
            yield {**values, "slice": str(entry.number), **files}
        return
    named = {sequence.value: volume for sequence, volume in case.volumes.images.items()}
    for role, volume in {**named, "mask": case.volumes.mask}.items():
        values[role] = relative_path(volume.path, folder)
        for part in _FIELDS:
            value = getattr(volume, part.name)
            values[f"{role}_{part.name}"] = "" if value is None else str(value)
    yield values


def relative_path(file: Path, folder: Path) -> str:
    """Return a path as the cells of a manifest in a folder name it."""
    try:
        return Path(os.path.relpath(file, folder)).as_posix()
    except ValueError:  # on another drive
        return file.absolute().as_posix()


def recognise(data: Path) -> bool:
    """Return whether the data set is a CSV, TSV or JSON file."""
    return data.is_file() and data.suffix.lower() in SUFFIXES


def read(data: Path, options: DataOptions) -> CaseList:
    """List the cases of a manifest. A row with a fault is a problem, and its case or slice is not read.

    `options.labels` replaces the column `labels`. If there is a `patient_pattern`, the column `patient` may be missing.

    Raises:
        DataError: the file is not a table, lacks a column, or has no case.
    """
    if data.is_dir():
        raise DataError("is a folder, expected a CSV, TSV or JSON file", where=data, cure="name the file")
    numbered = read_rows(data)
    table = _Table(data, options)
    _require_columns(table, numbered)
    by_case: dict[str, list[NumberedRow]] = {}
    for entry in numbered:
        if missing := [name for name in table.names if not entry.row.get(name)]:
            table.report(entry, f"{missing[0]} is empty, expected a name")
        else:
            # Results are files with the names of cases, and some file systems ignore capital letters.
            by_case.setdefault(entry.row["case"].casefold(), []).append(entry)
    cases = [case for rows in by_case.values() if (case := table.case_of(rows))]
    if not cases:
        first = table.problems[0].what if table.problems else "it has no row"
        cure = "write a row for each case; paths are relative to the folder of the manifest"
        raise DataError(f"has no case that can be read: {first}", where=data, cure=cure)
    return CaseList(
        data.parent,
        tuple(sorted(cases, key=lambda case: case.name)),
        tuple(table.problems),
        layout="manifest",
        notes=tuple(table.notes(numbered)),
    )


@dataclass
class _Table:
    data: Path
    options: DataOptions
    problems: list[Problem] = field(default_factory=list)
    absolute: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that may not be empty."""
        return ("case",) if self.options.patient_pattern else ("case", "patient")

    def report(self, entry: NumberedRow, what: str) -> None:
        self.problems.append(Problem(f"{self.data.name}, row {entry.number}", what))

    def notes(self, numbered: Sequence[NumberedRow]) -> Iterator[str]:
        """Yield what a person must check."""
        unread = sorted({name for entry in numbered for name in entry.row} - {*_COLUMNS, *CORRECTION_COLUMNS})
        if unread:
            yield f"columns that are not read: {', '.join(unread)}"
        if self.absolute:
            yield f"{self.absolute} paths are absolute: they are wrong on another computer"

    def case_of(self, rows: Sequence[NumberedRow]) -> Case | None:
        """Return the case of some rows, or None with the reasons in `problems`."""
        first = rows[0].row
        name = first["case"]
        labels = self._labels(rows[0])
        if labels is None:
            return None
        case = Case(
            name, first.get("patient") or name, first.get("site", UNKNOWN), date=first.get("date"), labels=labels
        )
        if "slice" in first or "image" in first:
            slices = self._slices(rows)
            return replace(case, slices=slices) if slices else None
        for other in rows[1:]:
            self.report(other, f"case is {other.row['case']}, as in row {rows[0].number}")
        volumes = self._volumes(rows[0])
        return replace(case, volumes=volumes) if volumes else None

    def _labels(self, entry: NumberedRow) -> MaskLabels | None:
        text = entry.row.get("labels", "")
        if self.options.labels.tumour is not None or not text:
            return self.options.labels
        try:
            return MaskLabels(frozenset(int(word) for word in text.replace(",", " ").replace(";", " ").split()))
        except ValueError:
            self.report(entry, f"labels is {text}, expected whole numbers such as 1 2 4")
            return None

    def _volumes(self, entry: NumberedRow) -> Volumes | None:
        found: dict[str, VolumeFile] = {}
        complete = True
        for role in _ROLES:
            if role in entry.row:
                volume = self._volume(entry, role)
                complete &= volume is not None
                if volume:
                    found[role] = volume
            elif role in ("flair", "mask"):
                self.report(entry, f"{role} is empty, expected a file")
                complete = False
        if complete and found["mask"] in [volume for role, volume in found.items() if role != "mask"]:
            self.report(entry, "mask is the file of an image")
            complete = False
        if not complete:
            return None
        images = {sequence: found[sequence.value] for sequence in _SEQUENCES if sequence.value in found}
        return Volumes(images, found["mask"])

    def _volume(self, entry: NumberedRow, role: str) -> VolumeFile | None:
        file = self._file(entry, role)
        values: dict[str, Any] = {}
        for part in _FIELDS:
            text = entry.row.get(f"{role}_{part.name}")
            try:
                values[part.name] = int(text) if text and "int" in str(part.type) else text
            except ValueError:
                self.report(entry, f"{role}_{part.name} is {text}, expected a whole number")
                return None
        return VolumeFile(file, **values) if file else None

    def _slices(self, rows: Sequence[NumberedRow]) -> tuple[Slice, ...]:
        first = rows[0]
        found: dict[int, Slice] = {}
        numbers: dict[int, int] = {}
        for entry in rows:
            changed = [name for name in _OF_EXAMINATION if entry.row.get(name) != first.row.get(name)]
            if changed:
                values = [one.row.get(changed[0], "empty") for one in (entry, first)]
                self.report(entry, f"{changed[0]} is {values[0]}, expected {values[1]} as in row {first.number}")
                continue
            text = entry.row.get("slice", "")
            if not (text.isdecimal() and len(text) <= MOST_DIGITS):
                self.report(entry, f"slice is {text or 'empty'}, expected a whole number")
                continue
            image, mask = self._file(entry, "image"), self._file(entry, "mask")
            if int(text) in found:
                self.report(entry, f"is slice {text} of its case, as is row {numbers[int(text)]}")
            elif image and mask and image == mask:
                self.report(entry, "mask is the file of an image")
            elif image and mask:
                found[int(text)] = Slice(int(text), image, mask)
                numbers[int(text)] = entry.number
        return tuple(found[number] for number in sorted(found))

    def _file(self, entry: NumberedRow, column: str) -> Path | None:
        """Return the path in a cell, or None with the reason in `problems`."""
        text = entry.row.get(column, "")
        if not text:
            self.report(entry, f"{column} is empty, expected a file")
            return None
        self.absolute += Path(text).is_absolute()
        folder = self.data.parent
        # `..` is resolved by names, as `write_manifest` does; a folder that is a link may need the other meaning.
        lexical = [Path(os.path.normpath(folder / name)) for name in dict.fromkeys((text, text.replace("\\", "/")))]
        found = next((file for file in (*lexical, folder / text) if _exists(file)), None)
        if found is None:
            self.report(entry, f"{column} {text} does not exist")
        return found


def _exists(file: Path) -> bool:
    try:
        return file.exists()
    except (OSError, ValueError):  # a name that is too long, or contains a null character
        return False


def _require_columns(table: _Table, numbered: Sequence[NumberedRow]) -> None:
    """Check that the columns without which no case can be read are there."""
    names = {name for entry in numbered for name in entry.row}
    missing = [name for name in (*table.names, "mask") if name not in names]
    if not names & {"flair", "image"}:
        missing.append("flair (or slice and image)")
    if missing and numbered:
        cure = "write a first row with case, patient, flair and mask"
        raise DataError(f"has no values in column {', '.join(missing)}", where=table.data, cure=cure)
