"""The settings and limits of a server."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from gliomaseg.errors import UsageError

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")


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

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    def require_safe(self) -> None:
        """Refuse to listen on other addresses than loopback without a token.

        Raises:
            UsageError: there is no token, or it is shorter than 16 characters.
        """
        if self.is_loopback and not self.token:
            return
        if len(self.token) < 16:
            what = "token is missing" if not self.token else f"token has {len(self.token)} characters"
            cure = "set GLIOMASEG_TOKEN to at least 16 random characters, or listen on 127.0.0.1"
            raise UsageError(what, where=f"--host {self.host}", cure=cure)
