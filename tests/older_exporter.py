"""The older ONNX exporter of torch, for tests of other things: it takes 0.2 s, the one that users get 3 to 5 s."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

used_export = torch.onnx.export


def older_export(
    network: torch.nn.Module, example: Any, path: Path, *, dynamo: bool, dynamic_shapes: Any, **settings: Any
) -> None:
    """Take the place of `torch.onnx.export`, as `gliomaseg.training.onnx_export` calls it."""
    del dynamo, dynamic_shapes
    axes = {name: {0: "n"} for name in settings["input_names"] + settings["output_names"]}
    used_export(network, example, path, dynamo=False, dynamic_axes=axes, **settings)
