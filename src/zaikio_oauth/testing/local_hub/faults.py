"""Faults on demand: what a Hub does on a bad day."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

__all__ = ["Fault", "Faults"]

_BROKEN_JSON = '{"access_token": "trunc'


@dataclass(slots=True)
class Fault:
    """One kind of bad answer; ``times`` None is for ever, ``status`` None delays and then answers as usual."""

    target: str
    times: int | None = 1
    status: int | None = None
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    latency: float = 0.0
    disconnect: bool = False

    def response(self) -> Response | None:
        """The bad answer; None when it is only late."""
        if self.disconnect:
            return _CutOff()
        if self.status is None:
            return None
        if isinstance(self.body, str):
            kind = "application/json" if self.body == _BROKEN_JSON else "text/html"
            return Response(self.body, self.status, dict(self.headers), media_type=kind)
        text = "" if self.body is None else json.dumps(self.body)
        return Response(text, self.status, dict(self.headers), media_type="application/json")


class _CutOff(Response):
    """An answer that promises more than it sends: the server closes the connection in the middle of it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": _BROKEN_JSON.encode()})


class Faults:
    """The faults that are planned, the newest first. May be changed from another thread than the Hub's."""

    def __init__(self) -> None:
        self._planned: list[Fault] = []
        self._lock = threading.Lock()

    def plan(self, target: str, **options: Any) -> None:
        """Plan one; see LocalHub.fail."""
        if options.pop("broken_json", False):
            options["body"] = _BROKEN_JSON
        if options.get("body") is not None and options.get("status") is None:
            options["status"] = 200
        with self._lock:
            self._planned.insert(0, Fault(target, **options))

    @property
    def planned(self) -> int:
        """How many have not yet happened."""
        with self._lock:
            return len(self._planned)

    def clear(self) -> None:
        """Be a good Hub again."""
        with self._lock:
            self._planned.clear()

    def take(self, path: str, grant_type: str | None) -> Fault | None:
        """The fault that this request meets."""
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


async def suffer(fault: Fault) -> Response | None:
    """Wait as long as the fault says, and give its answer."""
    if fault.latency:
        await asyncio.sleep(fault.latency)
    return fault.response()
