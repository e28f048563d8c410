"""The one rule of `--overwrite`: a command replaces only files that it wrote and that are unchanged since.

Each command records its files in a manifest, `.gliomaseg-files`, in the output folder: a JSON object a line, with the
path relative to the folder, the SHA-256, the command and, for results of `predict`, a digest of scan and model. A file
gets its line before its name, so a killed process leaves no file of ours without a line. Lines are only appended, each
in one write, so that processes which share a folder keep each other's lines.
"""

from __future__ import annotations

import hashlib
import json
import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from gliomaseg import atomic
from gliomaseg.atomic import LOCK, UNFINISHED
from gliomaseg.errors import OutputExistsError
from gliomaseg.file_locks import NO_LINK
from gliomaseg.system_files import is_system_file

MANIFEST = f"{UNFINISHED}files"
NAMED = 3  # foreign files that a message names


class _Entry(NamedTuple):
    """A line of the manifest."""

    path: str
    checksum: str
    source: str


@dataclass(frozen=True)
class OutputFolder:
    """The files that one command writes to a folder.

    Attributes:
        folder: has the manifest; it may be missing.
        command: the command's name; files of other commands are foreign.
        growing: patterns of relative paths: of files without a line in the manifest, these are own files too.
        option: the option that names the folder, for messages.
        source: a digest of what the files are made from, which their lines record; empty if it is not recorded.
    """

    folder: Path
    command: str
    growing: tuple[str, ...] = ()
    option: str = "--out"
    source: str = ""

    @contextmanager
    def new_file(self, path: Path) -> Iterator[Path]:
        """Give a temporary path, as `atomic.new_file`, and record the file before it gets its name.

        Raises:
            ResourceError: the disk is full.
            GliomasegError: the folder cannot be written.
        """
        with atomic.new_file(path) as temporary:
            yield temporary
            self._record({path: temporary}, self.folder)

    @contextmanager
    def new_folder(self, path: Path, *, overwrite: bool = False) -> Iterator[Path]:
        """Give a temporary folder, as `atomic.new_folder`, and record its files before it gets its name.

        If `path` is the output folder itself, the new folder gets a new manifest.

        Raises:
            OutputExistsError: `path` may not be replaced; this is checked again at the end.
            ResourceError: the disk is full.
            GliomasegError: the folder cannot be written.
        """
        self.require_replaceable(path, overwrite=overwrite)
        with atomic.new_folder(path, overwrite=overwrite) as temporary:
            yield temporary
            self.require_replaceable(path, overwrite=overwrite)
            if path == self.folder:  # never append to a manifest that was copied with other files
                (temporary / MANIFEST).unlink(missing_ok=True)
            files = sorted(file for file in temporary.rglob("*") if file.is_file())
            contents = {path / file.relative_to(temporary): file for file in files}
            self._record(contents, temporary if path == self.folder else self.folder)

    def write_text(self, path: Path, text: str) -> None:
        """Write a text file whole, as UTF-8, and record it."""
        with self.new_file(path) as temporary:
            temporary.write_text(text, "utf-8")

    def require_replaceable(self, *targets: Path, overwrite: bool) -> None:
        """Raise an error if a file or folder exists and may not be replaced.

        Args:
            targets: files and folders in the output folder, or the folder itself.
            overwrite: whether own files that are unchanged may be replaced.

        Raises:
            OutputExistsError: a target is foreign or was changed, at any depth; or it exists and `overwrite` is not
                set. Only in the second case does the message recommend `--overwrite`.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise OutputExistsError(
                "is a file, expected a folder", where=self.folder, cure=f"pass another {self.option}"
            )
        for target in targets:
            if foreign := list(islice(self._foreign_files(target), NAMED + 1)):
                raise self._refusal(target, foreign)
        for target in targets:
            if not overwrite and _has_content(target):
                cure = f"pass --overwrite, or another {self.option}"
                raise OutputExistsError("exists already", where=target, cure=cure)

    def owns(self, target: Path) -> bool:
        """Return whether a file or folder exists, and is as this command wrote it."""
        return os.path.lexists(target) and not any(self._foreign_files(target))

    def require_same_source(self, *targets: Path) -> None:
        """Raise OutputExistsError if a file, or a file in a folder, was made from something else, by its last line."""
        for target in targets:
            last = {entry.path: entry.source for entry in self._entries(target)}
            if os.path.lexists(target) and not set(last.values()) <= {"", self.source}:
                what = "was made from another scan, by another model or with other settings"
                cure = f"pass --overwrite, or another {self.option}"
                raise OutputExistsError(what, where=target, cure=cure)

    def has_record(self, target: Path) -> bool:
        """Return whether the manifest has a line about a file."""
        return self._name(target) in self._checksums(target)

    def recorded_files(self) -> frozenset[str]:
        """Return the relative paths of the files that the manifest has lines about; empty without a manifest."""
        return frozenset(self._checksums(self.folder))

    def remove_own(self, targets: Iterable[Path]) -> None:
        """Remove those files and folders that `owns` is true of."""
        for target in targets:
            if self.owns(target):
                atomic.remove(target)

    def _refusal(self, target: Path, foreign: list[tuple[Path, bool]]) -> OutputExistsError:
        cure = f"move it, or pass another {self.option}"
        if len(foreign) == 1:
            file, was_changed = foreign[0]
            what = (
                f"was changed since {self.command} wrote it"
                if was_changed
                else f"is not ours: {self.command} did not write it"
            )
            return OutputExistsError(what, where=file, cure=cure)
        names = ", ".join(
            file.relative_to(target).as_posix() + (" (changed)" if was_changed else "")
            for file, was_changed in foreign[:NAMED]
        )
        more = " and more" if len(foreign) > NAMED else ""
        return OutputExistsError(
            f"has files that are not ours or were changed since {self.command} wrote them: {names}{more}",
            where=target,
            cure=cure.replace("it", "them"),
        )

    def _foreign_files(self, target: Path) -> Iterator[tuple[Path, bool]]:
        """Yield what in `target` may not be removed, and whether it is a changed file of ours."""
        if not os.path.lexists(target):
            return
        checksums = self._checksums(target)
        if not target.is_dir() or (target.is_symlink() and target != self.folder):
            yield from self._foreign_file(target, checksums)
            return
        folders = {str(parent) for name in checksums for parent in PurePosixPath(name).parents}
        patterns = {str(parent) for name in self.growing for parent in PurePosixPath(name).parents if parent.name}
        for parent, inside, names in os.walk(target):
            inside[:] = sorted(name for name in inside if not name.startswith(UNFINISHED))
            links = [name for name in inside if Path(parent, name).is_symlink()]
            for name in sorted([*names, *links]):
                yield from self._foreign_file(Path(parent, name), checksums)
            name = self._name(Path(parent))
            is_own = name in folders or any(_matches(name, pattern) for pattern in patterns)
            if not inside and not names and Path(parent) != target and not is_own:
                yield Path(parent), False  # somebody's empty folder

    def _foreign_file(self, file: Path, checksums: Mapping[str, set[str]]) -> Iterator[tuple[Path, bool]]:
        if file.name.startswith(UNFINISHED) or file.name == LOCK or is_system_file(file.name):
            return
        name = self._name(file)
        if file.is_file() and not file.is_symlink():
            if name in checksums:
                is_own = file_digest(file) in checksums[name]
            else:
                is_own = any(_matches(name, pattern) for pattern in self.growing)
            if is_own:
                return
        yield file, name in checksums

    def _checksums(self, target: Path) -> dict[str, set[str]]:
        """Return the checksums that the manifest has of a file, or of each file in a folder, by relative path."""
        found: dict[str, set[str]] = {}
        for entry in self._entries(target):
            found.setdefault(entry.path, set()).add(entry.checksum)
        return found

    def _entries(self, target: Path) -> Iterator[_Entry]:
        """Yield the lines of the manifest about a file, or about the files in a folder."""
        try:
            lines = (self.folder / MANIFEST).read_bytes().splitlines()
        except OSError:  # without a manifest, every file is foreign
            return
        name = self._name(target)
        # A folder may have results of 10,000 scans: only its lines about this target are parsed.
        needle = b"" if name == "." else json.dumps(name)[:-1].encode()
        for line in lines:
            entry = self._parse(line) if needle in line else None
            if entry and (name in (".", entry.path) or entry.path.startswith(f"{name}/")):
                yield entry

    def _parse(self, line: bytes) -> _Entry | None:
        """Return a line; None if it is of another command, or incomplete."""
        try:
            entry = json.loads(line)
        except ValueError:  # a power cut may leave half a line
            return None
        if not isinstance(entry, dict) or entry.get("command") != self.command or not entry.get("path"):
            return None
        return _Entry(str(entry["path"]), str(entry.get("sha256", "")), str(entry.get("source", "")))

    def _name(self, path: Path) -> str:
        """Return a path relative to the folder. macOS may store a name in another Unicode form."""
        return unicodedata.normalize("NFC", path.relative_to(self.folder).as_posix())

    def _record(self, contents: Mapping[Path, Path], folder: Path) -> None:
        """Append a line for each file, by its final path, to the manifest in `folder`."""
        entries = (
            {"path": self._name(path), "sha256": file_digest(content), "command": self.command}
            | ({"source": self.source} if self.source else {})
            for path, content in contents.items()
        )
        text = "".join(json.dumps(entry) + "\n" for entry in entries)
        try:
            _append(folder / MANIFEST, text.encode())
        except PermissionError:  # another user's manifest in a shared folder: these files are then never replaced
            return


def _append(file: Path, lines: bytes) -> None:
    """Append lines in one write, so that lines of processes that share the folder do not mix."""
    # A link that another user planted is not followed.
    opened = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | NO_LINK, 0o666)
    with os.fdopen(opened, "ab+", buffering=0) as handle:
        if handle.tell():
            handle.seek(-1, os.SEEK_END)
            if handle.read(1) != b"\n":  # a power cut has left half a line
                lines = b"\n" + lines
        while lines:
            lines = lines[handle.write(lines) or 0 :]
        os.fsync(handle.fileno())


def _matches(name: str, pattern: str) -> bool:
    """Return whether a relative path has a pattern's form, folder by folder."""
    path = PurePosixPath(name)
    return len(path.parts) == len(PurePosixPath(pattern).parts) and path.match(pattern)


def file_digest(file: Path) -> str:
    """Return the SHA-256 of a file's content, 64 hexadecimal digits; the file is not held in memory."""
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _has_content(target: Path) -> bool:
    """Return whether a path exists, and is more than a folder with leavings of a killed process."""
    entries = target.iterdir() if target.is_dir() else [target]
    return os.path.lexists(target) and not all(
        entry.name == LOCK or entry.name.startswith(UNFINISHED) for entry in entries
    )
