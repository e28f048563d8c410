"""The LGG MRI segmentation data set on disk: through kagglehub, or from a local archive or folder.

A folder gets its final name only once it is complete. kagglehub fetches into
its own cache (`KAGGLEHUB_CACHE` moves it), where a broken download resumes and a complete one needs
no network. From there, and from a local folder, files are hard-linked, or copied where the file
system cannot link: a linked file that is changed in place changes in both. An existing folder is
replaced only if an earlier download wrote all of its files, and they are unchanged.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from gliomaseg import archive
from gliomaseg.data import kaggle
from gliomaseg.errors import DataError, GliomasegError, OutputExistsError, ResourceError, UsageError
from gliomaseg.ownership import MANIFEST, OutputFolder
from gliomaseg.system_files import is_system_file

# Pinned: without a version kagglehub asks the server for the newest, even when it has the data.
HANDLE = "mateuszbuda/lgg-mri-segmentation/versions/2"
DEFAULT_TO = Path("lgg-mri-segmentation")

ARCHIVE_BYTES = 750_000_000
# 3,929 slices of 203,102 bytes and as many masks of 65,746; the archive holds everything twice.
UNPACKED_BYTES = 2 * 3_929 * (203_102 + 65_746)

MAX_WRAPPERS = 3

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
        overwrite: whether the files of an earlier download in `to` are replaced, once the new folder is complete.
        progress: takes one-line messages, at most one per 5 % of a piece of work.

    Returns:
        The root of the data, absolute: `to`; without `to`, the folder in kagglehub's cache. Folders around the data
        in the source are left out.

    Raises:
        DownloadError: no network, or the server refused, or sent something unusable.
        MissingExtraError: kagglehub is not installed.
        OutputExistsError: `to` is a file, or a non-empty folder without `overwrite`, or it has a file that no
            earlier download wrote, or that was changed since.
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
        _check_target(to, source=cache)
        _output(to).require_replaceable(to.resolve(), overwrite=overwrite)
        if not _share_disk(cache, to):
            archive.require_space(UNPACKED_BYTES, on=to, cure=_ROOM)
    folder = kaggle.fetch(HANDLE, needed_bytes=ARCHIVE_BYTES + UNPACKED_BYTES, say=say)
    if to is None:
        return _data_root(folder, where=folder)
    return _take(folder, to=to, overwrite=overwrite, say=say)


def _silent(line: str) -> None:
    pass


def _take(source: Path, *, to: Path, overwrite: bool, say: archive.Say) -> Path:
    _check_target(to, source=source)
    if not source.exists():
        raise DataError("not found", where=source, cure="check the path of the archive or folder")
    target, origin = to.resolve(), source.resolve()
    files = list(_plain_files(origin)) if origin.is_dir() else []
    if not origin.is_dir():
        archive.require_space(archive.declared_bytes(source), on=target, cure=_ROOM)
    elif not _share_disk(origin, target):
        archive.require_space(sum(file.stat().st_size for file in files), on=target, cure=_ROOM)
    with _output(to).new_folder(target, overwrite=overwrite) as new:
        try:
            if origin.is_dir():
                _link(files, source=origin, into=new, say=say)
            else:
                archive.unpack(source, into=new, say=say)
            _unwrap(new, _data_root(new, where=source))
            root = _data_root(new, where=source).relative_to(new)
        except OSError as fault:
            raise _disk_fault(fault, where=to) from fault
    if root.parts:
        say(f"the data set is {target / root}")
    return target / root


def _share_disk(one: Path, other: Path) -> bool:
    """Return whether both lie, or will lie, on one file system: a hard link then takes no room."""
    return archive.existing(one).stat().st_dev == archive.existing(other).stat().st_dev


def _check_target(to: Path, *, source: Path) -> None:
    target, origin = to.resolve(), source.resolve()
    if target == origin or target in origin.parents or origin in target.parents:
        raise UsageError(f"overlaps the source {origin}", where=to, cure="pass another --to")
    for kept in (Path.cwd(), Path(os.path.expanduser("~")).resolve()):
        if target == kept or target in kept.parents:
            raise UsageError(f"would replace {kept}", where=to, cure="name a folder of its own")
    if not archive.existing(target).is_dir():
        if target.exists():
            raise OutputExistsError("is a file", where=to, cure="pass another --to")
        raise UsageError(f"cannot be made: {archive.existing(target)} is a file", where=to, cure="pass another --to")


def _output(to: Path) -> OutputFolder:
    return OutputFolder(to.resolve(), "download", option="--to")


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
        if file.name == MANIFEST:  # of the source: a linked copy must not be appended to
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, place)
        except OSError:  # another file system, or one without hard links
            shutil.copyfile(file, place)
        step(100 * done / len(files))


def _data_root(folder: Path, *, where: Path) -> Path:
    level = [folder]
    for _ in range(MAX_WRAPPERS + 1):
        for root in level:
            if _has_patients(root) or _has_patients(root / "kaggle_3m"):
                return root
        level = [place for root in level for place in _folders(root)]
    what = f"no <patient>/<patient>_<n>.tif in it, in its kaggle_3m or up to {MAX_WRAPPERS} folders deeper"
    raise DataError(what, where=where, cure="check that it is the LGG MRI segmentation data set")


def _folders(folder: Path) -> list[Path]:
    return sorted(place for place in folder.iterdir() if place.is_dir() and not is_system_file(place.name))


def _unwrap(folder: Path, root: Path) -> None:
    """Move the content of the folders around the data up, so that `folder` is the data set's root."""
    for name in root.relative_to(folder).parts:
        wrapper = folder / f".{name}.wrapper"
        (folder / name).rename(wrapper)
        inside = sorted(wrapper.iterdir())
        if any(os.path.lexists(folder / entry.name) for entry in inside):
            wrapper.rename(folder / name)  # a file beside the wrapper has the name of one in it
            return
        for entry in inside:
            entry.rename(folder / entry.name)
        wrapper.rmdir()


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
