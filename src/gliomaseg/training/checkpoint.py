"""Checkpoints: the complete state of a run (weights, optimiser, progress, log) in one safetensors file.

The file is replaced atomically, so a killed run leaves the last complete state. Nothing is unpickled.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypedDict

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from gliomaseg.atomic import new_file
from gliomaseg.errors import DataError


class EpochRecord(TypedDict):
    """A finished epoch: one line of `log.jsonl`. Dice values are means on the validation cases; None if undefined."""

    epoch: int
    train_loss: float
    validation_loss: float
    dice_volume: float | None
    dice_tumour_slices: float | None
    dice_slices_empty_one: float | None
    dice_batch: float | None
    empty_slice_false_positive_rate: float | None
    images: int
    train_seconds: float
    validation_seconds: float
    images_per_s: float


@dataclass
class Progress:
    """The position in a run: `step` batches of `epoch` are done; both count from 0.

    Attributes:
        loss_sum: sum of the losses of the epoch's images so far. If several processes share a batch, the sum uses the
            loss of the main process for all images of the batch.
        images: images of the epoch so far.
        seconds: training time of the epoch so far in s, without validation.
        best: highest validation `dice_volume` so far; None before the first epoch ends.
        history: a record for each finished epoch.
        digest: checksum of the data set and its preprocessing.
        sides: checksum of the split into training and validation cases; "" in checkpoints of older versions.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    images: int = 0
    seconds: float = 0.0
    best: float | None = None
    history: list[EpochRecord] = field(default_factory=list)
    digest: str = ""
    sides: str = ""


def save_checkpoint(
    path: Path,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    progress: Progress,
    *,
    average: nn.Module | None = None,
) -> None:
    """Write the state of a run atomically; `average` is the moving average of the weights, if there is one.

    Raises:
        ResourceError: the disk is full; the previous file stays.
    """
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    if average is not None:
        tensors |= {f"average.{name}": tensor for name, tensor in average.state_dict().items()}
    state = optimiser.state_dict()["state"]
    for number, entries in state.items():
        tensors |= {f"optimiser.{number}.{name}": tensor for name, tensor in entries.items()}
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with new_file(path) as temporary:
        write_tensors(on_cpu, temporary, metadata={"progress": json.dumps(asdict(progress))})


def write_tensors(tensors: dict[str, Tensor], path: Path, *, metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file.

    Raises:
        OSError: the disk is full or the file cannot be written.
    """
    try:
        save_file(tensors, path, metadata=metadata)
    except SafetensorError as fault:
        number = re.search(r"os error (\d+)", str(fault))  # safetensors gives errno in its text only
        if not number:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from fault


def load_checkpoint(
    path: Path, network: nn.Module, optimiser: torch.optim.Optimizer, *, average: nn.Module | None = None
) -> Progress:
    """Load a saved state into a network, its optimiser and its average, and return the progress of the run.

    Raises:
        DataError: the file is not a checkpoint of this network.
    """
    try:
        with safe_open(path, framework="pt") as file:
            progress = Progress(**json.loads(file.metadata()["progress"]))
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        network.load_state_dict(_part(tensors, "network."))
        if average is not None:
            average.load_state_dict(_part(tensors, "average."))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as fault:
        raise DataError(
            f"is not a checkpoint of this run ({fault})", where=path, cure="start again with --overwrite"
        ) from fault
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _part(tensors, "optimiser.").items():
        number, _, key = name.partition(".")
        state.setdefault(int(number), {})[key] = _in_memory_order_of(weights[int(number)], tensor)
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})
    return progress


def load_network(path: Path, network: nn.Module) -> None:
    """Load only the weights of a checkpoint into a network; their average, if the checkpoint has one."""
    with safe_open(path, framework="pt") as file:
        names = list(file.keys())
        prefix = "average." if any(name.startswith("average.") for name in names) else "network."
        tensors = {name: file.get_tensor(name) for name in names if name.startswith(prefix)}
    network.load_state_dict(_part(tensors, prefix))


def _in_memory_order_of(weight: Tensor, tensor: Tensor) -> Tensor:
    """Return a saved moment in the memory order of its weight, as the fused optimiser step requires."""
    if tensor.shape != weight.shape:  # the step count
        return tensor
    return torch.empty_like(weight, device="cpu", dtype=tensor.dtype).copy_(tensor)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
