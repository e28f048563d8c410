"""The scan of a job that has no upload: a file `source.json` in the job's folder names files of the user."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gliomaseg.atomic import write_text
from gliomaseg.inputs import Input, Kind, SkippedFile

_FILE = "source.json"


def write_source(folder: Path, entry: Input) -> None:
    """Store which files a job reads; nothing is copied. A `fault` of the input is not stored.

    Raises:
        GliomasegError: the folder cannot be written.
    """
    write_text(folder / _FILE, json.dumps(_to_json(entry)))


def read_source(folder: Path) -> Input | None:
    """Return the input that `write_source` stored; None if the job has an upload."""
    file = folder / _FILE
    return _from_json(json.loads(file.read_text("utf-8"))) if file.is_file() else None


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
