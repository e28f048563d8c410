"""The inputs of `predict`: the files and folders that a user names, grouped into one input for each result row."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from pathlib import Path

from gliomaseg.choices import MaskFormat
from gliomaseg.errors import DataError, ResourceError, UsageError
from gliomaseg.formats import (
    READERS,
    SHARED_SUFFIXES,
    FileKind,
    count_pages,
    kind_of,
    primary_file,
    stem_of,
    suffix_of,
    suffixes,
)
from gliomaseg.formats.dicom import SUFFIXES, is_dicom, study_of

OWN = ("_mask", "_overlay", "_probability")
MAX_FILES = 100_000
_IMAGES, _VOLUMES = suffixes(FileKind.IMAGE), suffixes(FileKind.VOLUME)
_DICOM = suffixes(FileKind.SERIES)
_NUMBER = re.compile(r"\d+")
_NUMBERED = re.compile(r"(.*?)(\d+)")
_FLAIR = re.compile(r"(.*?)[-_. ]?(?:flair|t2f)", re.IGNORECASE)
_OTHER = re.compile(r"(.*?)[-_. ]?(?:t1|t1n|t1c|t1ce|t1gd|t2|t2w|seg|label|labels)", re.IGNORECASE)


class Kind(StrEnum):
    """How an input is read."""

    PICTURE = "one image"
    STACK = "a folder of numbered images"
    PAGES = "a file of several pages"
    VOLUME = "a volume"
    SERIES = "a DICOM series"


@dataclass(frozen=True)
class Input:
    """The input of one result row: an image, a stack of images, a volume, or the DICOM files of one examination.

    Attributes:
        path: the file or folder.
        kind: how it is read.
        pictures: the files of a stack in order; for every other kind, the path alone.
        case: the folder's name if inputs have the same file name; else empty.
        t1: the same examination's T1 before contrast; None without.
        t1ce: its T1 after contrast; None without.
    """

    path: Path
    kind: Kind
    pictures: tuple[Path, ...] = ()
    case: str = ""
    t1: Input | None = None
    t1ce: Input | None = None

    def __post_init__(self) -> None:
        """Set `pictures` to the path itself if it is empty."""
        if not self.pictures:
            object.__setattr__(self, "pictures", (self.path,))

    @property
    def name(self) -> str:
        """The name of its results."""
        stem = _stem(self.path, self.kind)
        return f"{self.case}_{stem}" if self.case else stem

    @property
    def gaps(self) -> list[tuple[int, int]]:
        """Jumps in the numbers of a stack: the numbers before and after each."""
        numbers = [int(_NUMBER.findall(file.stem)[-1]) for file in self.pictures] if self.kind is Kind.STACK else []
        return [(a, b) for a, b in pairwise(numbers) if b != a + 1]

    @property
    def has_affine(self) -> bool:
        """Whether its format places the voxels in the patient."""
        return self.kind in (Kind.VOLUME, Kind.SERIES)


def _stem(path: Path, kind: Kind) -> str:
    if path.is_dir():
        return path.name if path.name not in ("", "..") else path.resolve().name
    if kind is Kind.SERIES:  # a scanner's file may be called 1.2.840.10008, which has no suffix
        return path.stem if path.suffix.lower() in _DICOM else path.name
    return stem_of(path)


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


def list_inputs(paths: Sequence[Path]) -> list[Input]:
    """Return the inputs in files and folders, each once, in order.

    A file is one input; so is a folder with DICOM files of one study, in it or below it, and a folder of images that
    have one name and a number each. Any other folder gives one input for each image, volume and zip of DICOM files in
    it, for each patient's folder in it, and for each DICOM study below it. If a folder has several sequences of one
    case as volumes, by their names, only FLAIR is an input.

    Raises:
        DataError: a path does not exist or cannot be read, or a folder has no file to predict.
        UsageError: two inputs would write files of the same name.
        MissingExtraError: a folder has DICOM files, and the extra `dicom` is not installed.
    """
    try:
        inputs = list(dict.fromkeys(found for path in paths for found in _list_path(path)))
    except OSError as fault:
        raise DataError(f"cannot be read ({fault.strerror})", where=fault.filename or "") from fault
    names: dict[str, Path] = {}
    for entry in inputs:
        other = names.setdefault(entry.name, entry.path)
        if other != entry.path:
            what = f"has the same name as {other}"
            raise UsageError(what, where=entry.path, cure="predict the two files into two folders")
    return inputs


def join_sequences(flair: Path, *, t1: Path | None, t1ce: Path | None) -> Input:
    """Return one input of an examination's sequences, each in a file or folder that is one input by itself.

    Raises:
        DataError: a path does not exist or cannot be read, or does not have exactly one input.
    """
    found = {name: _only(path) for name, path in (("flair", flair), ("t1", t1), ("t1ce", t1ce)) if path is not None}
    return replace(found["flair"], t1=found.get("t1"), t1ce=found.get("t1ce"))


def _only(path: Path) -> Input:
    inputs = list_inputs([path])
    if len(inputs) != 1:
        raise DataError(f"has {len(inputs)} scans, expected 1", where=path, cure="pass the file of the sequence")
    return inputs[0]


def _list_path(path: Path) -> list[Input]:
    if not path.exists():
        raise DataError("there is no such file or folder", where=path, cure="check the path")
    if not path.is_dir():
        return [_file(path)]
    found = [*_images_and_volumes(path, frozenset()), *_studies(path)]
    if not found:
        known = " ".join(sorted(_IMAGES | _VOLUMES))
        cure = f"pass DICOM or {known} files, or a folder of them"
        raise DataError("has no image, volume or DICOM file", where=path, cure=cure)
    return found


def _file(path: Path) -> Input:
    """Return a file's input by its suffix, else by its first bytes; an unknown format fails when it is read."""
    kind = kind_of(path)
    if kind is FileKind.VOLUME:
        return Input(primary_file(path), Kind.VOLUME)
    if kind is FileKind.SERIES:
        return Input(path, Kind.SERIES)
    return Input(path, Kind.PAGES if kind is FileKind.IMAGE and count_pages(path) > 1 else Kind.PICTURE)


def _images_and_volumes(path: Path, parents: frozenset[Path]) -> Iterator[Input]:
    """Yield those in a folder, and those of its subfolders that have some themselves."""
    entries = list(path.iterdir())
    files = sorted((entry for entry in entries if _is_image(entry)), key=_by_number)
    volumes = _flair_only(sorted((entry for entry in entries if _is_volume(entry)), key=_by_number))
    visited = parents | {path.resolve()}  # a link may point to a parent
    if files and _is_stack(path, files):
        yield Input(path, Kind.STACK, tuple(files))
    else:
        yield from (_file(file) for file in files)
    for volume in volumes:
        # In a folder of cases, each may have a "flair.nii.gz".
        yield Input(volume, Kind.VOLUME, case="" if not parents or path.name in volume.name else path.name)
    for folder in sorted(entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")):
        if folder.resolve() not in visited and any(_is_image(entry) or _is_volume(entry) for entry in folder.iterdir()):
            yield from _images_and_volumes(folder, visited)


def _is_stack(folder: Path, files: Sequence[Path]) -> bool:
    """Return whether images are the slices of one stack: one name, but for the number at its end."""
    if all(re.fullmatch(re.escape(folder.name) + r"_\d+", file.stem) for file in files):
        return True
    numbered = [_NUMBERED.fullmatch(file.stem) for file in files]
    names = {(found[1], file.suffix.lower()) if found else None for found, file in zip(numbered, files, strict=True)}
    numbers = {int(found[2]) for found in numbered if found}
    return len(files) > 1 and len(names) == 1 and len(numbers) == len(files)


def _is_image(entry: Path) -> bool:
    return entry.is_file() and suffix_of(entry) in _IMAGES and not stem_of(entry).endswith(OWN)


def _is_volume(entry: Path) -> bool:
    if not entry.is_file() or suffix_of(entry) not in _VOLUMES or stem_of(entry).endswith(OWN):
        return False
    return kind_of(entry) is FileKind.VOLUME and primary_file(entry) == entry


def _flair_only(volumes: Sequence[Path]) -> list[Path]:
    """Omit the other sequences and the labels of a case that has a FLAIR file, by their names."""
    cases = {found[1] for volume in volumes if (found := _FLAIR.fullmatch(stem_of(volume)))}
    other = {volume: found[1] for volume in volumes if (found := _OTHER.fullmatch(stem_of(volume)))}
    return [volume for volume in volumes if other.get(volume) not in cases]


def _by_number(file: Path) -> tuple[str, list[int]]:
    """Sort numbered images by number: _10 after _2."""
    return _NUMBER.sub("", file.stem), [int(n) for n in _NUMBER.findall(file.stem)]


def _studies(path: Path) -> list[Input]:
    """Return the DICOM examinations in a folder and below it."""
    studies = [Input(study, Kind.SERIES) for study in _dicom_cases(path)]
    if len({study.name for study in studies}) == len(studies):
        return studies
    # In a folder of cases, each may have a folder "FLAIR".
    return [replace(study, case="_".join(study.path.relative_to(path).parts[:-1])) for study in studies]


def _dicom_cases(root: Path) -> list[Path]:
    """Return the folders and zips in a folder and below it that are one examination each, in order.

    A study often has a folder for each of its series: the folder above them all is then one case. If the folders of
    several studies are nested, each folder with files is a case. Links to folders are not followed.

    Raises:
        ResourceError: there are more than 100,000 files.
    """
    folders, zips = _dicom_folders(root)
    studies: dict[str, list[Path]] = {}
    for folder in folders:
        studies.setdefault(study_of(folder) or str(folder), []).append(folder)
    if len(studies) == 1 and not zips:
        return [root]
    cases = list(zips)
    for own in studies.values():
        parent = Path(os.path.commonpath(own))
        others = [folder for folder in folders if folder not in own and folder.is_relative_to(parent)]
        cases += own if others else [parent]
    return sorted(cases)


def _dicom_folders(root: Path) -> tuple[list[Path], list[Path]]:
    """Return the folders that directly have DICOM files, and the zips of DICOM files."""
    folders: list[Path] = []
    zips: list[Path] = []
    count = 0
    for parent, inside, names in os.walk(root, onerror=_raise):
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        count += len(names)
        if count > MAX_FILES:
            raise ResourceError(f"has over {MAX_FILES:,} files", where=root, cure="pass the folders of the cases")
        files = [Path(parent, name) for name in sorted(names) if not name.startswith(".")]
        files = [file for file in files if _may_be_dicom(file)]
        zips += [file for file in files if file.suffix.lower() == ".zip" and is_dicom(file)]
        if any(file.suffix.lower() != ".zip" and is_dicom(file) for file in files):
            folders.append(Path(parent))
    return folders, zips


def _may_be_dicom(file: Path) -> bool:
    return suffix_of(file) not in (_IMAGES | _VOLUMES) - SHARED_SUFFIXES and not stem_of(file).endswith("_mask")


def _raise(fault: OSError) -> None:
    raise fault
