"""The ``connections`` routes: an organization installs the app."""

from __future__ import annotations

import re
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.access_token import AccessToken
from zaikio_oauth.web.hooks import Parts
from zaikio_oauth.web.login_flow import AuthorizationCode
from zaikio_oauth.web.responses import refused
from zaikio_oauth.web.routes import START_PARAMETERS, add_routes, query_parameter

__all__ = ["Connections", "identifier"]

# What becomes part of a scope must not be able to write further ones.
_IDENTIFIER = re.compile(r"\A[A-Za-z0-9_-]{1,64}\Z")
ORGANIZATION_ID = query_parameter("organization_id", "The organization; the person chooses one when it is missing.")


class Connections:
    """Connects an organization by the redirect flow; logs nobody in."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._flow = AuthorizationCode(parts, "connections")

    def router(self, **options: Any) -> APIRouter:
        """A router of these routes."""
        router = APIRouter(**options)
        parameters = [ORGANIZATION_ID, *START_PARAMETERS]
        add_routes(router, "GET", "/connections/new", self.new, "zaikio_new_connection", parameters)
        add_routes(router, "GET", "/connections/approve", self.approve, "zaikio_approve_connection")
        return router

    async def new(self, request: Request) -> Response:
        """Send the browser to the Zaikio Hub to connect an organization."""
        _, client = self._flow.client(request)
        prefix = scope_rules.bearer_prefix("Organization", identifier(request, "organization_id"))
        return self._flow.start(request, scope_rules.with_prefix(client.organization_scopes, prefix))

    async def approve(self, request: Request) -> Response:
        """Take the browser back from the Zaikio Hub, and keep the organization's token."""
        return await self._flow.approve(request, _accept)


def _accept(request: Request, token: AccessToken) -> None:
    """Nobody is logged in by a connection."""


def identifier(request: Request, name: str) -> str | None:
    """A parameter that becomes part of a scope; 400 when it holds what an id or a name does not."""
    value = request.query_params.get(name)
    if not value:
        return None
    if not _IDENTIFIER.match(value):
        raise refused(400, f"{name} may hold only letters, digits, - and _, at most 64.")
    return value
