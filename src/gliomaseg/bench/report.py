"""The report of a benchmark, as JSON and as text, with a description of the machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import gliomaseg
from gliomaseg.bench.timing import BenchRow, Timing
from gliomaseg.engines.threads import thread_count

FORMAT = 1  # of the JSON document
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16", "asimd", "bf16", "sve")
PACKAGES = (
    "lightning", "numpy", "onnx", "onnxruntime", "opencv-python", "opencv-python-headless", "openvino", "pillow",
    "pytorch-lightning", "tifffile", "torch", "torchvision",
)  # fmt: skip


@dataclass(frozen=True)
class Machine:
    """The computer and the software of a benchmark, without host name, user name or path.

    Attributes:
        processor: model name of the CPU.
        architecture: such as "x86_64".
        processors: number of logical processors that this process may use.
        threads: number of threads of the engines.
        omp_num_threads: the environment variable `OMP_NUM_THREADS`; None if it is not set.
        flags: those of `FLAGS` that the CPU supports.
        memory_gb: RAM in GB (10^9 bytes); None if unknown.
        load_before: mean load of the last minute before the benchmark; None if unknown.
        gpu: model name of the first NVIDIA GPU; None without one.
        system: such as "Linux".
        versions: version of gliomaseg, of Python and of each installed package of `PACKAGES`.
    """

    processor: str
    architecture: str
    processors: int | None
    threads: int
    omp_num_threads: str | None
    flags: tuple[str, ...]
    memory_gb: float | None
    load_before: float | None
    gpu: str | None
    system: str
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Section:
    """The rows of one section, and the seconds that it took."""

    seconds: float
    rows: tuple[BenchRow, ...]


@dataclass(frozen=True)
class BenchReport:
    """The result of a benchmark.

    Attributes:
        plan: name of the sizes: "quick", "normal" or "full".
        machine: the computer.
        sections: each section by its name.
        seconds: duration of the whole benchmark.
    """

    plan: str
    machine: Machine
    sections: Mapping[str, Section]
    seconds: float

    @property
    def rows(self) -> list[BenchRow]:
        """Return the rows of all sections."""
        return [row for section in self.sections.values() for row in section.rows]

    def document(self) -> dict[str, Any]:
        """Return the report as `gliomaseg bench --json` prints it."""
        return {
            "format": FORMAT,
            "plan": self.plan,
            "machine": asdict(self.machine),
            "sections": {
                name: {"seconds": section.seconds, "rows": [_row_document(row) for row in section.rows]}
                for name, section in self.sections.items()
            },
            "seconds": self.seconds,
        }


def _row_document(row: BenchRow) -> dict[str, Any]:
    return {
        "figure": row.figure,
        "unit": row.unit,
        "ours": row.ours and _timing_document(row.ours),
        "peer": row.baseline and _timing_document(row.baseline),  # the public name of the baseline
        "ratio": row.ratio,
        "ratio_spread": [min(row.ratios), max(row.ratios)] if row.ratios else None,
        "agreement": dict(row.agreement),
        "status": row.status,
        "reason": row.reason or None,
    }


def _timing_document(timing: Timing) -> dict[str, Any]:
    return {
        "what": timing.label,
        "median": timing.median,
        "low": timing.low,
        "high": timing.high,
        "values": list(timing.values),
    }


def benchmark_text(report: BenchReport) -> str:
    """Return the report as text: the machine, then for each row the medians, the ratio and the agreement."""
    machine = report.machine
    counts = f"{machine.processors} processors, {machine.threads} threads, load {machine.load_before}"
    lines = [f"{machine.processor}, {counts}; {' '.join(machine.flags)}"]
    for name, section in report.sections.items():
        lines += ["", f"{name} ({section.seconds:.0f} s)"]
        for row in section.rows:
            lines += _row_lines(row)
    lines += ["", f"times over 1: ours is faster. {report.plan} plan, {report.seconds:.0f} s in all"]
    return "\n".join(lines)


def _row_lines(row: BenchRow) -> list[str]:
    lines = [f"  {row.figure}"]
    for side, timing in (("ours", row.ours), ("peer", row.baseline)):
        if timing is not None:
            spread = f"({_short(timing.low)} to {_short(timing.high)})"
            lines.append(f"    {side}  {_short(timing.median):>9} {row.unit:<10} {spread:<22} {timing.label}")
    if row.ratios:
        spread = f"({_short(min(row.ratios))} to {_short(max(row.ratios))})"
        lines.append(f"    times {_short(row.ratio):>9} {'':<10} {spread}")
    if row.agreement:
        lines.append("    " + ", ".join(f"{key} {_short(value)}" for key, value in row.agreement.items()))
    if row.reason:
        lines.append(f"    {row.status}: {row.reason}")
    return lines


def _short(value: float | None) -> str:
    """Return a number with three significant digits, or as a whole number if it is 1,000 or more.

    >>> [_short(value) for value in (1234.5, 12.345, 0.01234, 3, None)]
    ['1,234', '12.3', '0.0123', '3', 'unknown']
    """
    if value is None:
        return "unknown"
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def describe_machine() -> Machine:
    """Return the processor, memory, load and versions of this computer."""
    cpu = _kernel_values(Path("/proc/cpuinfo"))
    flags = set(cpu.get("flags", cpu.get("Features", "")).split())
    memory = _kernel_values(Path("/proc/meminfo")).get("MemTotal", "")  # such as "16384 kB"
    return Machine(
        processor=cpu.get("model name") or platform.machine(),
        architecture=platform.machine(),
        processors=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        threads=thread_count(),
        omp_num_threads=os.environ.get("OMP_NUM_THREADS"),
        flags=tuple(flag for flag in FLAGS if flag in flags),
        memory_gb=round(int(memory.split()[0]) * 1024 / 1e9, 1) if memory else None,
        load_before=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        gpu=_gpu(),
        system=platform.system(),
        versions={"gliomaseg": gliomaseg.__version__, "python": platform.python_version(), **_package_versions()},
    )


def _kernel_values(path: Path) -> dict[str, str]:
    """Return the first value of each name in a file such as /proc/cpuinfo; an empty dict if the file is missing."""
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return {}
    pairs = [(name.strip(), value.strip()) for name, colon, value in (line.partition(":") for line in lines) if colon]
    return dict(reversed(pairs))


def _gpu() -> str | None:
    """Return the GPU's model name from the NVIDIA driver; torch would take seconds to import."""
    files = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    return _kernel_values(files[0]).get("Model") if files else None


def _package_versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
