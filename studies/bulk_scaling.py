"""Measure slices per second of `gliomaseg bulk` with one and with two workers, and the memory of the command.

    python studies/bulk_archive.py archive --cases 800 --slices 25
    python studies/bulk_scaling.py archive --out scaling --slices 25 --runs 1:120 2:240 1:120 2:240

The results are in docs/scaling.md. A run is WORKERS:CASES and takes the first cases of the archive. "Whole" is from the
start of the command to its end. "Predicting" is from the first mask to the last one, without the start of Ray. The
memory is the largest resident set of the command, and that of all its processes together (Pss). The cores are the CPU
time that the workers got while they predicted, a second: on a machine with other work, less than their number.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

MARK = "GLIOMASEG_BULK_SCALING"


@dataclass(frozen=True)
class Measurement:
    """One run.

    Attributes:
        workers: their number.
        cases: their number.
        whole_s: the time of the whole command.
        predicting_s: from the first mask to the last one.
        driver_mib: memory of the command.
        all_mib: memory of all processes.
        cpu_s: CPU time of the workers between the first mask and the last one.
    """

    workers: int
    cases: int
    whole_s: float
    predicting_s: float
    driver_mib: int
    all_mib: int
    cpu_s: float

    def row(self, slices: int) -> str:
        """Return a row of the table."""
        whole, predicting = self.cases * slices / self.whole_s, (self.cases - 1) * slices / self.predicting_s
        times = f"{self.whole_s:.0f} | {whole:.1f} | {self.predicting_s:.0f} | {predicting:.1f}"
        times += f" | {self.cpu_s / self.predicting_s:.2f} | {1000 * self.cpu_s / (self.cases - 1) / slices:.1f}"
        return f"| {self.workers} | {self.cases * slices:,} | {times} | {self.driver_mib} | {self.all_mib} |"


def main() -> None:
    """Run, and print a row of a table for each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--slices", type=int, required=True, help="of each case")
    parser.add_argument("--model", default="glioma-flair")
    parser.add_argument("--runs", nargs="+", default=["1:120", "2:240"], metavar="WORKERS:CASES")
    arguments = parser.parse_args()
    files = sorted(arguments.archive.absolute().glob("*.nii.gz"))
    arguments.out.mkdir(parents=True)
    sys.stdout.write("| workers | slices | whole, s | slices/s | predicting, s | slices/s | cores | CPU, ms a slice ")
    sys.stdout.write("| command, MiB | all, MiB |\n")
    sys.stdout.write("|---|---|---|---|---|---|---|---|---|---|\n")
    for number, text in enumerate(arguments.runs):
        workers, cases = map(int, text.split(":"))
        measured = measure(files[:cases], arguments.out / str(number), workers=workers, model=arguments.model)
        sys.stdout.write(measured.row(arguments.slices) + "\n")
        sys.stdout.flush()


def measure(files: list[Path], folder: Path, *, workers: int, model: str) -> Measurement:
    """Predict some files and return times and memory."""
    folder.mkdir()
    rows = [{"case": file.name.removesuffix(".nii.gz"), "flair": str(file)} for file in files]
    (folder / "cases.json").write_text(json.dumps(rows), "utf-8")
    mark = secrets.token_hex(16)
    out = folder / "out"
    command = [sys.executable, "-m", "gliomaseg", "bulk", str(folder / "cases.json"), "--out", str(out)]
    command += ["--model", model, "--workers", str(workers), "--json"]
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, MARK: mark})  # noqa: S603
    watch = Watch(process, mark)
    watch.start()
    if process.stdout:
        process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"bulk ended with {process.returncode}")
    seconds = time.monotonic() - started
    written = sorted(mask.stat().st_mtime for mask in out.glob("*_mask.nii.gz"))
    cpu_s = watch.cpu_s(written[-1]) - watch.cpu_s(written[0])
    times = seconds, written[-1] - written[0]
    return Measurement(workers, len(files), *times, usage.ru_maxrss >> 10, watch.largest_kib >> 10, cpu_s)


class Watch(threading.Thread):
    """Reads memory and CPU time of all processes of a run, each second."""

    def __init__(self, process: subprocess.Popen[bytes], mark: str) -> None:
        super().__init__(daemon=True)
        self._process, self._needle = process, f"{MARK}={mark}".encode()
        self._used: dict[str, float] = {}
        self._points: list[tuple[float, float]] = []
        self.largest_kib = 0

    def run(self) -> None:
        """Read until the command has ended."""
        while self._process.returncode is None:
            kib = 0
            for entry in Path("/proc").glob("[0-9]*"):
                try:
                    if self._needle in (entry / "environ").read_bytes().split(b"\0"):
                        kib += int((entry / "smaps_rollup").read_text("ascii").partition("\nPss:")[2].split()[0])
                        self._read_cpu(entry)
                except (OSError, IndexError, ValueError):  # it has ended
                    continue
            self.largest_kib = max(self.largest_kib, kib)
            self._points.append((time.time(), sum(self._used.values())))
            time.sleep(1)

    def _read_cpu(self, entry: Path) -> None:
        if b"CaseWorker" in (entry / "cmdline").read_bytes():
            fields = (entry / "stat").read_text("utf-8").rpartition(")")[2].split()
            self._used[entry.name] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def cpu_s(self, moment: float) -> float:
        """Return the CPU time of the workers until a moment, from the nearest reading."""
        return min(self._points, key=lambda point: abs(point[0] - moment))[1]


if __name__ == "__main__":
    main()
