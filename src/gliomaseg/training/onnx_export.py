"""Export of a trained network to a model folder, for prediction without torch."""

from __future__ import annotations

import logging
import platform
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

import gliomaseg
from gliomaseg.config import Preprocessing, Recipe
from gliomaseg.model import ONNX, WEIGHTS, ModelConfig, StartModel, hashed_patient_ids, write_config
from gliomaseg.networks import TumourProbability
from gliomaseg.onnx_compression import strip_metadata
from gliomaseg.training.checkpoint import write_tensors

OPSET = 18
SEQUENCES = {
    "grey": ("t1", "flair", "t1ce"),
    "flair": ("flair",),
    "t1_flair": ("t1", "flair"),
    "t1_flair_t1ce": ("t1", "flair", "t1ce"),
}


def export_network(  # noqa: PLR0913 - the fields of the model's settings, keyword-only
    network: nn.Module,
    recipe: Recipe,
    folder: Path,
    *,
    name: str,
    patients: Iterable[str] = (),
    start: StartModel | None = None,
    skull_stripped: bool = False,
) -> None:
    """Write weights, ONNX file and settings into a new model folder.

    Args:
        network: a trained network on any device; afterwards it is on the CPU, in evaluation mode.
        recipe: settings of the training.
        folder: an existing folder.
        name: of the model.
        patients: identifiers of the training patients; the model stores a hash of each, so that an evaluation can
            count training patients.
        start: the model whose weights the training started from; its training patients are added.
        skull_stripped: whether the training had heads without skull.
    """
    network = network.cpu().eval()
    write_tensors({key: tensor.contiguous() for key, tensor in network.state_dict().items()}, folder / WEIGHTS)
    _export_onnx(network, folder / ONNX, recipe.preprocessing)
    config = ModelConfig(
        name=name,
        title=recipe.title,
        preprocessing=recipe.preprocessing,
        network=recipe.network,
        postprocessing=recipe.postprocessing,
        sequences=SEQUENCES[recipe.preprocessing.input],
        trained_on=_with_start(hashed_patient_ids(patients), start),
        start=start,
        skull_stripped=skull_stripped,
        versions={
            "gliomaseg": gliomaseg.__version__,
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "onnx": onnx.__version__,
            "numpy": np.__version__,
        },
    )
    write_config(folder, config)


def _with_start(trained_on: tuple[str, ...], start: StartModel | None) -> tuple[str, ...]:
    """Return the training patients of both trainings; empty if those of the start are unknown."""
    if start is None:
        return trained_on
    return tuple(sorted({*trained_on, *start.trained_on})) if start.trained_on else ()


def _export_onnx(network: nn.Module, path: Path, preprocessing: Preprocessing) -> None:
    example = torch.zeros(2, preprocessing.inputs, preprocessing.size_px, preprocessing.size_px)
    # The exporter logs its progress and its own deprecations, which do not concern the user.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            TumourProbability(network).eval(),
            (example,),
            path,
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            input_names=["slices"],
            output_names=["tumour_probability"],
            dynamic_shapes=({0: torch.export.Dim("n", min=1)},),
            verbose=False,
        )
    model = onnx.load(path)
    strip_metadata(model)
    onnx.save(model, path)
