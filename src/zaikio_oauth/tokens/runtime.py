"""What a ZaikioOAuth has open in one event loop: the parts, made and put together, opened and closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Self

from zaikio_oauth.hub.http import HubHttp
from zaikio_oauth.hub.roles import Roles
from zaikio_oauth.hub.signing_keys import Jwks
from zaikio_oauth.hub.token_endpoint import TokenEndpoint
from zaikio_oauth.resource_server.revocation_list import Revocations
from zaikio_oauth.resource_server.verification import ResourceServer
from zaikio_oauth.settings import Settings
from zaikio_oauth.store.access_tokens import AccessTokenRepository, StoredToken
from zaikio_oauth.store.database import Database
from zaikio_oauth.store.leases import LeaseRepository
from zaikio_oauth.store.revoked_tokens import RevocationRepository
from zaikio_oauth.store.single_flight import SingleFlight
from zaikio_oauth.store.token_cache import TokenCache
from zaikio_oauth.store.used_flows import UsedFlowRepository
from zaikio_oauth.tokens.housekeeping import Housekeeping
from zaikio_oauth.tokens.issuance import Issuance
from zaikio_oauth.tokens.telemetry import Telemetry, TokenEvent
from zaikio_oauth.tokens.token_manager import TokenManager

__all__ = ["Runtime"]


class Runtime:
    """What is open for one event loop."""

    def __init__(
        self,
        settings: Settings,
        telemetry: Telemetry,
        engine_options: Mapping[str, Any],
        on_close: Callable[[], object],
    ) -> None:
        self._auto_migrate = settings.sqlite if settings.auto_migrate is None else settings.auto_migrate
        self.database = Database(settings.database_url, settings.plain_encryption_keys, **engine_options)
        self.http = HubHttp(settings.host)
        self.users = 0
        self.flights = SingleFlight()
        self.jwks, self.roles = Jwks(self.http), Roles(self.http)
        cache: TokenCache[StoredToken] = TokenCache(settings.cache_ttl)
        access_tokens, leases = AccessTokenRepository(self.database), LeaseRepository(self.database)
        revocations = RevocationRepository(self.database)
        token_endpoint = TokenEndpoint(self.http)
        self.issuance = Issuance(
            settings,
            http=self.http,
            token_endpoint=token_endpoint,
            roles=self.roles,
            access_tokens=access_tokens,
            leases=leases,
            cache=cache,
            flights=self.flights,
            telemetry=telemetry,
        )
        self.tokens = TokenManager(
            settings,
            http=self.http,
            token_endpoint=token_endpoint,
            roles=self.roles,
            issuance=self.issuance,
            access_tokens=access_tokens,
            leases=leases,
            used_flows=UsedFlowRepository(self.database),
            cache=cache,
            flights=self.flights,
            telemetry=telemetry,
        )
        self.revocations = Revocations(
            http=self.http,
            repository=revocations,
            cache=cache,
            cache_ttl=settings.cache_ttl,
            on_marked=lambda count: telemetry.tell(TokenEvent("revoked", count=count)),
        )
        self.resource_server = ResourceServer(settings, jwks=self.jwks, roles=self.roles, revocations=self.revocations)
        self.housekeeping = Housekeeping(
            access_tokens=access_tokens,
            revocations=revocations,
            leases=leases,
            telemetry=telemetry,
        )
        self._on_close = on_close
        self._keeper: AsyncGenerator[None, None] | None = None
        self._fetching: asyncio.Task[None] | None = None

    async def open(self) -> Self:
        """Connect to the store; raises ConfigurationError."""
        try:
            await self.database.open(auto_migrate=self._auto_migrate)
        except BaseException:
            await self.http.aclose()
            raise
        # A script that never closes us: the loop closes its open generators when it ends.
        self._keeper = self._closed_with_the_loop()
        await anext(self._keeper)
        self._fetching = self.revocations.keep_fetching()
        return self

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
            # So that a shutdown loses no token.
            await self.flights.drain()
            await self.jwks.aclose()
            await self.roles.aclose()
            await self.http.aclose()
            await self.database.aclose()
