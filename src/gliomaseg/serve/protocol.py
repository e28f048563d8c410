"""The connection of a client, which ends if the client stalls: uvicorn itself waits without a limit."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol


def stall_limited(stall_s: float) -> type[H11Protocol]:
    """Return the protocol for uvicorn: it ends connections whose client sends no request, or takes no answer.

    A body that stalls is the matter of `Security`, which can still answer.

    Args:
        stall_s: seconds without a byte, at most.
    """

    class StallLimited(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._received_s = self.loop.time()
            self._paused_s: float | None = None
            self._end_if_stalled()

        def data_received(self, data: bytes) -> None:
            self._received_s = self.loop.time()
            super().data_received(data)

        def pause_writing(self) -> None:
            self._paused_s = self.loop.time()
            super().pause_writing()

        def resume_writing(self) -> None:
            self._paused_s = None
            super().resume_writing()

        def _end_if_stalled(self) -> None:
            now = self.loop.time()
            waits = self.cycle is None or self.cycle.response_complete  # for the first byte or the rest of a header
            if (waits and now - self._received_s > stall_s) or (
                self._paused_s is not None and now - self._paused_s > stall_s
            ):
                self.transport.abort()
            elif not self.transport.is_closing():
                self.loop.call_later(stall_s / 4, self._end_if_stalled)

    return StallLimited
