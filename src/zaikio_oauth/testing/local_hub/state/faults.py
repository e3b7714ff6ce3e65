"""The faults that a local Hub simulates on demand."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

__all__ = ["Fault", "Faults"]

_TRICKLE_SECONDS = 0.1
_BROKEN_JSON = '{"access_token": "trunc'


@dataclass(slots=True)
class Fault:
    """A planned fault; see LocalHub.fail."""

    target: str
    times: int | None = 1
    status: int | None = None
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    latency: float = 0.0
    broken_json: bool = False
    disconnect: bool = False
    trickle: bool = False

    async def response(self) -> Response | None:
        """Wait for ``latency``, then return the faulty response, or None if the usual one follows."""
        if self.latency:
            await asyncio.sleep(self.latency)
        if self.disconnect:
            return _TruncatedResponse()
        if self.trickle:
            return _TricklingResponse()
        if self.broken_json:
            return self._respond(_BROKEN_JSON)
        if isinstance(self.body, str):
            return self._respond(self.body, "text/html")
        if self.body is not None:
            return self._respond(json.dumps(self.body))
        return None if self.status is None else self._respond("")

    def _respond(self, text: str, media_type: str = "application/json") -> Response:
        return Response(text, self.status or 200, dict(self.headers), media_type=media_type)


class _TruncatedResponse(Response):
    """A response shorter than its Content-Length, so that the server closes the connection in the middle of it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": _BROKEN_JSON.encode()})


class _TricklingResponse(Response):
    """A response that goes on byte by byte, until the client is gone."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        for byte in itertools.chain(_BROKEN_JSON.encode(), itertools.repeat(ord("."))):
            await send({"type": "http.response.body", "body": bytes([byte]), "more_body": True})
            with suppress(TimeoutError):
                async with asyncio.timeout(_TRICKLE_SECONDS):
                    await receive()
                    # The request has been read, so this was its end.
                    return


class Faults:
    """The planned faults, newest first. Thread-safe: tests change them while the Hub is serving."""

    def __init__(self) -> None:
        self._planned: list[Fault] = []
        self._lock = threading.Lock()

    def plan(self, fault: Fault) -> None:
        """Plan a fault. It comes before the ones that were planned earlier."""
        with self._lock:
            self._planned.insert(0, fault)

    @property
    def planned(self) -> int:
        """The number of faults that are still planned."""
        with self._lock:
            return len(self._planned)

    def clear(self) -> None:
        """Cancel all planned faults."""
        with self._lock:
            self._planned.clear()

    def take(self, path: str, grant_type: str | None) -> Fault | None:
        """Return the fault planned for this request, and count it."""
        with self._lock:
            for fault in self._planned:
                if fault.target != grant_type and not (fault.target.startswith("/") and path.startswith(fault.target)):
                    continue
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self._planned.remove(fault)
                return fault
        return None
