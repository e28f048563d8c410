"""The baselines of the training loop: a typical notebook's loop, and Lightning's Trainer.

Settings of both: torch's default memory format. `DataLoader` shuffles; it reads and resizes the files in each epoch. On
a CPU, it reads in the main process: reading is a small part of a step, and workers would compete for the cores. On a
GPU, it has one persistent worker for each core (at most 8) and pinned memory. Each step sums the loss with `.item()`.

Settings of the notebook's loop: fp32.

Settings of Lightning: bf16 if the hardware supports it, as in gliomaseg. Logger, checkpoints, progress bar and sanity
checks are off. The measured time starts at the first batch of an epoch, so that it excludes the setup of a fit.
"""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from gliomaseg.bench.loading import read_pair
from gliomaseg.errors import MissingExtraError
from gliomaseg.networks.torchvision_compat import segmentation
from gliomaseg.training.accelerator import open_accelerator

MAX_WORKERS = 8
ImageFiles = Sequence[tuple[Path, Path]]
"""An image and a mask file for each slice."""


class SliceFiles(Dataset[tuple[Tensor, Tensor]]):
    """Images and masks that are read from their files at each access."""

    def __init__(self, files: ImageFiles, size_px: int) -> None:
        """Keep the paths, and the width and height to resize to."""
        self._files = files
        self._size_px = size_px

    def __len__(self) -> int:
        """Return the number of slices."""
        return len(self._files)

    def __getitem__(self, k: int) -> tuple[Tensor, Tensor]:
        """Return the image, float32 (3, y, x), and the mask, int64 (y, x), of slice `k`."""
        image, mask = read_pair(*self._files[k], size_px=self._size_px)
        return torch.from_numpy(image), torch.from_numpy(mask).long()


def open_loader(files: ImageFiles, *, size_px: int, batch: int) -> DataLoader[tuple[Tensor, Tensor]]:
    """Return a loader of shuffled batches."""
    on_gpu = torch.cuda.is_available()
    workers = min(MAX_WORKERS, os.cpu_count() or 1) if on_gpu else 0
    return DataLoader(
        SliceFiles(files, size_px),
        batch_size=batch,
        shuffle=True,
        num_workers=workers,
        pin_memory=on_gpu,
        persistent_workers=workers > 0,
    )


class NotebookLoop:
    """A network, an optimiser and a loader, as in a typical notebook."""

    label = "a notebook's loop, fp32"

    def __init__(
        self, network: nn.Module, files: ImageFiles, *, size_px: int, batch: int, learning_rate: float
    ) -> None:
        """Move the network to the GPU if there is one, and open the optimiser and the loader."""
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = network.to(self._device)
        self._loader = open_loader(files, size_px=size_px, batch=batch)
        self._loss = nn.CrossEntropyLoss()
        self._optimiser = torch.optim.Adam(network.parameters(), lr=learning_rate)
        self.loss = float("nan")

    def epoch(self) -> float:
        """Train on all slices once, and return the duration in seconds. `loss` becomes the mean of the epoch."""
        start = time.perf_counter()
        self._network.train()
        total = 0.0
        for images, masks in self._loader:
            inputs, targets = images.to(self._device), masks.to(self._device)
            self._optimiser.zero_grad()
            loss = self._loss(self._network(inputs), targets)
            loss.backward()
            self._optimiser.step()
            total += loss.item()  # also waits for the GPU
        self.loss = total / len(self._loader)
        return time.perf_counter() - start


def import_lightning() -> Any:
    """Import Lightning under its new or its old package name.

    Raises:
        MissingExtraError: it is not installed.
    """
    segmentation()  # imports torchvision safely; Lightning imports it through torchmetrics
    for name in ("lightning.pytorch", "pytorch_lightning"):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return import_module(name)
        except ModuleNotFoundError:
            continue
    raise MissingExtraError("lightning is not installed", cure="pip install lightning")


class LightningLoop:
    """A LightningModule and its loader. Each epoch is one fit."""

    def __init__(
        self, network: nn.Module, files: ImageFiles, *, size_px: int, batch: int, learning_rate: float
    ) -> None:
        """Import Lightning, and open the module and the loader."""
        self._lightning = import_lightning()
        for name in ("lightning", "lightning.pytorch", "pytorch_lightning"):
            logging.getLogger(name).setLevel(logging.ERROR)
        self._loader = open_loader(files, size_px=size_px, batch=batch)
        self._module = _lightning_module(self._lightning, network, learning_rate)
        bf16 = open_accelerator("auto", "auto").mixed_precision == "bf16"
        self._precision = "bf16-mixed" if bf16 else "32-true"
        self.label = f"Lightning's Trainer, {self._precision}"
        self.loss = float("nan")

    def epoch(self) -> float:
        """Train on all slices once, and return the duration in seconds. `loss` becomes the mean of the epoch."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about few steps and few workers
            trainer = self._lightning.Trainer(
                max_epochs=1,
                precision=self._precision,
                accelerator="auto",
                devices=1,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
            trainer.fit(self._module, self._loader)
        self.loss = self._module.total / len(self._loader)
        return float(self._module.seconds)


def _lightning_module(lightning: Any, network: nn.Module, learning_rate: float) -> Any:
    """Return a LightningModule. The class is defined here because its base class needs the package."""

    class Module(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = network
            self.optimiser = torch.optim.Adam(network.parameters(), lr=learning_rate)
            self.total = self.seconds = self.start = 0.0

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return self.optimiser  # one for all fits, so that its moments continue

        def on_train_epoch_start(self) -> None:
            self.total, self.start = 0.0, time.perf_counter()

        def training_step(self, batch: Any, _number: int) -> Any:
            images, masks = batch
            loss = nn.functional.cross_entropy(self.network(images), masks)
            self.total += loss.item()
            return loss

        def on_train_epoch_end(self) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()  # the GPU may still compute the last step
            self.seconds = time.perf_counter() - self.start

    return Module()
