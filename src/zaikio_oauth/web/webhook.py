"""The ``webhook`` route: Loom, the Hub's event bus, delivers events."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Coroutine
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from zaikio_oauth.errors import ZaikioOAuthError
from zaikio_oauth.hub.event import HubEvent, has_valid_signature, parse_event, revoked_token_id
from zaikio_oauth.settings.retries_and_waits import LOOM_PATIENCE, SIGNATURE_WARNING_PAUSE, WEBHOOK_DEADLINE
from zaikio_oauth.web.hooks import called
from zaikio_oauth.web.responses import http_error, not_found, private
from zaikio_oauth.web.site import Site

__all__ = ["Webhook"]

MAX_EVENT_BYTES = 64 * 1024

log = logging.getLogger("zaikio_oauth")


class Webhook:
    """Receives events (Hub documentation, "Revocation"). Repeated and unordered deliveries are harmless.

    A revocation is applied first; then the hook ``on_event`` is called, as for every other event.
    """

    def __init__(self, site: Site) -> None:
        self.site = site
        self._warned: dict[str, float] = {}

    async def receive(self, request: Request) -> Response:
        """Receive an event of the Zaikio Hub; 401 if its signature is not valid."""
        client_name, client = self.site.client(request)
        if not client.webhook_secret:
            raise not_found("This client has no webhook.")
        body = await _body(request)
        signature = request.headers.get("x-loom-signature", "")
        if not has_valid_signature(body, signature, client.plain_webhook_secrets):
            self._warn_of_signature(client_name)
            raise http_error(401, "The signature is not valid.")
        try:
            event = parse_event(body)
            jti = revoked_token_id(event)
        except ValueError:
            raise http_error(400, "This is not an event.") from None
        if jti is None and self.site.hooks.on_event is None:
            log.info(
                "The Hub's event %s has no effect: there is no hook on_event.",
                event.name,
                extra={"zaikio_event": "webhook.no_hook", "zaikio_event_name": event.name},
            )
        else:
            await self._in_time(self._deal_with(client_name, event, jti))
        return private(Response(status_code=200))

    def _warn_of_signature(self, client_name: str) -> None:
        # Strangers decide how many forged events come; a wrong secret shows in one line a minute as well.
        now = time.monotonic()
        if now - self._warned.get(client_name, -math.inf) >= SIGNATURE_WARNING_PAUSE:
            self._warned[client_name] = now
            log.warning(
                "An event for the client %s has a wrong signature. If all of the Hub's events are refused, "
                "compare the client's webhook_secret with the app's shared secret at the Hub.",
                client_name,
                extra={"zaikio_event": "webhook.wrong_signature", "zaikio_client_name": client_name},
            )

    async def _in_time(self, work: Coroutine[Any, Any, bool]) -> None:
        """Do the work; raises a 503 if it has failed or is late. Late work goes on, and is finished at shutdown."""
        clock = asyncio.get_running_loop().time
        started = clock()
        task = self.site.runtime.background.start(work)
        done, _ = await asyncio.wait([task], timeout=WEBHOOK_DEADLINE)
        # A hook that is not async may have kept us from noticing that it is late.
        late = clock() - started > LOOM_PATIENCE
        if not done or late or task.cancelled() or not task.result():
            # Loom should deliver the event again, whatever becomes of this attempt.
            raise http_error(503, "Please deliver this event again.")

    async def _deal_with(self, client_name: str, event: HubEvent, jti: str | None) -> bool:
        """Return True if that has succeeded; otherwise log why it has not, because nobody may be waiting."""
        hook = self.site.hooks.on_event
        try:
            async with self.site.runtime.use() as parts:
                if jti is not None:
                    await parts.revocation_list.add([jti])
                if hook is None:
                    return True

                async def call() -> None:
                    # The event does not say to which client it was sent.
                    with self.site.runtime.with_client(client_name):
                        await called(hook, event)

                return await parts.event_inbox.once(client_name, event.id, call)
        except ZaikioOAuthError as error:
            log.warning(
                "An event of the Hub cannot be applied now: %s",
                error,
                extra={"zaikio_event": "webhook.unavailable", "zaikio_event_id": event.id},
            )
        except Exception:
            log.exception(
                "An event of the Hub cannot be applied.",
                extra={"zaikio_event": "webhook.failed", "zaikio_event_id": event.id},
            )
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
