"""One job of a server: an upload with its state, its files and its result."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from gliomaseg.atomic import link
from gliomaseg.serve.names import FILE


class State(StrEnum):
    """The state of a job."""

    QUEUED = "queued"
    READING = "reading"
    CHOOSE = "choose"
    SEGMENTING = "segmenting"
    DONE = "done"
    FAILED = "failed"


@dataclass
class Job:
    """One upload.

    Attributes:
        id: random, 22 letters; it is the only key to the job.
        name: for people: the name of the first file or folder.
        folder: of its files.
        state: where it is.
        progress: per cent.
        choices: the scans of the upload, if there are several.
        error: why it failed.
        series: UID or number of the DICOM series that was asked for, FLAIR.
        other_series: the same of `t1` and `t1ce`.
        asks: whether a person chooses T1 if a series looks like it.
        scan: number of the scan that a person chose, if the series of this scan are chosen next; None otherwise.
        result: the document of `result.json`.
        model_result: the same for the model's mask.
        reference: the name of the reference mask, for people; None without one.
        corrections: the number of requests that correct it or wait for that.
        files_bytes: size of its files.
        is_deleted: whether its files are removed, or will be.
        created: seconds since 1970.
        used: time of the last request, seconds since 1970.
    """

    id: str
    name: str
    folder: Path
    state: State = State.QUEUED
    progress: float = 0.0
    choices: list[dict[str, Any]] = field(default_factory=list)
    series: str | None = None
    other_series: dict[str, str] = field(default_factory=dict)
    asks: bool = False
    scan: int | None = None
    error: str | None = None
    result: dict[str, Any] | None = None
    model_result: dict[str, Any] | None = None
    reference: str | None = None
    created: float = field(default_factory=time.time)
    used: float = field(default_factory=time.time)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    corrections: int = 0
    files_bytes: int = 0
    is_deleted: bool = False

    @property
    def is_busy(self) -> bool:
        """Whether it waits, runs or is corrected; such a job is not removed."""
        return self.state in (State.QUEUED, State.READING, State.SEGMENTING) or self.corrections > 0


def folder_bytes(folder: Path) -> int:
    """Return the size of all files in a folder; files that vanish meanwhile do not count."""
    total = 0
    for place, _, files in os.walk(folder):
        for file in files:
            with suppress(OSError):
                total += Path(place, file).stat().st_size
    return total


def link_upload(folder: Path, other: Path) -> None:
    """Give a job the files of another one; they are on disk once."""

    def second_name(file: str, path: str) -> None:
        link(Path(file), Path(path))

    shutil.copytree(folder / "upload", other / "upload", copy_function=second_name, dirs_exist_ok=True)
    shutil.copyfile(folder / FILE, other / FILE)
