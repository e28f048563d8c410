"""The LGG MRI segmentation data set on disk: through kagglehub, or from a local archive or folder.

A folder gets its final name only once it is complete. kagglehub fetches into
its own cache (`KAGGLEHUB_CACHE` moves it), where a broken download resumes and a complete one needs
no network. From there, and from a local folder, files are hard-linked, or copied where the file
system cannot link: a linked file that is changed in place changes in both.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from gliomaseg import archive
from gliomaseg.data import kaggle
from gliomaseg.errors import DataError, GliomasegError, OutputExistsError, ResourceError, UsageError

# Pinned: without a version kagglehub asks the server for the newest, even when it has the data.
HANDLE = "mateuszbuda/lgg-mri-segmentation/versions/2"
DEFAULT_TO = Path("lgg-mri-segmentation")

ARCHIVE_BYTES = 750_000_000
# 3,929 slices of 203,102 bytes and as many masks of 65,746; the archive holds everything twice.
UNPACKED_BYTES = 2 * 3_929 * (203_102 + 65_746)

_ROOM = "free some space, or pass a --to on a larger disk"


def download(
    *,
    to: Path | None = None,
    source: Path | None = None,
    overwrite: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Download or copy the data set and return its folder, in the Kaggle layout.

    Args:
        to: the folder to make; without it kagglehub's cache, or `./lgg-mri-segmentation` where
            `source` is given.
        source: a zip archive, or a folder without symbolic links, to take instead of the network.
        overwrite: whether a non-empty `to` is replaced, once the new folder is complete.
        progress: takes one-line messages, at most one per 5 % of a piece of work.

    Returns:
        The root of the data, absolute: `to`, or its subfolder where the source wraps all in one.

    Raises:
        DownloadError: no network, or the server refused, or sent something unusable.
        MissingExtraError: kagglehub is not installed.
        OutputExistsError: `to` is a file, or a non-empty folder without `overwrite`.
        UsageError: `to` cannot be made, overlaps the source, or contains the home or current folder.
        FormatError: `source` is not a zip archive, or is damaged, encrypted or unsafe.
        DataError: `source` is missing, cannot be read, has links, or is another data set.
        ResourceError: the disk is too small, or the archive declares an implausible size.
    """
    say = progress or _silent
    try:
        if source is None:
            return _fetch(to, overwrite=overwrite, say=say)
        return _take(source, to=to or DEFAULT_TO, overwrite=overwrite, say=say)
    except OSError as fault:
        raise _disk_fault(fault, where=to or source) from fault


def _fetch(to: Path | None, *, overwrite: bool, say: archive.Say) -> Path:
    if to is not None:
        # Before the long download: a wrong or small target would show only after it.
        cache = kaggle.cache_folder(HANDLE)
        _check_target(to, source=cache, overwrite=overwrite)
        if not _share_disk(cache, to):
            archive.require_space(UNPACKED_BYTES, on=to, cure=_ROOM)
    folder = kaggle.fetch(HANDLE, needed_bytes=ARCHIVE_BYTES + UNPACKED_BYTES, say=say)
    if to is None:
        return _data_root(folder, where=folder)
    return _take(folder, to=to, overwrite=overwrite, say=say)


def _silent(line: str) -> None:
    pass


def _take(source: Path, *, to: Path, overwrite: bool, say: archive.Say) -> Path:
    _check_target(to, source=source, overwrite=overwrite)
    if not source.exists():
        raise DataError("not found", where=source, cure="check the path of the archive or folder")
    target, origin = to.resolve(), source.resolve()
    files = list(_plain_files(origin)) if origin.is_dir() else []
    if not origin.is_dir():
        archive.require_space(archive.declared_bytes(source), on=target, cure=_ROOM)
    elif not _share_disk(origin, target):
        archive.require_space(sum(file.stat().st_size for file in files), on=target, cure=_ROOM)
    with _staged(target, overwrite=overwrite) as new:
        if origin.is_dir():
            _link(files, source=origin, into=new, say=say)
        else:
            archive.unpack(source, into=new, say=say)
        root = _data_root(new, where=source).relative_to(new)
    return target / root


