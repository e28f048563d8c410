"""Prepared slices of a data set: the first run decodes and writes them, later runs map them into memory.

The name of a cache is a hash of the files' content and of the preprocessing, so a cache is never stale. It is built in
a temporary folder and then renamed: two runs may build it at once, and a killed run leaves no incomplete cache. Its
manifest has a hash of each array, which is checked when the cache is opened: a spoilt array would train other weights.
"""

from __future__ import annotations

import json
import os
import secrets
from collections import Counter, abc
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliomaseg.atomic import UNFINISHED, new_file, new_folder, remove, write_text
from gliomaseg.config import Preprocessing
from gliomaseg.data.cache_digest import LAYOUT, cache_digest, needed_sequences
from gliomaseg.data.case import Case, read_case
from gliomaseg.data.case_list import CaseList, require_sound
from gliomaseg.data.growing_array import GrowingArray, require_disk_space, require_writable
from gliomaseg.errors import GliomasegError, ResourceError, UsageError, counted
from gliomaseg.ownership import file_digest
from gliomaseg.preprocessing import brain_mask, level_counts, prepare, prepare_mask
from gliomaseg.scan import flair_channel
from gliomaseg.types import Mask, PreparedSlices
from gliomaseg.user_files import expand_home

IMAGES, MASKS, MANIFEST = "images.npy", "masks.npy", "manifest.json"
BRAIN = "brain-1.npy"  # the number is that of the method
ATTEMPTS = 3  # another run may replace a damaged cache at the same time


