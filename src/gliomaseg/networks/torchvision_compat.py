"""The only module that imports torchvision.

torchvision's wheel contains compiled operators for CUDA, which a CPU-only torch cannot load. `import torchvision` then
fails, because it registers a fake kernel for the undeclared operator `torchvision::nms`. This module declares the two
operators first, so that the pure-Python models can be imported.
"""

from __future__ import annotations

import importlib
from typing import Any

import torch

from gliomaseg.errors import MissingExtraError

# Keeps the declarations alive: they end with the library object.
_declared: list[Any] = []


def segmentation() -> Any:
    """Return `torchvision.models.segmentation`. After this call, other packages can import torchvision too.

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
