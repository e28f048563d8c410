"""Send scans to `gliomaseg serve` from many clients at once, to find wrong answers, slow ones and memory that grows.

    python studies/load_serve.py load --clients 16 --seconds 60

The results are in docs/results/reliability.md. Each client sends one of four phantoms, follows the job, fetches the
mask and compares it with that of `gliomaseg.segment`, then deletes the job. A refusal (503) is tried again after a
second. A process of its own requests /health every 50 ms; it also measures by how much it sleeps too long,
which is the delay of a busy machine without any server. Memory is the resident memory of the server and its workers,
at the start after one job.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import multiprocessing
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

import httpx
import nibabel as nib
import numpy as np
import psutil

import gliomaseg
from gliomaseg.phantoms import phantom_patient

SCANS = 4
PROBE_S = 0.05
STATES = ("queued", "reading", "segmenting")


def main() -> None:
    """Load a server, and print what it answered and what it held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for the scans")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=60)
    arguments = parser.parse_args()
    scans = write_scans(arguments.folder)
    with start_server() as (address, process):
        asyncio.run(run_clients(address, scans, clients=1, seconds=0))
        before = memory_mb(process)
        with probe(address) as (delays, lags):
            answers = asyncio.run(run_clients(address, scans, clients=arguments.clients, seconds=arguments.seconds))
        after = memory_mb(process)
    report(answers, delays, lags, before, after)


def write_scans(folder: Path) -> list[tuple[bytes, np.ndarray]]:
    """Return phantoms as NIfTI with their masks, bool, shape (x, y, z)."""
    folder.mkdir(parents=True, exist_ok=True)
    scans = []
    for number in range(SCANS):
        patient = phantom_patient(number, seed=3, side_px=96, slices=16)
        path = folder / f"scan_{number}.nii.gz"
        image = np.ascontiguousarray(patient.image[..., 1].T)
        z_mm, y_mm, x_mm = patient.spacing_mm
        nib.save(nib.Nifti1Image(image, np.diag([-x_mm, -y_mm, z_mm, 1.0])), path)
        mask = gliomaseg.segment(path).mask.T
        if not mask.any() or any(np.array_equal(mask, other) for _, other in scans):
            raise SystemExit(f"the mask of phantom {number} is empty, or that of another one; it would find no mistake")
        scans.append((path.read_bytes(), mask))
    return scans


@contextmanager
def start_server() -> Iterator[tuple[str, psutil.Process]]:
    """Start a server on a free port, and return its address and process."""
    command = [sys.executable, "-m", "gliomaseg", "serve", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603 - its own command
        line = process.stderr.readline() if process.stderr else ""
        match = re.search(r"http://\S+?(?=;)", line)
        if match is None:
            raise SystemExit(line)
        try:
            yield match[0], psutil.Process(process.pid)
        finally:
            process.terminate()


async def run_clients(
    address: str, scans: Sequence[tuple[bytes, np.ndarray]], *, clients: int, seconds: float
) -> Counter[str]:
    """Return how many jobs had each outcome; every client finishes the job that it has at the end."""
    answers: Counter[str] = Counter()
    end = time.monotonic() + seconds

    async def run_client(number: int) -> None:
        chance = random.Random(number)  # noqa: S311 - it chooses phantoms
        async with httpx.AsyncClient(base_url=f"{address}/v1", timeout=60) as client:
            while True:
                content, mask = scans[chance.randrange(SCANS)]
                try:
                    outcome = await send(client, content, mask)
                except httpx.HTTPError as fault:
                    outcome = type(fault).__name__
                answers[outcome] += 1
                if time.monotonic() > end:
                    return

    await asyncio.gather(*(run_client(number) for number in range(clients)))
    return answers


async def send(client: httpx.AsyncClient, content: bytes, expected: np.ndarray) -> str:
    """Send one scan, and return the outcome: right, wrong, 503, or what else happened."""
    answer = await client.post("/segmentations", files={"flair": ("scan.nii.gz", content)})
    if answer.status_code != 202:
        await asyncio.sleep(1)
        return str(answer.status_code)
    job: dict[str, Any] = answer.json()
    path = f"/segmentations/{job['id']}"
    while job["state"] in STATES:
        await asyncio.sleep(0.25)
        job = (await client.get(path)).raise_for_status().json()
    if job["state"] != "done":
        return f"{job['state']}: {job['error']}"
    mask = (await client.get(f"{path}/mask.nii.gz")).raise_for_status().content
    found = np.asanyarray(nib.Nifti1Image.from_bytes(gzip.decompress(mask)).dataobj) > 0
    (await client.delete(path)).raise_for_status()
    return "right" if np.array_equal(found, expected) else "wrong"


@contextmanager
def probe(address: str) -> Iterator[tuple[list[float], list[float]]]:
    """Request /health until the block ends.

    Return the seconds of each answer, infinity for a failure, and by how many each pause was too long.
    """
    runs, delays = multiprocessing.Value("b", 1), multiprocessing.Queue()
    process = multiprocessing.Process(target=_probe, args=(address, runs, delays))
    process.start()
    found: tuple[list[float], list[float]] = ([], [])
    try:
        yield found
    finally:
        runs.value = 0
        for own, measured in zip(found, delays.get(), strict=True):
            own.extend(measured)
        process.join()


def _probe(address: str, runs: Synchronized[int], delays: multiprocessing.Queue[Any]) -> None:
    found, lags = [], []
    with httpx.Client(timeout=30) as client:
        while runs.value:
            start = time.perf_counter()
            try:
                is_well = client.get(f"{address}/health").status_code == 200
            except httpx.HTTPError:
                is_well = False
            found.append(time.perf_counter() - start if is_well else float("inf"))
            start = time.perf_counter()
            time.sleep(PROBE_S)
            lags.append(time.perf_counter() - start - PROBE_S)
    delays.put((found, lags))


def memory_mb(process: psutil.Process) -> list[float]:
    """Return the resident memory of the server and of each worker, in MB."""
    return [one.memory_info().rss / 1e6 for one in (process, *process.children(recursive=True))]


def report(
    answers: Counter[str], delays: list[float], lags: list[float], before: list[float], after: list[float]
) -> None:
    """Print the outcomes, the delays and the memory."""
    named = [f"{count} {outcome}" for outcome, count in answers.most_common()]
    lines = [
        f"jobs: {', '.join(named)}",
        f"/health: {len(delays)} requests, {quantiles(delays)}; a pause is too long by {quantiles(lags)}",
        *(
            f"memory in MB {when}: {', '.join(f'{value:.0f}' for value in held)}"
            for when, held in (("after one job", before), ("at the end", after))
        ),
        f"load average: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


def quantiles(seconds: list[float]) -> str:
    """Return the median, 99 % and the largest in words."""
    half, most = np.quantile(seconds, (0.5, 0.99))
    return f"median {1000 * half:.0f} ms, 99 % {1000 * most:.0f} ms, largest {1000 * max(seconds):.0f} ms"


if __name__ == "__main__":
    main()
