"""The files in a data set's folder, at any depth; system files and results of `predict` are apart, with the reason."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gliomaseg.atomic import UNFINISHED
from gliomaseg.data.case_list import Problem
from gliomaseg.ownership import MANIFEST, OutputFolder
from gliomaseg.system_files import is_system_file

SYSTEM_FILE = "was written by an operating system"
HIDDEN = "is hidden"
UNFINISHED_FILE = "was left unfinished"
PREDICTED = "is a result of predict"


@dataclass(frozen=True)
class FileListing:
    """The files of a data set.

    Attributes:
        root: the folder that was searched.
        files: those that may be part of a case, sorted; a broken link is one of them.
        skipped: the others, each with the reason. A system folder or a hidden folder is one entry.
    """

    root: Path
    files: tuple[Path, ...]
    skipped: tuple[Problem, ...]

    def name_of(self, file: Path) -> str:
        """Return the path relative to the data set's folder, with `/`."""
        return file.relative_to(self.root).as_posix()


def list_files(root: Path) -> FileListing:
    """Return the files in a folder and at any depth below it.

    Links to folders are followed, unless the target lies in the folder itself or above it. The record that a command
    of this package keeps of its files is not listed.

    Raises:
        OSError: a folder cannot be read.
    """
    files: list[Path] = []
    skipped: list[tuple[Path, str]] = []
    results: set[Path] = set()
    for folder, entries in _walk(root):
        for name, is_folder in entries:
            file = folder / name
            if name == MANIFEST:
                results.update(folder / own for own in OutputFolder(folder, "predict").recorded_files())
            elif reason := _reason(name):
                skipped.append((file, reason))
            elif not is_folder:
                files.append(file)
    skipped += [(file, PREDICTED) for file in files if file in results]
    problems = tuple(Problem(file.relative_to(root).as_posix(), reason) for file, reason in sorted(skipped))
    return FileListing(root, tuple(sorted(file for file in files if file not in results)), problems)


def iterate_files(root: Path) -> Iterator[Path]:
    """Yield the same files as `list_files`, folder by folder, without a look at the results of `predict`."""
    for folder, entries in _walk(root):
        for name, is_folder in entries:
            if not _reason(name) and not is_folder:
                yield folder / name


def _walk(root: Path) -> Iterator[tuple[Path, list[tuple[str, bool]]]]:
    """Yield each folder that may contain cases, with the sorted names in it, and whether each is a folder."""
    visited: set[Path] = set()
    inside = root.resolve()
    pending = [root]
    while pending:
        folder = pending.pop()
        target = folder.resolve()
        if target in visited:
            continue
        visited.add(target)
        with os.scandir(folder) as entries:
            found = sorted((entry.name, entry.is_dir(), entry.is_symlink()) for entry in entries)
        yield folder, [(name, is_folder) for name, is_folder, _ in found]
        for name, is_folder, is_link in reversed(found):
            if is_folder and not _reason(name) and not (is_link and folders_overlap((folder / name).resolve(), inside)):
                pending.append(folder / name)


def _reason(name: str) -> str:
    """Return why a file or folder is never part of a case, by its name; else an empty text."""
    if is_system_file(name):
        return SYSTEM_FILE
    if name.startswith(UNFINISHED):
        return UNFINISHED_FILE
    return HIDDEN if name.startswith(".") else ""


def folders_overlap(target: Path, root: Path) -> bool:
    """Return whether one folder lies in the other: the files behind such a link are found without it."""
    return target.is_relative_to(root) or root.is_relative_to(target)
