"""Kill `gliomaseg bulk` with all its processes at random moments, run it again, and check that each case is there once.

    python studies/bulk_archive.py archive --cases 800 --slices 25
    python studies/kill_bulk.py archive --out killed --kills 3

Results: docs/results/reliability.md. Each kill (SIGKILL) ends the command and all processes of the Ray that it
started: head, node and workers. The last run is not killed. Then `results.parquet` must have each case exactly once, in
order and without error, each mask must have the digest of its row, and `gliomaseg predict` must write the same masks
for five cases. This works on Linux, because it reads /proc.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import secrets
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

MARK = "GLIOMASEG_KILL_BULK"
COMPARED = 5


@dataclass(frozen=True)
class Run:
    """One run of the command.

    Attributes:
        seconds: until it ended or was killed.
        killed: the number of processes that were killed; 0 if it ended by itself.
        code: its exit code.
        driver_mib: the largest memory of the command itself, without Ray's processes.
    """

    seconds: float
    killed: int
    code: int
    driver_mib: int


def main() -> None:
    """Kill, run again, check, and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the archive")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--model", default="glioma-flair")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--between", type=float, nargs=2, default=(20, 120), help="seconds from the start to a kill")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "gliomaseg", "bulk", str(arguments.folder), "--out", str(arguments.out)]
    command += ["--model", arguments.model, "--workers", str(arguments.workers)]
    moments = random.Random(arguments.seed)  # noqa: S311
    for _ in range(arguments.kills):
        run = run_bulk(command, kill_after_s=moments.uniform(*arguments.between))
        done = finished_cases(arguments.out)
        sys.stdout.write(f"killed {run.killed} processes after {run.seconds:.0f} s: {done} cases have a row\n")
        sys.stdout.flush()
    run = run_bulk(command, kill_after_s=None)
    faults = list_faults(arguments.folder, arguments.out) + compare(arguments.folder, arguments.out, arguments.model)
    sys.stdout.write(f"ended with {run.code} after {run.seconds:.0f} s; the command took {run.driver_mib} MiB\n")
    sys.stdout.write("\n".join([f"faults: {len(faults)}", *faults, ""]))
    sys.exit(bool(faults or run.code))


def run_bulk(command: list[str], *, kill_after_s: float | None) -> Run:
    """Run a command, to its end or until all its processes are killed."""
    mark = secrets.token_hex(16)
    started = time.monotonic()
    process = subprocess.Popen(command, env={**os.environ, MARK: mark})  # noqa: S603
    killed = 0
    while kill_after_s is not None and time.monotonic() - started < kill_after_s:
        if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            break
        time.sleep(0.05)
    else:
        killed = kill_marked(mark) if kill_after_s is not None else 0
    seconds = time.monotonic() - started
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Run(time.monotonic() - started if not killed else seconds, killed, process.returncode, usage.ru_maxrss >> 10)


def kill_marked(mark: str) -> int:
    """Kill all processes that have the mark in their environment, until none is left; return their number."""
    killed: set[int] = set()
    while pids := marked(mark):
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
            except ProcessLookupError:
                pass
        time.sleep(0.01)
    return len(killed)


def marked(mark: str) -> list[int]:
    """Return the processes that inherited the mark. A killed process has no environment any more."""
    needle = f"{MARK}={mark}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and needle in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:  # it has ended, or is another user's
            continue
    return found


def finished_cases(out: Path) -> int:
    """Return the number of cases that have a row."""
    from gliomaseg.bulk.rows import ATTEMPT, find_rows
    from gliomaseg.bulk.run_folder import RunFolder

    return len(find_rows(RunFolder(out).rows, cases=ATTEMPT).ids)


def list_faults(folder: Path, out: Path) -> list[str]:
    """Return a line for each case that is missing, there twice, failed, or has another mask than its row says."""
    import pyarrow.parquet as pq

    names = sorted(file.name.removesuffix(".nii.gz") for file in folder.glob("*.nii.gz"))
    rows = pq.read_table(out / "results.parquet").to_pylist()
    faults = [] if [row["case"] for row in rows] == names else ["the cases are not those of the archive, each once"]
    for row in rows:
        mask = out / f"{row['case']}_mask.nii.gz"
        if row["error"]:
            faults.append(f"{row['case']}: {row['error']}")
        elif not mask.exists() or digest(mask) != row["mask_sha256"]:
            faults.append(f"{mask.name} is missing or not that of its row")
        elif digest(Path(row["input"])) != row["input_sha256"]:
            faults.append(f"{row['input']} is not that of its row")
    masks = len(list(out.glob("*_mask.nii.gz")))
    return faults + ([] if masks == len(names) else [f"{masks} masks, expected {len(names)}"])


def compare(folder: Path, out: Path, model: str) -> list[str]:
    """Return a line for each of some cases whose mask differs from that of `predict`."""
    files = sorted(folder.glob("*.nii.gz"))
    chosen = random.Random(0).sample(files, min(COMPARED, len(files)))  # noqa: S311
    single = out.with_name(f"{out.name}-predict-{secrets.token_hex(4)}")
    command = [sys.executable, "-m", "gliomaseg", "predict", *map(str, chosen), "--out", str(single), "--model", model]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})  # noqa: S603
    masks = sorted(single.glob("*_mask.nii.gz"))
    faults = [f"{mask.name} differs from predict" for mask in masks if digest(mask) != digest(out / mask.name)]
    return faults + ([] if len(masks) == len(chosen) else ["predict wrote other masks"])


def digest(file: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
