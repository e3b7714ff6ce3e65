"""What a full database costs: the same calls on a thousand rows and on all, beside many tokens and revocations."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.calls import Call, Calls
from benchmarks.machine import pin_to_server_core
from benchmarks.measurement import Contender, Step, Table, in_turns
from benchmarks.ours import zaikio
from benchmarks.peers.asyncpg_pool import AsyncpgPool
from benchmarks.place import Place
from benchmarks.rows import Grant, fill, some_grant, some_grants
from benchmarks.stage import DATABASES, Stage
from zaikio_oauth import ZaikioOAuth
from zaikio_oauth.store.tables import Tables

__all__ = ["NAME", "measure", "steps"]

NAME = "sizes"
SMALL = 1_000
REVOCATIONS = 100_000
LIVE_TOKENS = 10_000
"""Of one bearer, in the large database."""

CALLERS, REFRESHED = 16, 64
OPERATIONS = 4
BATCH = 10_000


@dataclass(frozen=True)
class _Store:
    """A database, what is in it, and how each operation is done there."""

    name: str
    place: Place
    rows: Sequence[tuple[str, str]]
    ours: ZaikioOAuth
    refreshed: Sequence[str]
    busiest: str

    def operations(self) -> dict[str, tuple[Call, Sequence[str]]]:
        """Return each by its name, with what it is done to."""
        some = random.Random(1).sample(self.rows, SMALL)
        return {
            "A token by id": (self.ours.find_active_access_token, [row[0] for row in some]),
            "A token by bearer": (self._of_bearer, [row[1] for row in some]),
            f"A token of a bearer with {LIVE_TOKENS:,}": (self._of_bearer, [self.busiest]),
            f"A refresh beside {REVOCATIONS:,} revocations": (self._refresh, self.refreshed),
        }

    async def _of_bearer(self, bearer_id: str) -> Any:
        return await self.ours.find_usable_access_token(bearer_type="Person", bearer_id=bearer_id, valid_for=0)

    async def _refresh(self, token_id: str) -> Any:
        token = await self.ours.find_active_access_token(token_id)
        return token and await self.ours.refresh(token)


async def measure(stage: Stage, step: Step) -> list[Table]:
    """Return a table for each operation and database."""
    tables = []
    for database in DATABASES:
        async with AsyncExitStack() as stack:
            small_place = await stage.empty_place(database)
            small = await fill(small_place.database_url, small_place.key, some_grants(SMALL))
            stores = [
                await _store(stage, f"{SMALL:,} rows", small_place, small, small[0][1], stack),
                await _large_store(stage, database, stack),
            ]
            pin_to_server_core()
            for operation in stores[0].operations():
                table = Table(NAME, f"{operation}, {database}, {CALLERS} callers", stores[0].name)
                contenders = [
                    Contender(store.name, Calls(*store.operations()[operation], CALLERS, stage.seconds).run)
                    for store in stores
                ]
                if database == "PostgreSQL" and operation == "A token by id":
                    contenders += [await _by_hand(store, stack, stage.seconds) for store in stores]
                tables.append(await in_turns(table, contenders, stage.rounds, step))
    return tables


def steps(rounds: int) -> int:
    """Return how many steps there are."""
    return (len(DATABASES) * OPERATIONS * 2 + 2) * (rounds + 1)


async def _store(
    stage: Stage, name: str, place: Place, rows: Sequence[tuple[str, str]], busiest: str, stack: AsyncExitStack
) -> _Store:
    grants = [Grant(**grant) for grant in stage.hub.do(grants=REFRESHED)["grants"]]
    refreshed = await fill(place.database_url, place.key, grants)
    ours = await stack.enter_async_context(zaikio(place, cache_ttl=0))
    return _Store(name, place, rows, ours, [token_id for token_id, _ in refreshed], busiest)


async def _large_store(stage: Stage, database: str, stack: AsyncExitStack) -> _Store:
    rows, place = await stage.rows(database), stage.place(database)
    busiest = str(uuid.uuid4())
    await fill(place.database_url, place.key, (some_grant(busiest) for _ in range(LIVE_TOKENS)))
    await _revoke(place)
    return await _store(stage, f"{stage.number:,} rows", place, rows, busiest, stack)


async def _revoke(place: Place) -> None:
    """Store ids that the Hub has revoked."""
    engine, now = create_async_engine(place.database_url), datetime.now(UTC)
    async with engine.begin() as connection:
        for _ in range(REVOCATIONS // BATCH):
            revoked = [{"jti": str(uuid.uuid4()), "revoked_at": now} for _ in range(BATCH)]
            await connection.execute(insert(Tables().revocations), revoked)
    await engine.dispose()


async def _by_hand(store: _Store, stack: AsyncExitStack, seconds: float) -> Contender:
    pool = AsyncpgPool(store.place.database_url, store.place.key)
    await pool.open()
    stack.push_async_callback(pool.close)
    _, about = store.operations()["A token by id"]
    return Contender(f"asyncpg pool, {store.name}", Calls(pool.by_id, about, CALLERS, seconds).run)
