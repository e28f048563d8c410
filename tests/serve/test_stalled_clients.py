"""A client that sends or takes nothing more loses its connection."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import httpx
import pytest

from gliomaseg.serve.app import PAGE
from serve.conftest import start_server

STALL_S = 0.5
FORM = b"Content-Type: multipart/form-data; boundary=b\r\n"


@pytest.fixture(scope="module")
def impatient_address() -> Iterator[str]:
    yield from start_server(stall_s=STALL_S)


def answer_to(address: str, sent: bytes) -> tuple[bytes, float]:
    """Send the start of a request, and return all that comes back and the seconds until the connection ends."""
    place = urlsplit(address)
    with socket.create_connection((place.hostname, place.port), timeout=10) as client:
        client.sendall(sent)
        start, parts = time.monotonic(), []
        while part := client.recv(65_536):
            parts.append(part)
        return b"".join(parts), time.monotonic() - start


def test_a_body_that_stalls_is_answered_and_the_connection_ends(impatient_address: str) -> None:
    head = b"POST /v1/segmentations HTTP/1.1\r\nHost: 127.0.0.1\r\n" + FORM + b"Content-Length: 999\r\n\r\n"
    answer, waited_s = answer_to(impatient_address, head + b"--b")
    assert answer.split(b" ", 2)[1] == b"408"
    assert b"the body stopped for" in answer
    assert waited_s < 4 * STALL_S


@pytest.mark.parametrize("sent", [b"", b"GET /health HTTP/1.1\r\nHo"])
def test_a_connection_without_a_whole_header_ends(impatient_address: str, sent: bytes) -> None:
    try:
        answer, waited_s = answer_to(impatient_address, sent)
    except ConnectionResetError:
        return
    assert answer == b""
    assert waited_s < 4 * STALL_S


def test_a_client_that_takes_no_answer_loses_its_connection(impatient_address: str) -> None:
    place, file = urlsplit(impatient_address), next((PAGE / "vendor").glob("niivue-*.js"))
    request = f"GET /page/vendor/{file.name} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(10)
        client.connect((place.hostname, place.port))
        client.sendall(request * 8)  # together, they are larger than the buffers between server and client
        time.sleep(3 * STALL_S)
        received = 0
        with suppress(ConnectionResetError):
            while part := client.recv(1 << 20):
                received += len(part)
    assert received < 8 * file.stat().st_size


def test_a_slow_body_is_read(impatient_address: str) -> None:
    def chunks() -> Iterator[bytes]:  # there is no such example, which the server finds after the last part
        for part in (b'--b\r\nContent-Disposition: form-data; name="example"\r\n\r\n', b"br", b"ain", b"\r\n--b--\r\n"):
            time.sleep(0.4 * STALL_S)
            yield part

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert httpx.post(f"{impatient_address}/v1/segmentations", content=chunks(), headers=headers).status_code == 400
