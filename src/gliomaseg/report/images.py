"""The pictures of an evaluation, carried inside the page."""

from __future__ import annotations

import base64
import io
import warnings
from pathlib import Path
from typing import Any

from PIL import Image

MOST = 12
LARGEST_BYTES = 4 * 2**20
LARGEST_PX = 4096
ORDER = {"best": 0, "median": 1, "worst": 2}


def collect_pictures(evaluation: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """Return the examples, best first: each with `src`, a data address, or with `missing`, a reason in words."""
    examples = sorted(evaluation["examples"], key=lambda example: ORDER[example["kind"]])[:MOST]
    return [example | _carried(folder, example["file"]) for example in examples]


def _carried(folder: Path, name: str | None) -> dict[str, Any]:
    """Return a picture's address and sides, or why there is none; nothing outside the folder is ever opened."""
    nothing = {"src": None, "width": None, "height": None}
    if not name:
        return nothing | {"missing": "The evaluation names no file for this picture."}
    try:
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()):
            return nothing | {"missing": "The picture lies outside the evaluation and is not shown."}
        if not path.is_file():
            return nothing | {"missing": "The picture is not in the evaluation any more."}
        if path.stat().st_size > LARGEST_BYTES:
            return nothing | {"missing": f"The picture is larger than {LARGEST_BYTES >> 20} MiB and is not shown."}
        return _opened(path.read_bytes()) or nothing | {"missing": "The file is no sound PNG and is not shown."}
    except (OSError, ValueError):  # a name may be no name for a file at all
        return nothing | {"missing": "The picture cannot be read."}


def _opened(content: bytes) -> dict[str, Any] | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Pillow warns of a picture that grows too large
            with Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
                if max(picture.size) > LARGEST_PX:
                    return None
                picture.load()
                width, height = picture.size
    except Exception:
        return None
    source = f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"
    return {"src": source, "width": width, "height": height, "missing": None}
