"""What the figures were measured on: enough to repeat them, and nothing that says whose it is."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import gliomaseg
from gliomaseg.engines.threads import thread_count
from gliomaseg.errors import GliomasegError

GLIOMASEG = (sys.executable, "-m", "gliomaseg")
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16", "asimd", "bf16", "sve")
PACKAGES = (
    "lightning", "numpy", "onnx", "onnxruntime", "opencv-python", "opencv-python-headless", "openvino", "pillow",
    "pytorch-lightning", "tifffile", "torch", "torchvision",
)  # fmt: skip


def describe_machine() -> dict[str, Any]:
    """Return processor, memory, load and versions, for the document: no host name, no user, no path."""
    info = _read(Path("/proc/cpuinfo"))
    flags = set(info.get("flags", info.get("Features", "")).split())
    memory = _read(Path("/proc/meminfo")).get("MemTotal", "")
    return {
        "processor": info.get("model name") or platform.machine(),
        "architecture": platform.machine(),
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": thread_count(),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
        "flags": [flag for flag in FLAGS if flag in flags],
        "memory_gb": round(int(memory.split()[0]) * 1024 / 1e9, 1) if memory else None,
        "load_before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "gpu": _gpu(),
        "system": platform.system(),
        "versions": {"gliomaseg": gliomaseg.__version__, "python": platform.python_version(), **_versions()},
    }


def _read(path: Path) -> dict[str, str]:
    """Return the first value of each name in a file of the kernel's; nothing where there is no such file."""
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return {}
    pairs = [(name.strip(), value.strip()) for name, colon, value in (line.partition(":") for line in lines) if colon]
    return dict(reversed(pairs))


def _gpu() -> str | None:
    """Return the GPU's name where the NVIDIA driver tells one: torch would take seconds to load."""
    cards = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    return _read(cards[0]).get("Model") if cards else None


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def run(*command: str, folder: Path) -> tuple[str, float]:
    """Return what a command printed, and how many seconds it took from its start to its end.

    Args:
        command: the program and its arguments.
        folder: where it runs.

    Raises:
        GliomasegError: it failed, with the last line that it said.
    """
    start = time.perf_counter()
    done = subprocess.run(  # noqa: S603 - our own commands
        command, cwd=folder, capture_output=True, text=True, errors="replace", check=False
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        raise GliomasegError(f"a process of the benchmark failed ({lines[-1]})")
    return done.stdout, seconds


def peak_mb() -> float:
    """Return the most memory that this process has held so far, in MB (10^6 bytes)."""
    try:
        # The kernel's own mark for this program: rusage would count the process that started it, too.
        status = Path("/proc/self/status").read_text("ascii")
        kilobytes = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
    return kilobytes * 1024 / 1e6