@dataclass(frozen=True)
class Cache:
    """Prepared slices of a whole data set, in the order of the index.

    Attributes:
        digest: hash of the files' content and of the preprocessing, 40 hexadecimal digits.
        names: `case/number` of each slice.
        images: uint8, shape (n, c, size, size), mapped read-only.
        masks: bool, shape (n, size, size), mapped read-only.
        brain: the brain with the tumour, bool, shape (n, size, size), mapped read-only; None if it was not asked for.
    """

    digest: str
    names: tuple[str, ...]
    images: PreparedSlices
    masks: Mask
    brain: Mask | None = None

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
        return np.stack([level_counts(self.images[case]) for case in self.case_slices])

    @cached_property
    def brain_histograms(self) -> NDArray[np.int64]:
        """As `level_histograms`, with level 0 outside the brain."""
        if self.brain is None:
            raise ValueError("the cache was opened without the brain, expected brain=True")
        return np.stack([level_counts(self.images[case] * self.brain[case, None]) for case in self.case_slices])

    @property
    def case_slices(self) -> list[slice]:
        """The positions of the slices of each case."""
        return [slice(first, last + 1) for first, last in zip(*self.case_limits, strict=True)]

    @cached_property
    def has_tumour(self) -> NDArray[np.bool_]:
        """Whether the mask of each slice has a tumour pixel: bool, shape (n,)."""
        return np.array([bool(mask.any()) for mask in self.masks])

    def positions(self, cases: tuple[Case, ...]) -> NDArray[np.int64]:
        """Return the positions of the slices of `cases`, in the order of `cases`: int64, shape (n,)."""
        found: list[int] = []
        for case in cases:
            if case.slices:
                found += [self._position_of_name[name] for name in case.slice_names]
            else:
                found += self._positions_of_case[case.name]
        return np.array(found, np.int64)

    @cached_property
    def _position_of_name(self) -> dict[str, int]:
        return {name: k for k, name in enumerate(self.names)}

    @cached_property
    def _positions_of_case(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for k, name in enumerate(self.names):
            found.setdefault(name.rpartition("/")[0], []).append(k)
        return found


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
    index: CaseList,
    preprocessing: Preprocessing,
    *,
    folder: Path | None = None,
    brain: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Cache:
    """Open the cache of a data set, and build it first if it is missing.

    Args:
        index: the data set, without problems.
        preprocessing: size and channels of the prepared slices.
        folder: the folder of all caches; `default_cache_folder()` if None.
        brain: also find the brain in each case.
        progress: called with a line of text before slow steps.

    Raises:
        DataError: the index has problems; the message gives the first.
        FormatError: a file cannot be read.
        GeometryError: a mask and its image differ in size.
        ResourceError: the disk is too full for the cache.
        GliomasegError: the folder cannot be written.
    """
    require_sound(index)
    index = replace(index, cases=tuple(needed_sequences(case, preprocessing) for case in index.cases))
    digest = cache_digest(index, preprocessing)
    path = (folder or default_cache_folder()) / digest
    for _ in range(ATTEMPTS):
        damaged = path.exists()
        if cache := _open_existing(path, digest, index, preprocessing):
            return _with_brain(cache, path, progress) if brain else cache
        if damaged:
            if progress:
                progress(f"note: the cache {path} is damaged or has no hashes, and is built again")
            _discard(path)
        if progress:
            progress(f"preparing {counted(len(index.cases), 'case')} once, into {path}")
        resampled = _build(index, preprocessing, path)
        if resampled and progress:
            count = f"{len(resampled)} of {len(index.cases)} cases"
            progress(f"note: sequences were resampled to the grid of FLAIR in {count}, first in {resampled[0]}")
    raise ResourceError("a cache that was just built cannot be opened", where=path, cure="check the disk")


def _with_brain(cache: Cache, path: Path, progress: Callable[[str], None] | None) -> Cache:
    """Return the cache with the brain of each case, which is found once."""
    file, manifest = path / BRAIN, _read_manifest(path)
    if not _is_unchanged(path, BRAIN, manifest):
        if progress:
            progress(f"finding the brain of {counted(len(cache.case_limits[0]), 'case')} once")
        require_disk_space(path, needed_bytes=cache.masks.nbytes)
        channel = flair_channel(cache.images.shape[1])
        with new_file(file) as temporary, GrowingArray(temporary, np.bool_, cache.masks.shape[1:]) as brains:
            for case in cache.case_slices:
                brains.append(brain_mask(cache.images[case, channel], keep=cache.masks[case]))
        write_text(path / MANIFEST, json.dumps(manifest | {"digests": array_digests(path)}))
    return replace(cache, brain=np.load(file, mmap_mode="r"))


def _open_existing(path: Path, digest: str, index: CaseList, preprocessing: Preprocessing) -> Cache | None:
    """Return the cache in a folder, or None if it is missing or damaged."""
    try:
        manifest = _read_manifest(path)
        names = tuple(manifest["names"])
        images = np.load(path / IMAGES, mmap_mode="r")
        masks = np.load(path / MASKS, mmap_mode="r")
    except (OSError, ValueError, EOFError, KeyError, TypeError):
        return None
    if not _has_slices_of(names, index) or not all(_is_unchanged(path, name, manifest) for name in (IMAGES, MASKS)):
        return None
    size = preprocessing.size_px
    if (images.shape, images.dtype) != ((len(names), preprocessing.sequences, size, size), np.uint8):
        return None
    if (masks.shape, masks.dtype) != ((len(names), size, size), np.bool_):
        return None
    return Cache(digest, names, images, masks)


def _read_manifest(path: Path) -> Any:
    return json.loads((path / MANIFEST).read_text("utf-8"))


def array_digests(folder: Path) -> dict[str, str]:
    """Return the hash of each array of a cache, by its file name."""
    return {name: file_digest(folder / name) for name in (IMAGES, MASKS, BRAIN) if (folder / name).is_file()}


def _is_unchanged(path: Path, name: str, manifest: Any) -> bool:
    """Return whether an array of a cache exists and has the hash that the manifest has of it."""
    try:
        # Not through the memory map: its pages would count as memory of the process.
        return bool(manifest["digests"][name] == file_digest(path / name))
    except (OSError, KeyError, TypeError):
        return False


def _has_slices_of(names: abc.Sequence[Any], index: CaseList) -> bool:
    """Return whether the names are those of the slices of all cases, in order."""
    if not all(isinstance(name, str) for name in names):
        return False
    counts = Counter(name.rpartition("/")[0] for name in names)
    expected = [
        name
        for case in index.cases
        for name in (case.slice_names if case.slices else _numbered(case.name, counts[case.name]))
    ]
    return list(names) == expected and len(counts) == len(index.cases)


def _numbered(case: str, count: int) -> list[str]:
    """Return the names of a volume's prepared slices, from 1."""
    return [f"{case}/{number}" for number in range(1, count + 1)]


def _discard(path: Path) -> None:
    """Remove a damaged cache. If another run does so at the same time, the first rename succeeds."""
    renamed = path.with_name(f"{UNFINISHED}{secrets.token_hex(8)}-{path.name}")  # removed later if this run is killed
    try:
        path.rename(renamed)
        remove(renamed)
    except FileNotFoundError:
        return
    except OSError as fault:
        raise GliomasegError(f"cannot be replaced ({fault.strerror})", where=path) from fault


def _build(index: CaseList, preprocessing: Preprocessing, path: Path) -> list[str]:
    """Write the cache, and return the names of the cases with a sequence that was resampled."""
    size, names, resampled = preprocessing.size_px, list[str](), list[str]()
    require_writable(path.parent)
    require_disk_space(path, needed_bytes=index.slice_count * (preprocessing.sequences + 1) * size**2)
    with new_folder(path, first_wins=True) as folder:
        with (
            GrowingArray(folder / IMAGES, np.uint8, (preprocessing.sequences, size, size)) as images,
            GrowingArray(folder / MASKS, np.bool_, (size, size)) as masks,
        ):
            for case in index.cases:
                loaded = read_case(case)
                resampled += [case.name] * bool(loaded.scan.notes)
                prepared = prepare(loaded.scan, preprocessing)
                mask = prepare_mask(loaded.reference, prepared)
                if case.volumes is not None:  # the number of its slices was unknown before
                    require_disk_space(path, needed_bytes=prepared.slices.nbytes + mask.nbytes)
                images.append(prepared.slices)
                masks.append(mask)
                names += case.slice_names if case.slices else _numbered(case.name, len(mask))
        manifest = {
            "layout": LAYOUT,
            "preprocessing": preprocessing.model_dump(),
            "root": str(index.root),
            "names": names,
            "digests": array_digests(folder),
        }
        (folder / MANIFEST).write_text(json.dumps(manifest), "utf-8")
    return resampled
