"""A real server with a work list, for the tests of its API and of its page."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np

from browser_page import Watch, wait_for_result
from gliomaseg.choices import PhantomFormat
from gliomaseg.phantoms import write_phantoms
from serve.conftest import start_server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Case = dict[str, Any]


@dataclass
class WorkServer:
    """A server with a work list, that can be started again."""

    data: Path
    out: Path
    address: str
    client: httpx.Client
    running: Iterator[str]

    @classmethod
    def start(cls, data: Path, out: Path, *options: str) -> WorkServer:
        running = start_server("--cases", str(data), "--out", str(out), "--model", "glioma-flair", *options)
        address = next(running)
        return cls(data, out, address, httpx.Client(base_url=f"{address}/v1", timeout=60), running)

    @classmethod
    def segmented_phantoms(cls, folder: Path) -> Iterator[WorkServer]:
        """Yield a server of the reader anna whose three cases are segmented, and stop it."""
        data = write_phantoms(folder, patients=3, side_px=64, kind=PhantomFormat.nifti)
        started = cls.start(data, folder / "out", "--reader", "anna")
        started.segmented()
        yield started
        started.stop()

    def open_list(self, browser: Browser) -> Iterator[Watch]:
        """Yield a page with the list of cases, and close it."""
        opened = Watch(browser, self.address)
        opened.page.wait_for_selector("#worklist:not([hidden])")
        yield opened
        opened.close()

    def stop(self) -> None:
        self.client.close()
        next(self.running, None)

    def kill(self) -> None:
        """End the process as a power cut does."""
        process = self.running.gi_frame.f_locals["process"]  # type: ignore[attr-defined]
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

    def cases(self) -> list[Case]:
        cases: list[Case] = self.client.get("/worklist").raise_for_status().json()["cases"]
        return cases

    def case(self, name: str) -> Case:
        return next(case for case in self.cases() if case["case"] == name)

    def segmented(self) -> list[Case]:
        """Wait until no case waits."""
        until = time.monotonic() + 120
        while any(case["state"] == "waiting" for case in self.cases()):
            assert time.monotonic() < until
            time.sleep(0.1)
        return self.cases()

    def open(self, case: Case) -> dict[str, Any]:
        """Open a case, and wait until it is segmented."""
        job: dict[str, Any] = self.client.post(f"/worklist/{case['number']}").raise_for_status().json()
        until = time.monotonic() + 60
        while job["state"] not in ("done", "failed"):
            assert time.monotonic() < until, job
            time.sleep(0.1)
            job = self.client.get(f"/segmentations/{job['id']}").json()
        return job

    def draw(self, job: dict[str, Any], voxel_xyz: tuple[int, int, int]) -> bytes:
        """Turn one voxel of the page's mask over, and save it."""
        x, y, z = job["result"]["shape_xyz"]
        path = f"/segmentations/{job['id']}"
        mask = np.frombuffer(self.client.get(f"{path}/mask.u8").content, np.uint8).reshape(z, y, x).copy()
        mask[voxel_xyz[::-1]] ^= 1
        self.client.put(f"{path}/mask", content=mask.tobytes()).raise_for_status()
        return mask.tobytes()

    def store(self, case: Case, seconds: float = 1.5, **values: str) -> httpx.Response:
        return self.client.put(f"/worklist/{case['number']}/mask", json={"seconds": seconds, **values})


def open_case(page: Page, case: str) -> None:
    """Open a case of the list, and wait for its values."""
    page.locator("#work-cases button", has_text=case).click()
    page.wait_for_selector(f"#work-name:text-is('{case}')")
    wait_for_result(page)


def names(server: WorkServer) -> list[str]:
    """Return the names of the cases in the order of the list."""
    return [case["case"] for case in server.cases()]


def lose_job(page: Page, server: WorkServer) -> None:
    """Let the server forget the job of the page, as a server that is started again does."""
    server.client.delete(f"/segmentations/{page.url.partition('#')[2]}").raise_for_status()
