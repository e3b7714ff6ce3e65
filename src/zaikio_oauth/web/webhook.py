"""The ``webhook`` route: Loom, the Hub's event bus, delivers events."""

from __future__ import annotations

import asyncio
import logging

from starlette.requests import Request
from starlette.responses import Response

from zaikio_oauth.hub.event import has_valid_signature, revoked_token_id
from zaikio_oauth.retries_and_waits import WEBHOOK_DEADLINE
from zaikio_oauth.web.responses import http_error, not_found, private
from zaikio_oauth.web.site import Site

__all__ = ["Webhook"]

MAX_EVENT_BYTES = 64 * 1024

log = logging.getLogger("zaikio_oauth")


class Webhook:
    """Receives events (Hub documentation, "Revocation"). Repeated and unordered deliveries are harmless."""

    def __init__(self, site: Site) -> None:
        self.site = site
        # References to tasks that go on although their event was answered already.
        self._late: set[asyncio.Task[None]] = set()

    async def receive(self, request: Request) -> Response:
        """Receive an event of the Zaikio Hub; 401 if its signature is not valid."""
        _, client = self.site.client(request)
        if client.webhook_secret is None:
            raise not_found("This client has no webhook.")
        body = await _body(request)
        signature = request.headers.get("x-loom-signature", "")
        if not has_valid_signature(body, signature, client.webhook_secret.get_secret_value()):
            raise http_error(401, "The signature is not valid.")
        try:
            jti = revoked_token_id(body)
        except ValueError:
            raise http_error(400, "This is not an event.") from None
        if jti is not None:
            await self._revoke(jti)
        return private(Response(status_code=200))

    async def _revoke(self, jti: str) -> None:
        async def add() -> None:
            async with self.site.runtime.use() as parts:
                await parts.revocation_list.add([jti])

        adding = asyncio.create_task(add())
        self._late.add(adding)
        adding.add_done_callback(self._late.discard)
        done, _ = await asyncio.wait([adding], timeout=WEBHOOK_DEADLINE)
        if not done:
            # The database is slow: Loom shall deliver the event again, whatever becomes of this attempt.
            raise http_error(503, "Please deliver this event again.")
        adding.result()


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_EVENT_BYTES:
            raise http_error(413, "This event is too large.")
    return bytes(body)