def _share_disk(one: Path, other: Path) -> bool:
    """Return whether both lie, or will lie, on one file system: a hard link then takes no room."""
    return archive.existing(one).stat().st_dev == archive.existing(other).stat().st_dev


def _check_target(to: Path, *, source: Path, overwrite: bool) -> None:
    target, origin = to.resolve(), source.resolve()
    if target == origin or target in origin.parents or origin in target.parents:
        raise UsageError(f"overlaps the source {origin}", where=to, cure="pass another --to")
    if not target.exists():
        return
    if not target.is_dir():
        raise OutputExistsError("is a file", where=to, cure="pass another --to")
    if any(target.iterdir()) and not overwrite:
        raise OutputExistsError("is not empty", where=to, cure="pass --overwrite or another --to")
    for kept in (Path.cwd(), Path(os.path.expanduser("~")).resolve()):
        if target == kept or target in kept.parents:
            raise UsageError(f"would replace {kept}", where=to, cure="name a folder of its own")


@contextmanager
def _staged(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield an empty folder beside `target` that takes its name if the body succeeds."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as fault:
        if fault.errno in archive.DISK_FULL:
            raise
        what = f"cannot be made ({fault.strerror})"
        raise UsageError(what, where=target, cure="pass another --to") from fault
    # mkdtemp's folder is the user's alone: its child has the mode that a new folder should have.
    new, old = stage / "new", stage / "old"
    try:
        new.mkdir()
        yield new
        if overwrite and target.exists():
            target.rename(old)
        elif target.exists():
            target.rmdir()  # fails, as it should, where another process has filled it meanwhile
        new.rename(target)
    finally:
        if old.exists() and not target.exists():
            old.rename(target)
        shutil.rmtree(stage, ignore_errors=True)


def _plain_files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder, onerror=_raise):
        for path in (Path(parent, name) for name in (*folders, *names)):
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                yield path
            elif not stat.S_ISDIR(mode):
                what = "is a symbolic link or a device, and only plain files are taken"
                raise DataError(what, where=path, cure="copy the folder with its links resolved")


def _raise(fault: OSError) -> NoReturn:
    raise fault


def _link(files: list[Path], *, source: Path, into: Path, say: archive.Say) -> None:
    step = archive.steps(say, "copying")
    for done, file in enumerate(files, start=1):
        place = into / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, place)
        except OSError:  # another file system, or one without hard links
            shutil.copyfile(file, place)
        step(100 * done / len(files))


def _data_root(folder: Path, *, where: Path) -> Path:
    inside = sorted(place for place in folder.iterdir() if place.is_dir())
    for root in (folder, *inside):
        if _has_patients(root) or _has_patients(root / "kaggle_3m"):
            return root
    what = "no <patient>/<patient>_<n>.tif in it, in its kaggle_3m or one folder deeper"
    raise DataError(what, where=where, cure="check that it is the LGG MRI segmentation data set")


def _has_patients(folder: Path) -> bool:
    return folder.is_dir() and any(
        re.fullmatch(rf"{re.escape(patient.name)}_\d+\.tiff?", file.name, re.IGNORECASE)
        for patient in folder.iterdir()
        if patient.is_dir()
        for file in patient.iterdir()
    )


def _disk_fault(fault: OSError, *, where: Path | None) -> GliomasegError:
    if fault.errno in archive.DISK_FULL:
        return ResourceError("the disk is full", where=where or "", cure=_ROOM)
    place = fault.filename or where or ""
    if fault.errno in (errno.ENOTEMPTY, errno.EEXIST):
        return OutputExistsError("is not empty", where=place, cure="pass another --to")
    what = f"cannot be read or written ({fault.strerror or fault})"
    return DataError(what, where=place, cure="check the folder and its permissions")
