"""A public data set from Kaggle, fetched by kagglehub into its own cache.

kagglehub 1.0.2 keeps version 2 of `owner/name` in `<cache>/datasets/owner/name`: the folder
`versions/2`, the marker `2.complete` beside it, and `2.archive` while the download lasts. A marked
version is returned without a request. An archive broken off is resumed with an HTTP range. Its
`output_dir` does neither atomically nor with resumption, so it is not used here.
"""

from __future__ import annotations

import importlib
import io
import logging
import os
import re
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from gliomaseg.archive import DISK_FULL, Say, require_space, steps
from gliomaseg.errors import DownloadError, GliomasegError, MissingExtraError, ResourceError

_BY_HAND = "or download the zip by hand from the data set's Kaggle page and pass `--from archive.zip`"
_ROOM = "free some space, or set KAGGLEHUB_CACHE to a folder on a larger disk"
_STATUS_CURES = {
    401: "renew or remove your Kaggle token",
    403: "renew or remove your Kaggle token",
    404: "check whether the data set is still public",
    429: "too many requests: wait some minutes and run it again",
}


def cache_folder(handle: str) -> Path:
    """Return where kagglehub keeps all versions of a data set; it need not exist.

    Args:
        handle: `owner/name/versions/number`.
    """
    root = os.environ.get("KAGGLEHUB_CACHE", os.path.expanduser("~/.cache/kagglehub"))
    return Path(root, "datasets", *handle.split("/")[:2])


def fetch(handle: str, *, needed_bytes: int, say: Say) -> Path:
    """Return the folder of a data set in kagglehub's cache, after fetching it if it is not there.

    Args:
        handle: `owner/name/versions/number`: without the version the cache is of no use offline.
        needed_bytes: disk space for the archive and its unpacked files.
        say: takes kagglehub's messages, and one line per 5 % of the download.

    Raises:
        MissingExtraError: kagglehub is not installed.
        DownloadError: no network, or the server refused, or sent something unusable.
        ResourceError: the cache's file system has too little room, or ran out of it.
        OSError: the cache folder cannot be read or written.
    """
    try:
        kagglehub = importlib.import_module("kagglehub")
    except ImportError as fault:
        cure = 'pip install "gliomaseg[download]", or pass `--from archive.zip`'
        raise MissingExtraError("kagglehub is not installed", cure=cure) from fault
    cache, version = cache_folder(handle), handle.rpartition("/")[2]
    archive = cache / f"{version}.archive"
    if not ((cache / f"{version}.complete").exists() and (cache / "versions" / version).exists()):
        fetched_bytes = archive.stat().st_size if archive.exists() else 0
        require_space(needed_bytes - fetched_bytes, on=cache, cure=_ROOM)
    try:
        with _relayed(say):
            return Path(kagglehub.dataset_download(handle)).resolve()
    except Exception as fault:  # its errors have no class of their own in common
        if isinstance(fault, OSError) and fault.filename is not None:
            raise
        if _is_damage(fault):
            # A file that is not an archive (such as a login page) would be resumed and never become one.
            archive.unlink(missing_ok=True)
        raise _translated(fault, handle=handle) from fault


def _is_damage(fault: Exception) -> bool:
    broken = isinstance(fault, zipfile.BadZipFile | zlib.error | EOFError)
    return broken or type(fault).__name__ == "DataCorruptionError" or "archive type" in str(fault)


def _translated(fault: Exception, *, handle: str) -> GliomasegError:
    status = getattr(getattr(fault, "response", None), "status_code", None)
    what = f"kagglehub failed ({type(fault).__name__}: {fault})"
    cure = "check the network and run it again"
    if status is not None:
        what = f"the server answered {status}"
        cure = _STATUS_CURES.get(status, "run it again later")
    elif _is_damage(fault):
        what = "what the server sent is damaged or no archive"
    elif isinstance(fault, OSError):  # all exceptions of requests are OSErrors too
        if fault.errno in DISK_FULL:
            return ResourceError("the disk is full", where=cache_folder(handle), cure=_ROOM)
        what = f"the server cannot be reached ({type(fault).__name__})"
    return DownloadError(what, where=handle, cure=f"{cure}, {_BY_HAND}")


class _Bars(io.TextIOBase):
    """Stands where a progress bar is drawn and passes on its percentages."""

    def __init__(self, step: Callable[[float], None]) -> None:
        self._step = step

    def write(self, text: str) -> int:
        for percent in re.findall(r"(\d+)%\|", text):
            self._step(float(percent))
        return len(text)


class _Lines(logging.Handler):
    """Passes log records on."""

    def __init__(self, say: Say) -> None:
        super().__init__(level=logging.INFO)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say(" ".join(record.getMessage().split()))


@contextmanager
def _relayed(say: Say) -> Iterator[None]:
    """Pass the messages of kagglehub to `say`: it logs to stdout and draws bars even without a terminal."""
    out, err = sys.stdout, sys.stderr

    def aloud(line: str) -> None:
        with redirect_stdout(out), redirect_stderr(err):
            say(line)

    logger = logging.getLogger("kagglehub")
    handlers = logger.handlers[:]
    files = [handler for handler in handlers if isinstance(handler, logging.FileHandler)]
    logger.handlers[:] = [*files, _Lines(aloud)]
    bars = _Bars(steps(aloud, "downloading"))
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(bars):
            yield
    finally:
        logger.handlers[:] = handlers
