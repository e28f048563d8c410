"""Processes of their own: cold starts, and memory that is nobody else's."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

from gliomaseg.errors import GliomasegError

GLIOMASEG = (sys.executable, "-m", "gliomaseg")


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
