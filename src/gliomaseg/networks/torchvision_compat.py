"""The one place that imports torchvision.

torchvision's wheel carries compiled operators built for CUDA. Beside a CPU-only torch they cannot be
loaded, and `import torchvision` fails because it registers a fake kernel for `torchvision::nms`, an
operator nobody declared. Declaring the two schemas first lets the pure-Python models through.
"""

from __future__ import annotations

import importlib
from typing import Any

import torch

from gliomaseg.errors import MissingExtraError

# The declarations last as long as this object: it must not be collected.
_declared: list[Any] = []


def segmentation() -> Any:
    """Return `torchvision.models.segmentation`; after it, packages that import torchvision can.

    Raises:
        MissingExtraError: torchvision is not installed.
    """
    try:
        return importlib.import_module("torchvision.models.segmentation")
    except ModuleNotFoundError as fault:
        raise MissingExtraError("torchvision is not installed", cure='pip install "gliomaseg[train]"') from fault
    except RuntimeError as fault:
        if "torchvision::nms" not in str(fault):
            raise
    if not _declared:
        library: Any = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declared.append(library)
    return importlib.import_module("torchvision.models.segmentation")
