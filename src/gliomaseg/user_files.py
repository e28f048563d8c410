"""Files that a user names and edits: the home folder in their paths, and their text."""

from __future__ import annotations

import codecs
import os
from pathlib import Path

from gliomaseg.errors import FormatError

LARGEST_BYTES = 16 * 2**20

_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def expand_home(path: str | Path) -> Path:
    """Return a path with a leading `~` as the home folder; shells leave it in `--out=~/masks` and in quotes.

    The `~` of an unknown user stays.
    """
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises for an unknown user


def read_text(path: Path, *, most_bytes: int = LARGEST_BYTES) -> str:
    """Return the text of a UTF-8 file, without the byte-order mark that Windows editors write.

    A file that begins with the mark of UTF-16 is read as UTF-16.

    Raises:
        FormatError: the file is larger than `most_bytes`.
        OSError: the file cannot be read.
        UnicodeDecodeError: its bytes are not such text; a ValueError.
    """
    with path.open("rb") as file:
        first = file.read(3)
        size_bytes = os.fstat(file.fileno()).st_size
    if size_bytes > most_bytes:
        what = f"size is {size_bytes:,} bytes, expected at most {most_bytes:,}"
        raise FormatError(what, where=path, cure="check the source of the file, or split it")
    return path.read_text(next((name for mark, name in _MARKS.items() if first.startswith(mark)), "utf-8"))
