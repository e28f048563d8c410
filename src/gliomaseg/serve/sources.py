"""The scan of a job that has no upload: a file `source.json` in the job's folder names files of the user."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gliomaseg.atomic import write_text
from gliomaseg.inputs import Input, Kind, SkippedFile
from gliomaseg.system_files import is_system_file

_FILE = "source.json"


def write_source(folder: Path, entry: Input, *, without: Path | None = None) -> None:
    """Store which files a job reads, with their sizes and times. A `fault` of the input is not stored.

    Args:
        folder: of the job. Nothing is copied to it.
        entry: the scan.
        without: a folder whose files do not count as those of the scan; None for none.

    Raises:
        GliomasegError: the folder cannot be written.
    """
    state = {"files": _state(entry, without), "without": None if without is None else str(without.absolute())}
    write_text(folder / _FILE, json.dumps(_to_json(entry) | state))


def read_source(folder: Path) -> Input | None:
    """Return the input that `write_source` stored; None if the job has an upload."""
    file = folder / _FILE
    return _from_json(json.loads(file.read_text("utf-8"))) if file.is_file() else None


def has_changed_source(folder: Path) -> bool:
    """Return whether a file of a scan was changed, added or removed since `write_source`; False for an upload."""
    file = folder / _FILE
    if not file.is_file():
        return False
    document = json.loads(file.read_text("utf-8"))
    without = document["without"]
    now: Any = _state(_from_json(document), None if without is None else Path(without))
    return bool(now != document["files"])


def _state(entry: Input, without: Path | None) -> list[list[Any]]:
    """Return path, size and time of change of each file; those that cannot be read have -1."""
    parts = [part for part in (entry, entry.t1, entry.t1ce) if part is not None]
    files = {file.absolute() for part in parts for path in part.pictures for file in _files(path)}
    return [_state_of(file) for file in sorted(files) if without is None or without.absolute() not in file.parents]


def _files(path: Path) -> Iterator[Path]:
    """Yield a file, or the files in a folder that are not those of the operating system."""
    if not path.is_dir():
        yield path
    for place, _, names in os.walk(path):
        yield from (Path(place, name) for name in names if not is_system_file(name))


def _state_of(file: Path) -> list[Any]:
    try:
        state = file.stat()
    except OSError:
        return [str(file), -1, -1]
    return [str(file), state.st_size, state.st_mtime_ns]


def _to_json(entry: Input) -> dict[str, Any]:
    return {
        "path": str(entry.path.absolute()),
        "kind": entry.kind.name,
        "pictures": [str(file.absolute()) for file in entry.pictures],
        "result_name": entry.name,
        "numbers": list(entry.numbers),
        "t1": None if entry.t1 is None else _to_json(entry.t1),
        "t1ce": None if entry.t1ce is None else _to_json(entry.t1ce),
        "skipped": [[str(file.path.absolute()), file.reason] for file in entry.skipped],
        "warnings": list(entry.warnings),
    }


def _from_json(document: dict[str, Any]) -> Input:
    return Input(
        Path(document["path"]),
        Kind[document["kind"]],
        tuple(map(Path, document["pictures"])),
        document["result_name"],
        tuple(document["numbers"]),
        skipped=tuple(SkippedFile(Path(path), reason) for path, reason in document["skipped"]),
        warnings=tuple(document["warnings"]),
        t1=None if document["t1"] is None else _from_json(document["t1"]),
        t1ce=None if document["t1ce"] is None else _from_json(document["t1ce"]),
    )
