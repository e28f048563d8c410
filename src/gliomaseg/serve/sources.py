"""The scan of a job that has no upload: a file `source.json` in the job's folder names files of the user."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from gliomaseg.atomic import write_text
from gliomaseg.inputs import Input
from gliomaseg.inputs.input_json import input_document, input_from_document
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
    stored = replace(entry, result_name=entry.name, fault=None)
    state = {"files": _state(entry, without), "without": None if without is None else str(without.absolute())}
    write_text(folder / _FILE, json.dumps(input_document(stored) | state))


def read_source(folder: Path) -> Input | None:
    """Return the input that `write_source` stored; None if the job has an upload."""
    file = folder / _FILE
    return input_from_document(json.loads(file.read_text("utf-8"))) if file.is_file() else None


def has_changed_source(folder: Path) -> bool:
    """Return whether a file of a scan was changed, added or removed since `write_source`; False for an upload."""
    file = folder / _FILE
    if not file.is_file():
        return False
    document = json.loads(file.read_text("utf-8"))
    without = document["without"]
    now: Any = _state(input_from_document(document), None if without is None else Path(without))
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
