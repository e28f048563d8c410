"""The real kagglehub: on its own cache, without a network, and on a server of ours on loopback."""

from __future__ import annotations

import base64
import gc
import hashlib
import io
import os
import shutil
import socket
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from gliomaseg.data.download import HANDLE, download
from gliomaseg.errors import (
    DataError,
    DownloadError,
    GliomasegError,
    MissingExtraError,
    OutputExistsError,
    ResourceError,
    UsageError,
)

pytest.importorskip("kagglehub")

# kagglehub leaves refused and resumed answers open, for the garbage collector to close.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

PATIENT = "TCGA_CS_4941_19960909"
NAME = f"kaggle_3m/{PATIENT}/{PATIENT}_1.tif"
CONTENT = os.urandom(1_500_000)
HINT = "or download the zip by hand from the data set's Kaggle page and pass `--from archive.zip`"


def data_zip() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as box:
        box.writestr(NAME, CONTENT)
    return packed.getvalue()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give kagglehub an empty cache, no account and no settings of the machine."""
    for name in list(os.environ):
        if name.upper().startswith("KAGGLE") or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    monkeypatch.delenv("TBE_RUNTIME_ADDR", raising=False)
    home = tmp_path / "home"
    home.mkdir()
    for name in ("HOME", "USERPROFILE", "KAGGLE_CONFIG_DIR"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "cache"))
    return (tmp_path / "cache/datasets/mateuszbuda/lgg-mri-segmentation").resolve()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let every way to the network fail, and return the list of what was tried."""
    tried: list[str] = []

    def refuse(*args: object, **kwargs: object) -> None:
        tried.append(str(args))
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return tried


def fill(cache: Path) -> Path:
    """Lay out a finished download as kagglehub does."""
    (cache / "versions/2" / NAME).parent.mkdir(parents=True)
    (cache / "versions/2" / NAME).write_bytes(CONTENT)
    (cache / "2.complete").touch()
    return cache / "versions/2"


