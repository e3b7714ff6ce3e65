"""The ``subscriptions`` route: an organization subscribes (Hub documentation, "Subscription redirect flow")."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from zaikio_oauth import scopes as scope_rules
from zaikio_oauth.web.connections import ORGANIZATION_ID, identifier
from zaikio_oauth.web.hooks import Parts
from zaikio_oauth.web.login_flow import AuthorizationCode
from zaikio_oauth.web.routes import START_PARAMETERS, add_routes, query_parameter

__all__ = ["Subscriptions"]

_PARAMETERS = [
    query_parameter("plan", "The plan; the person chooses one when it is missing."),
    query_parameter("app_name", "The app to subscribe to, if it is not the client's own."),
    query_parameter("redirect_uri", "A registered address of this site to return to instead of connections/approve."),
    ORGANIZATION_ID,
    *START_PARAMETERS,
]


class Subscriptions:
    """Starts a subscription; the Hub sends the browser back to ``connections/approve``."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._flow = AuthorizationCode(parts, "connections")

    def router(self, **options: Any) -> APIRouter:
        """A router of this route."""
        router = APIRouter(**options)
        add_routes(router, "GET", "/subscriptions/new", self.new, "zaikio_new_subscription", _PARAMETERS)
        return router

    async def new(self, request: Request) -> Response:
        """Send the browser to the Zaikio Hub to subscribe."""
        self._flow.client(request)
        prefix = scope_rules.bearer_prefix("Organization", identifier(request, "organization_id"))
        app_name, plan = identifier(request, "app_name"), identifier(request, "plan")
        scope = "subscription_create" + (f"_{app_name}" if app_name else "") + (f".{plan}" if plan else "")
        return self._flow.start(request, (f"{prefix}.{scope}",), request.query_params.get("redirect_uri"))
