"""The weights of an earlier model as the start of a training: of a run, a model folder or a bundled model.

A run has its weights for torch. A bundled model has an ONNX file only: its int8 weights are converted to float32, and
its batch normalisation, which the file has folded into the convolutions, is restored from training slices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from gliomaseg.config import Recipe, setting_text
from gliomaseg.data.case import Case
from gliomaseg.errors import ConfigError, ModelError, counted
from gliomaseg.model import Ensemble, Model, StartModel, hashed_patient_id, load_model
from gliomaseg.pretrained import MODELS, find_model
from gliomaseg.user_files import expand_home

NETWORK = "network."  # the prefix of weights in ONNX files
_COMPARED = (
    "input",
    "context_slices",
    "size_px",
    "normalisation",
    "max_zscore",
    "fov_mm",
    "min_slice_spacing_mm",
    "p99_5_level",
)


@dataclass(frozen=True)
class StartWeights:
    """The weights of the model that a training starts from.

    Attributes:
        model: the model.
        tensors: its weights by their names in the network, float32.
        folded: the bias of each convolution whose batch normalisation is folded into it, by the convolution's name.
    """

    model: Model
    tensors: dict[str, Tensor]
    folded: dict[str, Tensor]


def with_absolute_start(recipe: Recipe) -> Recipe:
    """Return a recipe whose start is an absolute path or a bundled model, so that it is the same from any folder."""
    name = recipe.training.start_from
    if name is None or (name in MODELS and not Path(name).exists()):
        return recipe
    training = recipe.training.model_copy(update={"start_from": str(expand_home(name).resolve())})
    return recipe.model_copy(update={"training": training})


def find_start_digest(name: str) -> str | None:
    """Return the SHA-256 of a start; None if there is not such a model or it cannot be read."""
    try:
        return load_model(find_model(expand_home(name))).digest
    except ModelError:
        return None


def read_start(recipe: Recipe) -> StartWeights | None:
    """Return the weights that `training.start_from` names; None if the training starts at random.

    Raises:
        ModelError: the model does not exist, or its files are damaged.
        ConfigError: it is a cross-validation, or it has another kind of network.
    """
    name = recipe.training.start_from
    if name is None:
        return None
    model = load_model(find_model(expand_home(name)))
    if isinstance(model, Ensemble):
        raise ConfigError(
            f"has the networks of {len(model.folds)} folds, expected one network",
            where=f"training.start_from {name}",
            cure=f"name one of them, such as {Path(name) / 'fold-0'}",
        )
    if model.config.network.name != recipe.network.name:
        raise ConfigError(
            f"network is {model.config.network.name}, expected {recipe.network.name}, which the recipe has",
            where=f"training.start_from {name}",
            cure=f"pass {_network_options(model)}, or use a recipe with this network",
        )
    if model.weights.is_file():
        return StartWeights(model, _read_safetensors(model.weights), {})
    return StartWeights(model, *_read_onnx(model.onnx))


def _network_options(model: Model) -> str:
    """Return the options --set that choose the network of a model."""
    network = model.config.network
    settings = {"name": network.name, **network.model_dump(mode="json", exclude_defaults=True)}
    return " ".join(f"--set {setting_text(f'network.{key}', value)}" for key, value in settings.items())


def check_start(recipe: Recipe, validation: Sequence[Case], say: Callable[[str], None]) -> None:
    """Refuse a model that cannot start this training, and warn of settings and patients that do not go with it.

    Raises:
        ModelError, ConfigError: as from `read_start`.
    """
    if (start := read_start(recipe)) is None:
        return
    for line in different_settings(start, recipe):
        say(f"warning: {line}")
    trained_on, patients = start.model.config.trained_on, {case.patient for case in validation}
    if seen := len({hashed_patient_id(patient) for patient in patients}.intersection(trained_on)):
        shown = counted(len(patients), "validation patient")
        say(f"warning: {start.model.config.name} was trained on {seen} of {shown}, so the scores are too high")
    elif not trained_on:
        say(f"warning: {start.model.config.name} does not name its training patients: they may be validation patients")


def different_settings(start: StartWeights, recipe: Recipe) -> list[str]:
    """Return a line for each preprocessing setting that the recipe and the model do not share."""
    name, theirs, ours = start.model.config.name, start.model.config.preprocessing, recipe.preprocessing
    return [
        f"{name} has preprocessing.{key} = {_text(getattr(theirs, key))}, here it is {_text(getattr(ours, key))}"
        for key in _COMPARED
        if getattr(theirs, key) != getattr(ours, key)
    ]


def _text(setting: object) -> str:
    return "not set" if setting is None else str(setting)


def load_start(network: nn.Module, start: StartWeights, batches: Iterable[Tensor]) -> StartModel:
    """Load the weights that fit into a network.

    Args:
        network: a network on any device; it gets the weights, and stays in its mode.
        start: the weights.
        batches: training slices as network input, each of shape (n, inputs, y, x); used only for a model whose batch
            normalisation is folded. At least one.

    Returns:
        The origin of the weights: the model, and the tensors of the network that it does not have in this shape.

    Raises:
        ConfigError: no tensor fits.
    """
    own = network.state_dict()
    fitting = {name: tensor for name, tensor in start.tensors.items() if _fits(own.get(name), tensor)}
    if not fitting:
        raise ConfigError(
            f"no weight of {start.model.config.name} has the shape that the network needs",
            where="training.start_from",
            cure=f"pass {_network_options(start.model)}",
        )
    network.load_state_dict(fitting, strict=False)
    folded = {name: bias for name, bias in start.folded.items() if f"{name}.weight" in fitting}
    restored = _restore_norms(network, folded, batches) if folded else set[str]()
    missing = [name for name in own if name not in fitting and name.rpartition(".")[0] not in restored]
    config = start.model.config
    return StartModel(
        name=config.name,
        digest=start.model.digest,
        not_loaded=tuple(_difference(name, own[name], start.tensors.get(name)) for name in missing),
        trained_on=config.trained_on,
    )


def _fits(own: Tensor | None, tensor: Tensor) -> bool:
    return own is not None and own.shape == tensor.shape


def _difference(name: str, own: Tensor, theirs: Tensor | None) -> str:
    """Return why a tensor was not loaded, such as "head.weight (2 x 16 x 1 x 1, expected 8 x 32 x 1 x 1)"."""
    if theirs is None:
        return f"{name} (missing)"
    shapes = (" x ".join(map(str, tensor.shape)) for tensor in (theirs, own))
    return f"{name} ({', expected '.join(shapes)})"


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as fault:
        raise ModelError(f"cannot be read ({fault})", where=path, cure="copy the whole model folder again") from fault


def _read_onnx(path: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the weights of an ONNX file by their names in the network, and the folded biases of its convolutions."""
    graph = onnx.load(path, load_external_data=False).graph
    arrays = {entry.name: numpy_helper.to_array(entry) for entry in graph.initializer}
    names = {name: name for name in arrays}  # of each tensor that the convolutions read
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in arrays:
            name = node.input[0].removesuffix("_quantized")
            axis = next((entry.i for entry in node.attribute if entry.name == "axis"), 1)
            arrays[name] = _dequantised(*(arrays[given] for given in node.input), axis=axis)
            names[node.output[0]] = name
    folded = {}
    for node in (node for node in graph.node if node.op_type in ("Conv", "ConvTranspose")):
        weight, *bias = (names[given] for given in node.input[1:])
        module = weight.removeprefix(NETWORK).removesuffix(".weight")
        if bias and bias[0] != f"{NETWORK}{module}.bias":
            folded[module] = torch.tensor(arrays[bias[0]])
    floats = {name: array for name, array in arrays.items() if array.dtype == np.float32}
    return {name.removeprefix(NETWORK): torch.tensor(array) for name, array in floats.items()}, folded


