"""Device, precision, deterministic arithmetic, and interruption by signals."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import torch.utils.deterministic
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import InitProcessGroupKwargs
from torch.distributed import DistError

from gliomaseg.errors import TrainingError, UsageError

DEVICES = ("auto", "cpu", "cuda")


def require_device(device: str) -> None:
    """Check that a device exists.

    Raises:
        UsageError: `device` is not "auto", "cpu" or "cuda", or it is "cuda" and torch finds no GPU.
    """
    if device not in DEVICES:
        raise UsageError(f"device is {str(device)!r}, expected one of {', '.join(DEVICES)}")
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device is 'cuda', but torch finds no GPU", cure="choose the device auto or cpu")


def open_accelerator(device: str, precision: str) -> Accelerator:
    """Return an accelerator for a device and a precision.

    Args:
        device: "auto", "cpu" or "cuda"; "auto" uses a GPU if there is one.
        precision: "auto" (bf16 if the hardware supports it), "fp32" or "bf16".

    Raises:
        UsageError: `device` has another value, or it is "cuda" and torch finds no GPU.
    """
    require_device(device)
    on_cpu = device == "cpu" or not torch.cuda.is_available()
    bf16 = precision == "bf16" or (precision == "auto" and _has_bf16(on_cpu=on_cpu))
    # Without this, a second run in the same process would keep the precision of the first.
    AcceleratorState._reset_state(reset_partial_state=True)  # noqa: SLF001
    # The other processes wait while the main process prepares the slices and evaluates the model.
    long_timeout = InitProcessGroupKwargs(timeout=timedelta(hours=12))
    return Accelerator(cpu=on_cpu, mixed_precision="bf16" if bf16 else "no", kwargs_handlers=[long_timeout])


def _has_bf16(*, on_cpu: bool) -> bool:
    if not on_cpu:
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Without these instructions, bf16 is emulated and many times slower than fp32.
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


@contextmanager
def deterministic() -> Iterator[None]:
    """Use deterministic algorithms within the block, so that equal runs give equal bits."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.get_deterministic_debug_mode()
    # "warn": some layers have no deterministic algorithm on a GPU. Not `use_deterministic_algorithms`, which sets the
    # same and imports the compiler for it (1.5 s).
    torch.set_deterministic_debug_mode("warn")
    # Filling new tensors reveals reads of uninitialised memory; it costs time and does not change results.
    settings: Any = torch.utils.deterministic
    filled, settings.fill_uninitialized_memory = settings.fill_uninitialized_memory, False
    try:
        yield
    finally:
        settings.fill_uninitialized_memory = filled
        torch.set_deterministic_debug_mode(before)


@contextmanager
def detect_lost_process(accelerator: Accelerator, run: Path) -> Iterator[None]:
    """Raise TrainingError within the block if this process waits for another process of the run that has ended."""
    try:
        yield
    except RuntimeError as fault:
        # gloo raises a plain RuntimeError whose text begins with the path of one of its sources.
        if accelerator.num_processes == 1 or not (isinstance(fault, DistError) or "gloo" in str(fault)):
            raise
        raise TrainingError(
            "another process of the run has ended", where=run, cure="start all processes again, with --resume"
        ) from fault


class StopFlag:
    """`requested` becomes True when the user interrupts the run."""

    requested = False


@contextmanager
def handle_signals() -> Iterator[StopFlag]:
    """Yield a flag that the first Ctrl-C or SIGTERM sets; the second signal acts immediately."""
    flag = StopFlag()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}

    def request_stop(number: int, _frame: FrameType | None) -> None:
        flag.requested = True  # the loop saves and stops; a second signal has the handler from before
        signal.signal(number, before[signal.Signals(number)])

    for number in numbers:
        signal.signal(number, request_stop)
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
