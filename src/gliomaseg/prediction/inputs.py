"""What files and folders mean to `predict`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from pathlib import Path

from gliomaseg.errors import DataError, UsageError
from gliomaseg.formats import FORMATS, VOLUMES, count_pages, stem_of, suffix_of
from gliomaseg.formats.dicom import is_dicom
from gliomaseg.prediction.dicom_discovery import dicom_cases

OWN = ("_mask", "_overlay", "_probability")
PACKED = (".dcm", ".dicom", ".ima", ".zip")
_NUMBER = re.compile(r"\d+")
_NUMBERED = re.compile(r"(.*?)(\d+)")
_FLAIR = re.compile(r"(.*?)[-_. ]?(?:flair|t2f)", re.IGNORECASE)
_OTHER = re.compile(r"(.*?)[-_. ]?(?:t1|t1n|t1c|t1ce|t1gd|t2|t2w|seg|label|labels)", re.IGNORECASE)


class Kind(StrEnum):
    """How an input is read."""

    PICTURE = "one picture"
    STACK = "a folder of numbered pictures"
    PAGES = "a file of several pages"
    VOLUME = "a volume"
    SERIES = "a DICOM series"


@dataclass(frozen=True)
class Input:
    """What becomes one row: a picture, a stack of them, a volume, or the DICOM files of one examination.

    Attributes:
        path: the file or folder.
        kind: how it is read.
        pictures: of a stack, the files to read, in order; of all else, the path alone.
        case: the folder that tells inputs of the same name apart; empty where nothing needs to.
        t1: the same examination before contrast; None without.
        t1ce: and after contrast.
    """

    path: Path
    kind: Kind
    pictures: tuple[Path, ...] = ()
    case: str = ""
    t1: Input | None = None
    t1ce: Input | None = None

    def __post_init__(self) -> None:
        """Name the file itself where no pictures are named."""
        if not self.pictures:
            object.__setattr__(self, "pictures", (self.path,))

    @property
    def name(self) -> str:
        """What its results are called after."""
        stem = _stem(self.path, self.kind)
        return f"{self.case}_{stem}" if self.case else stem

    @property
    def gaps(self) -> list[tuple[int, int]]:
        """Where the numbers of a stack jump: the numbers before and after."""
        numbers = [int(_NUMBER.findall(file.stem)[-1]) for file in self.pictures] if self.kind is Kind.STACK else []
        return [(a, b) for a, b in pairwise(numbers) if b != a + 1]

    @property
    def has_place(self) -> bool:
        """Whether it says where its voxels lie."""
        return self.kind in (Kind.VOLUME, Kind.SERIES)


def _stem(path: Path, kind: Kind) -> str:
    if path.is_dir():
        return path.name if path.name not in ("", "..") else path.resolve().name
    if kind is Kind.SERIES:  # a scanner's file may be called 1.2.840.10008: that is no suffix
        return path.stem if path.suffix.lower() in PACKED else path.name
    return stem_of(path)


def list_inputs(paths: Sequence[Path]) -> list[Input]:
    """Return the inputs that files and folders name, each once, in order.

    A file is one input; so is a folder with DICOM files of one study, in it or below it, and a folder whose
    pictures bear one name and a number each. Any other folder gives one input for each picture, volume and zip
    of DICOM files in it, for each patient's folder in it, and for each DICOM study below it. Where a folder holds
    several sequences of one case as volumes, told by their names, only FLAIR is an input.

    Raises:
        DataError: a path does not exist or cannot be read, or a folder holds nothing to predict.
        UsageError: two inputs would write files of the same name.
        MissingExtraError: a folder holds DICOM files, and the extra `dicom` is not installed.
    """
    try:
        inputs = list(dict.fromkeys(found for path in paths for found in _list_one(path)))
    except OSError as fault:
        raise DataError(f"cannot be read ({fault.strerror})", where=fault.filename or "") from fault
    names: dict[str, Path] = {}
    for entry in inputs:
        other = names.setdefault(entry.name, entry.path)
        if other != entry.path:
            raise UsageError(f"has the same name as {other}", where=entry.path, cure="predict them into two folders")
    return inputs


def join_sequences(flair: Path, *, t1: Path | None, t1ce: Path | None) -> Input:
    """Return one input of an examination's sequences, each a file or folder that is one input by itself.

    Raises:
        DataError: a path does not exist or cannot be read, or is several inputs or none.
    """
    found = {name: _only(path) for name, path in (("flair", flair), ("t1", t1), ("t1ce", t1ce)) if path is not None}
    return replace(found["flair"], t1=found.get("t1"), t1ce=found.get("t1ce"))


def _only(path: Path) -> Input:
    inputs = list_inputs([path])
    if len(inputs) != 1:
        raise DataError(f"holds {len(inputs)} scans, not one", where=path, cure="name the file of the sequence")
    return inputs[0]


def _list_one(path: Path) -> list[Input]:
    if not path.exists():
        raise DataError("there is no such file or folder", where=path)
    if not path.is_dir():
        return [_file(path)]
    found = [*_pictures_and_volumes(path, frozenset()), *_studies(path)]
    if not found:
        raise DataError(
            "holds no picture, no volume and no DICOM file",
            where=path,
            cure=f"give DICOM or {' '.join(sorted([*FORMATS, *VOLUMES]))} files, or a folder of them",
        )
    return found


def _studies(path: Path) -> list[Input]:
    studies = [Input(study, Kind.SERIES) for study in dicom_cases(path)]
    if len({study.name for study in studies}) == len(studies):
        return studies
    # In a folder of cases, each may hold a folder "FLAIR".
    return [replace(study, case="_".join(study.path.relative_to(path).parts[:-1])) for study in studies]


def _file(path: Path) -> Input:
    """Return what a file is by its name, else by its first bytes; what is unknown is told when it is read."""
    if suffix_of(path) in VOLUMES:
        return Input(path, Kind.VOLUME)
    if suffix_of(path) in FORMATS:
        return Input(path, Kind.PAGES if count_pages(path) > 1 else Kind.PICTURE)
    return Input(path, Kind.SERIES if path.suffix.lower() in PACKED or is_dicom(path) else Kind.PICTURE)


def _pictures_and_volumes(path: Path, above: frozenset[Path]) -> Iterator[Input]:
    """Yield those in a folder, and those of the folders in it that hold some themselves."""
    entries = list(path.iterdir())
    files = sorted((entry for entry in entries if _is_picture(entry)), key=_by_number)
    volumes = _flair_only(sorted((entry for entry in entries if _is_volume(entry)), key=_by_number))
    inside = above | {path.resolve()}  # a link may lead back up
    if files and _is_stack(path, files):
        yield Input(path, Kind.STACK, tuple(files))
    else:
        yield from (_file(file) for file in files)
    for volume in volumes:
        # In a folder of cases, each may hold a "flair.nii.gz".
        yield Input(volume, Kind.VOLUME, case="" if not above or path.name in volume.name else path.name)
    for folder in sorted(entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")):
        if folder.resolve() not in inside and any(
            _is_picture(entry) or _is_volume(entry) for entry in folder.iterdir()
        ):
            yield from _pictures_and_volumes(folder, inside)


def _is_stack(folder: Path, files: Sequence[Path]) -> bool:
    """Return whether pictures are the slices of one stack: one name, but for the number at its end."""
    if all(re.fullmatch(re.escape(folder.name) + r"_\d+", file.stem) for file in files):
        return True
    numbered = [_NUMBERED.fullmatch(file.stem) for file in files]
    names = {(found[1], file.suffix.lower()) if found else None for found, file in zip(numbered, files, strict=True)}
    numbers = {int(found[2]) for found in numbered if found}
    return len(files) > 1 and len(names) == 1 and len(numbers) == len(files)


def _is_picture(entry: Path) -> bool:
    return entry.is_file() and entry.suffix.lower() in FORMATS and not entry.stem.endswith(OWN)


def _is_volume(entry: Path) -> bool:
    return entry.is_file() and suffix_of(entry) in VOLUMES and not stem_of(entry).endswith(OWN)


def _flair_only(volumes: Sequence[Path]) -> list[Path]:
    """Leave out a case's other sequences and its labels, where one of its files is called FLAIR."""
    cases = {found[1] for volume in volumes if (found := _FLAIR.fullmatch(stem_of(volume)))}
    other = {volume: found[1] for volume in volumes if (found := _OTHER.fullmatch(stem_of(volume)))}
    return [volume for volume in volumes if other.get(volume) not in cases]


def _by_number(file: Path) -> tuple[str, list[int]]:
    """Sort numbered pictures by number: _10 after _2."""
    return _NUMBER.sub("", file.stem), [int(n) for n in _NUMBER.findall(file.stem)]
