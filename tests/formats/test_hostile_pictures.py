"""Damaged TIFF and PNG files: only errors of our own leave the readers."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from gliomaseg.errors import GliomasegError
from gliomaseg.formats import count_pages, read_pages, read_picture

PIXELS = np.random.default_rng(0).integers(0, 200, (3, 16, 12), np.uint8)
often = settings(
    max_examples=500,
    deadline=2_000,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
damages = st.lists(st.tuples(st.integers(0, 2_000), st.binary(max_size=12), st.integers(0, 30)), min_size=1, max_size=4)


def tiff(pixels: Any, **options: Any) -> bytes:
    box = io.BytesIO()
    tifffile.imwrite(box, pixels, photometric="minisblack", **options)
    return box.getvalue()


def png() -> bytes:
    box = io.BytesIO()
    Image.fromarray(PIXELS[0]).save(box, format="PNG")
    return box.getvalue()


FILES = {
    "one page": (".tif", tiff(PIXELS[0])),
    "pages, deflated": (".tif", tiff(PIXELS, compression="zlib")),
    "png": (".png", png()),
}


@pytest.mark.parametrize("kind", FILES)
@often
@given(cuts=damages)
def test_a_damaged_file_raises_nothing_but_our_own_errors(kind: str, cuts: list[Any], tmp_path: Path) -> None:
    suffix, content = FILES[kind]
    changed = bytearray(content)
    for place, put_in, taken_out in cuts:
        at = place % (len(changed) + 1)
        changed[at : at + taken_out] = put_in
    file = tmp_path / f"a{suffix}"
    file.write_bytes(changed)
    with contextlib.suppress(GliomasegError):
        if count_pages(file) > 1:
            assert read_pages(file, max_bytes=2**20).ndim == 4
        else:
            assert read_picture(file).ndim == 3


@pytest.mark.parametrize("suffix", [".tif", ".png"])
@often
@given(content=st.binary(max_size=400))
def test_no_file_at_all_raises_nothing_but_our_own_errors(suffix: str, content: bytes, tmp_path: Path) -> None:
    file = tmp_path / f"a{suffix}"
    file.write_bytes({".tif": b"II*\0", ".png": b"\x89PNG\r\n\x1a\n"}[suffix] + content)
    with contextlib.suppress(GliomasegError):
        read_picture(file)
    count_pages(file)
