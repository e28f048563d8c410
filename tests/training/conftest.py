"""Fixtures of the tests of training."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from quick_export import quick_export

EXPORT_MATTERS = ("test_onnx_export.py", "test_start_weights.py")


@pytest.fixture(scope="module", autouse=True)
def _quick_exports(request: pytest.FixtureRequest) -> Iterator[None]:
    """Export with the older exporter of torch, except in the tests that compare what the newer one writes."""
    with pytest.MonkeyPatch.context() as patch:
        if request.path.name not in EXPORT_MATTERS:
            patch.setattr(torch.onnx, "export", quick_export)
        yield
