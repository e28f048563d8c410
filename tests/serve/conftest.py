"""A real server in a process of its own, and a client."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from browser_page import CHROMIUM, FLAGS
from gliomaseg.choices import PhantomFormat
from gliomaseg.phantoms import phantom_patient
from gliomaseg.phantoms.writers import WRITERS

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SERVE = """import sys
from gliomaseg.serve.server import serve
from gliomaseg.serve.settings import ServeSettings
serve(ServeSettings(port=0, **{}), say=lambda text: print(text, file=sys.stderr))
"""
Finish = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture(scope="session")
def server_address() -> Iterator[str]:
    """Start `gliomaseg serve` on a free port, and return its address."""
    yield from start_server()


def start_server(*options: str, environment: dict[str, str] | None = None, **settings: object) -> Iterator[str]:
    """Start a server, yield its address, and end it as Ctrl-C does.

    Args:
        options: of the command.
        environment: of the process.
        settings: fields of `ServeSettings` that the command does not have; then there are no options.
    """
    command = [sys.executable, "-m", "gliomaseg", "serve", "--port", "0", *options]
    if settings:
        command = [sys.executable, "-c", SERVE.format(settings)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        match = re.search(r"http://\S+?(?=;)", line)
        assert match, line
        try:
            yield match[0]
        finally:
            process.terminate()
            process.wait(20)


@pytest.fixture
def client(server_address: str) -> Iterator[httpx.Client]:
    """Return a client whose paths begin after /v1; all jobs are removed at the end."""
    with httpx.Client(base_url=f"{server_address}/v1", timeout=60) as opened:
        yield opened
        opened.delete("/segmentations")


@pytest.fixture
def finish(client: httpx.Client) -> Finish:
    """Return `finish(job)`: it waits until a job is done, failed or asks for a choice, and returns it."""
    return lambda job: finished(client, job)


def finished(client: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    """Wait until a job is done, failed or asks for a choice, and return it."""
    until = time.monotonic() + 120
    while job["state"] not in ("done", "failed", "choose"):
        assert time.monotonic() < until, job
        time.sleep(0.1)
        job = client.get(f"/segmentations/{job['id']}").json()
    return job


@pytest.fixture(scope="session")
def study_zip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the zip of a study: FLAIR (series 1), T1 (2) and T1 after contrast (3)."""
    pytest.importorskip("pydicom")
    root = tmp_path_factory.mktemp("study")
    phantom = phantom_patient(0, side_px=96, slices=8)
    WRITERS[PhantomFormat.dicom](root, phantom)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file in sorted(root.glob("*/*.dcm")):
            archive.write(file, file.relative_to(root))
    return packed.getvalue()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Chromium; tests that need it are skipped if it or playwright is missing."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="the browser is driven by playwright")
    if not CHROMIUM.is_file():
        pytest.skip(f"there is no {CHROMIUM}")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS, headless=True)
        yield started
        started.close()
