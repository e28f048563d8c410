"""The names that a client gave its files, in place of the server's own in messages."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gliomaseg.errors import printable

FILE = "names.json"
_OWN = re.compile(r"(?:f\d+/)?case\d+(?:_[a-z0-9]+)*(?:\.[a-z0-9]+)*", re.ASCII)


@dataclass(frozen=True)
class ClientNames:
    """The names of an upload.

    Attributes:
        folder: where the files lie, as in messages of the readers.
        names: the client's name for each server's path relative to the folder.
    """

    folder: str
    names: dict[str, str]

    @classmethod
    def read(cls, folder: Path) -> ClientNames:
        """Return the names of a job's folder; none if it has no file of them."""
        file = folder / FILE
        names = json.loads(file.read_text("utf-8")) if file.is_file() else {}
        return cls(str(folder / "upload"), names)

    def shown(self, text: str) -> str:
        """Return a message with the client's names; the paths of the server are removed."""
        short = text.replace(self.folder + "/", "").replace(self.folder, "the upload")
        short = short.replace(self.folder.removesuffix("upload"), "")
        by_file = {path.split("/", 1)[-1]: name for path, name in self.names.items()}
        return _OWN.sub(lambda match: self._client_name(match[0], by_file), short)

    def shown_in(self, value: Any) -> Any:
        """Return a document with the client's names in all texts."""
        if isinstance(value, str):
            return self.shown(value)
        if isinstance(value, list):
            return [self.shown_in(entry) for entry in value]
        if isinstance(value, dict):
            return {key: self.shown_in(entry) for key, entry in value.items()}
        return value

    def _client_name(self, own: str, by_file: dict[str, str]) -> str:
        name = self.names.get(own) or by_file.get(own)
        if name is None:  # without its suffix, as the name of a case
            matches = [client for path, client in self.names.items() if path.split("/")[-1].split(".")[0] == own]
            name = matches[0] if matches else own
        return printable(name.replace("\\", "/").rsplit("/", 1)[-1])
