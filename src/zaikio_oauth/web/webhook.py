"""The ``webhook`` route: Loom, the Hub's event bus, tells what has been revoked."""

from __future__ import annotations

import asyncio
import hmac
import logging
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from zaikio_oauth.resource_server.revocation_list import loom_signature, revoked_by_event
from zaikio_oauth.web.hooks import Parts
from zaikio_oauth.web.login_flow import path_client
from zaikio_oauth.web.responses import not_found, private, refused
from zaikio_oauth.web.routes import add_routes

__all__ = ["Webhook"]

LARGEST_EVENT = 64 * 1024
PATIENCE = 0.7
"""Seconds until Loom is asked to deliver again; it waits for one second."""

log = logging.getLogger("zaikio_oauth")


class Webhook:
    """Receives Loom's events (Hub documentation, "Revocation"). Repeated and unordered ones are harmless."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        # Kept until they are done: an event that is answered late is still worked on.
        self._working: set[asyncio.Task[None]] = set()

    def router(self, **options: Any) -> APIRouter:
        """A router of this route."""
        router = APIRouter(**options)
        add_routes(router, "POST", "/webhook", self.receive, "zaikio_webhook")
        return router

    async def receive(self, request: Request) -> Response:
        """Receive an event of the Zaikio Hub; 401 when its signature is not right."""
        client = self.parts.settings.clients.get(path_client(request) or self.parts.current_client_name)
        if client is None or client.webhook_secret is None:
            raise not_found("There is no webhook for such a client.")
        body = await _body(request)
        signature = request.headers.get("x-loom-signature", "")
        expected = loom_signature(body, client.webhook_secret.get_secret_value())
        if not hmac.compare_digest(signature.encode("latin-1"), expected.encode()):
            raise refused(401, "The signature is not right.")
        try:
            jti = revoked_by_event(body)
        except (ValueError, RecursionError):
            raise refused(400, "This is not an event.") from None
        if jti is not None:
            await self._mark(jti)
        return private(Response(status_code=200))

    async def _mark(self, jti: str) -> None:
        marking = asyncio.create_task(self.parts.mark_revoked([jti]))
        self._working.add(marking)
        marking.add_done_callback(self._working.discard)
        try:
            await asyncio.wait_for(asyncio.shield(marking), PATIENCE)
        except TimeoutError:
            # The store is slow: Loom shall come back, whatever becomes of this one.
            raise refused(503, "Please deliver this event again.") from None


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_EVENT:
            raise refused(413, "This event is too large to be one.")
    return bytes(body)
