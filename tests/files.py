"""Files of tests: the shared folder of real data, and trees of empty files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def shared_path(*parts: str) -> Path:
    """Return a path in the folder that `GLIOMASEG_SHARED` names, or in `shared` beside the checkout.

    The test is skipped with the reason if there is no such path.
    """
    shared = Path(os.environ.get("GLIOMASEG_SHARED") or Path(__file__).parents[2] / "shared")
    path = shared.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"there is no {path}: the real data are not here")
    return path


def touch(folder: Path, *names: str) -> Path:
    """Write empty files by their relative paths, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder
