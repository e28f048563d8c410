"""How many threads an engine should take."""

from __future__ import annotations

import os
from pathlib import Path

CPUS = Path("/sys/devices/system/cpu")
QUOTA = Path("/sys/fs/cgroup/cpu.max")


def thread_count() -> int:
    """Return how many threads this process should compute with, at least 1.

    As many as there are cores among the processors that it may use: a container or `taskset` gives fewer than the
    machine has, and two threads of one core share its arithmetic. Never more than `OMP_NUM_THREADS` says, as for
    torch, nor than a container's quota of time.
    """
    limits = [_cores(), _asked(), _quota()]
    return max(1, min(limit for limit in limits if limit is not None))


def _cores() -> int:
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    cores = set()
    for processor in os.sched_getaffinity(0):
        try:
            cores.add((CPUS / f"cpu{processor}" / "topology" / "thread_siblings_list").read_text("ascii").strip())
        except (OSError, ValueError):
            cores.add(str(processor))
    return len(cores)


def _asked() -> int | None:
    text = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(text) if text.isdecimal() and int(text) > 0 else None


def _quota() -> int | None:
    """Return the quota of the container in whole processors; None where there is none."""
    try:
        quota, period = QUOTA.read_text("ascii").split()
        return max(1, round(int(quota) / int(period)))
    except (OSError, ValueError, ZeroDivisionError):  # no such file, or "max"
        return None
