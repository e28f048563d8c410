"""What files and folders mean to `predict`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gliomaseg.errors import DataError, UsageError
from gliomaseg.formats import FORMATS

_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class Input:
    """What becomes one row: one picture, or one patient's folder of slices."""

    path: Path
    pictures: tuple[Path, ...]


def list_inputs(paths: list[Path]) -> list[Input]:
    """Return the inputs that files and folders name, each once, in order.

    A file is one input. A folder whose pictures bear its name and a number (as in the data set) is one
    patient; any other folder gives one input for each picture in it, and its patients' folders.

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
        other = names.setdefault(_name(entry), entry.path)
        if other != entry.path:
            raise UsageError(f"has the same name as {other}", where=entry.path, cure="predict them into two folders")
    return inputs


def _list_one(path: Path, above: frozenset[Path] = frozenset()) -> Iterator[Input]:
    if not path.exists():
        raise DataError("there is no such file or folder", where=path)
    if not path.is_dir():
        yield Input(path, (path,))
        return
    files = sorted((e for e in path.iterdir() if _is_picture(e)), key=_by_number)
    above |= {path.resolve()}  # a link may lead back up
    folders = sorted(
        e for e in path.iterdir() if e.is_dir() and not e.name.startswith(".") and e.resolve() not in above
    )
    inside = [
        found
        for folder in folders
        if any(_is_picture(e) for e in folder.iterdir())
        for found in _list_one(folder, above)
    ]
    if not files and not inside:
        raise DataError(
            "holds no picture", where=path, cure=f"give {' '.join(sorted(FORMATS))} files, or a folder of them"
        )
    if files and all(re.fullmatch(re.escape(path.name) + r"_\d+", file.stem) for file in files):
        yield Input(path, tuple(files))
    else:
        yield from (Input(file, (file,)) for file in files)
    yield from inside


def _is_picture(entry: Path) -> bool:
    return entry.is_file() and entry.suffix.lower() in FORMATS and not entry.stem.endswith(("_mask", "_overlay"))


def _by_number(file: Path) -> tuple[str, list[int]]:
    """Sort numbered pictures by number: _10 after _2."""
    return _NUMBER.sub("", file.stem), [int(n) for n in _NUMBER.findall(file.stem)]


def _name(entry: Input) -> str:
    return entry.path.stem if entry.path.is_file() else entry.path.name
