"""Every route, with its parameters and its statuses, and the routers that contain them.

An app declares its own pages after our router as often as before it. So a path that is not ours must be passed over
at once: an included router first compares the end of the path.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple
from weakref import WeakSet

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from zaikio_oauth.errors import ConfigurationError
from zaikio_oauth.web.connections import Connections
from zaikio_oauth.web.flow import Callback
from zaikio_oauth.web.session import insecure_cookie
from zaikio_oauth.web.sessions import Sessions
from zaikio_oauth.web.site import Site
from zaikio_oauth.web.subscriptions import Subscriptions
from zaikio_oauth.web.webhook import Webhook

__all__ = ["Routers"]

log = logging.getLogger("zaikio_oauth")

_STATUSES = {
    200: "The event was received",
    302: "On to the Zaikio Hub",
    303: "On to the next page",
    400: "A parameter or the body is malformed",
    401: "The signature is not valid, or the request is a prefetch",
    403: "The request comes from another site",
    404: "No such client, or it is not configured for this",
    413: "The event is too large",
    503: "Deliver the event again",
}

_ORGANIZATION = {"organization_id": "The organization; if it is missing, the person chooses one."}
_START = {
    "origin": "The path of this site to return to.",
    "state": "A state chosen by the app, instead of a fresh one.",
    "lang": "The language of the Hub's pages.",
    "show_signup": "Show the sign-up page first.",
    "force_login": "Ask for the password even if the person is logged in at the Hub.",
    "prompt": "For instance select_account.",
    "prompt_email_confirmation": "Ask the person to confirm their e-mail address first.",
    "login": "A suggested e-mail address.",
    "signup": "false forbids signing up.",
}
_SUBSCRIPTION = {
    "plan": "The plan; if it is missing, the person chooses one.",
    "app_name": "The app to subscribe to, if it is not the client's own.",
    "redirect_uri": "A registered address of this site to return to, instead of connections/approve.",
}


class _Route(APIRoute):
    """A route that tries its regular expression only on a path that ends as its own does."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        # What follows the last parameter is literal, and a prefix or a root path only ever precedes it.
        self.ending = path.rpartition("}")[2]

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["path"].endswith(self.ending):
            return super().matches(scope)
        return Match.NONE, {}


class _Router(APIRouter):
    """A router that answers for all its routes at once if it is included in another one.

    FastAPI asks an included router before its routes. Routes may be added at any time; as long as one of them is of
    another kind, such as a router, FastAPI's own search decides about every path.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(route_class=_Route, **options)
        self._endings: tuple[str, ...] = ()
        self._counted = 0

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if len(self.routes) != self._counted:
            # Every path ends in "".
            self._endings = tuple({getattr(route, "ending", "") for route in self.routes})
            self._counted = len(self.routes)
        if scope["path"].endswith(self._endings):
            return super().matches(scope)
        return Match.NONE, {}


class _Declared(NamedTuple):
    """A route as it is declared below. It also exists below ``/{client_name}``."""

    method: str
    path: str
    endpoint: Callable[[Request], Awaitable[Response]]
    name: str
    statuses: tuple[int, ...]
    """The first one is that of success."""
    parameters: Mapping[str, str] = MappingProxyType({})

    def add_to(self, router: APIRouter) -> None:
        """Add both forms to a router."""
        for prefix, where in (("", {}), ("/{client_name}", {"client_name": "path"})):
            router.add_api_route(
                prefix + self.path,
                self.endpoint,
                methods=[self.method],
                name=self.name,
                tags=["zaikio"],
                response_class=Response,
                status_code=self.statuses[0],
                responses={status: {"description": _STATUSES[status]} for status in self.statuses},
                openapi_extra={
                    "parameters": [
                        *(_parameter(name, place) for name, place in where.items()),
                        *(_parameter(name, "query", text) for name, text in self.parameters.items()),
                    ]
                },
            )


def _parameter(name: str, place: str, description: str | None = None) -> dict[str, Any]:
    parameter = {"name": name, "in": place, "required": place == "path", "schema": {"type": "string"}}
    return parameter | ({"description": description} if description else {})


class Routers:
    """The routers of one ZaikioOAuth. Each of them opens it when the app starts; the last one closes it."""

    def __init__(self, site: Site) -> None:
        self._site = site
        sessions, connections = Sessions(site), Connections(site)
        new, approve, log_out = (302, 400, 401, 404), (303, 302, 404), (303, 403, 404)
        connect, subscribe = _ORGANIZATION | _START, _SUBSCRIPTION | _ORGANIZATION | _START
        self.sessions = self._router(
            _Declared("GET", "/sessions/new", sessions.new, "zaikio_new_session", new, _START),
            _Declared("GET", "/sessions/approve", sessions.approve, "zaikio_approve_session", approve),
            _Declared("DELETE", "/session", sessions.destroy, "zaikio_destroy_session", log_out),
            _Declared("POST", "/session/delete", sessions.destroy, "zaikio_delete_session_form", log_out),
        )
        self.connections = self._router(
            _Declared("GET", "/connections/new", connections.new, "zaikio_new_connection", new, connect),
            _Declared("GET", "/connections/approve", connections.approve, "zaikio_approve_connection", approve),
        )
        self.subscriptions = self._router(
            _Declared(
                "GET",
                "/subscriptions/new",
                Subscriptions(site).new,
                "zaikio_new_subscription",
                new,
                subscribe,
            ),
            needs="connections",
        )
        statuses = (200, 400, 401, 404, 413, 503)
        self.webhook = self._router(
            _Declared("POST", "/webhook", Webhook(site).receive, "zaikio_webhook", statuses),
        )
        self._checked: WeakSet[Starlette] = WeakSet()
        self.all = self._router()
        for router in (self.sessions, self.connections, self.subscriptions, self.webhook):
            # Their routes, not the routers, each of which FastAPI would ask about every page.
            self.all.routes.extend(router.routes)

    def _router(self, *routes: _Declared, needs: Callback | None = None) -> APIRouter:
        router = _Router(lifespan=partial(self._lifespan, needs=needs))
        for route in routes:
            route.add_to(router)
        return router

    def _check_cookie(self, app: Starlette) -> None:
        # Only here the app is known. Each of its routers starts, and one warning is enough.
        production = self._site.runtime.settings.environment == "production"
        if production and app not in self._checked and insecure_cookie(app):
            log.warning(
                "The session cookie is also sent on http; add https_only=True to the app's SessionMiddleware.",
                extra={"zaikio_event": "settings.insecure_cookie"},
            )
        self._checked.add(app)

    @asynccontextmanager
    async def _lifespan(self, app: Starlette, *, needs: Callback | None) -> AsyncIterator[None]:
        if needs and not self._site.is_included(app, needs):
            raise ConfigurationError(f"The app includes no {needs} router of this ZaikioOAuth; include it too.")
        await self._site.runtime.enter()
        self._check_cookie(app)
        try:
            yield
        finally:
            await self._site.runtime.leave()
