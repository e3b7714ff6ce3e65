"""ZaikioOAuth, the public face: one app's connection to the Hub, for its routes, its requests and its workers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack

from fastapi import APIRouter

from zaikio_oauth.access_token import DEFAULT_VALID_FOR, AccessToken, BearerType, Secret, as_timedelta
from zaikio_oauth.resource_server.bearer_token import BearerToken
from zaikio_oauth.settings import Settings
from zaikio_oauth.tokens.auth_context import AroundAuth, AuthContext
from zaikio_oauth.tokens.device_authorization import DeviceAuthorization
from zaikio_oauth.tokens.maintenance import Maintenance
from zaikio_oauth.tokens.runtime import Runtime
from zaikio_oauth.tokens.telemetry import Listener
from zaikio_oauth.web.bearer_dependency import BearerDependency
from zaikio_oauth.web.dependencies import CurrentAccessToken, OptionalAccessToken
from zaikio_oauth.web.hooks import AfterApprove, AfterDestroy, Hooks, Locale, OnError, OnEvent, VerifyState
from zaikio_oauth.web.router import Routers
from zaikio_oauth.web.site import Site

__all__ = ["ZaikioOAuth", "default", "runtime_of"]


class Options(TypedDict, total=False):
    """What ``configure`` and ``ZaikioOAuth`` take besides the settings; ``configure`` explains each option."""

    around_auth: AroundAuth | None
    after_approve: AfterApprove | None
    after_destroy: AfterDestroy | None
    on_error: OnError | None
    verify_state: VerifyState | None
    locale: Locale | None
    on_token_event: Listener | None
    on_event: OnEvent | None
    engine_options: Mapping[str, Any] | None


class ZaikioOAuth(Maintenance):
    """One app's connection to the Zaikio Hub. Several may exist in one process.

    It takes what ``configure`` takes. Settings that are not given are read from the environment (``ZAIKIO_…``) when
    they are first needed: when the app starts, or at the first call.

    In a FastAPI app, ``router`` opens and closes it. A long-lived worker uses ``async with``; a script needs neither,
    because everything is closed when its event loop ends.

        zaikio = ZaikioOAuth(Settings(environment="sandbox"))
        app.include_router(zaikio.router, prefix="/zaikio")
        CurrentToken = Annotated[AccessToken, Depends(zaikio.current_access_token)]
    """

    def __init__(self, settings: Settings | None = None, **options: Unpack[Options]) -> None:
        super().__init__(Runtime())
        self._site = Site(self._runtime)
        self._routers = Routers(self._site)
        self.current_access_token: CurrentAccessToken = CurrentAccessToken(self._site)
        self.optional_access_token: OptionalAccessToken = OptionalAccessToken(self._site)
        self.bearer_token: BearerDependency = BearerDependency(self._site)
        self.configure(settings, **options)

    def configure(self, settings: Settings | None = None, **options: Unpack[Options]) -> Self:
        """Replace the whole configuration, from the next request or call on, and return the object itself.

        ``settings``: if None, the environment (``ZAIKIO_…``) is read when they are first needed.
        ``after_approve(request, access_token, origin)``: the path or Response that follows a login or connection.
        ``after_destroy(request, access_token_id)``: the path or Response that follows a logout.
        ``on_error(request, error)``: the path or Response that follows a failure; also called if a person cancels.
        ``verify_state(request, state)``: True if the app itself issued a state that we do not know.
        ``locale(request)``: the language for the Hub's pages; by default the browser's.
        ``around_auth(access_token)``: a context manager, sync or async, around every ``with_auth`` body.
        ``on_token_event(event)``: is called with a TokenEvent whenever something has happened to a token.
        ``on_event(event)``: is called once with each HubEvent that Loom delivers to the webhook. Loom waits a
        second, so longer work belongs in a queue. If it raises, Loom delivers the event again.
        ``engine_options``: further arguments for SQLAlchemy's engine, such as ``{"pool_size": 20}``.

        Every hook may be sync or async. If ``after_approve`` raises, the new grant is revoked and nobody is logged in.
        What is open for the former configuration stays open until everybody who is inside ``async with`` or a running
        app has left. Raises TypeError for other arguments.

            configure(Settings(base_url="https://app.example.com"), locale=lambda request: "de")
            app.include_router(zaikio_router, prefix="/zaikio")
        """
        if unknown := options.keys() - Options.__annotations__:
            raise TypeError(f"configure() and ZaikioOAuth() do not take {', '.join(sorted(unknown))}")
        if settings is not None and not isinstance(settings, Settings):
            raise TypeError(f"settings has to be an instance of Settings, not {type(settings).__name__}")
        self._runtime.configure(settings, options.get("on_token_event"), options.get("engine_options"))
        self._site.hooks = Hooks(
            after_approve=options.get("after_approve"),
            after_destroy=options.get("after_destroy"),
            on_error=options.get("on_error"),
            verify_state=options.get("verify_state"),
            locale=options.get("locale"),
            on_event=options.get("on_event"),
        )
        self._around_auth = options.get("around_auth")
        return self

    def __repr__(self) -> str:
        settings = self._runtime.settings_read
        if settings is None:
            return "<ZaikioOAuth, settings not read yet>"
        return f"<ZaikioOAuth {settings.environment} {settings.host} {sorted(settings.clients)}>"

    @property
    def settings(self) -> Settings:
        """The settings, read from the environment now if necessary; raises ConfigurationError."""
        return self._runtime.settings

    # --- routers ----------------------------------------------------------------------------------------

    @property
    def router(self) -> APIRouter:
        """All routes, for ``app.include_router(zaikio.router, prefix="/zaikio")``; opens and closes the object."""
        return self._routers.all

    @property
    def sessions_router(self) -> APIRouter:
        """Only the ``sessions`` routes: log in and out."""
        return self._routers.sessions

    @property
    def connections_router(self) -> APIRouter:
        """Only the ``connections`` routes: install the app for an organization."""
        return self._routers.connections

    @property
    def subscriptions_router(self) -> APIRouter:
        """Only the ``subscriptions`` route, which needs the connections router as well."""
        return self._routers.subscriptions

    @property
    def webhook_router(self) -> APIRouter:
        """Only the ``webhook`` route: events of the Hub."""
        return self._routers.webhook

    # --- open and close ---------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Connect; raises ConfigurationError, or StoreUnavailableError if the database does not come up in time."""
        await self._runtime.enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Finish what is under way and disconnect, unless somebody else is still inside."""
        await self._runtime.leave()

    # --- tokens -----------------------------------------------------------------------------------------

    def with_client(self, client_name: str) -> AbstractContextManager[None]:
        """Return a context manager that makes ``client_name`` the default client in the current task or thread.

        Raises UnknownClientError when it is entered.

            with with_client("kiosk"):
                token = await get_access_token(bearer_id=person_id)
        """
        return self._runtime.with_client(client_name)

    def with_auth(
        self,
        access_token: AccessToken | None = None,
        *,
        bearer_id: str | None = None,
        bearer_type: BearerType = "Person",
        client_name: str | None = None,
        scopes: str | Iterable[str] | None = None,
        valid_for: timedelta | float = DEFAULT_VALID_FOR,
    ) -> AuthContext:
        """Give the body of ``async with``, or of ``with`` in sync code, an access token, inside ``around_auth``.

        ``access_token``: the token to use. Without it, the arguments of ``get_access_token`` say which one to get:
        ``bearer_id`` (the UUID), ``bearer_type`` (``"Person"`` or ``"Organization"``), ``client_name`` (by default that
        of ``with_client``, else the default client), ``scopes`` (by default the client's) and ``valid_for`` (how much
        longer the token must be valid, a ``timedelta`` or seconds).

        Raises TypeError without ``access_token`` and ``bearer_id``, RuntimeError for ``with`` in a thread whose event
        loop is running, and what ``get_access_token`` raises: BearerDoesNotExistError, InvalidScopesError, OAuthError,
        HubUnavailableError, InvalidResponseError, StoreUnavailableError, UnknownClientError, ConfigurationError.

            async with with_auth(bearer_type="Organization", bearer_id=organization_id) as access_token:
                headers = {"Authorization": f"Bearer {access_token.token}"}
                await client.get("https://hub.zaikio.com/api/v1/organization", headers=headers)
        """
        if access_token is None and bearer_id is None:
            raise TypeError("with_auth() needs an AccessToken or bearer_id=")

        async def find() -> AccessToken:
            if access_token is not None:
                return access_token
            return await self.get_access_token(
                bearer_id=bearer_id or "",
                bearer_type=bearer_type,
                client_name=client_name,
                scopes=scopes,
                valid_for=valid_for,
            )

        return AuthContext(find, around_auth=lambda: self._around_auth)

    async def get_access_token(
        self,
        *,
        bearer_id: str,
        bearer_type: BearerType = "Person",
        client_name: str | None = None,
        scopes: str | Iterable[str] | None = None,
        valid_for: timedelta | float = DEFAULT_VALID_FOR,
    ) -> AccessToken:
        """Return an access token: the stored one, else a refreshed one, else a new one from client credentials.

        ``bearer_id``: the UUID of the person or organization. ``bearer_type``: ``"Person"`` or ``"Organization"``.
        ``client_name``: by default that of ``with_client``, else the default client.
        ``scopes``: what the token must include; by default the client's scopes for that type of bearer.
        ``valid_for``: how much longer the token must be valid, a ``timedelta`` or seconds.

        However many tasks and processes ask, the Hub gets one request. Raises BearerDoesNotExistError,
        InvalidScopesError, OAuthError, HubUnavailableError, InvalidResponseError, StoreUnavailableError,
        UnknownClientError, ConfigurationError for a client without a secret, which cannot use client credentials
        (RFC 6749 §4.4, §6), and ValueError or TypeError for a malformed ``bearer_type`` or ``bearer_id``.

            token = await get_access_token(bearer_type="Organization", bearer_id=organization_id, valid_for=600)
            response = await client.get(url, headers={"Authorization": f"Bearer {token.token}"})
        """
        search = self._runtime.search(client_name, bearer_type, bearer_id, scopes)
        async with self._runtime.use() as parts:
            return await parts.tokens.get(search, as_timedelta(valid_for))

    async def find_usable_access_token(
        self,
        *,
        bearer_type: BearerType,
        bearer_id: str,
        client_name: str | None = None,
        requested_scopes: str | Iterable[str] = (),
        valid_for: timedelta | float = DEFAULT_VALID_FOR,
    ) -> AccessToken | None:
        """Return the newest stored token that fits, without asking the Hub; None if there is none.

        ``bearer_type``, ``bearer_id``, ``client_name`` and ``valid_for`` are as in ``get_access_token``.
        ``requested_scopes``: what must have been requested for the token. A stored token that no key decrypts is logged
        and passed over. Raises UnknownClientError, StoreUnavailableError.

            token = await find_usable_access_token(bearer_type="Person", bearer_id=person_id)
            if token is None:
                return "log in first"
        """
        search = self._runtime.search(client_name, bearer_type, bearer_id, requested_scopes)
        async with self._runtime.use() as parts:
            return await parts.tokens.find_usable(search, as_timedelta(valid_for))

    async def find_active_access_token(
        self,
        id: str | None,  # noqa: A002 (the public name)
        valid_for: timedelta | float = DEFAULT_VALID_FOR,
    ) -> AccessToken | None:
        """Return the token with this ``id``, refreshed if necessary; None if it is gone, revoked or not refreshable.

        ``id``: an ``AccessToken.id``, such as ``session["zaikio_access_token_id"]``; None gives None.
        ``valid_for``: how much longer the token must be valid, a ``timedelta`` or seconds.
        Raises HubUnavailableError, OAuthError or InvalidResponseError if it has to be refreshed and that fails now,
        StoreUnavailableError, and DecryptionError.

            token = await find_active_access_token(request.session.get("zaikio_access_token_id"))
            if token is None:
                return RedirectResponse("/login")
        """
        async with self._runtime.use() as parts:
            return await parts.tokens.find_active(id, as_timedelta(valid_for))

    async def refresh(self, token: AccessToken) -> AccessToken:
        """Return the next token of this grant, whose ``id`` stays the same (RFC 6749 §6).

        However many tasks and processes ask, the Hub gets one request. Raises InvalidGrantError if the grant is gone or
        the Hub no longer accepts its refresh token, HubUnavailableError, OAuthError, InvalidResponseError,
        StoreUnavailableError, DecryptionError.

            token = await refresh(token)
            print(token.expires_at)
        """
        async with self._runtime.use() as parts:
            return await parts.tokens.refresh(token)

    async def revoke(self, token: AccessToken) -> None:
        """Delete the grant and revoke its token at the Hub (Hub documentation, "Revocation").

        What is stored now is revoked, even if ``token`` is from before a refresh; so is ``token`` while it is valid.
        Waits for 5 seconds at most; after that, the work continues in the background. Raises HubUnavailableError,
        OAuthError or InvalidResponseError if the Hub did not revoke it (the grant is deleted nevertheless), and
        StoreUnavailableError if the grant could not be deleted.

            token = await find_active_access_token(access_token_id)
            if token is not None:
                await revoke(token)
        """
        async with self._runtime.use() as parts:
            await parts.revocation.revoke(token)

    async def delegate(self, token: AccessToken, *, client_id: str, scopes: str | Iterable[str]) -> AccessToken:
        """Return a new token with some of the scopes of this one, for a subsystem's app.

        ``token``: one with the scope ``zaikio.delegations.rw``; it is refreshed first if necessary. ``client_id``: that
        of the subsystem's app. ``scopes``: those to delegate.

        The new token is stored under that app's audience. It cannot be delegated or refreshed, and each call requests
        another one, so keep its ``id``. Raises InvalidScopesError for a token that was delegated itself or scopes that
        cannot be delegated, InvalidGrantError for a token that is no longer stored, ConfigurationError for a client
        without a secret, OAuthError, HubUnavailableError, InvalidResponseError, StoreUnavailableError, DecryptionError
        (Hub documentation, "Delegation").

            part = await delegate(token, client_id=subsystem, scopes=["zaikio.sites.r"])
            store(part.id)
        """
        async with self._runtime.use() as parts:
            return await parts.tokens.delegate(token, client_id=client_id, scopes=scopes)

    async def start_device_authorization(
        self, client_name: str | None = None, scopes: str | Iterable[str] | None = None
    ) -> DeviceAuthorization:
        """Request codes for a device without a browser, whose person authorizes it elsewhere (RFC 8628).

        ``client_name``: by default that of ``with_client``, else the default client. ``scopes``: by default the
        client's; they may be an organization's (``Org.…``) or on behalf of one (``Per>Org.…``).
        Raises OAuthError, InvalidScopesError, HubUnavailableError, InvalidResponseError, UnknownClientError, and
        ConfigurationError for a client without scopes.

            device = await start_device_authorization(client_name="kiosk")
            print(f"Open {device.verification_uri} and enter {device.user_code}")
            access_token = await device.wait()
        """
        name = client_name or self._runtime.client_name
        async with self._runtime.use() as parts:
            response, requested = await parts.issuance.device_authorization(name, scopes)
        return DeviceAuthorization(response, client_name=name, scopes=requested, runtime=self._runtime)

    async def verify_bearer_token(self, token: str) -> BearerToken:
        """Verify a bearer token that did not arrive in the header of a request (RFC 6750).

        ``token``: the JWT. Signature, issuer, time, audience and revocation are checked. In a route, use
        the dependency ``bearer_token`` instead. Raises InvalidTokenError, HubUnavailableError if the Hub's keys cannot
        be fetched, and StoreUnavailableError if the database cannot be used.

            token = await verify_bearer_token(message["token"])
            print(token.subject_id, token.scopes)
        """
        token = Secret(token)
        async with self._runtime.use() as parts:
            return await parts.verification.verify(token)


def runtime_of(zaikio: ZaikioOAuth) -> Runtime:
    """Return what a ZaikioOAuth runs on, for the modules beside this one."""
    return zaikio._runtime  # noqa: SLF001 (not part of the public face, but of this module)


default: ZaikioOAuth = ZaikioOAuth()
"""The process's default ZaikioOAuth; its members are the names of the package."""
