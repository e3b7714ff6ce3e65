"""The middleware around a local Hub's app."""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zaikio_oauth.testing.local_hub.routes.oauth_request import basic_credentials
from zaikio_oauth.testing.local_hub.state.hub_request import HubRequest
from zaikio_oauth.testing.local_hub.state.hub_state import HubState

__all__ = ["Recorder"]


class Recorder:
    """Records every request and simulates the planned faults (ASGI middleware)."""

    def __init__(self, app: ASGIApp, state: HubState) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        messages = await _read(receive)
        grant_type, client_id = await _grant_type_and_client_id(Request(scope, _replay(messages)))

        async def recorded(message: Message) -> None:
            if message["type"] == "http.response.start":
                at = time.monotonic()
                made = HubRequest(scope["method"], scope["path"], grant_type, message["status"], at, client_id)
                self._state.requests.append(made)
                # Before the response: a refresh token that an app has received must not be lost.
                self._state.save()
            await send(message)

        fault = self._state.faults.take(scope["path"], grant_type)
        if fault and (faulty := await fault.response()):
            await faulty(scope, receive, recorded)
        else:
            await self._app(scope, _replay(messages), recorded)


async def _grant_type_and_client_id(request: Request) -> tuple[str | None, str | None]:
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
