"""A DICOMDIR, the index of a disc: the files that it lists and that are missing."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gliomaseg.errors import GliomasegError
from gliomaseg.formats.dicom import headers
from gliomaseg.formats.dicom.errors import translated_errors
from gliomaseg.formats.dicom.files import locate
from gliomaseg.formats.dicom.headers import DIRECTORY, HEADER_BYTES
from gliomaseg.formats.dicom.sources import Source, source_of
from gliomaseg.formats.dicom.values import items, text, uid, words

IS_MISSING = "is listed in DICOMDIR and is missing"
# Discs number the versions of a file, and programs add a suffix as they copy it.
_ADDED = re.compile(r"(\.DCM|\.?;\d+)$")


@dataclass(frozen=True)
class IndexedFile:
    """A file that a DICOMDIR lists.

    Attributes:
        name: its path from the folder of the DICOMDIR.
        series: its SeriesInstanceUID; an empty string if it belongs to no series.
        instance: its SOPInstanceUID; an empty string if it is unknown.
    """

    name: str
    series: str
    instance: str


def missing_files(
    index: Source, names: Iterable[str], instances: Collection[str] = (), *, root: Path
) -> list[IndexedFile]:
    """Return the files in a folder or zip that a DICOMDIR lists and that are missing.

    Args:
        index: the DICOMDIR; `relative` is its path from the root, which may lead upwards. If it is damaged, or the
            extra `dicom` is not installed, it lists nothing.
        names: the paths of the files that are there, from the root. Capital letters and the suffix .dcm do not count.
        instances: the SOPInstanceUIDs of files that are there, under any name.
        root: the folder or zip.
    """
    listed: list[IndexedFile] = []
    with suppress(GliomasegError), translated_errors(index.name):
        listed = list(_listed_files(index))
    folder = _with_slashes(os.path.dirname(index.relative))  # noqa: PTH120 - of a member of a zip
    levels = folder.split("/").count("..")
    above = "".join(f"{part}/" for part in root.absolute().parts[-levels:]) if levels else ""
    below = f"{folder}/" if folder and not levels else ""
    there = {_key(above + _with_slashes(name).removeprefix(below)) for name in names}
    missing = [file for file in listed if _key(file.name) not in there and file.instance not in instances]
    return [file for file in missing if _key(file.name).startswith(above.upper())]


def missing_on_disc(index: Path, files: Iterable[Path], instances: Collection[str] = ()) -> list[tuple[Path, str]]:
    """Return the path and the SeriesInstanceUID of each file that a DICOMDIR lists and that is missing.

    Args:
        index: the DICOMDIR.
        files: those that are there, at least in its folder and below it.
        instances: the SOPInstanceUIDs of files that are there, under any name.
    """
    folder = index.parent
    names = (str(file.relative_to(folder)) for file in files if file.is_relative_to(folder))
    return [
        (folder / file.name, file.series) for file in missing_files(source_of(index), names, instances, root=folder)
    ]


def _listed_files(index: Source) -> Iterator[IndexedFile]:
    located, _ = locate(index)
    if located is None:
        return
    wanted = ("DirectoryRecordSequence",)
    _, header = headers.read(
        located, pixels=False, max_bytes=HEADER_BYTES, kinds=(DIRECTORY,), keywords=wanted, is_checked=False
    )
    series = ""
    for record in items(header, *wanted):
        if text(record, "DirectoryRecordType").upper() in ("PATIENT", "STUDY", "SERIES"):
            series = uid(record, "SeriesInstanceUID")  # the records of its files follow
        if parts := words(record, "ReferencedFileID"):
            yield IndexedFile("/".join(parts), series, uid(record, "ReferencedSOPInstanceUIDInFile"))


def _key(name: str) -> str:
    return _ADDED.sub("", name.upper()).rstrip(".")


def _with_slashes(name: str) -> str:
    return name.replace(os.sep, "/")
