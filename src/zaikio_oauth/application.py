"""ZaikioOAuth: one app's connection to the Hub, for its routes, its requests and its workers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from contextvars import ContextVar
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from fastapi import APIRouter

from zaikio_oauth.access_token import AccessToken
from zaikio_oauth.resource_server.bearer_token import BearerToken
from zaikio_oauth.settings import Settings
from zaikio_oauth.store.encryption import Cipher
from zaikio_oauth.tokens.device_authorization import DeviceAuthorization
from zaikio_oauth.tokens.issuance import Issuance
from zaikio_oauth.tokens.runtime import Runtime
from zaikio_oauth.tokens.telemetry import Listener, Telemetry
from zaikio_oauth.tokens.token_manager import DEFAULT_VALID_FOR, TokenManager
from zaikio_oauth.web.bearer_dependency import IncomingBearerToken
from zaikio_oauth.web.dependencies import CurrentAccessToken, OptionalAccessToken
from zaikio_oauth.web.hooks import AfterApprove, AfterDestroy, Hooks, Locale, OnError, VerifyState
from zaikio_oauth.web.router import Routers

__all__ = ["AroundAuth", "ZaikioOAuth"]

log = logging.getLogger("zaikio_oauth")

AroundAuth = Callable[[AccessToken], AbstractAsyncContextManager[Any]]


class ZaikioOAuth:
    """Everything that connects one app to the Zaikio Hub; several may live in one process.

    ``settings`` default to the environment (``ZAIKIO_…``). The hooks may be sync or async:
    ``after_approve(request, access_token, origin)``, ``after_destroy(request, access_token_id)`` and
    ``on_error(request, error)`` give a path or a Response; ``verify_state(request, state)`` vouches for
    a state that was minted elsewhere; ``locale(request)`` names the language for the Hub's pages;
    ``around_auth(access_token)`` is an async context manager around every ``with_auth`` body;
    ``on_token_event(event)`` hears of every token obtained, refreshed, revoked, refused or cleaned up.
    ``engine_options`` go to SQLAlchemy's engine, such as ``{"pool_size": 20}``.

    In a FastAPI app ``router`` opens and closes it; elsewhere ``async with ZaikioOAuth(settings) as
    zaikio:`` does. Raises ConfigurationError.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        around_auth: AroundAuth | None = None,
        after_approve: AfterApprove | None = None,
        after_destroy: AfterDestroy | None = None,
        on_error: OnError | None = None,
        verify_state: VerifyState | None = None,
        locale: Locale | None = None,
        on_token_event: Listener | None = None,
        engine_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.hooks = Hooks(after_approve, after_destroy, on_error, verify_state, locale)
        self.around_auth = around_auth
        self.telemetry = Telemetry(on_token_event)
        self.engine_options = dict(engine_options or {})
        self.flow_cipher = Cipher(self.settings.plain_encryption_keys, purpose="zaikio_oauth flow cookie")
        self.current_access_token = CurrentAccessToken(self)
        self.optional_access_token = OptionalAccessToken(self)
        self.bearer_token = IncomingBearerToken(self)
        self._routers = Routers(self)
        self._client_name: ContextVar[str | None] = ContextVar("zaikio_oauth_client_name", default=None)
        # Connections belong to the event loop that opened them, so there is one runtime per loop.
        self._runtimes: dict[asyncio.AbstractEventLoop, asyncio.Task[Runtime]] = {}
        if former := self.settings.former_scopes:
            log.warning("The Hub's own app is called zaikio now, not directory; write %s anew.", ", ".join(former))

    def __repr__(self) -> str:
        return f"<ZaikioOAuth {self.settings.environment} {self.settings.host} {sorted(self.settings.clients)}>"

    # --- routers --------------------------------------------------------------------------------------

    @property
    def router(self) -> APIRouter:
        """All routes; ``app.include_router(zaikio.router, prefix="/zaikio")`` brings start-up and shutdown along."""
        return self._routers.all

    @property
    def sessions_router(self) -> APIRouter:
        """Only the ``sessions`` routes: log in and out."""
        return self._routers.sessions

    @property
    def connections_router(self) -> APIRouter:
        """Only the ``connections`` routes: install for an organization."""
        return self._routers.connections

    @property
    def subscriptions_router(self) -> APIRouter:
        """Only the ``subscriptions`` route; needs the connections router beside it."""
        return self._routers.subscriptions

    @property
    def webhook_router(self) -> APIRouter:
        """Only the ``webhook`` route: Loom's events."""
        return self._routers.webhook

    # --- open and close -------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Connect; raises ConfigurationError when the database cannot be used."""
        runtime = await self._runtime()
        runtime.users += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Finish what is under way, and disconnect when the last one leaves."""
        runtime = await self._runtime()
        runtime.users -= 1
        if runtime.users <= 0:
            await runtime.aclose()

    def opened(self) -> Self:
        """This object, to be entered for as long as it is needed."""
        return self

    async def tokens(self) -> TokenManager:
        """The token manager of the running event loop; opened if nothing else has."""
        return (await self._runtime()).tokens

    async def issuance(self) -> Issuance:
        """What gets new tokens, for the running event loop; opened if nothing else has."""
        return (await self._runtime()).issuance

    async def _runtime(self) -> Runtime:
        loop = asyncio.get_running_loop()
        opening = self._runtimes.get(loop)
        if opening is None or (opening.done() and (opening.cancelled() or opening.exception())):
            runtime = Runtime(
                self.settings, self.telemetry, self.engine_options, on_close=lambda: self._runtimes.pop(loop, None)
            )
            opening = self._runtimes[loop] = loop.create_task(runtime.open())
        return opening.result() if opening.done() else await asyncio.shield(opening)

    # --- tokens ---------------------------------------------------------------------------------------

    @property
    def current_client_name(self) -> str:
        """The client used where none is named: that of ``with_client``, else the first configured one."""
        return self._client_name.get() or self.settings.default_client_name

    @contextmanager
    def with_client(self, client_name: str) -> Iterator[None]:
        """Make this the default client in the current context; raises UnknownClientError."""
        self.settings.client(client_name)
        reset = self._client_name.set(client_name)
        try:
            yield
        finally:
            self._client_name.reset(reset)

    async def find_usable_access_token(
        self,
        *,
        bearer_type: str,
        bearer_id: str,
        client_name: str | None = None,
        requested_scopes: Iterable[str] = (),
        valid_for: timedelta | float = DEFAULT_VALID_FOR,
    ) -> AccessToken | None:
        """The newest stored token valid that long whose requested scopes include these, or None; asks no Hub."""
        tokens = await self.tokens()
        return await tokens.find_usable_access_token(
            client_name=client_name or self.current_client_name,
            bearer_type=bearer_type,
            bearer_id=bearer_id,
            requested_scopes=requested_scopes,
            valid_for=valid_for,
        )

    async def find_active_access_token(
        self,
        id: str | None,  # noqa: A002 (the public name)
        valid_for: timedelta | float = DEFAULT_VALID_FOR,
    ) -> AccessToken | None:
        """That token, refreshed if it must be; None if it is gone, revoked or past refreshing.

        Raises HubUnavailableError when it must be refreshed and cannot be now.
        """
        return await (await self.tokens()).find_active_access_token(id, valid_for)

    async def get_access_token(
        self,
        *,
        bearer_id: str,
        bearer_type: str = "Person",
        client_name: str | None = None,
        scopes: Iterable[str] | None = None,
        valid_for: timedelta | float = DEFAULT_VALID_FOR,
    ) -> AccessToken:
        """A token stored and valid that long, else a refreshed one, else one by client credentials.

        ``scopes`` default to the client's, by the bearer's type. Raises BearerDoesNotExistError,
        InvalidScopesError, OAuthError, HubUnavailableError, InvalidResponseError, UnknownClientError,
        and ConfigurationError for a client that may not use client credentials.
        """
        tokens = await self.tokens()
        return await tokens.get_access_token(
            client_name=client_name or self.current_client_name,
            bearer_type=bearer_type,
            bearer_id=bearer_id,
            scopes=scopes,
            valid_for=valid_for,
        )

    @asynccontextmanager
    async def with_auth(
        self,
        access_token: AccessToken | None = None,
        *,
        bearer_id: str | None = None,
        bearer_type: str = "Person",
        client_name: str | None = None,
        scopes: Iterable[str] | None = None,
        valid_for: timedelta | float = DEFAULT_VALID_FOR,
    ) -> AsyncIterator[AccessToken]:
        """Give the body this token, or the one that ``get_access_token`` finds, inside ``around_auth``."""
        if access_token is None:
            if bearer_id is None:
                raise TypeError("with_auth() needs an AccessToken or bearer_id=")
            access_token = await self.get_access_token(
                bearer_id=bearer_id,
                bearer_type=bearer_type,
                client_name=client_name,
                scopes=scopes,
                valid_for=valid_for,
            )
        async with self.around_auth(access_token) if self.around_auth else nullcontext():
            yield access_token

    async def refresh(self, token: AccessToken) -> AccessToken:
        """This grant's next token, one request to the Hub however many ask; the id stays.

        Raises InvalidGrantError when the grant is gone, HubUnavailableError when it cannot be asked.
        """
        return await (await self.tokens()).refresh(token)

    async def revoke(self, token: AccessToken) -> None:
        """Revoke the token at the Hub and forget it here; forgotten also when that raises HubUnavailableError."""
        await (await self.tokens()).revoke(token)

    async def get_fresh_access_token(
        self,
        refused: AccessToken,
        *,
        bearer_id: str,
        bearer_type: str = "Person",
        client_name: str | None = None,
        scopes: Iterable[str] | None = None,
        valid_for: timedelta | float = DEFAULT_VALID_FOR,
    ) -> AccessToken:
        """Another token than this one, which an API has refused; one request however many were refused with it.

        Otherwise as ``get_access_token``.
        """
        return await (await self.tokens()).get_fresh_access_token(
            refused,
            client_name=client_name or self.current_client_name,
            bearer_type=bearer_type,
            bearer_id=bearer_id,
            scopes=scopes,
            valid_for=valid_for,
        )

    async def delegate(self, token: AccessToken, *, client_id: str, scopes: Iterable[str]) -> AccessToken:
        """A new token with a part of this one's permissions, for the subsystem's app with that ``client_id``.

        It is stored under that app's audience and cannot be delegated or refreshed; the token it comes from needs
        ``zaikio.delegations.rw``, and is refreshed first if need be. Asks the Hub each time. Raises
        InvalidScopesError for a token that is delegated itself and for scopes that are not to be had,
        InvalidGrantError for one that is no longer stored, ConfigurationError for a client without a secret,
        OAuthError, HubUnavailableError, InvalidResponseError (Hub documentation, "Delegation").
        """
        runtime = await self._runtime()
        active = token
        if token.delegated_from is None:
            active = await runtime.tokens.still_active(token)
        return await runtime.issuance.delegate(active, client_id=client_id, scopes=scopes)

    async def start_device_authorization(
        self, client_name: str | None = None, scopes: Iterable[str] | None = None
    ) -> DeviceAuthorization:
        """Codes for a device without a browser, whose person lets it in elsewhere; then ``await .wait()`` (RFC 8628).

        ``scopes`` default to the client's, and may be an organization's (``Org.…``) or on behalf of one
        (``Per>Org.…``). Raises OAuthError, InvalidScopesError, HubUnavailableError, InvalidResponseError,
        UnknownClientError, and ConfigurationError for a client without scopes.
        """
        name = client_name or self.current_client_name
        response, wanted = await (await self.issuance()).authorize_device(name, scopes)
        return DeviceAuthorization(response, client_name=name, scopes=wanted, issuance=self.issuance)

    async def verify_bearer_token(self, token: str) -> BearerToken:
        """What a token says that came in otherwise than in a request's header; in a route use ``bearer_token``.

        Checks signature, issuer, time, audience and revocation. Raises InvalidTokenError, and HubUnavailableError
        when the Hub's keys cannot be had.
        """
        return await (await self._runtime()).resource_server.verify(token)

    async def mark_revoked(self, jtis: Collection[str]) -> None:
        """Refuse the access tokens of these ids (``jti``), as the webhook does."""
        await (await self._runtime()).revocations.mark(jtis)

    async def cleanup_access_tokens(self) -> int:
        """Delete, in small batches, what can never be used again; how many tokens there were."""
        return await (await self._runtime()).housekeeping.cleanup()

    async def rotate_encryption_keys(self) -> int:
        """Re-encrypt, in batches, what is not under the first key; how many tokens there were.

        May be stopped and run again. Raises DecryptionError, after all others, for a row that no key fits.
        """
        return await (await self._runtime()).housekeeping.rotate_encryption_keys()