def _dequantised(
    quantised: NDArray[Any], scale: NDArray[np.float32], zero: NDArray[Any], *, axis: int
) -> NDArray[np.float32]:
    """Return integers as float32: (q - zero) * scale, with one scale for all or for each channel along the axis."""
    shape = [-1 if dimension == axis and scale.ndim else 1 for dimension in range(quantised.ndim)]
    values = (quantised.astype(np.float32) - zero.astype(np.float32).reshape(shape)) * scale.reshape(shape)
    return values.astype(np.float32)


@torch.no_grad()
def _restore_norms(network: nn.Module, folded: dict[str, Tensor], batches: Iterable[Tensor]) -> set[str]:
    """Give each folded batch normalisation statistics of the batches, so that the network computes the same.

    A folded convolution computes what convolution and normalisation computed together. A normalisation that only adds
    the bias is equal to it in evaluation, but not in training, where it divides by the deviation of the batch. With the
    mean and deviation of real slices as both its statistics and its weights, it is equal in both.

    Returns:
        The names of the restored normalisations.
    """
    inputs = list(batches)
    norms = _norms_after(network, folded, inputs[0][:1])
    for convolution, (_, norm) in norms.items():
        norm.running_mean.zero_()  # type: ignore[union-attr]
        norm.running_var.fill_(1 - norm.eps)  # type: ignore[union-attr]
        norm.weight.fill_(1)
        norm.bias.copy_(folded[convolution])
    totals = {name: torch.zeros(2, norm.num_features, dtype=torch.float64) for name, norm in norms.values()}
    counts = dict.fromkeys(totals, 0)

    def measure(name: str, features: Tensor) -> None:
        flat = features.double().transpose(0, 1).flatten(1).cpu()
        totals[name] += torch.stack([flat.sum(1), flat.square().sum(1)])
        counts[name] += flat.shape[1]

    with ExitStack() as stack:
        for name, norm in norms.values():
            hook = norm.register_forward_pre_hook(lambda _module, given, name=name: measure(name, given[0]))
            stack.callback(hook.remove)
        _evaluate(network, inputs)
    for name, norm in norms.values():
        mean, square = totals[name] / counts[name]
        variance = (square - mean.square()).clamp_min(0)
        norm.running_mean.copy_(mean)  # type: ignore[union-attr]
        norm.running_var.copy_(variance)  # type: ignore[union-attr]
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.add_(mean.to(norm.bias))
    return {name for name, _ in norms.values()}


def _norms_after(
    network: nn.Module, convolutions: Iterable[str], example: Tensor
) -> dict[str, tuple[str, nn.BatchNorm2d]]:
    """Return the batch normalisation, with its name, that gets the output of each convolution."""
    wanted, outputs = set(convolutions), dict[str, Tensor]()
    found: dict[str, tuple[str, nn.BatchNorm2d]] = {}

    def match(name: str, norm: nn.BatchNorm2d, given: Tensor) -> None:
        found.update({convolution: (name, norm) for convolution, output in outputs.items() if output is given})

    with ExitStack() as stack:
        for name, module in network.named_modules():
            if name in wanted:
                keep = partial(outputs.__setitem__, name)
                hook = module.register_forward_hook(lambda _module, _given, output, keep=keep: keep(output))
            elif isinstance(module, nn.BatchNorm2d):
                hook = module.register_forward_pre_hook(lambda norm, given, name=name: match(name, norm, given[0]))
            else:
                continue
            stack.callback(hook.remove)
        _evaluate(network, [example])
    return found


def _evaluate(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Run the network in evaluation mode, and set its mode back."""
    mode = network.training
    network.eval()
    for batch in batches:
        network(batch)
    network.train(mode)
