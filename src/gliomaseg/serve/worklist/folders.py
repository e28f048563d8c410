"""The folders of a work list: the scans, and the corrected masks; and the name of the person who corrects."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gliomaseg.errors import UsageError, printable
from gliomaseg.serve.names import with_texts
from gliomaseg.serve.worklist.cases import FORMULA, WorkCase, list_cases
from gliomaseg.serve.worklist.correction_folder import CorrectionFolder
from gliomaseg.serve.worklist.stored_names import with_stored_names

LONGEST_READER = 100


@dataclass(frozen=True)
class WorkFolders:
    """The folders of a work list.

    Attributes:
        data: the scans.
        out: of the corrected masks; locked by this process.
        cases: in `data`.
        reader: the name of the person, unless the page sends another.
    """

    data: Path
    out: CorrectionFolder
    cases: tuple[WorkCase, ...]
    reader: str

    @classmethod
    def open(cls, data: Path, out: Path, reader: str | None = None) -> WorkFolders:
        """Return the work list of two folders; nothing is written.

        Args:
            data: a folder of scans, or one file.
            out: of the corrected masks.
            reader: the name of the person; None for the login name.

        Raises:
            DataError: there is no scan, or `out` belongs to other scans.
            OutputExistsError: `out` has the manifest of another program.
            UsageError: the name of the reader is not valid.
        """
        folder = CorrectionFolder(out.absolute())
        cases = with_stored_names(list_cases(data, without=out), folder)
        folder.require_same_files(cases)
        return cls(data.absolute(), folder, tuple(cases), login_name() if reader is None else valid_reader(reader))

    def shown(self, text: str) -> str:
        """Return a message without the path of the folder of scans."""
        return text.replace(f"{self.data if self.data.is_dir() else self.data.parent}/", "")

    def shown_in(self, value: Any) -> Any:
        """Return a document without that path in its texts."""
        return with_texts(value, self.shown)


def login_name() -> str:
    """Return the login name, or "unknown" if the system has none that can be shown."""
    try:
        return valid_reader(getpass.getuser())
    except (OSError, KeyError, UsageError):
        return "unknown"


def valid_reader(name: str) -> str:
    """Return the name of a person without spaces around it.

    Raises:
        UsageError: it is empty, has more than 100 characters or characters that are not shown, or looks like a formula.
    """
    shown = printable(name.strip())
    if not 0 < len(shown) <= LONGEST_READER or shown != name.strip():
        what = f"reader is {shown[:LONGEST_READER]!r}, expected 1 to {LONGEST_READER} letters"
        raise UsageError(what, cure="name the person who corrects")
    if shown.startswith(FORMULA):
        what = f"reader is {shown!r}, expected a name that does not begin with {' '.join(FORMULA)}"
        raise UsageError(what, cure="name the person who corrects; spreadsheets take such a cell for a formula")
    return shown
