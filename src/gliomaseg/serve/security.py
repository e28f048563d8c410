"""The checks of every request before it is read: its host, its origin, its token and its size; and safe headers."""

from __future__ import annotations

import asyncio
import hmac
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gliomaseg.serve.settings import ServeSettings, is_loopback

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "worker-src 'self' blob:; font-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
COOKIE = "gliomaseg_token"
SAFE = ("GET", "HEAD", "OPTIONS")
_TOO_LARGE = "the upload has more than {:,} bytes; give fewer files, or start the server with a larger --limit"


class _BodyRefusedError(Exception):
    """The body of a request is too large, or stopped before its end."""

    def __init__(self, answer: Response) -> None:
        super().__init__()
        self.answer = answer


class Security:
    """Checks each request, and adds headers to each answer."""

    def __init__(self, app: ASGIApp, settings: ServeSettings) -> None:
        """Store the application and the settings."""
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers, is_started = Headers(scope=scope), False

        async def send_safe(message: Message) -> None:
            nonlocal is_started
            if message["type"] == "http.response.start":
                is_started = True
                safe = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    safe.setdefault(name, value)
            await send(message)

        if (refusal := self._refusal(scope, headers)) is not None:
            await refusal(scope, receive, send_safe)
            return
        try:
            await self._app(scope, self._limited(receive), send_safe)
        except _BodyRefusedError as fault:
            if is_started:
                raise
            await fault.answer(scope, receive, send_safe)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        host = headers.get("host", "")
        if self._settings.is_loopback and not is_loopback(_name_of(host)):
            return refused(403, f"host is {host[:80]!r}, expected {self._settings.host}; open that address")
        origin = headers.get("origin")
        is_foreign = origin is not None and origin.partition("://")[2] != host
        if scope["method"] not in SAFE and (is_foreign or headers.get("sec-fetch-site") == "cross-site"):
            return refused(403, "the request comes from another page; open the page of this server")
        if self._settings.token and (refusal := self._without_token(scope, headers)) is not None:
            return refusal
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdecimal()) or int(length) > self._settings.max_upload_bytes:
            return self._too_large()
        return None

    def _without_token(self, scope: Scope, headers: Headers) -> Response | None:
        given = headers.get("authorization", "").removeprefix("Bearer ")
        cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        if self._is_token(given) or self._is_token(cookie):
            return None
        asked = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if scope["path"] == "/" and scope["method"] == "GET" and self._is_token(asked):
            page = RedirectResponse("/", status_code=303)
            page.set_cookie(COOKIE, asked, httponly=True, samesite="strict")
            return page
        return refused(
            401, "token is missing or wrong; send Authorization: Bearer <token>", {"WWW-Authenticate": "Bearer"}
        )

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self._settings.token.encode())

    def _too_large(self) -> Response:
        return refused(413, _TOO_LARGE.format(self._settings.max_upload_bytes), {"Connection": "close"})

    def _limited(self, receive: Receive) -> Receive:
        total, has_more = 0, True

        async def receive_limited() -> Message:
            nonlocal total, has_more
            try:
                # After the body, `receive` waits for the end of the connection.
                async with asyncio.timeout(self._settings.stall_s if has_more else None):
                    message = await receive()
            except TimeoutError:
                text = f"the body stopped for {self._settings.stall_s:.0f} s; send it again"
                raise _BodyRefusedError(refused(408, text, {"Connection": "close"})) from None
            has_more = message.get("more_body", False)
            total += len(message.get("body", b""))
            if total > self._settings.max_upload_bytes:
                raise _BodyRefusedError(self._too_large())
            return message

        return receive_limited


def refused(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    """Return the answer to a request that is refused."""
    return JSONResponse({"error": text}, status, headers)


def _name_of(host: str) -> str:
    """Return a Host header without its port."""
    if host.startswith("["):
        return host[: host.find("]") + 1]
    return host.split(":", 1)[0]
