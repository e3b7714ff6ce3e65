"""The ``webhook`` route: Loom, the Hub's event bus, delivers events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from zaikio_oauth.errors import ZaikioOAuthError
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
            await self._in_time(self._revoke(jti))
        return private(Response(status_code=200))

    async def _in_time(self, work: Coroutine[Any, Any, bool]) -> None:
        """Do the work; raises a 503 if it has failed or is late. Late work goes on, and is finished at shutdown."""
        task = self.site.runtime.background.start(work)
        done, _ = await asyncio.wait([task], timeout=WEBHOOK_DEADLINE)
        if not done or not task.result():
            # Loom shall deliver the event again, whatever becomes of this attempt.
            raise http_error(503, "Please deliver this event again.")

    async def _revoke(self, jti: str) -> bool:
        """Return True if the revocation is stored; otherwise log why it is not, because nobody may be waiting."""
        try:
            async with self.site.runtime.use() as parts:
                await parts.revocation_list.add([jti])
        except ZaikioOAuthError as error:
            log.warning("An event of the Hub cannot be applied now: %s", error)
        except Exception:
            log.exception("An event of the Hub cannot be applied.")
        else:
            return True
        return False


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_EVENT_BYTES:
                raise http_error(413, "This event is too large.")
    except ClientDisconnect:
        raise http_error(400, "This event is not complete.") from None
    return bytes(body)
