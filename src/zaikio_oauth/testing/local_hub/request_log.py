"""What a local Hub was asked, and the layer around it that writes this down and lets faults happen."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zaikio_oauth.testing.local_hub.faults import suffer
from zaikio_oauth.testing.local_hub.oauth_request import basic_credentials

if TYPE_CHECKING:
    from zaikio_oauth.testing.local_hub.hub import LocalHub

__all__ = ["HubRequest", "Watch"]


@dataclass(frozen=True, slots=True)
class HubRequest:
    """One request that was answered, without its secrets. ``at`` is ``time.monotonic()``."""

    method: str
    path: str
    grant_type: str | None
    status_code: int
    at: float
    client_id: str | None = None


class Watch:
    """Counts the requests and lets faults happen, around everything else (ASGI middleware)."""

    def __init__(self, app: ASGIApp, hub: LocalHub) -> None:
        self._app = app
        self._hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        replayed = await _read(receive)
        grant_type, client_id = await _asked_by(Request(scope, _replay(replayed)))

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                at = time.monotonic()
                made = HubRequest(scope["method"], scope["path"], grant_type, message["status"], at, client_id)
                self._hub.requests.append(made)
            await send(message)

        fault = self._hub.faults.take(scope["path"], grant_type)
        bad = await suffer(fault) if fault else None
        await (bad or self._app)(scope, _replay(replayed), watched)


async def _asked_by(request: Request) -> tuple[str | None, str | None]:
    """The grant type and the client of a request, if it says them."""
    values: dict[str, str] = dict(request.query_params)
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        values |= {name: value for name, value in (await request.form()).items() if isinstance(value, str)}
    basic = basic_credentials(request)
    return values.get("grant_type") or None, (basic[0] if basic else values.get("client_id")) or None


async def _read(receive: Receive) -> list[Message]:
    messages = []
    while True:
        message = await receive()
        messages.append(message)
        if message["type"] != "http.request" or not message.get("more_body"):
            return messages


def _replay(messages: list[Message]) -> Receive:
    waiting = iter(messages)

    async def receive() -> Message:
        return next(waiting, {"type": "http.disconnect"})

    return receive
