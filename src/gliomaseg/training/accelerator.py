"""What a run asks of the machine: device, precision, repeatable arithmetic, a polite stop."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import Any

import torch
import torch.utils.deterministic
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import InitProcessGroupKwargs

from gliomaseg.errors import UsageError


def open_accelerator(device: str, precision: str) -> Accelerator:
    """Return accelerate's handle on the machine.

    Args:
        device: auto, cpu or cuda.
        precision: auto (bf16 where the machine has hardware for it), fp32 or bf16.

    Raises:
        UsageError: a GPU is asked for and there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("torch sees no GPU", where="--device cuda", cure="use --device auto or cpu")
    on_cpu = device == "cpu" or not torch.cuda.is_available()
    bf16 = precision == "bf16" or (precision == "auto" and _has_bf16(on_cpu=on_cpu))
    # Else a second run in one process would keep the first one's precision.
    AcceleratorState._reset_state(reset_partial_state=True)  # noqa: SLF001
    # The others wait while the first process prepares the slices, and while it scores the model.
    patience = InitProcessGroupKwargs(timeout=timedelta(hours=12))
    return Accelerator(cpu=on_cpu, mixed_precision="bf16" if bf16 else "no", kwargs_handlers=[patience])


def _has_bf16(*, on_cpu: bool) -> bool:
    if not on_cpu:
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Without these instructions bf16 is emulated, many times slower than fp32.
    abilities = torch.cpu.get_capabilities()
    return bool(abilities.get("amx_bf16") or abilities.get("avx512_bf16"))


@contextmanager
def deterministic() -> Iterator[None]:
    """Make equal runs give equal bits, for the length of the block."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    # Some layers have no deterministic form on a GPU: torch then says so once, and goes on.
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    # Filling every new tensor finds reads of uninitialised memory; it costs time and changes no result.
    settings: Any = torch.utils.deterministic
    filled, settings.fill_uninitialized_memory = settings.fill_uninitialized_memory, False
    try:
        yield
    finally:
        settings.fill_uninitialized_memory = filled
        torch.use_deterministic_algorithms(mode=before)


class StopFlag:
    """Whether the user has asked the run to stop."""

    asked = False


@contextmanager
def handle_signals() -> Iterator[StopFlag]:
    """Turn the first Ctrl-C or SIGTERM into a request that the loop honours; a second one is at once."""
    request = StopFlag()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}

    def ask(number: int, _frame: FrameType | None) -> None:
        request.asked = True  # the loop saves and leaves; a second signal acts as before
        signal.signal(number, before[signal.Signals(number)])

    for number in numbers:
        signal.signal(number, ask)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
