"""Problems, skipped files and notes of a data set of volumes, while its cases are listed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gliomaseg.data.case import Case
from gliomaseg.data.case_list import CaseList, Problem
from gliomaseg.data.file_listing import FileListing
from gliomaseg.errors import DataError
from gliomaseg.formats import FileKind, primary_file, suffix_of, suffixes

BROKEN_LINK = "is a link to a file that is not here (for DataLad, run `datalad get`)"
NO_FILE = "is not a file"
NO_VOLUME = "is not a volume"
_VOLUMES = suffixes(FileKind.VOLUME)


@dataclass
class Findings:
    """The findings of one data set.

    Attributes:
        listing: the files of the data set.
    """

    listing: FileListing
    problems: list[Problem] = field(default_factory=list)
    skipped: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def report(self, path: Path, what: str) -> None:
        """Record something that makes training unsafe."""
        self.problems.append(Problem(self.name_of(path), what))

    def skip(self, path: Path, reason: str) -> None:
        """Record a file that belongs to no case."""
        self.skipped.append(Problem(self.name_of(path), reason))

    def name_of(self, path: Path) -> str:
        """Return the path relative to the data set's folder, with `/`; that of a file outside of it in full."""
        return self.listing.name_of(path) if path.is_relative_to(self.listing.root) else str(path)

    def volumes(self, files: Iterable[Path]) -> list[Path]:
        """Return the files that have a volume's suffix; the others are skipped. Broken links are kept.

        A NIfTI pair is represented by its header.
        """
        chosen = []
        for file in files:
            if suffix_of(file) not in _VOLUMES:
                self.skip(file, NO_VOLUME)
            elif primary_file(file) == file:
                chosen.append(file)
        return chosen

    def are_files(self, files: Sequence[Path]) -> bool:
        """Return whether all paths are regular files; each other one is a problem."""
        missing = [file for file in files if not file.is_file()]
        for file in missing:
            self.report(file, BROKEN_LINK if file.is_symlink() else NO_FILE)
        return not missing

    def case_list(self, cases: Iterable[Case], layout: str, *, expected: str) -> CaseList:
        """Return the list of the cases, sorted by name, with the findings.

        Args:
            cases: the cases that can be read.
            layout: the name of the layout.
            expected: the files of a case, for the error.

        Raises:
            DataError: the list is empty.
        """
        ordered = tuple(sorted(cases, key=lambda case: case.name))
        root, problems = self.listing.root, tuple(sorted(self.problems, key=lambda entry: entry.where))
        skipped = tuple(sorted([*self.listing.skipped, *self.skipped], key=lambda entry: entry.where))
        if not ordered:
            first = next(iter((*problems, *skipped)), None)
            reason = f" ({first.where} {first.what})" if first else ""
            raise DataError(f"has no case with FLAIR and a mask{reason}", where=root, cure=f"expected {expected}")
        return CaseList(root, ordered, problems, skipped, layout=layout, notes=tuple(self.notes))
