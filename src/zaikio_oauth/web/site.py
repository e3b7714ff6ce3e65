"""One ZaikioOAuth as its routes and dependencies see it, and one request as its routes understand it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from urllib.parse import quote

from cryptography.fernet import MultiFernet
from starlette.applications import Starlette
from starlette.requests import Request

from zaikio_oauth.settings import ClientSettings, Settings
from zaikio_oauth.tokens.runtime import Runtime
from zaikio_oauth.web.flow import Callback
from zaikio_oauth.web.flow_cookie import FlowCookies, flow_fernet
from zaikio_oauth.web.hooks import Hooks, called
from zaikio_oauth.web.logout import Logout
from zaikio_oauth.web.messages import is_language, preferred_language
from zaikio_oauth.web.responses import not_found
from zaikio_oauth.web.return_address import PublicAddress, named_routes, route_path

__all__ = ["Site", "Visit"]

log = logging.getLogger("zaikio_oauth")

_APPROVE: dict[Callback, str] = {"sessions": "zaikio_approve_session", "connections": "zaikio_approve_connection"}


@dataclass(frozen=True, slots=True)
class Visit:
    """A request to one of our routes, understood once: for which client, at which address, with which flows.

    ``callback`` is the kind of route to which its flow returns, ``approve_path`` the path of that route within the app.
    ``path_client`` is the client's name if it is in the path. ``base`` is the path below which all our routes are,
    empty if that is the whole app.
    """

    request: Request
    callback: Callback
    client_name: str
    client: ClientSettings
    path_client: str | None
    address: PublicAddress
    base: str
    approve_path: str
    cookies: FlowCookies

    @property
    def redirect_uri(self) -> str:
        """The address to which the Hub sends the browser back (RFC 6749 §3.1.2)."""
        return self.address.url(self.approve_path)

    @property
    def callback_path(self) -> str:
        """The path of that address, as the browser sees it."""
        return self.address.path(self.approve_path)

    def safe_origin(self, value: object) -> str | None:
        """Return the path of this site to which the person returns, or None for anything that leads elsewhere."""
        return self.address.safe_origin(value, self.address.path(self.base))


class Site:
    """What a ZaikioOAuth runs on, and the app's hooks. ``configure`` replaces the hooks."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.hooks: Hooks = Hooks()
        self.logout: Logout = Logout(runtime)
        self._fernet: tuple[Settings, MultiFernet] | None = None

    def client(self, request: Request) -> tuple[str, ClientSettings]:
        """Return the client that the path names, else the default one; raises a 404 if it is not configured."""
        name = path_client(request) or self.runtime.client_name
        client = self.runtime.settings.clients.get(name)
        if client is None:
            raise not_found("There is no such client.")
        return name, client

    def visit(self, request: Request, path: str, callback: Callback) -> Visit:
        """Understand a request to the route of ours that ends in ``path``; raises a 404 for what the app does not have.

        ``callback`` is where its flow returns to. Only for a route of another kind the app's routes are searched.
        """
        name, client = self.client(request)
        if callback == "connections" and not client.organization_scopes:
            raise not_found("Organizations cannot connect to this client.")
        address = self.address(request)
        in_path = path_client(request)
        suffix = f"/{quote(in_path, safe='')}" if in_path else ""
        base = address.own_path.removesuffix(path).removesuffix(suffix)
        if not path.startswith(f"/{callback}/"):
            base = self._base_of(request, callback, in_path, suffix, beside=base)
        return Visit(
            request=request,
            callback=callback,
            client_name=name,
            client=client,
            path_client=in_path,
            address=address,
            base=base,
            approve_path=f"{base}{suffix}/{callback}/approve",
            cookies=FlowCookies(
                request,
                self._flow_fernet(),
                path=address.path(base or suffix or f"/{callback}"),
                secure=address.secure,
            ),
        )

    def address(self, request: Request) -> PublicAddress:
        """Return the address of the app for this request, by the settings or by the request itself."""
        return PublicAddress(request, self.runtime.settings.base_url)

    async def language(self, request: Request) -> str | None:
        """Return the language of this person, by the hook ``locale`` or by the browser."""
        language = await called(self.hooks.locale, request)
        return language if is_language(language) else preferred_language(request)

    def is_included(self, app: Starlette, callback: Callback) -> bool:
        """Return True if the app includes the route to which flows of this kind return."""
        return any(owner is self or owner is None for _, owner in named_routes(app, _APPROVE[callback]))

    def _base_of(self, request: Request, callback: Callback, in_path: str | None, suffix: str, beside: str) -> str:
        path = route_path(request, _APPROVE[callback], self, in_path, beside=f"{beside}{suffix}/{callback}/approve")
        if path is None:
            log.error(
                "The app includes no route named %s; include the %s router too.",
                _APPROVE[callback],
                callback,
                extra={"zaikio_event": "setup.router_missing"},
            )
            raise not_found(f"This site has no {callback}.")
        return path.removesuffix(f"/{callback}/approve").removesuffix(suffix)

    def _flow_fernet(self) -> MultiFernet:
        settings = self.runtime.settings
        if self._fernet is None or self._fernet[0] is not settings:
            self._fernet = settings, flow_fernet(settings.plain_encryption_keys)
        return self._fernet[1]


def path_client(request: Request) -> str | None:
    """Return the client's name if it is in the path."""
    return request.path_params.get("client_name")
