"""The cases of a data set, whatever its layout on disk is, and what was found beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from gliomaseg.config import Settings
from gliomaseg.data.case import Case
from gliomaseg.data.masks import MaskLabels
from gliomaseg.errors import DataError, UsageError, counted


@dataclass(frozen=True)
class DataOptions:
    """How a data set is read.

    Attributes:
        layout: the name of the layout; None recognises it.
        labels: which values of the masks are tumour.
        patient_pattern: regular expression that finds the patient in the name of a case, or in the name of a slice
            for `pairs`. The patient is group 1, or the whole match if there is no group.
    """

    layout: str | None = None
    labels: MaskLabels = field(default_factory=MaskLabels)
    patient_pattern: str | None = None


class DataSettings(Settings):
    """How the data set of a splits file was read; None for what was not given.

    Attributes:
        layout: of the data set.
        labels: mask values that are tumour; None for all above 0.
        patient_pattern: finds the patient in the name of a case.
    """

    layout: str | None = None
    labels: tuple[int, ...] | None = None
    patient_pattern: str | None = None

    @classmethod
    def of(cls, options: DataOptions) -> Self:
        """Return the settings of options."""
        labels = options.labels.tumour
        return cls(
            layout=options.layout,
            labels=None if labels is None else tuple(sorted(labels)),
            patient_pattern=options.patient_pattern,
        )

    def complete(self, given: DataOptions) -> DataOptions:
        """Return options as `read_cases` takes them; those that are not given are those of the file."""
        labels = None if self.labels is None else frozenset(self.labels)
        return DataOptions(
            given.layout or self.layout,
            MaskLabels(labels) if given.labels.tumour is None else given.labels,
            given.patient_pattern or self.patient_pattern,
        )


@dataclass(frozen=True)
class Problem:
    """Something that makes training or scoring unsafe, or a file that was not used.

    Attributes:
        where: the file or folder, relative to the data set.
        what: what is wrong with it, or why it was skipped.
    """

    where: str
    what: str


@dataclass(frozen=True)
class CaseList:
    """A data set by its file names; no image has been read.

    Attributes:
        root: the folder that contains the cases, or that of the manifest.
        cases: sorted by name.
        problems: files that make training unsafe, such as an image without a mask.
        skipped: files that were looked at and belong to no case, each with the reason.
        second_copies: further copies of the cases below the named folder: not read.
        layout: the name of the layout that was read.
        notes: assumptions of the layout that a person must check, such as which slices belong to one patient.
    """

    root: Path
    cases: tuple[Case, ...]
    problems: tuple[Problem, ...] = ()
    skipped: tuple[Problem, ...] = ()
    second_copies: tuple[Path, ...] = ()
    layout: str = "kaggle"
    notes: tuple[str, ...] = ()

    @property
    def strays(self) -> tuple[str, ...]:
        """The names of the skipped files."""
        return tuple(entry.where for entry in self.skipped)

    @property
    def slice_count(self) -> int:
        """The number of slices in files of their own; 0 if all cases have volumes."""
        return sum(len(case.slices) for case in self.cases)


def require_sound(cases: CaseList) -> None:
    """Refuse a data set with problems: omitting slices silently would change every number.

    Raises:
        DataError: names the first problem.
    """
    if cases.problems:
        first = cases.problems[0]
        raise DataError(
            f"{first.what} ({counted(len(cases.problems), 'problem')} in all)",
            where=first.where,
            cure="run `gliomaseg audit`, then repair or move these files",
        )


def require_outside(cases: CaseList, out: Path) -> None:
    """Refuse to write among the files of a data set: the output would be part of it.

    The folder of a manifest is not one of them, because only the files in the manifest are read.

    Raises:
        UsageError: `out` is the data set's folder, or lies in it.
    """
    roots = {cases.root.resolve()}
    if cases.layout == "manifest":
        roots = {folder.resolve() for folder in {file.parent for case in cases.cases for file in case.files}}
    if not roots.isdisjoint((out.resolve(), *out.resolve().parents)):
        raise UsageError("lies inside the data set", where=out, cure="name a place outside of it")
