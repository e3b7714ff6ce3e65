"""LocalHub: a Zaikio Hub for development and tests."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from zaikio_oauth.settings import Settings, variables
from zaikio_oauth.testing.local_hub.pages import Pages
from zaikio_oauth.testing.local_hub.recorder import Recorder
from zaikio_oauth.testing.local_hub.routes.accounts import AccountRoutes
from zaikio_oauth.testing.local_hub.routes.api import ApiRoutes
from zaikio_oauth.testing.local_hub.routes.authorization import AuthorizationRoutes
from zaikio_oauth.testing.local_hub.routes.consent import ConsentPage
from zaikio_oauth.testing.local_hub.routes.delegation import DelegationRoutes
from zaikio_oauth.testing.local_hub.routes.device import DeviceRoutes
from zaikio_oauth.testing.local_hub.routes.grant_types import GrantTypes
from zaikio_oauth.testing.local_hub.routes.home import HomeRoutes
from zaikio_oauth.testing.local_hub.state.directory import BASE_URLS, HubApp
from zaikio_oauth.testing.local_hub.state.hub_state import HubState

__all__ = ["LocalHub"]


class LocalHub(HubState):
    """A complete Zaikio Hub in one object: an ASGI app with the Hub's pages, grants, keys and API.

    ``apps`` defaults to one app named ``warehouse`` whose callbacks below ``/zaikio`` are registered for
    ``http://localhost:8000``, ``http://127.0.0.1:8000`` and ``http://testserver``. ``clock`` returns seconds
    since the epoch. The lifetimes and ``device_interval`` are in seconds. They may be changed at any time, as
    may ``expires_in_format`` (``seconds``, ``string``, ``iso8601``), ``opaque_tokens`` and ``withheld_scopes``
    (scopes that are left out of every grant).

    ``people_file``: a JSON file with the people, and their organizations. ``auto_consent``: the id or e-mail address of
    the person who grants every request without a page. ``state_file``: where keys, grants and tokens are kept, so that
    a restart logs nobody out; it contains secrets, and only its owner can read it. ``keys_of``: another LocalHub, with
    whose keys this one signs; new ones take about 50 ms to make, which adds up if each test has a Hub of its own.
    Raises ConfigurationError for a file that cannot be used, and in ``production``.

        hub = LocalHub.for_settings(settings)
        hub.auto_consent(person_id)
        client = httpx.AsyncClient(transport=httpx.ASGITransport(hub), base_url="http://hub.zaikio.test")
    """

    def __repr__(self) -> str:
        return f"<LocalHub {[app.name for app in self.apps]}>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        await self._app(scope, receive, send)

    @classmethod
    def for_settings(
        cls, settings: Any, base_urls: Iterable[str] = BASE_URLS, prefix: str = "/zaikio", **options: Any
    ) -> LocalHub:
        """Return a Hub with every client of the settings registered, and its callbacks for each base URL."""
        urls = tuple(base_urls)
        apps = [
            HubApp.for_client(
                name,
                client.client_id,
                client.client_secret.get_secret_value() if client.client_secret else None,
                base_urls=urls,
                prefix=prefix,
            )
            for name, client in settings.clients.items()
        ]
        return cls(apps, environment=settings.environment, **options)

    @classmethod
    def configured(cls, base_urls: Iterable[str] = BASE_URLS, prefix: str = "/zaikio", **options: Any) -> LocalHub:
        """Return a Hub with the clients of the environment and ``.env``; if there are none, with the app ``warehouse``.

        The arguments are those of ``for_settings``. Raises ConfigurationError.
        """
        if any(name.startswith("ZAIKIO_CLIENTS") for name in variables()):
            return cls.for_settings(Settings(), base_urls, prefix, **options)
        hub, urls = cls(**options), tuple(base_urls)
        hub.apps = [
            HubApp.for_client(app.name, app.client_id, app.client_secret, base_urls=urls, prefix=prefix)
            for app in hub.apps
        ]
        return hub

    @cached_property
    def _app(self) -> Starlette:
        # Built when it is first needed, so that HubState alone declares the arguments of a Hub. Two threads
        # that serve their first requests at the same instant may build two: everything they share is state.
        pages = Pages(self.browser_sessions)
        accounts, consent = AccountRoutes(self, pages), ConsentPage(self, pages)
        parts = (
            HomeRoutes(self, pages),
            accounts,
            AuthorizationRoutes(self, pages, accounts, consent),
            GrantTypes(self),
            DeviceRoutes(self, pages, accounts, consent),
            DelegationRoutes(self),
            ApiRoutes(self),
        )
        routes = [route for part in parts for route in part.routes()]
        return Starlette(
            routes=[*routes, Route("/favicon.ico", pages.icon)],
            middleware=[Middleware(Recorder, state=self)],
            exception_handlers={HTTPException: pages.http_error},
        )
