"""Refreshes the connections whose refresh tokens would die soon, because nobody has used them for days."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from zaikio_oauth.access_token import BearerType
from zaikio_oauth.errors import HubUnavailableError, StoreUnavailableError, ZaikioOAuthError
from zaikio_oauth.settings import Settings
from zaikio_oauth.settings.retries_and_waits import KEEP_ALIVE_AT_ONCE, KEEP_ALIVE_GIVES_UP, KEEP_ALIVE_WITHIN
from zaikio_oauth.store.single_flight import Patience
from zaikio_oauth.tokens.connection import Connection, ConnectionList
from zaikio_oauth.tokens.lost_grants import LostGrants
from zaikio_oauth.tokens.refresh import Refresh
from zaikio_oauth.tokens.stored_grants import StoredGrants
from zaikio_oauth.tokens.telemetry import Telemetry

__all__ = ["KeepAlive", "KeptAlive"]

OnFailure = Callable[[Connection, ZaikioOAuthError], object]
OnRefreshed = Callable[[int], object]

log = logging.getLogger("zaikio_oauth")


@dataclass(slots=True)
class KeptAlive:
    """What one run has done: how many connections were refreshed, and for how many that has failed."""

    on_failure: OnFailure | None = None
    on_refreshed: OnRefreshed | None = None
    refreshed: int = 0
    failed: int = 0
    unanswered: int = 0
    """How many failed one after the other because the Hub or the database did not answer."""

    @property
    def gave_up(self) -> bool:
        """True if nothing answers."""
        return self.unanswered >= KEEP_ALIVE_GIVES_UP


@dataclass(frozen=True, slots=True, eq=False)
class KeepAlive:
    """Refreshes a few connections at a time; may run anywhere, at any time, and several times at once."""

    settings: Settings
    connections: ConnectionList
    grants: StoredGrants
    refresh_grant: Refresh
    lost_grants: LostGrants
    telemetry: Telemetry

    async def run(self, on_failure: OnFailure | None = None, on_refreshed: OnRefreshed | None = None) -> KeptAlive:
        """Refresh what has to be; raises StoreUnavailableError if the connections cannot be read.

        ``on_failure`` hears of each connection that is not kept alive, and why; ``on_refreshed``, after each that is,
        of how many they are so far.

        A failure of one does not stop the rest, unless the Hub does not answer at all: then the next run, a day later,
        is still in time.
        """
        await self.lost_grants.lose_all_over(datetime.now(UTC))
        done, gate = KeptAlive(on_failure, on_refreshed), asyncio.Semaphore(KEEP_ALIVE_AT_ONCE)
        async for page in self._pages():
            await asyncio.gather(*(self._keep(connection, gate, done) for connection in page))
            if done.gave_up:
                log.warning(
                    "Nothing answers; the rest of the connections is left for the next keep-alive.",
                    extra={"zaikio_event": "keep_alive.gave_up"},
                )
                break
        return done

    async def _pages(self) -> AsyncIterator[list[Connection]]:
        bearer_type: BearerType
        for client_name in self.settings.clients:
            for bearer_type in ("Organization", "Person"):
                after = ""
                while page := await self.connections.page(client_name, bearer_type, after):
                    yield [each for each in page if each.dies_within(KEEP_ALIVE_WITHIN)]
                    after = page[-1].bearer_id

    async def _keep(self, connection: Connection, gate: asyncio.Semaphore, done: KeptAlive) -> None:
        async with gate:
            if not done.gave_up:
                await self._refresh(connection, done)

    async def _refresh(self, connection: Connection, done: KeptAlive) -> None:
        try:
            refreshed = await self._refreshed(connection)
        except ZaikioOAuthError as error:
            done.failed += 1
            log.warning(
                "Access token %s is not kept alive: %s",
                connection.access_token_id,
                error,
                extra={"zaikio_event": "keep_alive.failed", "zaikio_access_token_id": connection.access_token_id},
            )
            if isinstance(error, HubUnavailableError | StoreUnavailableError):
                done.unanswered += 1
            self.telemetry.tell_unanswered(
                error,
                connection.client_name,
                access_token_id=connection.access_token_id,
                bearer_type=connection.bearer_type,
                bearer_id=connection.bearer_id,
            )
            if done.on_failure is not None:
                done.on_failure(connection, error)
        else:
            done.refreshed += refreshed
            done.unanswered = 0
            if refreshed and done.on_refreshed is not None:
                done.on_refreshed(done.refreshed)

    async def _refreshed(self, connection: Connection) -> bool:
        """Refresh it, unless somebody else has since it was read, or it is gone."""
        stored = await self.grants.get(connection.access_token_id)
        if stored is None:
            return False
        ends = stored.access_token.refresh_expires_at
        if ends is None or ends - datetime.now(UTC) > KEEP_ALIVE_WITHIN:
            return False
        await self.refresh_grant(stored, Patience())
        return True
