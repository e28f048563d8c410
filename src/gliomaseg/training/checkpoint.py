"""Checkpoints: the complete state of a run (weights, optimiser, progress, log) in one safetensors file.

The file is replaced atomically, so a killed run leaves the last complete state. Nothing is unpickled.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from gliomaseg.atomic import current_umask, new_file
from gliomaseg.errors import DataError
from gliomaseg.model import StartModel

LogLine = dict[str, int | float | None]
"""One line of `log.jsonl`."""


@dataclass(frozen=True)
class EpochRecord:
    """A finished epoch: one line of `log.jsonl`.

    Attributes:
        epoch: its number, from 1.
        train_loss: mean over the training images.
        validation_loss: mean over the slices of the validation cases.
        scores: mean of each Dice convention on the validation cases, by the measure's name; None if undefined.
        images: number of training images.
        train_seconds: training time without validation.
        validation_seconds: time of the validation.
        images_per_s: training speed.
    """

    epoch: int
    train_loss: float
    validation_loss: float
    scores: dict[str, float | None]
    images: int
    train_seconds: float
    validation_seconds: float
    images_per_s: float

    def document(self) -> LogLine:
        """Return the line of the log: the scores stand beside the other keys."""
        line: LogLine = {}
        for entry in fields(self):
            line |= self.scores if entry.name == "scores" else {entry.name: getattr(self, entry.name)}
        return line

    @classmethod
    def from_document(cls, line: LogLine) -> EpochRecord:
        """Return the record of a line; each key that is not a field is a score.

        Raises:
            TypeError: a field is missing.
        """
        names = {entry.name for entry in fields(cls)}
        known: Any = {name: value for name, value in line.items() if name in names}
        return cls(scores={name: value for name, value in line.items() if name not in names}, **known)


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
        start: the model whose weights the run started from; None if it started at random.
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
    start: StartModel | None = None

    def to_json(self) -> str:
        """Return the progress as the JSON text of a checkpoint."""
        start = None if self.start is None else self.start.model_dump()
        return json.dumps({**asdict(self), "history": [record.document() for record in self.history], "start": start})

    @classmethod
    def from_json(cls, text: str) -> Progress:
        """Return the progress that `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: the text is damaged.
        """
        document = json.loads(text)
        history = [EpochRecord.from_document(line) for line in document.pop("history")]
        start = document.pop("start", None)  # missing in checkpoints of older versions
        return cls(history=history, start=start and StartModel.model_validate(start), **document)


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
        write_tensors(on_cpu, temporary, metadata={"progress": progress.to_json()})


def write_tensors(tensors: dict[str, Tensor], path: Path, *, metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file.

    Raises:
        OSError: the disk is full or the file cannot be written.
    """
    try:
        save_file(tensors, path, metadata=metadata)
        path.chmod(0o666 & ~current_umask())  # safetensors lets only the owner read
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
            progress = Progress.from_json(file.metadata()["progress"])
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


def read_progress(path: Path) -> Progress | None:
    """Return the progress of a run, or None without a readable checkpoint."""
    try:
        with safe_open(path, framework="pt") as file:
            return Progress.from_json(file.metadata()["progress"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


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
