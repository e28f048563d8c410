"""Predicted Dice and volume of the cases of a work list, so that a new server has their order at once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gliomaseg
from gliomaseg.atomic import UNFINISHED, write_text
from gliomaseg.serve.worklist.cases import WorkCase

_FILE = f"{UNFINISHED}predictions"


@dataclass
class Predictions:
    """Values of cases, in a file of the folder of corrected masks. They count for one model and unchanged scans.

    Attributes:
        folder: of the corrected masks.
        model: identifies the models.
        known: the values of each case by its name, with the state of its file.
    """

    folder: Path
    model: list[Any]
    known: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path, models: Sequence[Path]) -> Predictions:
        """Return the values of an earlier server with the same models; none if its file is missing or damaged."""
        model = [gliomaseg.__version__, *(_state(file) for one in models for file in sorted(one.glob("*.onnx")))]
        try:
            document = json.loads((folder / _FILE).read_text("utf-8"))
            known = document["cases"] if document["model"] == model else {}
        except (OSError, ValueError, KeyError, TypeError):
            known = {}
        return cls(folder, model, known if isinstance(known, dict) else {})

    def read(self, case: WorkCase) -> dict[str, Any] | None:
        """Return the values of a case; None if they are unknown or its file has changed."""
        try:
            known = self.known.get(case.name)
            return known["values"] if known and known["file"] == _state(case.entry.pictures[0]) else None
        except (OSError, KeyError, TypeError):
            return None

    def write(self, case: WorkCase, values: dict[str, Any]) -> None:
        """Store the values of a case.

        Raises:
            GliomasegError: the folder cannot be written.
            OSError: the scan was removed.
        """
        self.known[case.name] = {"file": _state(case.entry.pictures[0]), "values": values}
        write_text(self.folder / _FILE, json.dumps({"model": self.model, "cases": self.known}))


def _state(file: Path) -> list[Any]:
    state = file.stat()
    return [file.name, state.st_size, state.st_mtime_ns]
