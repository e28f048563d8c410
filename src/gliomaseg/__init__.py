"""Segment tumours in brain MRI, and estimate how far to trust the result.

`import gliomaseg` is light: NumPy, ONNX Runtime and PyTorch are imported when a function needs them.
Research software, not a medical device.

>>> import gliomaseg
>>> sorted(name for name in gliomaseg.__all__ if name != "__version__")
['Scan', 'Segmentation', 'evaluate', 'load_model', 'metrics', 'read_scan', 'segment', 'train']
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gliomaseg import metrics
    from gliomaseg.api import evaluate, load_model, read_scan, segment, train
    from gliomaseg.prediction.segmentation import Segmentation
    from gliomaseg.scan import Scan

# ONNX Runtime 1.32 sends usage data from sessions of some seconds, unless this is set before its import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
__all__ = ["Scan", "Segmentation", "__version__", "evaluate", "load_model", "metrics", "read_scan", "segment", "train"]

_MODULES = {
    "Scan": "gliomaseg.scan",
    "Segmentation": "gliomaseg.prediction.segmentation",
    "metrics": "",
} | dict.fromkeys(("evaluate", "load_model", "read_scan", "segment", "train"), "gliomaseg.api")


def __getattr__(name: str) -> Any:
    """Import a public name when it is used first (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module 'gliomaseg' has no attribute {name!r}")
    module = _MODULES[name]
    value = getattr(import_module(module), name) if module else import_module(f"gliomaseg.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted({*globals(), *__all__})
