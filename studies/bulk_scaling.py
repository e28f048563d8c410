"""Measure slices per second of `gliomaseg bulk` with one and with two workers, and the memory of the command.

    python studies/bulk_archive.py archive --cases 800 --slices 25
    python studies/bulk_scaling.py archive --out scaling --slices 25 --runs 1:120 2:240 1:120 2:240

The results are in docs/scaling.md. A run is WORKERS:CASES and takes the first cases of the archive. "Whole" is from the
start of the command to its end. "Predicting" is from the first mask to the last one, without the start of Ray. The
memory is the largest resident set of the command, and that of all its processes together without shared pages (Pss).
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
    """

    workers: int
    cases: int
    whole_s: float
    predicting_s: float
    driver_mib: int
    all_mib: int

    def row(self, slices: int) -> str:
        """Return a row of the table."""
        whole, predicting = self.cases * slices / self.whole_s, (self.cases - 1) * slices / self.predicting_s
        times = f"{self.whole_s:.0f} | {whole:.1f} | {self.predicting_s:.0f} | {predicting:.1f}"
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
    sys.stdout.write(
        "| workers | slices | whole, s | slices/s | predicting, s | slices/s | command, MiB | all, MiB |\n"
    )
    sys.stdout.write("|---|---|---|---|---|---|---|---|\n")
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
    largest = [0]
    watch = threading.Thread(target=watch_memory, args=(process, mark, largest), daemon=True)
    watch.start()
    if process.stdout:
        process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"bulk ended with {process.returncode}")
    seconds = time.monotonic() - started
    written = sorted(mask.stat().st_mtime for mask in out.glob("*_mask.nii.gz"))
    return Measurement(workers, len(files), seconds, written[-1] - written[0], usage.ru_maxrss >> 10, largest[0] >> 10)


def watch_memory(process: subprocess.Popen[bytes], mark: str, largest: list[int]) -> None:
    """Keep the largest sum of the memory of all processes, in KiB, each two seconds."""
    needle = f"{MARK}={mark}".encode()
    while process.returncode is None:
        total = 0
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if needle in (entry / "environ").read_bytes().split(b"\0"):
                    total += int((entry / "smaps_rollup").read_text("ascii").partition("\nPss:")[2].split()[0])
            except (OSError, IndexError, ValueError):
                continue
        largest[0] = max(largest[0], total)
        time.sleep(2)


if __name__ == "__main__":
    main()
