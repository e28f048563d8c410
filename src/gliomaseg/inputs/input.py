"""The inputs of `predict`, one for each result row, and the files that are not inputs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import overload

from gliomaseg.choices import MaskFormat
from gliomaseg.errors import GliomasegError, UsageError
from gliomaseg.formats import READERS, FileKind, stem_of, suffix_of, suffixes
from gliomaseg.formats.dicom import SUFFIXES
from gliomaseg.inputs.result_names import portable_name

OWN = ("_mask", "_overlay", "_probability")
_DICOM = suffixes(FileKind.SERIES)


class Kind(StrEnum):
    """How an input is read."""

    PICTURE = "one image"
    STACK = "a folder of numbered images"
    PAGES = "a file of several pages"
    VOLUME = "a volume"
    SERIES = "a DICOM series"


@dataclass(frozen=True)
class SkippedFile:
    """A file in a searched folder that is not an input.

    Attributes:
        path: the file.
        reason: why it is left out, such as "is a mask by its name".
    """

    path: Path
    reason: str


@dataclass(frozen=True)
class Input:
    """The input of one result row: an image, a stack of images, a volume, or the DICOM files of one examination.

    Attributes:
        path: the file or folder; for one of several stacks in a folder, the folder and the pattern of its names.
        kind: how it is read.
        pictures: the files of a stack in order; for every other kind, the path alone.
        result_name: the name of its results; empty for the name of the path.
        numbers: the numbers of a stack's files; empty for every other kind.
        t1: the same examination's T1 before contrast; None without.
        t1ce: its T1 after contrast; None without.
        series: UID or number of its DICOM series; None for the only one, or the only one that looks like FLAIR.
        skipped: files of the same case that are not used.
        warnings: sentences about the input's name and the files beside it.
        fault: why the input cannot be read; None if reading it may succeed.
    """

    path: Path
    kind: Kind
    pictures: tuple[Path, ...] = ()
    result_name: str = ""
    numbers: tuple[int, ...] = ()
    t1: Input | None = None
    t1ce: Input | None = None
    series: str | None = None
    skipped: tuple[SkippedFile, ...] = ()
    warnings: tuple[str, ...] = ()
    fault: GliomasegError | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Set `pictures` to the path itself if it is empty."""
        if not self.pictures:
            object.__setattr__(self, "pictures", (self.path,))

    @property
    def name(self) -> str:
        """The name of its results."""
        return self.result_name or portable_name(self.stem)

    @property
    def stem(self) -> str:
        """The name of the file or folder, without its suffix."""
        path = self.path
        if path.is_dir():
            return path.name if path.name not in ("", "..") else path.resolve().name
        if self.kind is Kind.SERIES:  # a scanner's file may be called 1.2.840.10008, which has no suffix
            return path.stem if path.suffix.lower() in _DICOM else path.name
        return stem_of(path)

    @property
    def gaps(self) -> list[tuple[int, int]]:
        """Jumps in the numbers of a stack: the numbers before and after each."""
        return [(a, b) for a, b in pairwise(self.numbers) if b != a + 1]

    def content_digest(self, *, without: Path) -> str:
        """Return the SHA-256 of the content of its files, T1 and T1ce included; of a folder, all files in it.

        Args:
            without: a folder that is not read: the folder of the results, which may lie in that of the scan.

        Raises:
            OSError: a file cannot be read.
        """
        hasher = hashlib.sha256()
        for part in (self, self.t1, self.t1ce):
            hasher.update(b"\0")
            for path in part.pictures if part else ():
                files = sorted(path.resolve().rglob("*")) if path.is_dir() else [path]
                for file in (file for file in files if file.is_file() and without.resolve() not in file.parents):
                    with file.open("rb") as handle:
                        hasher.update(hashlib.file_digest(handle, "sha256").digest())
        return hasher.hexdigest()

    @property
    def has_affine(self) -> bool:
        """Whether its format places the voxels in the patient."""
        return self.kind in (Kind.VOLUME, Kind.SERIES)


@dataclass(frozen=True)
class InputList(Sequence[Input]):
    """The inputs in files and folders, in order: a sequence of `Input`.

    Attributes:
        inputs: one for each result row.
        skipped: all files that are not inputs, those of the inputs too.
        system_files: the number of hidden files and of files that an operating system left behind.
    """

    inputs: tuple[Input, ...]
    skipped: tuple[SkippedFile, ...] = ()
    system_files: int = 0

    @overload
    def __getitem__(self, index: int) -> Input: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Input, ...]: ...

    def __getitem__(self, index: int | slice) -> Input | tuple[Input, ...]:
        """Return one input or several."""
        return self.inputs[index]

    @property
    def left_out(self) -> tuple[SkippedFile, ...]:
        """The skipped files that do not belong to an input."""
        own = {file for entry in self.inputs for file in entry.skipped}
        return tuple(file for file in self.skipped if file not in own)

    def part(self, number: int, count: int) -> InputList:
        """Return every `count`-th input of the list sorted by path, from the `number`-th, counted from 1.

        The parts of one list have no input in common and contain all inputs. Names of results stay those of the whole
        list. A part may be empty. `skipped` and `system_files` stay those of the whole list.
        """
        ordered = sorted(self.inputs, key=lambda entry: (str(entry.path.absolute()), str(entry.pictures[0])))
        return replace(self, inputs=tuple(ordered[number - 1 :: count]))

    def __len__(self) -> int:
        """Return the number of inputs."""
        return len(self.inputs)

    def __iter__(self) -> Iterator[Input]:
        """Return an iterator of the inputs."""
        return iter(self.inputs)


def mask_formats(entry: Input, chosen: Sequence[MaskFormat]) -> tuple[MaskFormat, ...]:
    """Return the formats of an input's masks: the chosen ones, or the default of the input's format.

    Raises:
        UsageError: a chosen format cannot store the masks of such an input.
    """
    if not chosen:
        suffix = SUFFIXES[0] if entry.kind is Kind.SERIES else suffix_of(entry.pictures[0])
        return READERS[suffix].mask_formats if suffix in READERS else (MaskFormat.tiff,)
    for form in chosen:
        if form == MaskFormat.dicom_seg and entry.kind is not Kind.SERIES:
            what = "is not a DICOM series, to which a DICOM segmentation must refer"
            raise UsageError(what, where=entry.path, cure="--to nifti")
        if form == MaskFormat.nifti and not entry.has_affine:
            what = "has no affine, which a NIfTI mask needs"
            raise UsageError(what, where=entry.path, cure="--to tiff or png")
    return tuple(dict.fromkeys(MaskFormat(form) for form in chosen))
