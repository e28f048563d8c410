"""The folder of a work list: corrected masks, and a manifest that `train` and `evaluate` take."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gliomaseg.atomic import UNFINISHED, link, new_file, remove
from gliomaseg.data.case import Case
from gliomaseg.data.layouts import manifest
from gliomaseg.data.tables import NumberedRow, Row, read_rows, write_rows
from gliomaseg.errors import DataError, OutputExistsError
from gliomaseg.inputs import Kind
from gliomaseg.ownership import OutputFolder
from gliomaseg.serve.worklist.cases import FORMULA, WorkCase


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

    def pages_of(self, case: str) -> Path:
        """Return the folder of the images of slices that are pages of one file."""
        return self.folder / f"{case}_slices"

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
        numbered = read_rows(self.manifest)
        rows = [entry.row for entry in numbered]
        if any(not row.get(name) for row in rows for name in ("case", "reader", "corrected_at")):
            what = "has a row without case, reader or corrected_at: it is not the manifest of a work list"
            raise OutputExistsError(what, where=self.manifest, cure="name another --out")
        for entry in numbered:
            if fault := _fault_of(entry):
                raise DataError(fault, where=self.manifest, cure="correct or remove the row")
        return rows

    def require_same_files(self, cases: Sequence[WorkCase]) -> None:
        """Refuse to go on if a scan that was corrected is missing, or another one has the name of its case.

        Scans that are not in the list may be those of another folder.

        Raises:
            DataError: a scan does not exist, the row of a case names another scan, or the manifest is damaged.
        """
        for row in self._rows():
            if not self.scan_of(row).exists():
                what = f"scan of {row['case']} is {self.scan_of(row)}, which does not exist"
                raise DataError(what, where=self.manifest, cure="move it back, or remove the rows of the case")
        rows = self.rows()
        for case in cases:
            row = rows.get(case.name.casefold(), {})
            if not row or (case.entry.kind is Kind.PAGES and "scan" not in row):
                continue
            file, expected = self.scan_of(row), case.entry.path if row.get("flair") else case.entry.pictures[0]
            # A study is read from the folder above it if it is alone: its name came from its series then.
            is_nested = case.entry.kind is Kind.SERIES and (
                expected.is_relative_to(file) or file.is_relative_to(expected)
            )
            if not (is_nested or (expected.exists() and file.samefile(expected))):
                what = f"scan of {case.name} is {file}, expected {expected}"
                raise DataError(what, where=self.manifest, cure="name another --out, or move the scans back")

    def scan_of(self, row: Row) -> Path:
        """Return the file or folder of the scan in a row; for a slice, its image, or the TIFF that has it as a page."""
        return Path(os.path.normpath(self.folder / (row.get("scan") or row.get("flair") or row["image"])))

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
        own = [_without_formulas(row | about) for row in manifest.rows_of(case, self.folder)]
        rows = sorted([*kept, *own], key=lambda row: (row["case"], int(row.get("slice") or 0)))
        with new_file(self.manifest) as temporary:
            write_rows(rows, temporary, columns=manifest.columns_of(rows))

    @contextmanager
    def put_back_on_failure(self, *paths: Path) -> Iterator[None]:
        """Give files and folders what they have now, if the block raises an error; remove those that are missing now.

        Args:
            paths: in the folder; own ones.

        Raises:
            GliomasegError: the folder cannot be written.
        """
        kept = {path: path.with_name(f"{UNFINISHED}before-{path.name}") for path in paths}
        try:
            for path, before in kept.items():
                remove(before)  # of a killed process
                _keep(path, before)
            yield
        except BaseException:
            for path, before in kept.items():
                remove(path)
                if before.exists():
                    before.rename(path)
            raise
        finally:
            for before in kept.values():
                remove(before)


def _keep(path: Path, before: Path) -> None:
    """Give a file, or the files of a folder, a second name, if it exists."""
    if path.is_dir():
        shutil.copytree(path, before, copy_function=lambda file, other: link(Path(file), Path(other)))
    elif path.exists():
        link(path, before)


def _without_formulas(row: Row) -> Row:
    """Return a row whose paths begin so that spreadsheets do not take them for formulas."""
    paths = ("flair", "t1", "t1ce", "image", "mask", "scan")
    return row | {name: f"./{row[name]}" for name in paths if row.get(name, "").startswith(FORMULA)}


def _fault_of(entry: NumberedRow) -> str | None:
    """Return what is wrong with a row of a work list."""
    row = entry.row
    missing = next((name for name in ("patient", "mask") if not row.get(name)), None)
    if missing is None and not (row.get("flair") or row.get("image")):
        missing = "flair or image"
    if missing:
        return f"row {entry.number} has no {missing}, expected a value"
    number = row.get("slice", "0")
    if not (number.isdecimal() and len(number) <= manifest.MOST_DIGITS):
        return f"slice in row {entry.number} is {number}, expected a whole number"
    return None
