"""TensorBoard, where it is installed; nothing where it is not."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any


class TensorBoard:
    """Curves of a run for `tensorboard --logdir`."""

    def __init__(self, folder: Path, *, first_epoch: int = 0) -> None:
        self._writer: Any = None
        if find_spec("tensorboard"):
            # Optional, and slow to import.
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder), purge_step=first_epoch + 1)

    def write(self, line: dict[str, Any]) -> None:
        """Add the numbers of an epoch's line."""
        if self._writer is None:
            return
        for name, value in line.items():
            if name != "epoch" and isinstance(value, int | float):
                self._writer.add_scalar(name, value, line["epoch"])
        self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()
