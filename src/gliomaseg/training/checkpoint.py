"""The whole state of a run in one file: weights, optimiser, place in the run, log so far.

One safetensors file, replaced in one step: a killed run finds the last whole state, never half of one,
and nothing is unpickled.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from gliomaseg.atomic import new_file
from gliomaseg.errors import DataError


@dataclass
class Progress:
    """Where a run stands: `step` batches of `epoch` are done; both count from 0.

    Attributes:
        loss_sum: of the epoch's images so far, each counted once; where several processes share a
            batch, by the first one's share.
        images: how many images the epoch has seen.
        seconds: how long the epoch has trained, without validation.
        best: the best `dice_volume` on the validation side so far; None before the first.
        history: a line for each finished epoch, as in `log.jsonl`.
        digest: of the data and preparation that the run was started with.
        sides: digest of who trains and who validates; "" in checkpoints of before it was kept.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    images: int = 0
    seconds: float = 0.0
    best: float | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
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
    """Write the state of a run, whole or not at all; `average` is that of the weights, where there is one.

    Raises:
        ResourceError: the disk is full; the previous state is still there.
    """
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    if average is not None:
        tensors |= {f"average.{name}": tensor for name, tensor in average.state_dict().items()}
    state = optimiser.state_dict()["state"]
    for number, entries in state.items():
        tensors |= {f"optimiser.{number}.{name}": tensor for name, tensor in entries.items()}
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with new_file(path) as temporary:
        write_tensors(whole, temporary, metadata={"progress": json.dumps(asdict(progress))})


def write_tensors(tensors: dict[str, Tensor], path: Path, *, metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file.

    Raises:
        OSError: the disk is full or the file cannot be written.
    """
    try:
        save_file(tensors, path, metadata=metadata)
    except SafetensorError as fault:
        number = re.search(r"os error (\d+)", str(fault))  # safetensors has no errno but in its text
        if not number:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from fault


def load_checkpoint(
    path: Path, network: nn.Module, optimiser: torch.optim.Optimizer, *, average: nn.Module | None = None
) -> Progress:
    """Put a saved state into a network, its optimiser and its average, and return where the run stood.

    Raises:
        DataError: the file is no checkpoint of this network.
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
            f"is no checkpoint of this run ({fault})", where=path, cure="start again with --overwrite"
        ) from fault
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _part(tensors, "optimiser.").items():
        number, _, key = name.partition(".")
        state.setdefault(int(number), {})[key] = _laid_out_like(weights[int(number)], tensor)
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})
    return progress


def load_network(path: Path, network: nn.Module) -> None:
    """Put the weights of a checkpoint into a network and nothing else: their average, where it has one."""
    with safe_open(path, framework="pt") as file:
        names = list(file.keys())
        prefix = "average." if any(name.startswith("average.") for name in names) else "network."
        tensors = {name: file.get_tensor(name) for name in names if name.startswith(prefix)}
    network.load_state_dict(_part(tensors, prefix))


def _laid_out_like(weight: Tensor, tensor: Tensor) -> Tensor:
    """Give a saved moment its weight's order in memory: the fused step walks through both side by side."""
    if tensor.shape != weight.shape:  # the step count
        return tensor
    return torch.empty_like(weight, device="cpu", dtype=tensor.dtype).copy_(tensor)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
