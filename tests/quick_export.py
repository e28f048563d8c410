"""The older exporter of torch for ONNX files: it takes 0.2 s instead of 2 to 5 s, half of the time of a tiny training.

The tests of the exported network and all tests of commands use the exporter that gliomaseg uses. With
`PYTHONPATH`, `python -m quick_export` is the command `gliomaseg` with this exporter.
"""

from pathlib import Path
from typing import Any

import torch

EXPORT = torch.onnx.export
PYTHONPATH = {"PYTHONPATH": str(Path(__file__).parent)}
"""The variable of a process that imports modules of the tests."""


def quick_export(
    network: torch.nn.Module,
    example: tuple[torch.Tensor, ...],
    path: Path,
    *,
    dynamo: bool,
    dynamic_shapes: object,
    **settings: Any,
) -> None:
    """Write an ONNX file as `torch.onnx.export` does with the arguments of gliomaseg."""
    axes = {name: {0: "n"} for name in settings["input_names"] + settings["output_names"]}
    EXPORT(network, example, path, dynamo=not dynamo, dynamic_axes=axes, **settings)


if __name__ == "__main__":
    from gliomaseg.cli import main

    torch.onnx.export = quick_export
    main()
