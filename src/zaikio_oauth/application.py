"""ZaikioOAuth: makes the parts, opens and closes them. The only place that knows all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from contextvars import ContextVar
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from fastapi import APIRouter

from zaikio_oauth.access_token import AccessToken
from zaikio_oauth.cipher import Cipher
from zaikio_oauth.housekeeping import Housekeeping
from zaikio_oauth.hub.http import HubHttp
from zaikio_oauth.revocations import Revocations
from zaikio_oauth.settings import Settings
from zaikio_oauth.store.database import Database
from zaikio_oauth.store.lease import LeaseRepository
from zaikio_oauth.store.repository import AccessTokenRepository, StoredToken
from zaikio_oauth.store.revocations import RevocationRepository
from zaikio_oauth.store.used_flows import UsedFlowRepository
from zaikio_oauth.telemetry import Listener, Telemetry
from zaikio_oauth.token_cache import TokenCache
from zaikio_oauth.token_manager import DEFAULT_VALID_FOR, TokenManager
from zaikio_oauth.web.dependencies import CurrentAccessToken, OptionalAccessToken
from zaikio_oauth.web.parts import AfterApprove, AfterDestroy, Hooks, Locale, OnError, VerifyState
from zaikio_oauth.web.router import Routers

__all__ = ["AroundAuth", "ZaikioOAuth"]

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
        self.flow_cipher = Cipher(_keys(self.settings), purpose="zaikio_oauth flow cookie")
        self.current_access_token = CurrentAccessToken(self)
        self.optional_access_token = OptionalAccessToken(self)
        self._routers = Routers(self)
        self._client_name: ContextVar[str | None] = ContextVar("zaikio_oauth_client_name", default=None)
        # Connections belong to the event loop that opened them, so there is one runtime per loop.
        self._runtimes: dict[asyncio.AbstractEventLoop, asyncio.Task[_Runtime]] = {}

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

    async def _runtime(self) -> _Runtime:
        loop = asyncio.get_running_loop()
        opening = self._runtimes.get(loop)
        if opening is None or (opening.done() and (opening.cancelled() or opening.exception())):
            opening = self._runtimes[loop] = loop.create_task(
                _Runtime.open(self, on_close=lambda: self._runtimes.pop(loop, None))
            )
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


class _Runtime:
    """What is open for one event loop."""

    def __init__(self, zaikio: ZaikioOAuth, on_close: Callable[[], object]) -> None:
        settings, telemetry = zaikio.settings, zaikio.telemetry
        self.database = Database(settings.database_url, _keys(settings), **zaikio.engine_options)
        self.http = HubHttp(settings.host)
        self.users = 0
        cache: TokenCache[StoredToken] = TokenCache(settings.cache_ttl)
        access_tokens, leases = AccessTokenRepository(self.database), LeaseRepository(self.database)
        revocations = RevocationRepository(self.database)
        self.tokens = TokenManager(
            settings,
            http=self.http,
            access_tokens=access_tokens,
            leases=leases,
            used_flows=UsedFlowRepository(self.database),
            cache=cache,
            telemetry=telemetry,
        )
        self.revocations = Revocations(http=self.http, repository=revocations, cache=cache, telemetry=telemetry)
        self.housekeeping = Housekeeping(
            access_tokens=access_tokens,
            revocations=revocations,
            leases=leases,
            telemetry=telemetry,
        )
        self._on_close = on_close
        self._keeper: AsyncGenerator[None, None] | None = None
        self._fetching: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, zaikio: ZaikioOAuth, on_close: Callable[[], object]) -> _Runtime:
        """Connect to the store; raises ConfigurationError."""
        runtime, settings = cls(zaikio, on_close), zaikio.settings
        auto_migrate = settings.sqlite if settings.auto_migrate is None else settings.auto_migrate
        try:
            await runtime.database.open(auto_migrate=auto_migrate)
        except BaseException:
            await runtime.http.aclose()
            raise
        # A script that never closes us: the loop closes its open generators when it ends.
        runtime._keeper = runtime._closed_with_the_loop()
        await anext(runtime._keeper)
        runtime._fetching = asyncio.create_task(runtime.revocations.keep_fetching())
        return runtime

    async def aclose(self) -> None:
        """Finish what is under way, then disconnect; once."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            await keeper.aclose()

    async def _closed_with_the_loop(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self._on_close()
            if self._fetching is not None:
                self._fetching.cancel()
                await asyncio.wait([self._fetching])
            await self.tokens.drain()
            await self.http.aclose()
            await self.database.aclose()


def _keys(settings: Settings) -> tuple[str, ...]:
    return tuple(key.get_secret_value() for key in settings.encryption_keys)
