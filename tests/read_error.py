"""The error of a volume file that cannot be read, for the tests of the formats."""

from __future__ import annotations

from pathlib import Path

import pytest

from gliomaseg.errors import FormatError, GliomasegError
from gliomaseg.formats import read_volume


def read_error(path: Path, kind: type[GliomasegError] = FormatError, *, content: bytes | None = None) -> str:
    """Return the line of the error that `read_volume` raises; write `content` to the file first if it is given."""
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(kind) as caught:
        read_volume(path, max_bytes=2**30)
    assert type(caught.value) is kind
    assert caught.value.where == str(path)
    assert "\n" not in caught.value.line()
    return caught.value.line()
