"""The names that a client gave its files, in place of the server's own in messages."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from gliomaseg.errors import printable
from gliomaseg.serve.messages import for_client

FILE = "names.json"
_SEQUENCE = r"(?:flair|t1ce|t1)"
_OWN = re.compile(
    rf"(?:f\d+/)?case\d+(?:_[a-z0-9]+)*(?:\.[a-z0-9]+)*|{_SEQUENCE}/{_SEQUENCE}(?:\.[a-z0-9]+)*", re.ASCII
)
_DEEPEST = 8


def with_texts(value: Any, changed: Callable[[str], str]) -> Any:
    """Return a document with all of its texts changed; keys stay.

    >>> with_texts({"a": ["b", 1]}, str.upper)
    {'a': ['B', 1]}
    """
    if isinstance(value, str):
        return changed(value)
    if isinstance(value, list):
        return [with_texts(entry, changed) for entry in value]
    if isinstance(value, dict):
        return {key: with_texts(entry, changed) for key, entry in value.items()}
    return value


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
        """Return a message for the client: with its own names, and without paths and options of the server."""
        short = re.sub(re.escape(self.folder) + r"/(f\d+)(?![\w/])", self._client_folder, for_client(text))
        short = short.replace(self.folder + "/", "").replace(self.folder, "the upload")
        short = short.replace(self.folder.removesuffix("upload"), "")
        return _OWN.sub(lambda match: printable(self._client_name(match[0])), short)

    def shown_in(self, value: Any) -> Any:
        """Return a document with the client's names in all texts."""
        return with_texts(value, self.shown)

    @cached_property
    def _by_own(self) -> dict[str, str]:
        """The shown name for each server's path, file name and case; file names of two folders differ."""
        ends = path_ends(self.names.values())
        found: dict[str, str] = {}
        for path, name in self.names.items():
            file = path.split("/", 1)[-1]
            for own in (path, file, file.split(".")[0], file.split(".")[0].split("_")[0]):
                found.setdefault(own, ends[name])
        return found

    def _client_name(self, own: str) -> str:
        return self._by_own.get(own, own)

    def _client_folder(self, match: re.Match[str]) -> str:
        parents = {path.split("/")[0]: str(_posix(name).parent) for path, name in self.names.items()}
        own = parents.get(match[1], ".")
        return "the upload" if own == "." else printable(path_ends(parents.values())[own])


def path_ends(paths: Iterable[str]) -> dict[str, str]:
    """Return the last part of each path, with as many folders before it as tell it from the others.

    >>> path_ends(["a/1/x.dcm", "a/2/x.dcm", "a/2/y.dcm"])
    {'a/1/x.dcm': '1/x.dcm', 'a/2/x.dcm': '2/x.dcm', 'a/2/y.dcm': 'y.dcm'}
    """
    parts = {path: _posix(path).parts or (path,) for path in paths}
    found: dict[str, str] = {}
    for depth in range(1, _DEEPEST + 1):
        ends = {path: "/".join(own[-depth:]) for path, own in parts.items()}
        counts = Counter(ends.values())
        found |= {path: end for path, end in ends.items() if path not in found and counts[end] == 1}
    return {path: found.get(path, "/".join(own)) for path, own in parts.items()}


def _posix(name: str) -> PurePosixPath:
    return PurePosixPath(name.replace("\\", "/"))
