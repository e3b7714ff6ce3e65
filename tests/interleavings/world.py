"""Several processes of the library on one database and one Hub, all in one virtual loop.

Real are ``TokenManager``, ``Refresh``, ``Revocation``, ``Issuance``, ``SingleFlight``, ``Lease`` and what reads the
Hub's responses. Ours are the store (see ``stores.py``), each of whose statements is a step, and the Hub, for which a
request is a step when it arrives and another when its response does. A refresh token works once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.data import KEY, PERSON_ID
from tests.interleavings.stores import LEASE, STATEMENT_PATIENCE, Store
from tests.interleavings.virtual_loop import PROCESS, VirtualLoop
from zaikio_oauth import Settings
from zaikio_oauth.hub.http import HubResponse
from zaikio_oauth.hub.roles import Roles
from zaikio_oauth.hub.token_endpoint import TokenEndpoint
from zaikio_oauth.store.access_tokens import TokenSearch
from zaikio_oauth.store.changes import Changes
from zaikio_oauth.store.single_flight import Patience, SingleFlight
from zaikio_oauth.store.token_cache import TokenCache
from zaikio_oauth.tokens.issuance import Issuance
from zaikio_oauth.tokens.lost_grants import LostGrants
from zaikio_oauth.tokens.refresh import Refresh
from zaikio_oauth.tokens.renewal_ahead import RenewalAhead
from zaikio_oauth.tokens.revocation import Revocation
from zaikio_oauth.tokens.stored_grants import StoredGrants
from zaikio_oauth.tokens.telemetry import Telemetry
from zaikio_oauth.tokens.token_manager import TokenManager

HUB_PATIENCE = 1.3 * LEASE
"""How long the Hub takes at most: longer than a lease lives without being renewed."""

SETTINGS = Settings(
    _env_file=None,
    environment="development",
    encryption_keys=[KEY],
    clients={
        "warehouse": {"client_id": "warehouse-id", "client_secret": "s" * 20, "default_scopes": "zaikio.person.r"}
    },
)
SEARCH = TokenSearch("warehouse", "Person", PERSON_ID, ("zaikio.person.r",))
SOON = timedelta(seconds=30)


@dataclass
class Hub:
    """The Hub's side: refresh tokens that work once, access tokens that can be revoked."""

    number: int = 1
    live: set[str] = field(default_factory=lambda: {"refresh-1"})
    access: set[str] = field(default_factory=lambda: {"access-1"})
    refreshes: list[tuple[str, str, bool]] = field(default_factory=list)
    credentials: int = 0

    def token(self, form: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        if form["grant_type"] == "client_credentials":
            self.credentials += 1
            return self._issue(refresh=False)
        spent = form["refresh_token"]
        good = spent in self.live
        self.refreshes.append((PROCESS.get(), spent, good))
        if not good:
            return 400, {"error": "invalid_grant"}
        self.live.discard(spent)
        return self._issue(refresh=True)

    def _issue(self, *, refresh: bool) -> tuple[int, dict[str, Any]]:
        self.number += 1
        self.access.add(f"access-{self.number}")
        bearer = {"id": PERSON_ID, "type": "Person"}
        body = {
            "access_token": f"access-{self.number}",
            "expires_in": 3600,
            "bearer": bearer,
            "audiences": ["warehouse"],
        }
        if refresh:
            self.live.add(f"refresh-{self.number}")
            body["refresh_token"] = f"refresh-{self.number}"
        return 200, body

    def revoke(self, token: str) -> tuple[int, dict[str, Any]]:
        if token not in self.access:
            return 401, {"error": "invalid_token"}
        self.access.discard(token)
        self.live.discard(token.replace("access", "refresh"))
        return 201, {"access_token_id": token}


class Wire:
    """The way of one process to the Hub and back, a step each; stands where ``HubHttp`` does."""

    def __init__(self, hub: Hub, received: dict[str, str]) -> None:
        self._hub = hub
        self._received = received

    async def request(
        self, method: str, path: str, *, data: Mapping[str, str] | None = None, bearer: str | None = None, **_: Any
    ) -> HubResponse:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        await loop.step("revokes at the Hub" if data is None else "asks the Hub", STATEMENT_PATIENCE)
        status, body = self._hub.revoke(bearer or "") if data is None else self._hub.token(data)
        if "access_token" in body:
            self._received[PROCESS.get()] = body["access_token"]
        await loop.step("hears from the Hub", HUB_PATIENCE)
        return HubResponse(status, body, datetime.now(UTC))


class World:
    """One run: a Hub, a store with one grant, and processes."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.hub = Hub()
        self.grant = store.reset()
        self.received: dict[str, str] = {}
        """By process, the token that the Hub has issued to it last: lost if it crashes before that is stored."""

    def process(self) -> Process:
        """Return the library's parts of a new process."""
        http: Any = Wire(self.hub, self.received)
        flights, telemetry = SingleFlight(), Telemetry()
        access_tokens, leases = self.store.access_tokens(), self.store.leases()
        ended_grants = self.store.ended_grants()
        lost_grants = LostGrants(ended_grants, telemetry)
        endpoint, roles = TokenEndpoint(http), Roles(http)
        grants = StoredGrants(access_tokens, TokenCache(0), Changes(0), flights)
        revocation = Revocation(SETTINGS, http, endpoint, grants, ended_grants, flights, telemetry)
        issuance = Issuance(SETTINGS, http, endpoint, roles, grants, revocation, leases, flights, telemetry)
        refresh = Refresh(SETTINGS, endpoint, roles, revocation, grants, leases, flights, telemetry, lost_grants)
        renewals = RenewalAhead(SETTINGS, grants, refresh, issuance, flights, telemetry)
        tokens = TokenManager(SETTINGS, grants, issuance, refresh, renewals, lost_grants)
        return Process(self, tokens, revocation)


@dataclass
class Process:
    """What a caller in one process can do."""

    world: World
    tokens: TokenManager
    revocation: Revocation

    def find_active(self) -> Coroutine[Any, Any, Any]:
        return self.tokens.find_active(self.world.grant, SOON)

    async def renew_ahead(self) -> Any:
        """Show a page with a token that is due, and wait until the renewal in the background has ended."""
        shown = await self.tokens.find_living(self.world.grant, Patience())
        await self.tokens.refresh_grant.flights.drain()
        return shown

    def get(self) -> Coroutine[Any, Any, Any]:
        return self.tokens.get(SEARCH, SOON)

    def log_out(self) -> Coroutine[Any, Any, Any]:
        return self.revocation.log_out(self.world.grant)
