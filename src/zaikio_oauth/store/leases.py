"""Leases: the exclusive right to do one thing for a while, across processes and hosts.

A lease is a row that its holder keeps renewing. No clock of one host is compared with another's: a waiter that has
seen the same renewal for ``LEASE_SECONDS`` on its own monotonic clock takes the lease over. So a process that dies
blocks the others for that long at most, and a wall clock that jumps changes nothing.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import delete, select, update

from zaikio_oauth.errors import StoreUnavailableError
from zaikio_oauth.settings.retries_and_waits import LEASE_SECONDS
from zaikio_oauth.store.database import Database
from zaikio_oauth.store.single_flight import UninterruptedTask

__all__ = ["Lease", "LeaseRepository"]


@dataclass(frozen=True, slots=True)
class _Holding:
    holder: str
    beat: int


class LeaseRepository:
    """The rows of ``zaikio_leases``."""

    def __init__(self, database: Database) -> None:
        self._statements = database.statements
        self._table = database.tables.leases
        self._insert = database.insert

    def lease(self, key: str) -> Lease:
        """Return a lease on this key that has not been acquired yet."""
        return Lease(self, key)

    async def create(self, key: str, holder: str) -> bool:
        """Insert a lease that nobody holds; return True if that succeeded."""
        statement = (
            self._insert(self._table)
            .values(key=key, holder=holder, beat=0, acquired_at=datetime.now(UTC))
            .on_conflict_do_nothing(index_elements=["key"])
        )
        return bool((await self._statements.run(statement)).rowcount)

    async def read(self, key: str) -> _Holding | None:
        """Return who holds the lease, or None."""
        statement = select(self._table.c.holder, self._table.c.beat).where(self._table.c.key == key)
        row = (await self._statements.run(statement)).first
        return None if row is None else _Holding(row.holder, row.beat)

    async def change(self, key: str, seen: _Holding, to: _Holding) -> bool:
        """Compare and swap; return True if the row was still as ``seen``."""
        statement = (
            update(self._table)
            .where(self._table.c.key == key, self._table.c.holder == seen.holder, self._table.c.beat == seen.beat)
            .values(holder=to.holder, beat=to.beat)
        )
        return bool((await self._statements.run(statement)).rowcount)

    async def renew(self, key: str, holder: str) -> bool:
        """Show the others that this holder is alive; return False if the lease is no longer its own."""
        # Without comparing the beat: after a connection that broke, nobody knows whether the last one was written.
        statement = (
            update(self._table)
            .where(self._table.c.key == key, self._table.c.holder == holder)
            .values(beat=self._table.c.beat + 1)
        )
        return bool((await self._statements.run(statement)).rowcount)

    async def release(self, key: str, holder: str) -> None:
        """Delete the lease if this holder still has it."""
        statement = delete(self._table).where(self._table.c.key == key, self._table.c.holder == holder)
        await self._statements.run(statement)

    async def delete_acquired_before(self, instant: datetime) -> None:
        """Delete what processes left behind that died long ago."""
        await self._statements.run(delete(self._table).where(self._table.c.acquired_at < instant))


class Lease:
    """One caller's view of one lease: try to acquire it, watch it, hold it."""

    def __init__(self, repository: LeaseRepository, key: str, seconds: float = LEASE_SECONDS) -> None:
        self._repository = repository
        self._key = key
        self._seconds = seconds
        self._holder = str(uuid.uuid4())
        self._watched: _Holding | None = None
        self._watched_since = 0.0
        self.taken_over: bool = False

    async def acquire(self) -> bool:
        """Acquire the lease if it is free or its holder has stopped renewing it; return True if that succeeded."""
        if await self._repository.create(self._key, self._holder):
            return True
        seen = await self._repository.read(self._key)
        if seen is not None and seen.holder == self._holder:
            # Written through a connection that broke before it could say so, perhaps over another holder's.
            self.taken_over = True
            return True
        now = asyncio.get_running_loop().time()
        if seen is None or seen != self._watched:
            self._watched, self._watched_since = seen, now
            return False
        if now - self._watched_since < self._seconds:
            return False
        self.taken_over = await self._repository.change(self._key, seen, _Holding(self._holder, 0))
        return self.taken_over

    async def lost(self) -> bool:
        """Return True if another process has taken this lease over and still holds it."""
        now = await self._repository.read(self._key)
        return now is not None and now.holder != self._holder

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Renew the lease while the body runs, then release it."""
        # It has to live as long as the body, which the end of the event loop waits for.
        renewing = UninterruptedTask(self._keep_renewing())
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.wait([renewing])
            # A release that fails costs the others LEASE_SECONDS; the result of the body must not be lost for it.
            with suppress(StoreUnavailableError):
                await self._repository.release(self._key, self._holder)

    async def _keep_renewing(self) -> None:
        while True:
            await asyncio.sleep(self._seconds / 4)
            with suppress(StoreUnavailableError):
                await self._repository.renew(self._key, self._holder)
