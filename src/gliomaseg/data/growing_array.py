"""Arrays that are written to disk case by case, and the checks of the disk before."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gliomaseg.atomic import is_disk_full
from gliomaseg.errors import GliomasegError, ResourceError

RESERVE_BYTES = 200_000_000


class GrowingArray:
    """A `.npy` file that is appended to: the number of prepared slices is known only when all cases are read."""

    def __init__(self, path: Path, dtype: type[np.generic], item_shape: tuple[int, ...]) -> None:
        self._file = path.open("wb")
        self._descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
        self._item_shape = item_shape
        self._count = 0

    def __enter__(self) -> Self:
        self._write_header()
        return self

    def append(self, items: NDArray[Any]) -> None:
        """Append items of the array's dtype, shape `(n, *item_shape)`."""
        self._file.write(np.ascontiguousarray(items).data)
        self._count += len(items)

    def __exit__(self, *_fault: object) -> None:
        with self._file:
            self._file.seek(0)
            self._write_header()  # of the same length: NumPy leaves space for the first axis to grow

    def _write_header(self) -> None:
        header = {"descr": self._descr, "fortran_order": False, "shape": (self._count, *self._item_shape)}
        np.lib.format.write_array_header_1_0(self._file, header)


def require_writable(folder: Path) -> None:
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
            return  # `require_disk_space` gives the numbers
        raise GliomasegError(
            f"cache folder cannot be written ({fault.strerror or fault})",
            where=folder,
            cure="name a folder on a writable disk with --cache or GLIOMASEG_CACHE",
        ) from fault


def require_disk_space(path: Path, *, needed_bytes: int) -> None:
    """Check that a file of this size fits on the disk of a path that may not exist yet.

    Raises:
        ResourceError: it does not, with some reserve.
    """
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
