"""The folder of a work list: corrected masks, and a manifest that `train` and `evaluate` take."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gliomaseg.atomic import new_file
from gliomaseg.data.case import Case
from gliomaseg.data.layouts import manifest
from gliomaseg.data.tables import Row, read_rows, write_rows
from gliomaseg.errors import DataError, OutputExistsError
from gliomaseg.inputs import Kind
from gliomaseg.ownership import OutputFolder
from gliomaseg.serve.worklist.cases import WorkCase


@dataclass(frozen=True)
class CorrectionFolder:
    """Masks that a person has corrected or accepted, and their manifest.

    A mask is written before its row, each of them whole or not at all: after a kill, every row has its mask.

    Attributes:
        folder: of the user; it may be missing.
    """

    folder: Path

    @property
    def manifest(self) -> Path:
        """The manifest, a CSV file."""
        return self.folder / "manifest.csv"

    @property
    def masks(self) -> OutputFolder:
        """The files that this command wrote: it replaces no other ones."""
        return OutputFolder(self.folder, "serve")

    def mask_of(self, case: str) -> Path:
        """Return the mask of a volume; slices have a folder of that name without the suffix."""
        return self.folder / f"{case}_mask.nii.gz"

    def slices_of(self, case: str) -> Path:
        """Return the folder of the masks of slices."""
        return self.folder / f"{case}_mask"

    def rows(self) -> dict[str, Row]:
        """Return the first row of each case by its name in small letters; none if there is no manifest.

        Raises:
            DataError: the file is not a table, or has rows of another program.
        """
        rows: dict[str, Row] = {}
        for row in self._rows():
            rows.setdefault(row["case"].casefold(), row)
        return rows

    def _rows(self) -> list[Row]:
        if not self.manifest.is_file():
            return []
        rows = [entry.row for entry in read_rows(self.manifest)]
        if any(not row.get(name) for row in rows for name in ("case", "reader", "corrected_at")):
            what = "has a row without case, reader or corrected_at: it is not the manifest of a work list"
            raise OutputExistsError(what, where=self.manifest, cure="name another --out")
        return rows

    def require_same_files(self, cases: Sequence[WorkCase]) -> None:
        """Refuse to go on with other scans than those that were corrected.

        Raises:
            DataError: the row of a case names another scan, or the manifest is damaged.
        """
        rows = self.rows()
        for case in cases:
            row = rows.get(case.name.casefold())
            if row is None or case.entry.kind is Kind.PAGES:
                continue
            named = row.get("flair") or row.get("image") or ""
            file = Path(os.path.normpath(self.folder / named))
            expected = case.entry.path if row.get("flair") else case.entry.pictures[0]
            if not (file.exists() and expected.exists() and file.samefile(expected)):
                what = f"scan of {case.name} is {named}, expected {expected}"
                raise DataError(what, where=self.manifest, cure="name another --out, or move the scans back")

    def add(self, case: Case, about: Row) -> None:
        """Write the rows of a case, in place of its former ones.

        Args:
            case: with its mask, which is written already.
            about: the columns of the correction.

        Raises:
            DataError: the manifest has been changed to something else.
            GliomasegError: the file cannot be written.
        """
        kept = [row for row in self._rows() if row["case"].casefold() != case.name.casefold()]
        own = [row | about for row in manifest.rows_of(case, self.folder)]
        rows = sorted([*kept, *own], key=lambda row: (row["case"], int(row.get("slice") or 0)))
        with new_file(self.manifest) as temporary:
            write_rows(rows, temporary, columns=manifest.columns_of(rows))
