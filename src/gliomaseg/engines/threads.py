"""The number of threads for an engine."""

from __future__ import annotations

import os
from pathlib import Path

CPUS = Path("/sys/devices/system/cpu")
QUOTA = Path("/sys/fs/cgroup/cpu.max")


def thread_count() -> int:
    """Return the number of threads for computations in this process, at least 1.

    It is the number of physical cores that the process may use, because two threads of one core share its arithmetic
    units. A container or `taskset` may allow fewer cores than the machine has. `OMP_NUM_THREADS`, as for torch, and
    the CPU quota of a container are upper limits.
    """
    return min(core_count(), _omp_num_threads() or core_count())


def core_count() -> int:
    """Return the number of physical cores that this process may use, at least 1; a container's quota is a limit."""
    quota = _quota()
    return max(1, _cores() if quota is None else min(_cores(), quota))


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


def _omp_num_threads() -> int | None:
    text = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(text) if text.isdecimal() and int(text) > 0 else None


def _quota() -> int | None:
    """Return the CPU quota of the container in whole processors; None if there is none."""
    try:
        quota, period = QUOTA.read_text("ascii").split()
        return max(1, round(int(quota) / int(period)))
    except (OSError, ValueError, ZeroDivisionError):  # no such file, or "max"
        return None
