"""The peer of the training loop that frameworks offer: Lightning's Trainer on the same network, slices and loss.

Fair: bf16 where the machine has hardware for it, as we do; no logger, checkpoint, bar or check slows it; the clock runs
from an epoch's first batch to its end, so that setting up a fit is not counted. It reads as the notebook does.
"""

from __future__ import annotations

import logging
import time
import warnings
from importlib import import_module
from typing import Any

from torch import nn

from gliomaseg.bench.baselines.notebook import Files, loader
from gliomaseg.errors import MissingExtraError
from gliomaseg.networks.torchvision_compat import segmentation
from gliomaseg.training.accelerator import open_accelerator


def open_lightning() -> Any:
    """Return the package, by its new name or its old one.

    Raises:
        MissingExtraError: it is not installed.
    """
    segmentation()  # it imports torchvision, through torchmetrics
    for name in ("lightning.pytorch", "pytorch_lightning"):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return import_module(name)
        except ModuleNotFoundError:
            continue
    raise MissingExtraError("lightning is not installed", cure="pip install lightning")


class LightningTraining:
    """A Lightning module; each epoch is one fit."""

    def __init__(self, network: nn.Module, files: Files, *, size_px: int, batch: int, learning_rate: float) -> None:
        self._lightning = open_lightning()
        for name in ("lightning", "lightning.pytorch", "pytorch_lightning"):
            logging.getLogger(name).setLevel(logging.ERROR)
        self._loader = loader(files, size_px=size_px, batch=batch)
        self._module = _module(self._lightning, network, learning_rate)
        half = open_accelerator("auto", "auto").mixed_precision == "bf16"
        self._precision = "bf16-mixed" if half else "32-true"
        self.what = f"Lightning's Trainer, {self._precision}"
        self.loss = float("nan")

    def epoch(self) -> float:
        """Go through all slices once, and return the seconds; `loss` is then the epoch's mean."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of few steps and few workers
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


def _module(lightning: Any, network: nn.Module, learning_rate: float) -> Any:
    """Return a LightningModule: its class exists only where the package does."""
    import torch

    class Module(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = network
            self.optimiser = torch.optim.Adam(network.parameters(), lr=learning_rate)
            self.total = self.seconds = self.start = 0.0

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return self.optimiser  # of all fits: its moments go on

        def on_train_epoch_start(self) -> None:
            self.total, self.start = 0.0, time.perf_counter()

        def training_step(self, batch: Any, _number: int) -> Any:
            images, masks = batch
            loss = nn.functional.cross_entropy(self.network(images), masks)
            self.total += loss.item()
            return loss

        def on_train_epoch_end(self) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()  # the last step is still under way
            self.seconds = time.perf_counter() - self.start

    return Module()