class Server:
    """A proxy on loopback that answers every request itself, so that nothing leaves the machine."""

    def __init__(self) -> None:
        self.body = data_zip()
        self.status = 200
        self.md5 = ""
        self.cut_at: int | None = None
        self.asked: list[tuple[str, str, str]] = []

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        start = request.headers.get("Range", "bytes=0-")
        self.asked.append((request.command, request.path, start))
        length = int(request.headers.get("Content-Length", "0"))
        request.rfile.read(length)
        if request.command == "POST" and self.status == 200:
            request.send_response(302)
            request.send_header("Location", "http://storage.test/archive.zip")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        body = self.body[int(start[len("bytes=") : -1]) :]
        digest = self.md5 or base64.b64encode(hashlib.md5(self.body).digest()).decode()
        request.send_response(self.status)
        request.send_header("Content-Length", str(len(body)))
        request.send_header("Accept-Ranges", "bytes")
        request.send_header("x-goog-hash", f"crc32c=AAAAAA==,md5={digest}")
        request.end_headers()
        request.wfile.write(body[: self.cut_at])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    plan = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            plan.answer(self)

        do_GET = do_POST

        def log_message(self, *args: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{http.server_port}")
    # kagglehub's own switch to plain http://localhost, which the proxy then answers.
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
    yield plan
    http.shutdown()
    thread.join()
    http.server_close()
    gc.collect()


def fails(kind: type[GliomasegError], *, to: Path | None = None) -> GliomasegError:
    with pytest.raises(GliomasegError) as caught:
        download(to=to)
    assert type(caught.value) is kind
    return caught.value


def test_a_finished_download_needs_no_network(cache: Path, offline: list[str]) -> None:
    cached = fill(cache)
    assert download() == cached
    assert offline == []


def test_a_finished_download_is_linked_to_the_target(cache: Path, offline: list[str], tmp_path: Path) -> None:
    cached = fill(cache)
    root = download(to=tmp_path / "data")
    assert root == (tmp_path / "data").resolve()
    assert (root / NAME).samefile(cached / NAME)
    assert offline == []


def test_a_finished_download_needs_no_room(cache: Path, offline: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    cached = fill(cache)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: pytest.fail("asked"))
    assert download() == cached


def test_an_emptied_cache_is_a_data_error(cache: Path, offline: list[str]) -> None:
    (fill(cache) / NAME).unlink()
    fails(DataError)


def test_without_network_the_error_says_what_to_do(offline: list[str]) -> None:
    fault = fails(DownloadError)
    assert fault.line() == (
        f"{HANDLE}: the server cannot be reached (ConnectionError); check the network and run it again, {HINT}"
    )
    assert offline != []


def test_a_wrong_target_is_found_before_any_request(cache: Path, offline: list[str], tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/mine.txt").write_text("1")
    fails(OutputExistsError, to=tmp_path / "data")
    fails(UsageError, to=cache / "versions")
    assert offline == []


def test_a_small_disk_is_found_before_any_request(
    offline: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=2_500_000_000))
    fault = fails(ResourceError)
    assert fault.line() == (
        f"{tmp_path.resolve()}: 2.86 GB are needed and 2.50 GB are free; "
        "free some space, or set KAGGLEHUB_CACHE to a folder on a larger disk"
    )
    assert offline == []


def test_without_kagglehub_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    fault = fails(MissingExtraError)
    assert 'pip install "gliomaseg[download]"' in fault.line()


def test_the_archive_is_fetched_and_unpacked(cache: Path, server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    lines: list[str] = []
    root = download(progress=lines.append)
    assert root == cache / "versions/2"
    assert (root / NAME).read_bytes() == CONTENT
    assert [asked[:2] for asked in server.asked] == [
        ("POST", "http://localhost/api/v1/datasets.DatasetApiService/DownloadDataset"),
        ("GET", "http://storage.test/archive.zip"),
    ]
    assert "downloading: 100 %" in lines
    assert "Extracting files..." in lines
    assert capfd.readouterr() == ("", "")


def test_progress_may_write_to_stderr(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    def show(line: str) -> None:
        sys.stderr.write(f"{line}\n")

    download(progress=show)
    assert "downloading: 100 %" in capsys.readouterr().err


def test_a_fetched_archive_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    download()
    server.status = 500
    assert (download(to=tmp_path / "data") / NAME).read_bytes() == CONTENT


def test_a_broken_download_is_resumed(cache: Path, server: Server) -> None:
    server.cut_at = 1_200_000
    fault = fails(DownloadError)
    assert HINT in fault.line()
    assert (cache / "2.archive").stat().st_size == 1 << 20  # kagglehub writes whole mebibytes
    server.cut_at = None
    assert (download() / NAME).read_bytes() == CONTENT
    assert server.asked[-1] == ("GET", "http://storage.test/archive.zip", "bytes=1048576-")


@pytest.mark.parametrize(
    ("status", "cure"), [(401, "token"), (403, "token"), (404, "still public"), (429, "wait"), (503, "again later")]
)
def test_a_refusal_is_a_download_error(server: Server, status: int, cure: str) -> None:
    server.status = status
    fault = fails(DownloadError)
    assert fault.what == f"the server answered {status}"
    assert cure in fault.cure


def test_a_wrong_checksum_is_a_download_error(cache: Path, server: Server) -> None:
    server.md5 = base64.b64encode(bytes(16)).decode()
    fault = fails(DownloadError)
    assert "damaged or no archive" in fault.line()
    assert not (cache / "2.archive").exists()


@pytest.mark.parametrize("body", [b"<html>log in first</html>", data_zip()[:-30] + bytes(30)])
def test_what_is_no_archive_is_thrown_away(cache: Path, server: Server, body: bytes) -> None:
    good, server.body = server.body, body
    fault = fails(DownloadError)
    assert "damaged or no archive" in fault.line()
    server.body = good
    assert (download() / NAME).read_bytes() == CONTENT


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_fills_up_is_a_resource_error(cache: Path, server: Server) -> None:
    cache.mkdir(parents=True)
    (cache / "2.archive").symlink_to("/dev/full")
    fault = fails(ResourceError)
    assert fault.line().startswith(f"{cache}: the disk is full; free")


def test_an_unusable_cache_folder_is_a_data_error(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "file"))
    fails(DataError)
