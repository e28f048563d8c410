"""The files in a folder and below it, without system files, and with the broken links."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from gliomaseg.data.file_listing import folders_overlap
from gliomaseg.errors import ResourceError
from gliomaseg.system_files import is_system_file

MAX_FILES = 100_000


@dataclass(frozen=True)
class FolderFiles:
    """The files directly in one folder.

    Attributes:
        path: the folder.
        files: its files and links to files, by name.
        broken_links: its broken links, by name.
        is_linked: whether the folder is a link, or lies below one.
    """

    path: Path
    files: tuple[Path, ...]
    broken_links: tuple[Path, ...]
    is_linked: bool


@dataclass(frozen=True)
class FolderListing:
    """A folder and its subfolders, in order, and the number of system files and hidden files in them."""

    folders: tuple[FolderFiles, ...]
    system_files: int


def list_folder(root: Path, *, without: Path | None = None) -> FolderListing:
    """Return the files in a folder and at any depth below it.

    Links to folders are followed, each target once. Hidden folders and system folders are not searched.

    Args:
        root: the folder.
        without: a folder below it that is not searched, such as the folder of the results.

    Raises:
        ResourceError: there are more than 100,000 files.
        OSError: a folder cannot be read.
    """
    visited = {path.resolve() for path in (without,) if path is not None and path.resolve() != root.resolve()}
    inside = root.resolve()
    found: list[FolderFiles] = []
    system_files = count = 0
    pending = [(root, False)]
    while pending:
        folder, is_linked = pending.pop()
        if folder.resolve() in visited:
            continue
        visited.add(folder.resolve())
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries)
        count += len(names)
        if count > MAX_FILES:
            raise ResourceError(f"has over {MAX_FILES:,} files", where=root, cure="pass the folders of the cases")
        paths = [folder / name for name in names if not (is_system_file(name) or name.startswith("."))]
        system_files += len(names) - len(paths)
        subfolders = [path for path in paths if path.is_dir()]
        pending += [
            (path, is_linked or path.is_symlink())
            for path in reversed(subfolders)
            if not (path.is_symlink() and folders_overlap(path.resolve(), inside))
        ]
        broken = tuple(path for path in paths if path.is_symlink() and not path.exists())
        files = tuple(path for path in paths if path.is_file())
        found.append(FolderFiles(folder, files, broken, is_linked))
    return FolderListing(tuple(found), system_files)
