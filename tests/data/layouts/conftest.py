"""The real scans of other sources, where they are at hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def external_scans() -> Path:
    """Return `external` in the folder that `GLIOMASEG_SHARED` names, or in `shared` beside the checkout."""
    folder = Path(os.environ.get("GLIOMASEG_SHARED") or Path(__file__).parents[4] / "shared") / "external"
    if not folder.is_dir():
        pytest.skip(f"there is no {folder}: the real scans are not here")
    return folder
