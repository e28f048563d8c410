"""What files and folders mean to `predict`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gliomaseg.errors import DataError, UsageError
from gliomaseg.formats import FORMATS, VOLUMES, stem_of, suffix_of

OWN = ("_mask", "_overlay", "_probability")
_NUMBER = re.compile(r"\d+")
_FLAIR = re.compile(r"(.*?)[-_. ]?(?:flair|t2f)", re.IGNORECASE)
_OTHER = re.compile(r"(.*?)[-_. ]?(?:t1|t1n|t1c|t1ce|t1gd|t2|t2w|seg|label|labels)", re.IGNORECASE)


@dataclass(frozen=True)
class Input:
    """What becomes one row: one picture, one patient's folder of slices, or one volume.

    Attributes:
        path: the file, or the patient's folder.
        pictures: the files to read, in order.
        case: the folder that tells volumes of the same name apart; empty where nothing needs to.
    """

    path: Path
    pictures: tuple[Path, ...]
    case: str = ""

    @property
    def is_volume(self) -> bool:
        """Whether it is a file that says where its voxels lie."""
        return suffix_of(self.path) in VOLUMES and not self.path.is_dir()

    @property
    def name(self) -> str:
        """What its results are called after."""
        stem = self.path.name if self.path.is_dir() else stem_of(self.path)
        return f"{self.case}_{stem}" if self.case else stem


def list_inputs(paths: list[Path]) -> list[Input]:
    """Return the inputs that files and folders name, each once, in order.

    A file is one input. A folder whose pictures bear its name and a number (as in the data set) is one
    patient; any other folder gives one input for each picture and volume in it, and its patients' folders.
    Where a folder holds several sequences of one case, told by their names, only FLAIR is an input.

    Raises:
        DataError: a path does not exist or cannot be read, or a folder holds nothing to predict.
        UsageError: two inputs would write files of the same name.
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


def _list_one(path: Path, above: frozenset[Path] = frozenset()) -> Iterator[Input]:
    if not path.exists():
        raise DataError("there is no such file or folder", where=path)
    if not path.is_dir():
        yield Input(path, (path,))
        return
    entries = list(path.iterdir())
    files = sorted((entry for entry in entries if _is_picture(entry)), key=_by_number)
    volumes = _flair_only(sorted((entry for entry in entries if _is_volume(entry)), key=_by_number))
    above |= {path.resolve()}  # a link may lead back up
    folders = sorted(
        entry for entry in entries if entry.is_dir() and not entry.name.startswith(".") and entry.resolve() not in above
    )
    inside = [
        found
        for folder in folders
        if any(_is_picture(entry) or _is_volume(entry) for entry in folder.iterdir())
        for found in _list_one(folder, above)
    ]
    if not files and not volumes and not inside:
        raise DataError(
            "holds no picture and no volume",
            where=path,
            cure=f"give {' '.join(sorted([*FORMATS, *VOLUMES]))} files, or a folder of them",
        )
    if files and all(re.fullmatch(re.escape(path.name) + r"_\d+", file.stem) for file in files):
        yield Input(path, tuple(files))
    else:
        yield from (Input(file, (file,)) for file in files)
    for volume in volumes:
        # In a folder of cases, each may hold a "flair.nii.gz".
        yield Input(volume, (volume,), "" if not above - {path.resolve()} or path.name in volume.name else path.name)
    yield from inside


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
