"""Prepared slices of a data set: the first run decodes and writes them, later runs map them into memory.

The name of a cache is a hash of the files' content and of the preprocessing, so a cache is never stale. It is built in
a temporary folder and then renamed: two runs may build it at once, and a killed run leaves no incomplete cache.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.atomic import is_disk_full, new_folder, remove
from gliomaseg.config import Preprocessing
from gliomaseg.data.case import read_case
from gliomaseg.data.index import Case, DataIndex, require_sound
from gliomaseg.data.split import slice_names
from gliomaseg.errors import DataError, GliomasegError, ResourceError, UsageError
from gliomaseg.preprocessing import level_counts, prepare, prepare_mask
from gliomaseg.types import Mask, PreparedSlices
from gliomaseg.user_files import expand_home

LAYOUT = 1
RESERVE_BYTES = 200_000_000
ATTEMPTS = 3  # another run may replace a damaged cache at the same time


@dataclass(frozen=True)
class Cache:
    """Prepared slices of a whole data set, in the order of the index.

    Attributes:
        digest: hash of the files' content and of the preprocessing, 40 hexadecimal digits.
        names: `case/number` of each slice.
        images: uint8, shape (n, c, size, size), mapped read-only.
        masks: bool, shape (n, size, size), mapped read-only.
    """

    digest: str
    names: tuple[str, ...]
    images: PreparedSlices
    masks: Mask

    @cached_property
    def case_numbers(self) -> NDArray[np.int64]:
        """The number of each slice's case, from 0: int64, shape (n,)."""
        cases = list(dict.fromkeys(name.rpartition("/")[0] for name in self.names))
        numbers = {case: number for number, case in enumerate(cases)}
        return np.array([numbers[name.rpartition("/")[0]] for name in self.names], np.int64)

    @cached_property
    def case_limits(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Positions of each case's first slice and of its last slice: two arrays, int64, shape (cases,)."""
        first = np.flatnonzero(np.diff(self.case_numbers, prepend=-1))
        return first, np.append(first[1:], len(self.names)) - 1

    @cached_property
    def level_histograms(self) -> NDArray[np.int64]:
        """How often each level occurs in each case and channel: int64, shape (cases, c, 256)."""
        limits = zip(*self.case_limits, strict=True)
        return np.stack([level_counts(self.images[first : last + 1]) for first, last in limits])

    @cached_property
    def has_tumour(self) -> NDArray[np.bool_]:
        """Whether the mask of each slice has a tumour pixel: bool, shape (n,)."""
        return np.array([bool(mask.any()) for mask in self.masks])

    def positions(self, cases: tuple[Case, ...]) -> NDArray[np.int64]:
        """Return the positions of the slices of `cases`, in the order of `cases`: int64, shape (n,)."""
        position = {name: k for k, name in enumerate(self.names)}
        return np.array([position[name] for case in cases for name in slice_names(case)], np.int64)


def default_cache_folder() -> Path:
    """Return `$GLIOMASEG_CACHE` if it is set, else `gliomaseg` in the user's cache folder.

    Raises:
        UsageError: the variable is not set and the home folder is unknown.
    """
    if folder := os.environ.get("GLIOMASEG_CACHE"):
        return expand_home(folder)
    if user_cache := os.environ.get("XDG_CACHE_HOME"):
        return expand_home(user_cache) / "gliomaseg"
    try:
        return Path.home() / ".cache" / "gliomaseg"
    except RuntimeError as fault:  # HOME is not set, and the user has no entry in the password database
        raise UsageError("the home folder is unknown, so the cache has no place", cure="set GLIOMASEG_CACHE") from fault


def open_cache(
    index: DataIndex,
    preprocessing: Preprocessing,
    *,
    folder: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> Cache:
    """Open the cache of a data set, and build it first if it is missing.

    Args:
        index: the data set, without problems.
        preprocessing: size and channels of the prepared slices.
        folder: the folder of all caches; `default_cache_folder()` if None.
        progress: called with a line of text before slow steps.

    Raises:
        DataError: the index has problems; the message gives the first.
        FormatError: a file cannot be read.
        GeometryError: a mask and its image differ in size.
        ResourceError: the disk is too full for the cache.
        GliomasegError: the folder cannot be written.
    """
    require_sound(index)
    digest = _digest(index, preprocessing)
    path = (folder or default_cache_folder()) / digest
    for _ in range(ATTEMPTS):
        damaged = path.exists()
        if cache := _open_existing(path, digest, index, preprocessing):
            return cache
        if damaged:
            _discard(path)
        if progress:
            progress(f"preparing {index.slice_count} slices once, into {path}")
        _build(index, preprocessing, path)
    raise ResourceError("a cache that was just built cannot be opened", where=path, cure="check the disk")


def _digest(index: DataIndex, preprocessing: Preprocessing) -> str:
    """Return a hash of every file's bytes: modification times are unreliable, and reading costs little."""
    files = [file for case in index.cases for entry in case.slices for file in (entry.image, entry.mask)]
    hasher = hashlib.sha256(f"{LAYOUT} {preprocessing.size_px} {preprocessing.input}".encode())
    with ThreadPoolExecutor(max_workers=4) as pool:
        for file, file_digest in zip(files, pool.map(_file_digest, files), strict=True):
            hasher.update(os.fsencode(f"{file.parent.name}/{file.name}") + b"\0" + file_digest)
    return hasher.hexdigest()[:40]


def _file_digest(file: Path) -> bytes:
    try:
        return hashlib.blake2b(file.read_bytes(), digest_size=20).digest()
    except OSError as fault:
        raise DataError(f"cannot be read ({fault.strerror})", where=file) from fault


def _open_existing(path: Path, digest: str, index: DataIndex, preprocessing: Preprocessing) -> Cache | None:
    """Return the cache in a folder, or None if it is missing or damaged."""
    names = tuple(name for case in index.cases for name in slice_names(case))
    try:
        manifest: Any = json.loads((path / "manifest.json").read_text("utf-8"))
        images = np.load(path / "images.npy", mmap_mode="r")
        masks = np.load(path / "masks.npy", mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    if not isinstance(manifest, dict) or manifest.get("names") != list(names):
        return None
    shape = _image_shape(index, preprocessing)
    if (images.shape, images.dtype) != (shape, np.uint8):
        return None
    if (masks.shape, masks.dtype) != (_mask_shape(shape), np.bool_):
        return None
    return Cache(digest, names, images, masks)


def _image_shape(index: DataIndex, preprocessing: Preprocessing) -> tuple[int, int, int, int]:
    """Return (n, c, size, size)."""
    return index.slice_count, preprocessing.sequences, preprocessing.size_px, preprocessing.size_px


def _mask_shape(image_shape: tuple[int, int, int, int]) -> tuple[int, int, int]:
    """Return (n, size, size)."""
    return image_shape[0], *image_shape[2:]


def _discard(path: Path) -> None:
    """Remove a damaged cache. If another run does so at the same time, the first rename succeeds."""
    renamed = path.with_name(f".{path.name}.{os.getpid()}.damaged")
    try:
        path.rename(renamed)
        remove(renamed)
    except FileNotFoundError:
        return
    except OSError as fault:
        raise GliomasegError(f"cannot be replaced ({fault.strerror})", where=path) from fault


def _build(index: DataIndex, preprocessing: Preprocessing, path: Path) -> None:
    shape = _image_shape(index, preprocessing)
    _require_writable(path.parent)
    _require_disk_space(path, needed_bytes=math.prod(shape) + math.prod(_mask_shape(shape)))
    with new_folder(path, first_wins=True) as folder:
        images = np.lib.format.open_memmap(folder / "images.npy", mode="w+", dtype=np.uint8, shape=shape)
        masks = np.lib.format.open_memmap(folder / "masks.npy", mode="w+", dtype=np.bool_, shape=_mask_shape(shape))
        start = 0
        for case in index.cases:
            loaded = read_case(case)
            stop = start + len(case.slices)
            images[start:stop] = prepare(loaded.scan, preprocessing).slices
            masks[start:stop] = prepare_mask(loaded.reference, preprocessing)
            start = stop
        images.flush()
        masks.flush()
        names = [name for case in index.cases for name in slice_names(case)]
        manifest = {
            "layout": LAYOUT,
            "preprocessing": preprocessing.model_dump(),
            "root": str(index.root),
            "names": names,
        }
        (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")


def _require_writable(folder: Path) -> None:
    """Create the folder of the caches, and check that files can be created in it.

    Raises:
        GliomasegError: they cannot, as on a read-only disk.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return
    except OSError as fault:
        if is_disk_full(fault):
            return  # `_require_disk_space` gives the numbers
        raise GliomasegError(
            f"cache folder cannot be written ({fault.strerror or fault})",
            where=folder,
            cure="name a folder on a writable disk with --cache or GLIOMASEG_CACHE",
        ) from fault


def _require_disk_space(path: Path, *, needed_bytes: int) -> None:
    # The folder of the cache may not exist if the disk is full.
    free_bytes = shutil.disk_usage(next(folder for folder in path.absolute().parents if folder.exists())).free
    # If the disk fills up under a memory map, a bus error kills the process: check first.
    if free_bytes < needed_bytes + RESERVE_BYTES:
        raise ResourceError(
            f"{free_bytes / 1e6:.0f} MB are free, expected {(needed_bytes + RESERVE_BYTES) / 1e6:.0f} MB:"
            f" {needed_bytes / 1e6:.0f} MB for the cache and {RESERVE_BYTES / 1e6:.0f} MB in reserve",
            where=path.parent,
            cure="free some space, or name another disk with --cache or GLIOMASEG_CACHE",
        )
