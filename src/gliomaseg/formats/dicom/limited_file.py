"""A DICOM file that is read within limits."""

from __future__ import annotations

from typing import BinaryIO

from gliomaseg.errors import ResourceError
from gliomaseg.formats.dicom.sources import Source

# Elements of a header are read one by one: a file of millions of tiny elements would take minutes.
MAX_READS = 1_000_000
_SMALL_BYTES = 4_096
_CHECK = "check the source of the file"


class LimitedFile:
    """A file with limits: on the bytes of one read (its own length), on the sum of all, and on the number of reads.

    Attributes:
        is_cut_short: whether a read ended within an element: pydicom accepts a shorter value.
    """

    def __init__(self, file: BinaryIO, source: Source, *, max_bytes: int) -> None:
        self._file = file
        self._source = source
        self._left_bytes = max_bytes
        self._reads = 0
        self.is_cut_short = False

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, or all remaining bytes."""
        self._reads += 1
        if self._reads > MAX_READS:
            raise ResourceError(
                f"has a header of more than {MAX_READS:,} elements", where=self._source.name, cure=_CHECK
            )
        if 0 <= size <= _SMALL_BYTES:
            data = self._file.read(size)
            self.is_cut_short |= 0 < len(data) < size
            return data
        remaining = max(self._source.size_bytes - self._file.tell(), 0)
        self.is_cut_short |= size > remaining
        size = remaining if size < 0 else min(size, remaining)
        self._left_bytes -= size
        if self._left_bytes < 0:
            raise too_large(self._source.name)
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Set the position, as for files."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the position, in bytes from the start."""
        return self._file.tell()


def too_large(name: str) -> ResourceError:
    """Return the error of a file that needs more memory than the limit."""
    what = "needs more memory than the limit"
    cure = "check the source of the file, or raise the memory limit (--max-memory, in Python max_bytes)"
    return ResourceError(what, where=name, cure=cure)
