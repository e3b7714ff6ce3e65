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

from sqlalchemy import bindparam, delete, select, update

from zaikio_oauth.errors import StoreUnavailableError
from zaikio_oauth.settings.retries_and_waits import LEASE_SECONDS
from zaikio_oauth.store.database import Database
from zaikio_oauth.store.single_flight import UninterruptedTask
from zaikio_oauth.store.statements import Bound

__all__ = ["Lease", "LeaseRepository"]


@dataclass(frozen=True, slots=True)
class _Holding:
    holder: str
    beat: int


class LeaseRepository:
    """The rows of ``zaikio_leases``, each of which may be taken over ``seconds`` after it was renewed last."""

    def __init__(self, database: Database, *, seconds: float = LEASE_SECONDS) -> None:
        self.seconds: float = seconds
        self._statements = database.statements
        table = database.tables.leases
        column = table.c
        this, held = column.key == bindparam("this_key"), column.holder == bindparam("this_holder")
        # Built once: to build a statement takes longer than to run it, and each refresh needs three of these.
        self._create = database.insert(table).on_conflict_do_nothing(index_elements=["key"])
        self._read = select(column.holder, column.beat).where(this)
        self._change = update(table).where(this, held, column.beat == bindparam("this_beat"))
        # Without comparing the beat: after a connection that broke, nobody knows whether the last one was written.
        self._renew = update(table).where(this, held).values(beat=column.beat + 1)
        self._release = delete(table).where(this, held)
        self._delete = delete(table).where(column.acquired_at < bindparam("instant", type_=column.acquired_at.type))

    def lease(self, key: str) -> Lease:
        """Return a lease on this key that has not been acquired yet."""
        return Lease(self, key)

    async def create(self, key: str, holder: str) -> bool:
        """Insert a lease that nobody holds; return True if that succeeded."""
        values = {"key": key, "holder": holder, "beat": 0, "acquired_at": datetime.now(UTC)}
        return bool((await self._statements.run(Bound(self._create, values))).rowcount)

    async def read(self, key: str) -> _Holding | None:
        """Return who holds the lease, or None."""
        row = (await self._statements.run(Bound(self._read, {"this_key": key}))).first
        return None if row is None else _Holding(row.holder, row.beat)

    async def change(self, key: str, seen: _Holding, to: _Holding) -> bool:
        """Compare and swap; return True if the row was still as ``seen``."""
        this = {"this_key": key, "this_holder": seen.holder, "this_beat": seen.beat}
        changed = await self._statements.run(Bound(self._change, {**this, "holder": to.holder, "beat": to.beat}))
        return bool(changed.rowcount)

    async def renew(self, key: str, holder: str) -> bool:
        """Show the others that this holder is alive; return False if the lease is no longer its own."""
        renewed = await self._statements.run(Bound(self._renew, {"this_key": key, "this_holder": holder}))
        return bool(renewed.rowcount)

    async def release(self, key: str, holder: str) -> None:
        """Delete the lease if this holder still has it."""
        await self._statements.run(Bound(self._release, {"this_key": key, "this_holder": holder}))

    async def delete_acquired_before(self, instant: datetime) -> None:
        """Delete what processes left behind that died long ago."""
        await self._statements.run(Bound(self._delete, {"instant": instant}))


class Lease:
    """One caller's view of one lease: try to acquire it, watch it, hold it."""

    def __init__(self, repository: LeaseRepository, key: str) -> None:
        self._repository = repository
        self.key: str = key
        self.holder: str = str(uuid.uuid4())
        # By the statement that has stored the result.
        self.released: bool = False
        self._watched: _Holding | None = None
        self._watched_since = 0.0
        self._renewing: asyncio.Task[None] | None = None
        self.taken_over: bool = False

    async def acquire(self) -> bool:
        """Acquire the lease if it is free or its holder has stopped renewing it; return True if that succeeded."""
        if await self._create():
            return True
        seen = await self._repository.read(self.key)
        if seen is not None and seen.holder == self.holder:
            # Written through a connection that broke before it could say so, perhaps over another holder's.
            self.taken_over = True
            return True
        now = asyncio.get_running_loop().time()
        if seen is None or seen != self._watched:
            self._watched, self._watched_since = seen, now
            return False
        if now - self._watched_since < self._repository.seconds:
            return False
        self.taken_over = await self._repository.change(self.key, seen, _Holding(self.holder, 0))
        return self.taken_over

    async def _create(self) -> bool:
        return await self._repository.create(self.key, self.holder)

    async def lost(self) -> bool:
        """Return True if another process has taken this lease over and still holds it."""
        now = await self._repository.read(self.key)
        return now is not None and now.holder != self.holder

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Renew the lease while the body runs, then release it."""
        # Most are released before they have to be renewed, and a task that is never needed costs more than a timer.
        first = asyncio.get_running_loop().call_later(self._repository.seconds / 4, self._begin_renewing)
        try:
            yield
        finally:
            first.cancel()
            if self._renewing is not None:
                self._renewing.cancel()
                await asyncio.wait([self._renewing])
            # A release that fails costs the others LEASE_SECONDS; the result of the body must not be lost for it.
            with suppress(StoreUnavailableError):
                if not self.released:
                    await self._repository.release(self.key, self.holder)

    def _begin_renewing(self) -> None:
        # It has to live as long as the body, which the end of the event loop waits for.
        self._renewing = UninterruptedTask(self._keep_renewing())

    async def _keep_renewing(self) -> None:
        while True:
            with suppress(StoreUnavailableError):
                await self._repository.renew(self.key, self.holder)
            await asyncio.sleep(self._repository.seconds / 4)
