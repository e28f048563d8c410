"""The settings and limits of a server."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from gliomaseg.errors import UsageError


def is_loopback(host: str) -> bool:
    """Return whether a host, as `--host` or the header Host name it without a port, is this machine.

    >>> [is_loopback(host) for host in ("127.0.0.2", "Localhost", "[::1]", "0.0.0.0", "evil.example")]
    [True, True, True, False, False]
    """
    name = host.lower().removeprefix("[").removesuffix("]")
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class ServeSettings:
    """The settings of a server; each job is one scan.

    Attributes:
        host: address to listen on.
        port: port to listen on; 0 takes a free one.
        model: a model's name or folder; None for the bundled models.
        token: that each request must have; empty for none.
        max_upload_bytes: limit of the body of a request.
        max_files: limit of the number of files in an upload.
        max_waiting: limit of the number of jobs that wait.
        job_s: limit of the time for one scan, in seconds.
        worker_bytes: limit of the memory of the process that decodes and segments.
        expiry_s: seconds after its last request, until a job is removed.
        stall_s: limit of the time in which a client sends nothing, or takes nothing, in seconds.
        max_kept_bytes: limit of the files of all jobs; the finished jobs that were used least recently are removed.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    model: Path | None = None
    token: str = ""
    max_upload_bytes: int = 2 * 2**30
    max_files: int = 5_000
    max_waiting: int = 16
    job_s: float = 600.0
    worker_bytes: int = 6 * 2**30
    expiry_s: float = 3_600.0
    stall_s: float = 60.0
    max_kept_bytes: int = 20 * 2**30

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        return is_loopback(self.host)

    def require_safe(self) -> None:
        """Refuse to listen on other addresses than loopback without a token.

        Raises:
            UsageError: there is no token, it is shorter than 16 characters, or no header and no cookie can have it.
        """
        if self.is_loopback and not self.token:
            return
        if not re.fullmatch(r"[A-Za-z0-9._~+/=-]*", self.token):
            what, cure = "has other characters than a header can have", "set it to letters A to Z, digits and ._~+/=-"
            raise UsageError(what, where="GLIOMASEG_TOKEN", cure=cure)
        if len(self.token) < 16:
            what = "token is missing" if not self.token else f"token has {len(self.token)} characters"
            cure = "set GLIOMASEG_TOKEN to at least 16 random characters, or listen on 127.0.0.1"
            raise UsageError(what, where=f"--host {self.host}", cure=cure)
