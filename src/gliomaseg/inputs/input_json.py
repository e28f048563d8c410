"""Inputs as JSON, for another process. A pickle in a folder where others may write would run their code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gliomaseg.errors import DataError, GliomasegError
from gliomaseg.inputs.input import Input, Kind, SkippedFile


def input_document(entry: Input) -> dict[str, Any]:
    """Return an input with its sequences and its fault as values for JSON; no file is opened."""
    return {
        "path": str(entry.path),
        "kind": entry.kind.name,
        "pictures": [str(file) for file in entry.pictures],
        "result_name": entry.result_name,
        "numbers": list(entry.numbers),
        "t1": None if entry.t1 is None else input_document(entry.t1),
        "t1ce": None if entry.t1ce is None else input_document(entry.t1ce),
        "series": entry.series,
        "skipped": [[str(file.path), file.reason] for file in entry.skipped],
        "warnings": list(entry.warnings),
        "fault": entry.fault and [entry.fault.what, entry.fault.where, entry.fault.cure, entry.fault.exit_code],
    }


def input_from_document(document: dict[str, Any]) -> Input:
    """Return the input of `input_document`. The fault becomes a `DataError` with the same text and exit code."""
    return Input(
        Path(document["path"]),
        Kind[document["kind"]],
        tuple(map(Path, document["pictures"])),
        document["result_name"],
        tuple(document["numbers"]),
        t1=None if document["t1"] is None else input_from_document(document["t1"]),
        t1ce=None if document["t1ce"] is None else input_from_document(document["t1ce"]),
        series=document.get("series"),  # not in files of older versions
        skipped=tuple(SkippedFile(Path(path), reason) for path, reason in document["skipped"]),
        warnings=tuple(document["warnings"]),
        fault=_fault(document["fault"]),
    )


def _fault(parts: list[Any] | None) -> GliomasegError | None:
    if parts is None:
        return None
    what, where, cure, exit_code = parts
    fault = DataError(what, where=where, cure=cure)
    fault.exit_code = int(exit_code)
    return fault
