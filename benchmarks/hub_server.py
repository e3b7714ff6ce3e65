"""The local Hub in a process of its own: ``python -m benchmarks.hub_server``. It says on stdout where it is.

It also answers ``/benchmark``: it issues tokens without a login, waits before each refresh if it is told to, and says
when it sent its last token.
"""

from __future__ import annotations

import sys
import threading
import time
import uuid
from typing import Any

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from benchmarks.listening import listen
from benchmarks.place import CLIENT_ID, CLIENT_SECRET, SCOPES
from zaikio_oauth.testing import HubApp, LocalHub
from zaikio_oauth.testing.local_hub.state.bearer import Bearer


class ObservedHub:
    """A local Hub that says when it answered."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._hub = LocalHub([HubApp.for_client("warehouse", CLIENT_ID, CLIENT_SECRET)])
        self._hub.auto_consent(self._hub.people[0].id)
        self._answered_at = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["path"] == "/benchmark":
            await JSONResponse(self._do(await Request(scope, receive).json()))(scope, receive, send)
            return

        async def observed(message: Message) -> None:
            await send(message)
            if scope["path"] == "/oauth/access_token" and message["type"] == "http.response.body":
                self._answered_at = time.time()

        await self._hub(scope, receive, observed)

    def _do(self, order: dict[str, Any]) -> Any:
        if app_url := order.get("app_url"):
            self._hub.apps = [HubApp.for_client("warehouse", CLIENT_ID, CLIENT_SECRET, base_urls=[app_url])]
        if "latency" in order:
            self._hub.clear_faults()
            if order["latency"]:
                self._hub.fail("refresh_token", latency=order["latency"], times=None)
        return {
            "answered_at": self._answered_at,
            "refreshes": self._hub.count(grant_type="refresh_token"),
            "grants": [self._grant() for _ in range(order.get("grants", 0))],
        }

    def _grant(self) -> dict[str, str]:
        bearer = Bearer("Person", str(uuid.uuid4()))
        options: dict[str, Any] = {"issuer": self._url, "lifetime": 86_400, "refresh_lifetime": 7 * 86_400}
        issued = self._hub.grants.issue(self._hub.apps[0], bearer, SCOPES, **options)
        return {"token": issued.token, "refresh_token": issued.refresh_token or "", "bearer_id": bearer.id}


def main() -> None:
    """Serve until stdin ends."""
    listening, url = listen()
    server = uvicorn.Server(uvicorn.Config(ObservedHub(url), log_level="critical", lifespan="off", ws="none"))

    def wait() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=wait, daemon=True).start()
    print(url, flush=True)
    server.run(sockets=[listening])


if __name__ == "__main__":
    main()
