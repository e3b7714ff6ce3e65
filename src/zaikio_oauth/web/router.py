"""Every route, and the routers that contain them. ``web/operation`` describes them for OpenAPI.

An app declares its own pages after our router as often as before it. So a path that is not ours must be passed over
at once: an included router first compares the end of the path.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
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
from zaikio_oauth.web.operation import OPERATIONS
from zaikio_oauth.web.session import insecure_cookie, lacks_session
from zaikio_oauth.web.sessions import Sessions
from zaikio_oauth.web.site import Site
from zaikio_oauth.web.subscriptions import Subscriptions
from zaikio_oauth.web.webhook import Webhook

__all__ = ["Routers"]

log = logging.getLogger("zaikio_oauth")


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

    def add_to(self, router: APIRouter) -> None:
        """Add both forms to a router."""
        for prefix in ("", "/{client_name}"):
            path = prefix + self.path
            described = OPERATIONS[self.name].options(self.name, path, of_client=bool(prefix))
            router.add_api_route(
                path, self.endpoint, methods=[self.method], name=self.name, response_class=Response, **described
            )


class Routers:
    """The routers of one ZaikioOAuth. Each of them opens it when the app starts; the last one closes it."""

    def __init__(self, site: Site) -> None:
        self._site = site
        sessions, connections = Sessions(site), Connections(site)
        self.sessions: APIRouter = self._router(
            _Declared("GET", "/sessions/new", sessions.new, "zaikio_new_session"),
            _Declared("GET", "/sessions/approve", sessions.approve, "zaikio_approve_session"),
            _Declared("DELETE", "/session", sessions.destroy, "zaikio_destroy_session"),
            _Declared("POST", "/session/delete", sessions.destroy, "zaikio_delete_session_form"),
        )
        self.connections: APIRouter = self._router(
            _Declared("GET", "/connections/new", connections.new, "zaikio_new_connection"),
            _Declared("GET", "/connections/approve", connections.approve, "zaikio_approve_connection"),
        )
        self.subscriptions: APIRouter = self._router(
            _Declared("GET", "/subscriptions/new", Subscriptions(site).new, "zaikio_new_subscription"),
            needs="connections",
        )
        self.webhook: APIRouter = self._router(
            _Declared("POST", "/webhook", Webhook(site).receive, "zaikio_webhook"),
            session=False,
        )
        self._checked: WeakSet[Starlette] = WeakSet()
        self.all: APIRouter = self._router()
        for router in (self.sessions, self.connections, self.subscriptions, self.webhook):
            # Their routes, not the routers, each of which FastAPI would ask about every page.
            self.all.routes.extend(router.routes)

    def _router(self, *routes: _Declared, needs: Callback | None = None, session: bool = True) -> APIRouter:
        router = _Router(lifespan=partial(self._lifespan, needs=needs, session=session))
        for route in routes:
            route.add_to(router)
        return router

    def _check_session(self, app: Starlette) -> None:
        # Only here the app is known. Each of its routers starts, and one warning is enough.
        if app in self._checked:
            return
        self._checked.add(app)
        if lacks_session(app):
            log.warning(
                "The app seems to have no session, without which nobody can log in; add to it: "
                "app.add_middleware(SessionMiddleware, secret_key=…)  # from starlette.middleware.sessions",
                extra={"zaikio_event": "settings.no_session"},
            )
        elif self._site.runtime.settings.environment == "production" and insecure_cookie(app):
            log.warning(
                "The session cookie is also sent on http; add https_only=True to the app's SessionMiddleware.",
                extra={"zaikio_event": "settings.insecure_cookie"},
            )

    @asynccontextmanager
    async def _lifespan(self, app: Starlette, *, needs: Callback | None, session: bool) -> AsyncIterator[None]:
        if needs and not self._site.is_included(app, needs):
            raise ConfigurationError(f"The app includes no {needs} router of this ZaikioOAuth; include it too.")
        await self._site.runtime.enter()
        if session:
            self._check_session(app)
        try:
            yield
        finally:
            await self._site.runtime.leave()
