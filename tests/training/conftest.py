"""Tests of training that do not test the export take the older exporter of torch."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from older_exporter import older_export

EXPORT_IS_TESTED = ("test_onnx_export.py", "test_train.py")


@pytest.fixture(scope="module", autouse=True)
def _older_exporter(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if request.path.name not in EXPORT_IS_TESTED:
            patch.setattr(torch.onnx, "export", older_export)
        yield
