"""The names of cases that have a row already: a row belongs to a case by the path of the scan, not by its name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path

from gliomaseg.errors import GliomasegError
from gliomaseg.formats.dicom import list_series
from gliomaseg.inputs import Kind
from gliomaseg.serve.worklist.cases import WorkCase
from gliomaseg.serve.worklist.correction_folder import CorrectionFolder


@dataclass(frozen=True)
class _StoredRow:
    """A row of the manifest: its name, the path of its scan, and the UID of its FLAIR series, which files lack."""

    name: str
    file: Path
    series: str | None


def with_stored_names(cases: Sequence[WorkCase], folder: CorrectionFolder) -> list[WorkCase]:
    """Return cases with the names of their rows, sorted by name.

    The name of a scan depends on the other scans beside it, and on the folder that is searched; that of a row stays.

    Args:
        cases: of the folder of scans.
        folder: of the corrected masks.

    Raises:
        DataError: the manifest is damaged.
    """
    rows = _rows_of(folder)
    row_of = _rows_by_case(cases, rows)
    belonging = {row.name for row in row_of.values()}
    taken = {
        row.name.casefold() for row in rows if row.name in belonging or any(_may_be_above(case, row) for case in cases)
    }
    named = []
    for k, case in enumerate(cases):
        name = row_of[k].name if k in row_of else _free_name(case, taken)
        taken.add(name.casefold())
        named.append(replace(case, name=name))
    return sorted(named, key=lambda case: case.name)


def _rows_of(folder: CorrectionFolder) -> list[_StoredRow]:
    """Return all rows, the last one that was written first: if a scan has two rows, that one counts."""
    rows = sorted(folder.rows().values(), key=lambda row: row["corrected_at"], reverse=True)
    return [_StoredRow(row["case"], folder.scan_of(row), row.get("flair_series") or None) for row in rows]


def _rows_by_case(cases: Sequence[WorkCase], rows: Sequence[_StoredRow]) -> dict[int, _StoredRow]:
    """Return the row of each case that has one, by the position of the case: first by paths, then by series."""
    found: dict[int, _StoredRow] = {}
    free = {row.name: row for row in rows}
    for key in (_normal, _resolved):
        positions = {key(file): k for k, case in enumerate(cases) for file in case.entry.pictures}
        for row in list(free.values()):
            k = positions.get(key(row.file))
            # Only the path of a single study may be the folder above it, which may have had another one.
            if k is not None and k not in found and (len(cases) > 1 or _may_have_series(cases[k], row)):
                found[k] = free.pop(row.name)
    for row in list(free.values()):
        for k, case in enumerate(cases):
            if k not in found and _may_be_above(case, row) and _may_have_series(case, row):
                found[k] = free.pop(row.name)
                break
    return found


def _normal(file: Path) -> Path:
    return Path(os.path.normpath(file))


def _resolved(file: Path) -> Path:
    return file.resolve()


def _may_be_above(case: WorkCase, row: _StoredRow) -> bool:
    """Return whether the path of a DICOM case lies in that of a row, or above it, as that of a single study does."""
    if case.entry.kind is not Kind.SERIES or not row.series:
        return False
    path = _normal(case.entry.path)
    return path.is_relative_to(row.file) or row.file.is_relative_to(path)


def _may_have_series(case: WorkCase, row: _StoredRow) -> bool:
    """Return whether the series of a row may be in a case; a folder that cannot be read may have it."""
    if case.entry.kind is not Kind.SERIES or not row.series:
        return True
    try:
        return any(one.uid == row.series for one in list_series(case.entry.path))
    except GliomasegError:
        return True


def _free_name(case: WorkCase, taken: set[str]) -> str:
    """Return the name of a case, or one that no other case has."""
    numbered = (f"{case.entry.name}_{number}" for number in count(2))
    return next(name for name in chain([case.name, case.entry.name], numbered) if name.casefold() not in taken)
