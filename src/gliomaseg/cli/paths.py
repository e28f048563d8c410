"""The paths of all commands: `~` is the home folder, and the output is checked before any work."""

from __future__ import annotations

import functools
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, get_type_hints

from gliomaseg.errors import UsageError
from gliomaseg.user_files import expand_home


class Output(StrEnum):
    """A mark in the `Annotated` type of an option: the command writes a folder or a file at its path."""

    FOLDER = "a folder"
    FILE = "a file"


def with_checked_paths(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that expands `~` in each of its paths, and checks the paths that it writes.

    The returned command raises a `UsageError` if an output folder is a file, or an output file is a folder.
    """
    hints = get_type_hints(command, include_extras=True)
    outputs = {name: mark for name, hint in hints.items() for mark in _marks(hint)}

    @functools.wraps(command)
    def run(**values: Any) -> None:
        expanded = {name: _expanded(value) for name, value in values.items()}
        for name, output in outputs.items():
            if expanded.get(name) is not None:
                require_output(expanded[name], output)
        command(**expanded)

    return run


def _marks(hint: Any) -> list[Output]:
    return [mark for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, Output)]


def _expanded(value: Any) -> Any:
    """Return a path, or the paths of a list, with a leading `~` expanded; any other value unchanged."""
    if isinstance(value, Path):
        return expand_home(value)
    return [_expanded(entry) for entry in value] if isinstance(value, list) else value


def require_output(path: Path, output: Output) -> None:
    """Check that a folder or file can have this path; it may exist.

    Raises:
        UsageError: the path, or one of its parents, is of the other kind or a link to a missing file.
    """
    if output is Output.FILE and path.is_dir():
        raise UsageError("is a folder, expected a file", where=path, cure="name a file in it")
    for folder in [*([path] if output is Output.FOLDER else []), *path.parents]:
        if folder.is_dir():
            return
        if folder.exists():
            raise UsageError("is a file, expected a folder", where=folder, cure="name another output")
        if folder.is_symlink():
            raise UsageError("is a link to a missing folder", where=folder, cure="create it, or name another output")
