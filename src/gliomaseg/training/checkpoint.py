"""Checkpoints: the complete state of a run (weights, optimiser, progress, log) in one safetensors file.

The file is replaced atomically, so a killed run leaves the last complete state. The state before it stays as
`previous.safetensors`, for the case that the disk has damaged the last one. Each file has a checksum of its content.
Nothing is unpickled.
"""

from __future__ import annotations

import hashlib
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

from gliomaseg.atomic import current_umask, link, new_file
from gliomaseg.errors import DataError
from gliomaseg.model import StartModel

PREVIOUS = "previous.safetensors"
MOMENTS = frozenset({"step", "exp_avg", "exp_avg_sq"})
"""The tensors of a weight in the optimisers Adam and AdamW."""

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
        loss_sum: sum of the losses of the epoch's images so far.
        images: images of the epoch so far.
        seconds: training time of the epoch so far in s, without validation.
        best: highest validation `dice_volume` so far; None before the first epoch ends.
        history: a record for each finished epoch.
        digest: checksum of the data set and its preprocessing.
        sides: checksum of the split into training and validation cases; "" in checkpoints of older versions.
        start: the model whose weights the run started from; None if it started at random.
        batch_parts: number of parts of a batch whose gradients are added up: 2 after the device ran out of memory.
        code: versions of the code that trains; "" in checkpoints of older versions.
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
    batch_parts: int = 1
    code: str = ""

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
    keep_previous: bool = False,
) -> None:
    """Write the state of a run atomically; `average` is the moving average of the weights, if there is one.

    If `keep_previous` is set, the file that `path` had before gets the name `previous.safetensors`.

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
    text = progress.to_json()
    with new_file(path) as temporary:
        write_tensors(on_cpu, temporary, metadata={"progress": text, "sha256": _checksum(text, on_cpu)})
        if keep_previous and path.exists():
            link(path, path.with_name(PREVIOUS))


def _checksum(progress: str, tensors: dict[str, Tensor]) -> str:
    """Return the SHA-256 of a checkpoint's content, in hexadecimal digits."""
    digest = hashlib.sha256(progress.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


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
        DataError: the file is not a checkpoint of this network, or its content does not have its checksum.
    """
    try:
        progress, tensors = _read(path)
        network.load_state_dict(_part(tensors, "network."))
        if average is not None:
            average.load_state_dict(_part(tensors, "average."))
        state = _optimiser_state(_part(tensors, "optimiser."), optimiser)
    except (OSError, SafetensorError, KeyError, IndexError, TypeError, ValueError, RuntimeError) as fault:
        raise _not_a_checkpoint(path, fault) from fault
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    return progress


def _optimiser_state(tensors: dict[str, Tensor], optimiser: torch.optim.Optimizer) -> dict[int, dict[str, Tensor]]:
    """Return the tensors of each weight by its number.

    Raises:
        ValueError: a weight lacks a tensor.
        IndexError: the network has fewer weights.
    """
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, _, key = name.partition(".")
        state.setdefault(int(number), {})[key] = _in_memory_order_of(weights[int(number)], tensor)
    for position, entries in state.items():
        if missing := sorted(MOMENTS - entries.keys()):
            raise ValueError(f"the optimiser's tensor {missing[0]} of weight {position} is missing")
    return state


def _read(path: Path) -> tuple[Progress, dict[str, Tensor]]:
    """Return the content of a checkpoint.

    Raises:
        OSError, SafetensorError, KeyError, TypeError, ValueError: the file is damaged.
    """
    with safe_open(path, framework="pt") as file:
        metadata: dict[str, str] = file.metadata()
        tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    text, saved = metadata["progress"], metadata.get("sha256", "")  # older versions saved no checksum
    if saved and saved != _checksum(text, tensors):
        raise ValueError("its content does not have its checksum")
    return Progress.from_json(text), tensors


def _not_a_checkpoint(path: Path, fault: Exception) -> DataError:
    what = f"is not a checkpoint of this run ({fault})"
    return DataError(what, where=path, cure="start again with --overwrite")


def read_progress(path: Path) -> Progress | None:
    """Return the progress of a run, or None without a readable checkpoint."""
    try:
        with safe_open(path, framework="pt") as file:
            return Progress.from_json(file.metadata()["progress"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def load_network(path: Path, network: nn.Module) -> None:
    """Load only the weights of a checkpoint into a network; their average, if the checkpoint has one.

    Raises:
        DataError: the file is not a checkpoint of this network, or its content does not have its checksum.
    """
    try:
        _, tensors = _read(path)
        network.load_state_dict(_part(tensors, "average.") or _part(tensors, "network."))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as fault:
        raise _not_a_checkpoint(path, fault) from fault


def _in_memory_order_of(weight: Tensor, tensor: Tensor) -> Tensor:
    """Return a saved moment in the memory order of its weight, as the fused optimiser step requires."""
    if tensor.shape != weight.shape:  # the step count
        return tensor
    return torch.empty_like(weight, device="cpu", dtype=tensor.dtype).copy_(tensor)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
