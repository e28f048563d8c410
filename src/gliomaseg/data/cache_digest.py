"""The name of a cache: a hash of the files' content and of the preprocessing, so that a cache is never stale."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gliomaseg.config import Preprocessing
from gliomaseg.data.case import Case, Volumes, with_sequences
from gliomaseg.data.case_list import CaseList
from gliomaseg.errors import DataError
from gliomaseg.types import Sequence

LAYOUT = 1


def needed_sequences(case: Case, preprocessing: Preprocessing) -> Case:
    """Return a case with the sequences that become input of the network: the others are neither read nor hashed."""
    channels = {"flair": (Sequence.FLAIR,), "t1_flair": (Sequence.T1, Sequence.FLAIR)}
    return with_sequences(case, channels.get(preprocessing.input, tuple(Sequence)))


def cache_digest(index: CaseList, preprocessing: Preprocessing) -> str:
    """Return a hash of the bytes of every file that the network needs; 40 hexadecimal digits.

    Modification times are unreliable, and reading costs little.
    """
    cases = [needed_sequences(case, preprocessing) for case in index.cases]
    files = [file for case in cases for file in case.files]
    hasher = hashlib.sha256(f"{LAYOUT} {preprocessing.size_px} {preprocessing.input}".encode())
    if volumes := [case for case in cases if case.volumes is not None]:
        hasher.update(preprocessing.model_dump_json(include={"fov_mm", "min_slice_spacing_mm", "p99_5_level"}).encode())
        hasher.update(repr([_channels(case.volumes) for case in volumes if case.volumes]).encode())
    if any(case.labels.tumour is not None for case in cases):
        hasher.update(repr([sorted(case.labels.tumour or ()) for case in cases]).encode())
    with ThreadPoolExecutor(max_workers=4) as pool:
        for file, file_digest in zip(files, pool.map(_file_digest, files), strict=True):
            hasher.update(os.fsencode(f"{file.parent.name}/{file.name}") + b"\0" + file_digest)
    return hasher.hexdigest()[:40]


def _channels(volumes: Volumes) -> list[tuple[str, int | None, str | None]]:
    """Return what selects the volumes in their files: sequence, channel and series."""
    return [(str(name), volume.channel, volume.series) for name, volume in sorted(volumes.images.items())]


def _file_digest(file: Path) -> bytes:
    try:
        return hashlib.blake2b(file.read_bytes(), digest_size=20).digest()
    except OSError as fault:
        raise DataError(f"cannot be read ({fault.strerror})", where=file) from fault
