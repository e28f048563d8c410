"""A zip archive of unknown origin: looked through before it is unpacked, counted while it is."""

from __future__ import annotations

import errno
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath

from gliomaseg.errors import FormatError, ResourceError

MAX_UNPACKED_BYTES = 8_000_000_000
MAX_MEMBERS = 100_000
# A mask without tumour is 65 kB of zeros and shrinks 500-fold honestly: only large members count.
MAX_RATIO = 200
RATIO_COUNTS_FROM_BYTES = 10_000_000

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)

_CHUNK_BYTES = 1 << 20
_STEP_PERCENT = 5
_CURE = "get a sound zip, or unpack it yourself and pass the folder"

Say = Callable[[str], None]


def declared_bytes(archive: Path, *, most_members: int = MAX_MEMBERS) -> int:
    """Return what all members of a zip will take on disk, in bytes, if none of them is refused.

    Args:
        archive: the zip file; it is not unpacked.
        most_members: limit of their number.

    Returns:
        The sum of the declared sizes: 0 for an archive without files.

    Raises:
        FormatError: no zip archive, a damaged one, or one with members that are encrypted, links,
            there twice, or that lead out of the target folder.
        OSError: the archive cannot be read.
        ResourceError: more files, more bytes or a higher compression than the limits.
    """
    if not archive.is_file():
        raise FormatError("is neither a folder nor a zip archive", where=archive)
    with archive.open("rb") as opened:
        if not zipfile.is_zipfile(opened):
            raise FormatError("is not a complete zip archive", where=archive, cure=_CURE)
    with _faults_of(archive), zipfile.ZipFile(archive) as box:
        return _checked_bytes(box.infolist(), archive=archive, most_members=most_members)


def unpack(archive: Path, *, into: Path, say: Say) -> None:
    """Write all members of a zip below a folder; what stays there after a fault is for the caller.

    Args:
        archive: the zip file.
        into: an existing, empty folder.
        say: takes one line per 5 % of the bytes.

    Raises:
        FormatError: as `declared_bytes`, or a member's content is not what the archive declares.
        ResourceError: as `declared_bytes`.
        OSError: the disk is full.
    """
    with _faults_of(archive), zipfile.ZipFile(archive) as box:
        members = box.infolist()
        declared = _checked_bytes(members, archive=archive, most_members=MAX_MEMBERS)
        step, done = steps(say, "unpacking"), 0
        for member in members:
            place = into / PurePosixPath(member_name(member))
            if is_folder(member):
                place.mkdir(parents=True, exist_ok=True)
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            done += _write(box, member, place)
            step(100 * done / max(declared, 1))


def member_name(member: zipfile.ZipInfo) -> str:
    r"""Return the path of a member with slashes: some archives of Windows have backslashes.

    >>> member_name(zipfile.ZipInfo("export\\IM001"))
    'export/IM001'
    """
    # The name as stored: zipfile cuts `filename` at a null byte.
    return member.orig_filename.replace("\\", "/")


def is_folder(member: zipfile.ZipInfo) -> bool:
    """Return whether a member of a zip is a folder."""
    return member_name(member).endswith("/")


def require_space(needed_bytes: int, *, on: Path, cure: str) -> None:
    """Raise ResourceError unless the file system of `on`, which need not exist, has room.

    Raises:
        ResourceError: naming the folder, and the needed and free space in GB (10^9 bytes).
    """
    folder = existing(on)
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        what = f"{needed_bytes / 1e9:.2f} GB are needed and {free_bytes / 1e9:.2f} GB are free"
        raise ResourceError(what, where=folder, cure=cure)


def existing(path: Path) -> Path:
    """Return the path, absolute, or the nearest folder above it that exists."""
    path = path.resolve()
    return next(place for place in (path, *path.parents) if place.exists())


def steps(say: Say, doing: str) -> Callable[[float], None]:
    """Return a function of the percentage done that logs one line for every 5 %."""
    shown = 0

    def step(percent: float) -> None:
        nonlocal shown
        if percent >= shown + _STEP_PERCENT:
            shown = int(percent) // _STEP_PERCENT * _STEP_PERCENT
            say(f"{doing}: {shown} %")

    return step


def _checked_bytes(members: list[zipfile.ZipInfo], *, archive: Path, most_members: int) -> int:
    declared = sum(member.file_size for member in members)
    if len(members) > most_members or declared > MAX_UNPACKED_BYTES:
        what = f"declares {len(members):,} files and {declared / 1e9:,.2f} GB"
        limit = f"the limit is {most_members:,} files and {MAX_UNPACKED_BYTES / 1e9:,.2f} GB"
        raise ResourceError(
            f"{what} ({limit})", where=archive, cure="check its source, or unpack it and pass the folder"
        )
    seen: set[PurePosixPath] = set()
    for member in members:
        path = PurePosixPath(member_name(member))
        fault = "is there twice" if path in seen else _refusal(member)
        if fault:
            raise FormatError(f"member {member.filename!r} {fault}", where=archive, cure=_CURE)
        ratio = member.file_size / max(member.compress_size, 1)
        if member.file_size >= RATIO_COUNTS_FROM_BYTES and ratio > MAX_RATIO:
            what = f"member {member.filename!r} would grow {ratio:,.0f}-fold"
            raise ResourceError(what, where=archive, cure="check where it comes from")
        if not is_folder(member):
            seen.add(path)
    return declared


def _refusal(member: zipfile.ZipInfo) -> str:
    """Return why a member may not be unpacked, or an empty text."""
    name = member_name(member)
    if name.startswith("/") or ".." in name.split("/") or PureWindowsPath(name).drive:
        return "leads out of the target folder"
    if "\0" in name:
        return "has a null byte in its name"
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if member.flag_bits & 1:
        return "is encrypted"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is packed by a method other than deflate"
    return ""


def _write(box: zipfile.ZipFile, member: zipfile.ZipInfo, place: Path) -> int:
    written = 0
    # "x": where the file system folds cases, `A.tif` must not silently replace `a.tif`.
    with box.open(member) as packed, place.open("xb") as plain:
        while chunk := packed.read(_CHUNK_BYTES):
            written += len(chunk)
            # The limits were held against what is declared; what comes is held against that.
            if written > member.file_size:
                break
            plain.write(chunk)
    if written != member.file_size:
        raise zipfile.BadZipFile(f"{member.filename!r} has not the size it declares")
    return written


@contextmanager
def _faults_of(archive: Path) -> Iterator[None]:
    damage = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, RuntimeError)
    try:
        yield
    except damage as fault:
        raise FormatError(f"is damaged ({fault})", where=archive, cure=_CURE) from fault
    except OSError as fault:
        if fault.errno in DISK_FULL:
            raise
        raise FormatError(f"cannot be unpacked ({fault})", where=archive, cure=_CURE) from fault
