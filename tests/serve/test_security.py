"""Requests that another page, a large body or a missing token would make."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from starlette.responses import PlainTextResponse

from gliomaseg.errors import UsageError
from gliomaseg.serve.security import Security
from gliomaseg.serve.settings import ServeSettings
from serve.conftest import start_server

TOKEN = "0123456789abcdef0123"


def test_requests_of_other_hosts_and_pages_are_refused(server_address: str) -> None:
    def status(method: str, path: str, **headers: str) -> int:
        return httpx.request(method, server_address + path, headers=headers).status_code

    own = server_address.removeprefix("http://")
    assert status("GET", "/health", Host="evil.example") == 403
    assert status("DELETE", "/v1/segmentations", Origin="http://evil.example") == 403
    assert status("DELETE", "/v1/segmentations", Origin="null") == 403
    assert status("DELETE", "/v1/segmentations", Origin="http://[evil") == 403
    assert status("DELETE", "/v1/segmentations", **{"Sec-Fetch-Site": "cross-site"}) == 403
    assert status("DELETE", "/v1/segmentations", Origin=server_address, Host=own) == 204


def test_answers_allow_no_foreign_content(server_address: str) -> None:
    headers = httpx.get(server_address).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "access-control-allow-origin" not in headers
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_a_large_body_is_refused_at_once_and_leaves_no_file(tmp_path: Path) -> None:
    for address in start_server("--limit", "1M", environment={**os.environ, "TMPDIR": str(tmp_path)}):
        start = time.monotonic()
        answer = httpx.post(f"{address}/v1/segmentations", files={"files": ("a.nii", bytes(2_000_000))})
        assert (answer.status_code, "--limit" in answer.json()["error"]) == (413, True)

        def chunks():  # no Content-Length: the bytes are counted as they come
            yield b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.nii"\r\n\r\n'
            for _ in range(40):
                yield bytes(100_000)

        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        streamed = httpx.post(f"{address}/v1/segmentations", content=chunks(), headers=headers)
        assert streamed.status_code == 413
        assert time.monotonic() - start < 10
        (folder,) = tmp_path.iterdir()
        assert [path for path in folder.iterdir() if path.name != ".lock"] == []
    assert not folder.exists()


def test_too_many_files_are_refused(server_address: str) -> None:
    files = [("files", (f"{number}.dcm", b"")) for number in range(5_001)]
    answer = httpx.post(f"{server_address}/v1/segmentations", files=files, timeout=60)
    assert (answer.status_code, "5,000 files" in answer.json()["error"]) == (413, True)


def test_other_addresses_need_a_token() -> None:
    with pytest.raises(UsageError, match="token is missing"):
        ServeSettings(host="0.0.0.0").require_safe()
    with pytest.raises(UsageError, match="token has 5 characters"):
        ServeSettings(host="::", token="short").require_safe()
    ServeSettings(host="127.0.0.7").require_safe()
    with pytest.raises(UsageError, match="GLIOMASEG_TOKEN: has other characters"):
        ServeSettings(token="geheimes Wörtchen").require_safe()


@pytest.mark.parametrize("host", ["127.0.0.2", "Localhost", "::1"])
def test_every_loopback_address_answers_by_its_own_name(host: str) -> None:
    """The address of the server and the header Host are checked by one function."""

    async def status(name: str) -> int:
        transport = httpx.ASGITransport(Security(PlainTextResponse("well"), ServeSettings(host=host)))
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{name}:8000") as client:
            return (await client.get("/")).status_code

    assert ServeSettings(host=host).is_loopback
    assert asyncio.run(status(f"[{host}]" if ":" in host else host)) == 200
    assert asyncio.run(status("evil.example")) == 403


def test_with_a_token_every_request_needs_it() -> None:
    for address in start_server(environment=os.environ | {"GLIOMASEG_TOKEN": TOKEN}):
        assert httpx.get(f"{address}/health").status_code == 401
        assert httpx.get(f"{address}/health", headers={"Authorization": f"Bearer {TOKEN}x"}).status_code == 401
        assert httpx.get(f"{address}/health", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
        with httpx.Client(base_url=address, follow_redirects=True) as browser:
            assert browser.get("/", params={"token": TOKEN}).status_code == 200
            assert browser.get("/health").status_code == 200
        foreign = {"Cookie": f"a/b=1; bad; gliomaseg_token={TOKEN}"}
        assert httpx.get(f"{address}/health", headers=foreign).status_code == 200


def test_the_server_listens_on_loopback_only(server_address: str) -> None:
    port = int(server_address.rsplit(":", 1)[1])
    listening = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines() if line.split()[3] == "0A"]
    assert [place for place in listening if place.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]


def test_the_folder_of_a_killed_server_is_removed_by_the_next_one(tmp_path: Path) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "gliomaseg", "serve", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        assert "the page is at" in process.stderr.readline()
        (old,) = tmp_path.glob("gliomaseg-serve-*")
        process.kill()
    for _address in start_server(environment=environment):
        (new,) = tmp_path.glob("gliomaseg-serve-*")
        assert new != old
