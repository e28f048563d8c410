"""The peer of the training loop: a notebook's, as most are written.

Fair: nothing is slowed down. fp32 and torch's own memory order, as notebooks have it; `DataLoader` shuffles, and reads
and resizes in each epoch with the fastest reader at hand (`reading`). On a processor it reads in the loop: that is a
small part of a step, and workers would take the step's cores. On a GPU it has a worker for each core, kept alive, and
pinned memory. The loss is summed with `.item()` as notebooks do.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from gliomaseg.bench.baselines.reading import read_pair

MOST_WORKERS = 8
Files = Sequence[tuple[Path, Path]]


class Slices(Dataset[tuple[Tensor, Tensor]]):
    """Pictures and masks, read when they are asked for."""

    def __init__(self, files: Files, size_px: int) -> None:
        self._files = files
        self._size_px = size_px

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._files)

    def __getitem__(self, k: int) -> tuple[Tensor, Tensor]:
        """Return one, float32 (3, y, x), and its mask, int64 (y, x)."""
        picture, mask = read_pair(*self._files[k], size_px=self._size_px)
        return torch.from_numpy(picture), torch.from_numpy(mask).long()


def loader(files: Files, *, size_px: int, batch: int) -> DataLoader[tuple[Tensor, Tensor]]:
    """Return a loader that shuffles."""
    on_gpu = torch.cuda.is_available()
    workers = min(MOST_WORKERS, os.cpu_count() or 1) if on_gpu else 0
    return DataLoader(
        Slices(files, size_px),
        batch_size=batch,
        shuffle=True,
        num_workers=workers,
        pin_memory=on_gpu,
        persistent_workers=workers > 0,
    )


class NotebookTraining:
    """A network, its optimiser and a loader."""

    what = "a notebook's loop, fp32"

    def __init__(self, network: nn.Module, files: Files, *, size_px: int, batch: int, learning_rate: float) -> None:
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = network.to(self._device)
        self._loader = loader(files, size_px=size_px, batch=batch)
        self._loss = nn.CrossEntropyLoss()
        self._optimiser = torch.optim.Adam(network.parameters(), lr=learning_rate)
        self.loss = float("nan")

    def epoch(self) -> float:
        """Go through all slices once, and return the seconds; `loss` is then the epoch's mean."""
        start = time.perf_counter()
        self._network.train()
        total = 0.0
        for pictures, masks in self._loader:
            images, targets = pictures.to(self._device), masks.to(self._device)
            self._optimiser.zero_grad()
            loss = self._loss(self._network(images), targets)
            loss.backward()
            self._optimiser.step()
            total += loss.item()  # waits for the step, on a GPU too
        self.loss = total / len(self._loader)
        return time.perf_counter() - start
