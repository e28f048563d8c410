"""The names of cases that have a row already: a row belongs to a case by the path of the scan, not by its name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, count, islice
from pathlib import Path

from gliomaseg.data.tables import Row
from gliomaseg.errors import GliomasegError
from gliomaseg.formats.dicom import list_series
from gliomaseg.inputs import Kind
from gliomaseg.serve.worklist.cases import WorkCase
from gliomaseg.serve.worklist.correction_folder import CorrectionFolder


def with_stored_names(cases: Sequence[WorkCase], folder: CorrectionFolder) -> list[WorkCase]:
    """Return cases with the names of their rows, sorted by name.

    The name of a scan depends on the other scans beside it, and on the folder that is searched; that of a row stays.

    Args:
        cases: of the folder of scans.
        folder: of the corrected masks.

    Raises:
        DataError: the manifest is damaged.
    """
    # If a scan has two rows, the last one that was written counts.
    rows = sorted(folder.rows().values(), key=lambda row: row["corrected_at"], reverse=True)
    files = [folder.scan_of(row) for row in rows]
    found: dict[int, int] = {}  # from positions of cases to those of rows
    for key in (_normal, _resolved):
        positions = {key(file): k for k, case in enumerate(cases) for file in case.entry.pictures}
        for number, (row, file) in enumerate(zip(rows, files, strict=True)):
            k = positions.get(key(file))
            # Only the path of a single study may be the folder above it, which may have had another one.
            if k is not None and number not in found.values() and (len(cases) > 1 or _may_have_series(cases[k], row)):
                found.setdefault(k, number)
    for number, (row, file) in enumerate(zip(rows, files, strict=True)):
        if number not in found.values():
            nested = (k for k, case in enumerate(cases) if k not in found and _has_series(case, row, file))
            found |= dict.fromkeys(islice(nested, 1), number)
    taken = {
        row["case"].casefold()
        for number, (row, file) in enumerate(zip(rows, files, strict=True))
        if number in found.values() or any(_may_be_above(case, row, file) for case in cases)
    }
    named = []
    for k, case in enumerate(cases):
        name = rows[found[k]]["case"] if k in found else _free_name(case, taken)
        taken.add(name.casefold())
        named.append(replace(case, name=name))
    return sorted(named, key=lambda case: case.name)


def _normal(file: Path) -> Path:
    return Path(os.path.normpath(file))


def _resolved(file: Path) -> Path:
    return file.resolve()


def _has_series(case: WorkCase, row: Row, file: Path) -> bool:
    return _may_be_above(case, row, file) and _may_have_series(case, row)


def _may_be_above(case: WorkCase, row: Row, file: Path) -> bool:
    """Return whether the path of a DICOM case lies in that of a row, or above it, as that of a single study does."""
    if case.entry.kind is not Kind.SERIES or not row.get("flair_series"):
        return False
    path = _normal(case.entry.path)
    return path.is_relative_to(file) or file.is_relative_to(path)


def _may_have_series(case: WorkCase, row: Row) -> bool:
    """Return whether the series of a row may be in a case; a folder that cannot be read may have it."""
    series = row.get("flair_series")
    if case.entry.kind is not Kind.SERIES or not series:
        return True
    try:
        return any(one.uid == series for one in list_series(case.entry.path))
    except GliomasegError:
        return True


def _free_name(case: WorkCase, taken: set[str]) -> str:
    """Return the name of a case, or one that no other case has."""
    numbered = (f"{case.entry.name}_{number}" for number in count(2))
    return next(name for name in chain([case.name, case.entry.name], numbered) if name.casefold() not in taken)
